//! `[bypass]` as written.

use super::super::reader::{Field, SectionReader};
use super::super::validated::Topology;
use super::List;
use std::path::PathBuf;
use std::time::Duration;

/// `bypass.driver` before its settings are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum DriverName {
    None,
    Xdp,
    Sysfs,
    Gpio,
    Command,
}

impl DriverName {
    /// As the file has it.
    pub(in super::super) const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Xdp => "xdp",
            Self::Sysfs => "sysfs",
            Self::Gpio => "gpio",
            Self::Command => "command",
        }
    }
}

/// `bypass.preset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Preset {
    Custom,
    Chelsio,
    Caswell,
    Silicom,
}

impl Preset {
    /// As the file has it.
    pub(in super::super) const fn word(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Chelsio => "chelsio",
            Self::Caswell => "caswell",
            Self::Silicom => "silicom",
        }
    }
}

pub(in super::super) struct RawBypass {
    pub(in super::super) driver: Field<DriverName>,
    pub(in super::super) topology: Field<Topology>,
    pub(in super::super) accept_parallel: Field<bool>,
    pub(in super::super) on_controller_loss: Field<bool>,
    pub(in super::super) watchdog: Field<Duration>,
    pub(in super::super) pet_interval: Field<Duration>,
    pub(in super::super) sysfs: RawSysfs,
    pub(in super::super) chip: Field<PathBuf>,
    pub(in super::super) active_low: Field<bool>,
    pub(in super::super) command: List<String>,
    pub(in super::super) command_timeout: Field<Duration>,
}

/// What only the driver `sysfs` has.
pub(in super::super) struct RawSysfs {
    pub(in super::super) preset: Field<Preset>,
    pub(in super::super) control_path: Field<String>,
    pub(in super::super) engage_value: Field<String>,
    pub(in super::super) release_value: Field<String>,
    pub(in super::super) read_path: Field<String>,
    pub(in super::super) engaged_readings: List<String>,
    pub(in super::super) released_readings: List<String>,
    pub(in super::super) arm_path: Field<String>,
    pub(in super::super) arm_value: Field<String>,
    pub(in super::super) disarm_value: Field<String>,
    pub(in super::super) pet_path: Field<String>,
    pub(in super::super) pet_value: Field<String>,
}

impl RawSysfs {
    /// Places of the keys that stand in the file.
    pub(in super::super) fn given(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.engaged_readings, &self.released_readings].map(Field::given_at);
        std::iter::once(self.preset.given_at())
            .chain(self.switch_texts().map(Field::given_at))
            .chain(lists)
            .flatten()
            .chain(self.given_watchdog())
    }

    /// As [`RawSysfs::given`], the watchdog's only.
    pub(in super::super) fn given_watchdog(&self) -> impl Iterator<Item = &str> {
        self.watchdog_texts().into_iter().filter_map(Field::given_at)
    }

    /// Keys that say how to switch and to read.
    pub(in super::super) fn switch_texts(&self) -> [&Field<String>; 4] {
        [&self.control_path, &self.engage_value, &self.release_value, &self.read_path]
    }

    /// Keys that say how to arm and to pet.
    pub(in super::super) fn watchdog_texts(&self) -> [&Field<String>; 5] {
        [&self.arm_path, &self.arm_value, &self.disarm_value, &self.pet_path, &self.pet_value]
    }
}

pub(super) fn read_bypass(reader: &mut SectionReader<'_, '_>) -> RawBypass {
    RawBypass {
        driver: reader.choice("driver", |word| match word {
            "none" => Some(DriverName::None),
            "xdp" => Some(DriverName::Xdp),
            "sysfs" => Some(DriverName::Sysfs),
            "gpio" => Some(DriverName::Gpio),
            "command" => Some(DriverName::Command),
            _ => None,
        }),
        topology: reader.choice("topology", |word| match word {
            "inline" => Some(Topology::Inline),
            "parallel" => Some(Topology::Parallel),
            _ => None,
        }),
        accept_parallel: reader.flag("accept_parallel"),
        on_controller_loss: reader.flag("on_controller_loss"),
        watchdog: reader.duration("watchdog"),
        pet_interval: reader.duration("pet_interval"),
        sysfs: read_sysfs(reader),
        chip: reader.path("chip"),
        active_low: reader.flag("active_low"),
        command: reader.texts("command"),
        command_timeout: reader.duration("command_timeout"),
    }
}

fn read_sysfs(reader: &mut SectionReader<'_, '_>) -> RawSysfs {
    RawSysfs {
        preset: reader.choice("preset", |word| match word {
            "custom" => Some(Preset::Custom),
            "chelsio" => Some(Preset::Chelsio),
            "caswell" => Some(Preset::Caswell),
            "silicom" => Some(Preset::Silicom),
            _ => None,
        }),
        control_path: reader.text("control_path"),
        engage_value: reader.text("engage_value"),
        release_value: reader.text("release_value"),
        read_path: reader.text("read_path"),
        engaged_readings: reader.texts("engaged_readings"),
        released_readings: reader.texts("released_readings"),
        arm_path: reader.text("arm_path"),
        arm_value: reader.text("arm_value"),
        disarm_value: reader.text("disarm_value"),
        pet_path: reader.text("pet_path"),
        pet_value: reader.text("pet_value"),
    }
}
