//! Wall-clock instants as people and scripts read them: RFC 3339 in UTC, to the millisecond.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A wall-clock instant with millisecond resolution. For display only: no decision rests on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(SystemTime);

impl Timestamp {
    /// This instant.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// Time from here to `later`; zero if `later` is earlier, as after a step of the wall clock.
    pub fn until(self, later: Timestamp) -> Duration {
        later.0.duration_since(self.0).unwrap_or_default()
    }
}

impl From<SystemTime> for Timestamp {
    /// Drops what is finer than a millisecond; an instant before 1970 becomes 1970.
    fn from(instant: SystemTime) -> Self {
        let since_epoch = instant.duration_since(UNIX_EPOCH).unwrap_or_default();
        let whole = Duration::new(since_epoch.as_secs(), since_epoch.subsec_millis() * 1_000_000);
        Self(UNIX_EPOCH + whole)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(self.0).fmt(formatter)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map(Self::from).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rfc_3339_and_reads_back() {
        let instant = Timestamp::from(UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789));
        let json = serde_json::to_string(&instant).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), instant);
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }

    #[test]
    fn a_stepped_clock_gives_no_negative_ages() {
        let early = Timestamp::from(UNIX_EPOCH + Duration::from_secs(5));
        let late = Timestamp::from(UNIX_EPOCH + Duration::from_secs(9));
        assert_eq!(early.until(late), Duration::from_secs(4));
        assert_eq!(late.until(early), Duration::ZERO);
    }
}
