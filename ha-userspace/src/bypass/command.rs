//! A program of the operator's that switches: `PROGRAM... VERB [TIMEOUT_MS] PAIR INSIDE OUTSIDE`.
//!
//! Verbs: `engage`, `release`, `status` (prints `engaged` or `released`), `arm` (with the timeout), `pet`, `disarm`. Exit
//! status 0 is success. The program runs as the daemon's user, since it is to reach hardware.

use super::driver::{BypassDriver, DriverError, ReadBack, Reading};
use super::pair::PortPair;
use super::program;
use crate::config::validated::CommandBypass;
use std::time::Duration;

/// Words that `status` prints.
const ENGAGED: &str = "engaged";
const RELEASED: &str = "released";

/// Driver that asks a program.
pub(super) struct CommandDriver {
    config: CommandBypass,
}

impl CommandDriver {
    pub(super) fn new(config: CommandBypass) -> Self {
        Self { config }
    }

    /// Runs the program; its standard output, trimmed.
    fn call(&self, verb: &[&str], pair: &PortPair) -> Result<String, DriverError> {
        let mut arguments = verb.to_vec();
        arguments.extend([pair.name.as_str(), &pair.inside, &pair.outside]);
        let failed = |reason| DriverError::Command { command: self.shown(verb, pair), reason };
        let outcome = program::run(&self.config.argv, &arguments, self.config.timeout)
            .map_err(|error| failed(error.to_string()))?;
        if outcome.status.success() {
            return Ok(outcome.stdout);
        }
        let said = if outcome.stderr.is_empty() { "it said nothing" } else { &outcome.stderr };
        Err(failed(format!("{}: {said}", outcome.status)))
    }

    fn shown(&self, verb: &[&str], pair: &PortPair) -> String {
        format!("{} {} {}", self.config.argv.join(" "), verb.join(" "), pair.name)
    }

    fn order(&self, verb: &str, pair: &PortPair) -> Result<String, DriverError> {
        self.call(&[verb], pair).map(|_| format!("`{verb}` to `{}`", self.config.argv.join(" ")))
    }
}

impl BypassDriver for CommandDriver {
    fn engage(&mut self, pair: &PortPair) -> Result<String, DriverError> {
        self.order("engage", pair)
    }

    fn release(&mut self, pair: &PortPair) -> Result<String, DriverError> {
        self.order("release", pair)
    }

    fn read_back(&mut self, pair: &PortPair) -> ReadBack {
        let printed = match self.call(&["status"], pair) {
            Ok(printed) => printed,
            Err(error) => return ReadBack::unknown(&error),
        };
        let command = self.shown(&["status"], pair);
        let reading = match printed.as_str() {
            ENGAGED => Reading::Engaged,
            RELEASED => Reading::Released,
            other => {
                let reason = format!("printed `{other}`, neither `{ENGAGED}` nor `{RELEASED}`");
                Reading::Unknown(DriverError::Command { command: command.clone(), reason }.to_string())
            }
        };
        ReadBack { reading, evidence: format!("`{printed}` from `{command}`") }
    }

    fn arm_watchdog(&mut self, pair: &PortPair, timeout: Duration) -> Result<(), DriverError> {
        self.call(&["arm", &timeout.as_millis().to_string()], pair).map(drop)
    }

    fn pet(&mut self, pair: &PortPair) -> Result<(), DriverError> {
        self.call(&["pet"], pair).map(drop)
    }

    fn disarm(&mut self, pair: &PortPair) -> Result<(), DriverError> {
        self.call(&["disarm"], pair).map(drop)
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
