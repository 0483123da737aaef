//! Rules about the bypass driver `sysfs`: the preset filled in, what is missing, and what cannot be told apart.

use super::super::problem::Report;
use super::super::raw::{List, Preset, Raw, RawSysfs};
use super::super::reader::Field;
use super::super::units::show_duration;
use super::super::validated::{SysfsBypass, SysfsWatchdog};
use super::presets::{self, PresetFiles, PresetWatchdog};
use super::templates::{self, Place, TIMEOUT_S};

pub(super) fn sysfs(raw: &Raw, report: &mut Report) -> Option<SysfsBypass> {
    let keys = &raw.bypass.sysfs;
    for field in [&keys.control_path, &keys.read_path, &keys.arm_path, &keys.pet_path] {
        templates::check(field, Place::Path, report);
    }
    let values =
        [&keys.engage_value, &keys.release_value, &keys.arm_value, &keys.disarm_value, &keys.pet_value];
    for field in values {
        templates::check(field, Place::Value, report);
    }
    let preset = keys.preset.value?;
    let watchdog = if raw.bypass.watchdog.given { Some(watchdog(keys, preset, report)) } else { None };
    let found = switch(keys, preset, report);
    // A watchdog that lacks something has been reported; the rest is judged all the same.
    let sysfs = SysfsBypass { watchdog: watchdog.clone().flatten(), ..found? };
    of_pairs(raw, &sysfs, report);
    ambiguous(keys, &sysfs, report);
    whole_seconds(raw, &sysfs, report);
    if watchdog == Some(None) { None } else { Some(sysfs) }
}

/// What the file says, or else the preset; reports what neither has.
struct Source<'r> {
    preset: Preset,
    report: &'r mut Report,
}

impl Source<'_> {
    fn text(&mut self, field: &Field<String>, preset: Option<&'static str>) -> Option<String> {
        if field.given {
            return field.value.clone();
        }
        if preset.is_none() {
            self.missing(&field.path, field.key());
        }
        preset.map(str::to_owned)
    }

    fn readings(
        &mut self,
        field: &List<String>,
        preset: Option<&'static [&'static str]>,
    ) -> Option<Vec<String>> {
        if !field.given {
            if preset.is_none() {
                self.missing(&field.path, field.key());
            }
            return preset.map(|readings| readings.iter().map(ToString::to_string).collect());
        }
        let elements = field.value.as_ref()?;
        if elements.is_empty() && field.refused == 0 {
            self.report.error(&field.path, "no reading is listed", "list what the file holds then");
        }
        for element in elements.iter().filter(|element| element.value.trim() != element.value) {
            self.report.error(
                &element.path,
                format!(
                    "\"{}\" begins or ends with a blank, and readings are compared without",
                    element.value
                ),
                "write it without",
            );
        }
        Some(elements.iter().map(|element| element.value.clone()).collect())
    }

    fn missing(&mut self, path: &str, key: &str) {
        let message = match self.preset {
            Preset::Custom => "missing, and bypass.preset is \"custom\"".to_owned(),
            preset => format!("missing, and the preset \"{}\" has none", preset.word()),
        };
        let help = format!("add `{key} = ...` to [bypass], or set bypass.preset to hardware that has it");
        self.report.error(path, message, help);
    }
}

fn switch(keys: &RawSysfs, preset: Preset, report: &mut Report) -> Option<SysfsBypass> {
    let known: Option<&PresetFiles> = presets::files(preset);
    let mut source = Source { preset, report };
    let control_path = source.text(&keys.control_path, known.map(|files| files.control_path));
    let engage_value = source.text(&keys.engage_value, known.map(|files| files.engage_value));
    let release_value = source.text(&keys.release_value, known.map(|files| files.release_value));
    let read_path = source.text(&keys.read_path, known.map(|files| files.read_path));
    let engaged = source.readings(&keys.engaged_readings, known.map(|files| files.engaged_readings));
    let released = source.readings(&keys.released_readings, known.map(|files| files.released_readings));
    Some(SysfsBypass {
        control_path: control_path?,
        engage_value: engage_value?,
        release_value: release_value?,
        read_path: read_path?,
        engaged_readings: engaged?,
        released_readings: released?,
        watchdog: None,
    })
}

