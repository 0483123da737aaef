//! Quantities with units: durations (`"250ms"`, `"1m 30s"`) and rates (`"10Mbps"`, decimal). Bare numbers are refused.

use std::time::Duration;

/// No honest duration is longer as text: the longest that [`show_duration`] writes, 20 digits, a point, 9 digits and a unit.
const MAX_DURATION_TEXT: usize = 31;

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("\"{0}\" has no unit")]
    NoUnit(String),
    #[error("\"{0}\" is not a duration")]
    NotDuration(String),
    #[error("\"{0}\" is not a rate")]
    NotRate(String),
}

/// What to write for a duration.
pub const DURATION_HELP: &str = "write a number with ns, us, ms, s, m, h or d, such as \"250ms\"";
/// What to write for a rate.
pub const RATE_HELP: &str = "write a number with bps, kbps, Mbps, Gbps or Tbps, such as \"10Mbps\"";

const RATE_UNITS: [(&str, u64); 5] =
    [("kbps", 1_000), ("Mbps", 1_000_000), ("Gbps", 1_000_000_000), ("Tbps", 1_000_000_000_000), ("bps", 1)];

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Reads a duration.
///
/// # Errors
///
/// The text has no unit, or is no duration.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let trimmed = text.trim();
    if is_number(trimmed) {
        return Err(UnitError::NoUnit(text.to_owned()));
    }
    if trimmed.is_empty() || trimmed.len() > MAX_DURATION_TEXT {
        return Err(UnitError::NotDuration(text.to_owned()));
    }
    humantime::parse_duration(trimmed).map_err(|_| UnitError::NotDuration(text.to_owned()))
}

/// Reads a rate as bits per second.
///
/// # Errors
///
/// The text has no unit, is no rate, or is no whole number of bits per second.
pub fn rate(text: &str) -> Result<u64, UnitError> {
    let trimmed = text.trim();
    if is_number(trimmed) {
        return Err(UnitError::NoUnit(text.to_owned()));
    }
    let refused = || UnitError::NotRate(text.to_owned());
    let (number, multiplier) = RATE_UNITS
        .iter()
        .find_map(|(unit, multiplier)| {
            trimmed.strip_suffix(unit).map(|number| (number.trim_end(), *multiplier))
        })
        .ok_or_else(refused)?;
    decimal(number, multiplier).ok_or_else(refused)
}

/// `number * multiplier` in integers, or `None` unless the result is whole and fits.
fn decimal(number: &str, multiplier: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let all_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = fraction.parse::<u64>().ok()?.checked_mul(multiplier)?;
    if scaled % scale != 0 {
        return None;
    }
    whole.parse::<u64>().ok()?.checked_mul(multiplier)?.checked_add(scaled / scale)
}

/// Writes a duration the way the file takes it: `10m`, `40.95s`, `250ms`, `1.5us`.
pub fn show_duration(duration: Duration) -> String {
    const WHOLE_UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let seconds = duration.as_secs();
    if duration.subsec_nanos() == 0
        && let Some((size, unit)) =
            WHOLE_UNITS.iter().find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size))
    {
        return format!("{}{unit}", seconds / size);
    }
    let nanos = duration.as_nanos();
    let (size, unit) = match nanos {
        0 => (1_000_000_000, "s"),
        1_000_000_000.. => (1_000_000_000, "s"),
        1_000_000.. => (1_000_000, "ms"),
        1_000.. => (1_000, "us"),
        _ => (1, "ns"),
    };
    let width = size.to_string().len() - 1;
    let fraction = format!("{:0width$}", nanos % size);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}{unit}", nanos / size)
}

/// Writes a rate the way the file takes it: `10Mbps`.
pub fn show_rate(bits_per_second: u64) -> String {
    let mut units = RATE_UNITS;
    units.sort_by_key(|(_, multiplier)| std::cmp::Reverse(*multiplier));
    units
        .iter()
        .find(|(_, multiplier)| bits_per_second >= *multiplier && bits_per_second.is_multiple_of(*multiplier))
        .map_or_else(
            || format!("{bits_per_second}bps"),
            |(unit, multiplier)| format!("{}{unit}", bits_per_second / multiplier),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_units_only() {
        let cases = [
            ("250ms", Duration::from_millis(250)),
            ("40.95s", Duration::from_millis(40_950)),
            ("10m", Duration::from_secs(600)),
            ("1m 30s", Duration::from_secs(90)),
            ("0s", Duration::ZERO),
            (" 1h ", Duration::from_secs(3_600)),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        assert_eq!(duration("250"), Err(UnitError::NoUnit("250".to_owned())));
        assert_eq!(duration("0"), Err(UnitError::NoUnit("0".to_owned())));
        for text in ["", "ms", "-1s", "1 fortnight", "1.0000000000001s", "18446744073709551615s1000000000ns"]
        {
            assert_eq!(duration(text), Err(UnitError::NotDuration(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn rates_are_decimal() {
        let cases = [
            ("10Mbps", 10_000_000),
            ("1.5Gbps", 1_500_000_000),
            ("800 kbps", 800_000),
            ("1bps", 1),
            ("2Tbps", 2_000_000_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(rate(text), Ok(expected), "{text}");
        }
        assert_eq!(rate("10"), Err(UnitError::NoUnit("10".to_owned())));
        for text in ["", "Mbps", "10MB", "10mbps", "-1Mbps", "1.5bps", "1.Mbps", "99999999999999999999bps"] {
            assert_eq!(rate(text), Err(UnitError::NotRate(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for text in ["10m", "40.95s", "250ms", "1.5us", "7ns", "0s", "1d", "1h", "90s", "3.0078125s"] {
            let value = duration(text).unwrap();
            assert_eq!(duration(&show_duration(value)), Ok(value), "{text}");
        }
        let longest = Duration::new(u64::MAX, 999_999_999);
        assert_eq!(duration(&show_duration(longest)), Ok(longest));
        assert_eq!(show_duration(Duration::from_millis(40_950)), "40.95s");
        assert_eq!(show_duration(Duration::from_secs(600)), "10m");
        for text in ["10Mbps", "1500Mbps", "1bps", "1Tbps"] {
            assert_eq!(show_rate(rate(text).unwrap()), text);
        }
        assert_eq!(show_rate(0), "0bps");
    }
}
