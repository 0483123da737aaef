//! Files of known bypass hardware, by `bypass.preset`.
//!
//! Facts about the vendors' drivers, nothing else. Keys in the file take the place of what stands here.

use super::super::raw::Preset;

/// What a preset knows.
#[derive(Debug)]
pub(super) struct PresetFiles {
    pub(super) control_path: &'static str,
    pub(super) engage_value: &'static str,
    pub(super) release_value: &'static str,
    pub(super) read_path: &'static str,
    pub(super) engaged_readings: &'static [&'static str],
    pub(super) released_readings: &'static [&'static str],
    pub(super) watchdog: Option<PresetWatchdog>,
}

/// The watchdog of a preset; where there is none the driver offers none through files.
#[derive(Debug)]
pub(super) struct PresetWatchdog {
    pub(super) arm_path: &'static str,
    pub(super) arm_value: &'static str,
    pub(super) disarm_value: &'static str,
    pub(super) pet_path: &'static str,
    /// `None`: reading the path pets.
    pub(super) pet_value: Option<&'static str>,
}

/// Chelsio: the files hang below the network interface; the third mode, "drop", is a fault here.
const CHELSIO: PresetFiles = PresetFiles {
    control_path: "/sys/class/net/{inside}/bypass/current_mode",
    engage_value: "bypass",
    release_value: "normal",
    read_path: "/sys/class/net/{inside}/bypass/current_mode",
    engaged_readings: &["bypass"],
    released_readings: &["normal"],
    watchdog: Some(PresetWatchdog {
        arm_path: "/sys/class/net/{inside}/bypass/watchdog",
        arm_value: "{timeout_ms}",
        disarm_value: "0",
        pet_path: "/sys/class/net/{inside}/bypass/watchdog_ping",
        pet_value: Some("1"),
    }),
};

/// Caswell and Portwell, copper, third generation: b is bypass, n is normal.
const CASWELL: PresetFiles = PresetFiles {
    control_path: "/sys/class/bypass/{device}/bypass",
    engage_value: "b",
    release_value: "n",
    read_path: "/sys/class/bypass/{device}/bypass",
    engaged_readings: &["b"],
    released_readings: &["n"],
    watchdog: None,
};

/// Silicom: files of the pair's master port; reading one of them pets.
const SILICOM: PresetFiles = PresetFiles {
    control_path: "/proc/net/bypass/bypass_{inside}/bypass",
    engage_value: "on",
    release_value: "off",
    read_path: "/proc/net/bypass/bypass_{inside}/bypass",
    engaged_readings: &["on"],
    released_readings: &["off"],
    watchdog: Some(PresetWatchdog {
        arm_path: "/proc/net/bypass/bypass_{inside}/bypass_wd",
        arm_value: "{timeout_ms}",
        disarm_value: "0",
        pet_path: "/proc/net/bypass/bypass_{inside}/reset_bypass_wd",
        pet_value: None,
    }),
};

/// What is known without being written; nothing for custom hardware.
pub(super) const fn files(preset: Preset) -> Option<&'static PresetFiles> {
    match preset {
        Preset::Custom => None,
        Preset::Chelsio => Some(&CHELSIO),
        Preset::Caswell => Some(&CASWELL),
        Preset::Silicom => Some(&SILICOM),
    }
}