fn watchdog(keys: &RawSysfs, preset: Preset, report: &mut Report) -> Option<SysfsWatchdog> {
    let known: Option<&PresetWatchdog> = presets::files(preset).and_then(|files| files.watchdog.as_ref());
    let mut source = Source { preset, report };
    let arm_path = source.text(&keys.arm_path, known.map(|files| files.arm_path));
    let arm_value = source.text(&keys.arm_value, known.map(|files| files.arm_value));
    let disarm_value = source.text(&keys.disarm_value, known.map(|files| files.disarm_value));
    let pet_path = source.text(&keys.pet_path, known.map(|files| files.pet_path));
    let pet_value = if keys.pet_value.given {
        Some(keys.pet_value.value.clone()?)
    } else {
        known.and_then(|files| files.pet_value).map(str::to_owned)
    };
    Some(SysfsWatchdog {
        arm_path: arm_path?,
        arm_value: arm_value?,
        disarm_value: disarm_value?,
        pet_path: pet_path?,
        pet_value,
    })
}

/// All texts in force, with the places of their keys.
fn of_pairs(raw: &Raw, sysfs: &SysfsBypass, report: &mut Report) {
    let keys = &raw.bypass.sysfs;
    let mut texts = vec![
        (keys.control_path.path.as_str(), sysfs.control_path.as_str(), Place::Path),
        (&keys.engage_value.path, &sysfs.engage_value, Place::Value),
        (&keys.release_value.path, &sysfs.release_value, Place::Value),
        (&keys.read_path.path, &sysfs.read_path, Place::Path),
    ];
    if let Some(watchdog) = &sysfs.watchdog {
        texts.extend([
            (keys.arm_path.path.as_str(), watchdog.arm_path.as_str(), Place::Path),
            (&keys.arm_value.path, &watchdog.arm_value, Place::Value),
            (&keys.disarm_value.path, &watchdog.disarm_value, Place::Value),
            (&keys.pet_path.path, &watchdog.pet_path, Place::Path),
        ]);
        let pet_value = watchdog.pet_value.iter();
        texts.extend(pet_value.map(|value| (keys.pet_value.path.as_str(), value.as_str(), Place::Value)));
    }
    templates::fill_from_pairs(&texts, raw, report);
}

/// Opposites that look the same.
fn ambiguous(keys: &RawSysfs, sysfs: &SysfsBypass, report: &mut Report) {
    if sysfs.engage_value == sysfs.release_value {
        report.error(
            &keys.release_value.path,
            format!("\"{}\" is also bypass.engage_value", sysfs.release_value),
            "write what releases the hardware",
        );
    }
    if let Some(watchdog) = &sysfs.watchdog
        && watchdog.arm_value == watchdog.disarm_value
    {
        report.error(
            &keys.disarm_value.path,
            format!("\"{}\" is also bypass.arm_value", watchdog.disarm_value),
            "write what stops the watchdog",
        );
    }
    for reading in sysfs.released_readings.iter().filter(|reading| sysfs.engaged_readings.contains(reading)) {
        report.error(
            &keys.released_readings.path,
            format!("\"{reading}\" is also in bypass.engaged_readings"),
            "a reading means one of the two",
        );
    }
}

fn whole_seconds(raw: &Raw, sysfs: &SysfsBypass, report: &mut Report) {
    let (Some(timeout), Some(watchdog)) = (raw.bypass.watchdog.value, &sysfs.watchdog) else { return };
    let texts = [Some(&watchdog.arm_value), Some(&watchdog.disarm_value), watchdog.pet_value.as_ref()];
    let in_seconds = texts.into_iter().flatten().any(|text| text.contains(TIMEOUT_S));
    if in_seconds && timeout.subsec_nanos() != 0 {
        report.error(
            &raw.bypass.watchdog.path,
            format!("{} cannot be written as {TIMEOUT_S}", show_duration(timeout)),
            "use whole seconds, or {timeout_ms} if the hardware counts those",
        );
    }
}
