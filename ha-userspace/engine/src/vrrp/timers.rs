//! The arithmetic of RFC 9568 section 6.1 and RFC 3768 section 6.1, in nanoseconds and without rounding to centiseconds:
//! at an interval of 1 cs such rounding makes every skew 0 and every Backup fire at once (V-078).

use crate::config::Version;
use crate::time::Duration;

/// Priorities are fractions of this in Skew_Time.
const PRIORITY_STEPS: u64 = 256;
/// Adverts that may be missed before the owner counts as lost. Fixed by both RFCs.
const MISSED_ADVERTS: u32 = 3;
/// Unit of VRRPv2's Skew_Time, whatever the interval (V-056).
const V2_SKEW_UNIT: Duration = Duration::from_secs(1);
/// The lowest priority that can succeed an owner, hence the slowest successor.
const LOWEST_PRIORITY: u8 = 1;

/// Skew_Time (V-076; VRRPv2: V-056).
pub(crate) fn skew(version: Version, learned: Duration, priority: u8) -> Duration {
    let unit = match version {
        Version::V2 => V2_SKEW_UNIT,
        Version::V3 => learned,
    };
    unit.scaled(PRIORITY_STEPS - u64::from(priority), PRIORITY_STEPS)
}

/// Active_Down_Interval (V-077).
pub(crate) fn active_down(version: Version, learned: Duration, priority: u8) -> Duration {
    let missed = (0..MISSED_ADVERTS).fold(Duration::ZERO, |sum, _| sum + learned);
    missed + skew(version, learned, priority)
}

/// How long a releasing Active serves without a successor: the slowest Backup's Skew_Time plus one interval.
pub(crate) fn release_window(version: Version, interval: Duration) -> Duration {
    skew(version, interval, LOWEST_PRIORITY) + interval
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conformance section 12: priority, interval in centiseconds, skew and down interval in nanoseconds.
    const SECTION_12: &[(u8, u64, u64, u64)] = &[
        (254, 100, 7_812_500, 3_007_812_500),
        (200, 100, 218_750_000, 3_218_750_000),
        (150, 100, 414_062_500, 3_414_062_500),
        (100, 100, 609_375_000, 3_609_375_000),
        (100, 10, 60_937_500, 360_937_500),
        (100, 1, 6_093_750, 36_093_750),
        (100, 4095, 24_953_906_250, 147_803_906_250),
        // 4079.00390625 cs and 16364.00390625 cs end in half a nanosecond.
        (1, 4095, 40_790_039_062, 163_640_039_062),
    ];

    #[test]
    fn v076_v077_v087_section_12_table_is_exact() {
        for &(priority, centis, skew_ns, down_ns) in SECTION_12 {
            let interval = Duration::from_centis(centis);
            assert_eq!(
                skew(Version::V3, interval, priority).as_nanos(),
                skew_ns,
                "{priority} at {centis} cs"
            );
            assert_eq!(
                active_down(Version::V3, interval, priority).as_nanos(),
                down_ns,
                "{priority} {centis}"
            );
        }
    }

    #[test]
    fn v056_v2_skew_does_not_depend_on_the_interval() {
        let interval = Duration::from_secs(5);
        assert_eq!(skew(Version::V2, interval, 100).as_nanos(), 609_375_000);
        assert_eq!(active_down(Version::V2, interval, 100).as_nanos(), 15_609_375_000);
    }

    #[test]
    fn v078_skews_differ_at_one_centisecond_for_every_pair_of_priorities() {
        let interval = Duration::from_centis(1);
        for priority in 1..=254 {
            assert!(skew(Version::V3, interval, priority) > skew(Version::V3, interval, priority + 1));
        }
    }

    #[test]
    fn v087_extremes_saturate() {
        let longest = Duration::from_nanos(u64::MAX);
        assert_eq!(active_down(Version::V3, longest, 0).as_nanos(), u64::MAX);
        assert_eq!(active_down(Version::V3, Duration::ZERO, 255), Duration::ZERO);
        assert_eq!(skew(Version::V3, longest, 0).as_nanos(), u64::MAX);
    }

    #[test]
    fn release_window_covers_the_slowest_successor() {
        let interval = Duration::from_centis(100);
        assert_eq!(release_window(Version::V3, interval).as_nanos(), 996_093_750 + 1_000_000_000);
    }
}
