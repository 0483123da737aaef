//! Placeholders in the paths and values of bypass hardware: `{inside}`, `{outside}`, `{pair}`, `{device}`, and for the
//! watchdog `{timeout_ms}` and `{timeout_s}`.

use super::driver::DriverError;
use super::pair::PortPair;
use std::time::Duration;

/// Fills in a text for a pair. Seconds are rounded up: a watchdog must not trip earlier than configured.
pub(super) fn fill(text: &str, pair: &PortPair, timeout: Option<Duration>) -> Result<String, DriverError> {
    let mut filled = text
        .replace("{inside}", &pair.inside)
        .replace("{outside}", &pair.outside)
        .replace("{pair}", &pair.name);
    if filled.contains("{device}") {
        let device = pair.device.as_deref().ok_or_else(|| DriverError::Placeholder {
            text: text.into(),
            placeholder: "device",
            pair: pair.name.clone(),
        })?;
        filled = filled.replace("{device}", device);
    }
    if let Some(timeout) = timeout {
        let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
        filled = filled
            .replace("{timeout_ms}", &timeout.as_millis().to_string())
            .replace("{timeout_s}", &seconds.to_string());
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> PortPair {
        PortPair {
            name: "wan".into(),
            inside: "eth1".into(),
            outside: "eth2".into(),
            device: Some("g3bp0".into()),
            ..PortPair::default()
        }
    }

    #[test]
    fn every_placeholder_is_filled() {
        let text = "/sys/{device}/{inside}-{outside}/{pair} {timeout_ms} {timeout_s}";
        let filled = fill(text, &pair(), Some(Duration::from_millis(1500))).unwrap();
        assert_eq!(filled, "/sys/g3bp0/eth1-eth2/wan 1500 2");
    }

    #[test]
    fn a_pair_without_a_device_is_named() {
        let error = fill("/sys/{device}", &PortPair { device: None, ..pair() }, None).unwrap_err();
        let said = error.to_string();
        assert_eq!(
            said,
            "`/sys/{device}` has {device}, and link pair wan has no device: set link_pair.device"
        );
    }
}
