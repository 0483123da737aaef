//! The machine that figures come from: without it they mean nothing.
//!
//! Everything is read from /proc and from the programs' own version texts; what cannot be read is `unknown`.

use std::fmt;
use std::path::Path;
use std::process::Command;

/// A host and the versions under test.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Machine {
    processor: String,
    processors: usize,
    /// A hypervisor announces itself.
    virtual_machine: bool,
    memory_gib: f64,
    kernel: String,
    bpf_jit: bool,
    /// Runnable tasks over the last minute, when the measurement began.
    load: String,
    holdfast: String,
    keepalived: String,
}

impl Machine {
    pub(crate) fn of_this_host(holdfast: &Path) -> Self {
        let processor = read("/proc/cpuinfo");
        let field = |name: &str| after_colon(&processor, name).map(str::to_owned);
        const KIB_PER_GIB: f64 = 1_048_576.0;
        let memory = read("/proc/meminfo");
        let memory_kib =
            after_colon(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok());
        Machine {
            processor: field("model name").unwrap_or_else(unknown),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            virtual_machine: field("flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            memory_gib: memory_kib.unwrap_or(0.0) / KIB_PER_GIB,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            bpf_jit: read("/proc/sys/net/core/bpf_jit_enable").trim() != "0",
            load: read("/proc/loadavg").split(' ').next().map_or_else(unknown, str::to_owned),
            holdfast: version(Command::new(holdfast).arg("--version")),
            keepalived: version(Command::new("keepalived").arg("--version")),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.virtual_machine { ", virtual machine" } else { "" };
        let jit = if self.bpf_jit { "BPF compiled" } else { "BPF interpreted" };
        writeln!(out, "{} x {}, {:.0} GiB{host}", self.processors, self.processor, self.memory_gib)?;
        writeln!(out, "Linux {}, {jit}, load {} at the beginning", self.kernel, self.load)?;
        write!(out, "{}; {}", self.holdfast, self.keepalived)
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// What stands behind `name` and a colon, in the first line that begins so.
fn after_colon<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.trim_start().strip_prefix(':')?.trim())
}

/// The first line a program prints about its version, on either stream.
fn version(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return unknown() };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().map(str::trim).find(|line| !line.is_empty()).map_or_else(unknown, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_names() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\nMemTotal:   12 kB\n";
        assert_eq!(after_colon(text, "model name"), Some("Some CPU"));
        assert_eq!(after_colon(text, "MemTotal"), Some("12 kB"));
        assert_eq!(after_colon(text, "flags"), None);
    }

    #[test]
    fn a_program_that_is_not_there_has_no_version() {
        assert_eq!(version(&mut Command::new("/nonexistent/program")), "unknown");
    }
}
