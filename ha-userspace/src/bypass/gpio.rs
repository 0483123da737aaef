//! Relays behind a GPIO character device.
//!
//! A line is driven from the first order on, not before: taking it over at start would set it, and the relay would
//! move with nobody having decided so. Until then it is read as it is. Where a sense line is wired, that is what counts.

use super::driver::{BypassDriver, DriverError, ReadBack, Reading};
use super::pair::PortPair;
use crate::config::validated::GpioBypass;
use gpiocdev::Request;
use gpiocdev::line::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the kernel shows who holds a line.
const CONSUMER: &str = "holdfast";

/// The lines of one chip, by number; levels are physical.
pub(super) trait Lines: Send {
    /// Drives a line, taking it over if that has not happened yet.
    fn set(&mut self, line: u32, high: bool) -> Result<(), String>;
    /// Level of a line, without changing its direction.
    fn level(&mut self, line: u32) -> Result<bool, String>;
}

/// The lines of a GPIO chip, by the character device.
pub(super) struct ChipLines {
    chip: PathBuf,
    driven: BTreeMap<u32, Request>,
}

impl ChipLines {
    pub(super) fn new(chip: &Path) -> Self {
        Self { chip: chip.into(), driven: BTreeMap::new() }
    }
}

impl Lines for ChipLines {
    fn set(&mut self, line: u32, high: bool) -> Result<(), String> {
        let value = if high { Value::Active } else { Value::Inactive };
        if let Some(request) = self.driven.get(&line) {
            return request.set_value(line, value).map_err(|error| error.to_string());
        }
        let request = Request::builder()
            .on_chip(&self.chip)
            .with_consumer(CONSUMER)
            .with_line(line)
            .as_output(value)
            .request()
            .map_err(|error| error.to_string())?;
        self.driven.insert(line, request);
        Ok(())
    }

    fn level(&mut self, line: u32) -> Result<bool, String> {
        let value = match self.driven.get(&line) {
            Some(request) => request.value(line),
            // For the moment of the reading only, and without a direction, so that the line stays as it is.
            None => Request::builder()
                .on_chip(&self.chip)
                .with_consumer(CONSUMER)
                .with_line(line)
                .as_is()
                .request()
                .and_then(|request| request.value(line)),
        };
        Ok(value.map_err(|error| error.to_string())? == Value::Active)
    }
}

/// Driver for relays behind a GPIO chip.
pub(super) struct GpioDriver<L> {
    chip: PathBuf,
    /// Level at which the relay bridges the ports.
    engaged_level: bool,
    lines: L,
}

impl GpioDriver<ChipLines> {
    pub(super) fn new(config: &GpioBypass) -> Self {
        Self::over(config, ChipLines::new(&config.chip))
    }
}

impl<L: Lines> GpioDriver<L> {
    fn over(config: &GpioBypass, lines: L) -> Self {
        Self { chip: config.chip.clone(), engaged_level: !config.active_low, lines }
    }

    fn failed(&self, reason: String) -> DriverError {
        DriverError::Gpio { chip: self.chip.clone(), reason }
    }

    fn set(&mut self, pair: &PortPair, level: bool) -> Result<String, DriverError> {
        let line = line_of(pair)?;
        self.lines.set(line, level).map_err(|reason| self.failed(format!("line {line}: {reason}")))?;
        Ok(format!("level {} to line {line} of {}", u8::from(level), self.chip.display()))
    }

    fn read(&mut self, pair: &PortPair) -> Result<ReadBack, DriverError> {
        let (line, what) = match pair.gpio_sense_line {
            Some(line) => (line, "sense line"),
            None => (line_of(pair)?, "line"),
        };
        let level = self.lines.level(line);
        let level = level.map_err(|reason| self.failed(format!("{what} {line}: {reason}")))?;
        let reading = if level == self.engaged_level { Reading::Engaged } else { Reading::Released };
        let chip = self.chip.display();
        Ok(ReadBack { reading, evidence: format!("level {} from {what} {line} of {chip}", u8::from(level)) })
    }
}

fn line_of(pair: &PortPair) -> Result<u32, DriverError> {
    pair.gpio_line.ok_or_else(|| DriverError::NoLine { pair: pair.name.clone(), key: "gpio_line" })
}

impl<L: Lines> BypassDriver for GpioDriver<L> {
    fn engage(&mut self, pair: &PortPair) -> Result<String, DriverError> {
        self.set(pair, self.engaged_level)
    }

    fn release(&mut self, pair: &PortPair) -> Result<String, DriverError> {
        self.set(pair, !self.engaged_level)
    }

    fn read_back(&mut self, pair: &PortPair) -> ReadBack {
        self.read(pair).unwrap_or_else(|error| ReadBack::unknown(&error))
    }

    fn arm_watchdog(&mut self, _pair: &PortPair, _timeout: Duration) -> Result<(), DriverError> {
        Err(DriverError::NoWatchdog { driver: "gpio" })
    }

    fn pet(&mut self, _pair: &PortPair) -> Result<(), DriverError> {
        Err(DriverError::NoWatchdog { driver: "gpio" })
    }

    fn disarm(&mut self, _pair: &PortPair) -> Result<(), DriverError> {
        Err(DriverError::NoWatchdog { driver: "gpio" })
    }
}

#[cfg(test)]
#[path = "gpio_tests.rs"]
mod tests;
