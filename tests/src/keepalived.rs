//! The real keepalived package in a namespace: as the peer in interop, and as the measure in benches.

use crate::netns::{LabName, Namespace};
use crate::process::Process;
use crate::workdir::WorkDir;
use anyhow::{Result, ensure};
use std::fmt::Write;
use std::process::ExitStatus;
use std::time::Duration;

const GONE_WITHIN: Duration = Duration::from_secs(10);

const PID_FILES: [&str; 3] = ["main.pid", "vrrp.pid", "checkers.pid"];

/// A `vrrp_instance` block.
#[derive(Clone, Debug)]
pub struct Instance {
    pub name: String,
    pub interface: String,
    pub vrid: u8,
    pub priority: u8,
    pub interval: Duration,
    /// 2 or 3.
    pub version: u8,
    /// With prefix length, e.g. `192.0.2.1/24`.
    pub addresses: Vec<String>,
    /// Further lines of the block, e.g. `nopreempt` or `use_vmac`.
    pub extra: Vec<String>,
}

impl Instance {
    /// A VRRPv3 instance at one second.
    pub fn new(name: &str, interface: &str, vrid: u8, priority: u8, addresses: &[&str]) -> Self {
        Instance {
            name: name.to_owned(),
            interface: interface.to_owned(),
            vrid,
            priority,
            interval: Duration::from_secs(1),
            version: 3,
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            extra: Vec::new(),
        }
    }

    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Adds a line to the block.
    pub fn with(mut self, line: &str) -> Self {
        self.extra.push(line.to_owned());
        self
    }
}

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct KeepalivedConfig {
    pub instances: Vec<Instance>,
    /// Puts all instances into one sync group of this name.
    pub sync_group: Option<String>,
    /// Lines for `global_defs`.
    pub global: Vec<String>,
}

impl KeepalivedConfig {
    /// A configuration of one instance.
    pub fn one(instance: Instance) -> Self {
        KeepalivedConfig { instances: vec![instance], ..KeepalivedConfig::default() }
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = format!("global_defs {{\n  {}\n}}\n", self.global.join("\n  "));
        if let Some(group) = &self.sync_group {
            let names: Vec<&str> = self.instances.iter().map(|instance| instance.name.as_str()).collect();
            let _ = writeln!(
                text,
                "vrrp_sync_group {group} {{\n  group {{\n    {}\n  }}\n}}",
                names.join("\n    ")
            );
        }
        for instance in &self.instances {
            let _ = writeln!(
                text,
                "vrrp_instance {} {{\n  state BACKUP\n  interface {}\n  virtual_router_id {}\n  priority {}\n  \
                 advert_int {}\n  version {}\n  {}\n  virtual_ipaddress {{\n    {}\n  }}\n}}",
                instance.name,
                instance.interface,
                instance.vrid,
                instance.priority,
                instance.interval.as_secs_f64(),
                instance.version,
                instance.extra.join("\n  "),
                instance.addresses.join("\n    "),
            );
        }
        text
    }
}

/// A running keepalived. Fields are dropped in order: the process, which shows its log after a panic, before its files.
#[derive(Debug)]
pub struct Keepalived {
    name: String,
    namespace: Namespace,
    process: Process,
    files: WorkDir,
    addresses: Vec<(String, String, String)>,
}

impl Keepalived {
    /// Starts keepalived (its VRRP part alone) in `namespace`; `name` is unique in the lab.
    pub fn start(
        lab: &LabName,
        namespace: &Namespace,
        name: &str,
        config: &KeepalivedConfig,
    ) -> Result<Self> {
        let files = WorkDir::create(lab, &format!("{name}-keepalived"))?;
        files.write("keepalived.conf", &config.text())?;
        let process = run(namespace, name, &files)?;
        let bare = |address: &String| address.split('/').next().unwrap_or_default().to_owned();
        let addresses = config
            .instances
            .iter()
            .filter_map(|one| Some((one.name.clone(), one.interface.clone(), bare(one.addresses.first()?))))
            .collect();
        Ok(Keepalived {
            name: name.to_owned(),
            namespace: Namespace::open(namespace.name())?,
            files,
            process,
            addresses,
        })
    }

    /// True while the instance's first address stands on its interface: keepalived's sign of being Active.
    pub fn is_active(&self, instance: &str) -> bool {
        let known = self.addresses.iter().find(|(name, ..)| name == instance);
        known.is_some_and(|(_, interface, address)| self.namespace.has_address(interface, address))
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Writes another configuration and asks for it by SIGHUP.
    pub fn reload(&self, config: &KeepalivedConfig) -> Result<()> {
        self.files.write("keepalived.conf", &config.text())?;
        self.process.signal(libc::SIGHUP);
        Ok(())
    }

    /// Starts it again after it ended.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.process.exited().is_some(), "{} still runs: stop it before restarting it", self.name);
        self.process = run(&self.namespace, &self.name, &self.files)?;
        Ok(())
    }

    /// Graceful stop by SIGTERM.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.terminate(GONE_WITHIN)
    }

    /// Kills keepalived and its children by SIGKILL: nothing is cleaned up.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    pub fn sigstop(&self) {
        self.process.signal_group(libc::SIGSTOP);
    }

    pub fn sigcont(&self) {
        self.process.signal_group(libc::SIGCONT);
    }

    /// Lets it outlive this process.
    pub fn leave_running(&mut self) {
        self.process.leave_running();
        self.files.leave_standing();
    }
}

fn run(namespace: &Namespace, name: &str, files: &WorkDir) -> Result<Process> {
    let file = |suffix: &str| files.path().join(suffix);
    // After a kill -9 the old files name processes that may still await their parent; keepalived would then not start.
    for pid in PID_FILES {
        let _ = std::fs::remove_file(file(pid));
    }
    let [main, vrrp, checkers] = PID_FILES.map(file);
    let mut command = namespace.command("keepalived");
    command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
    command.arg("--use-file").arg(file("keepalived.conf"));
    command.arg("--pid").arg(main);
    command.arg("--vrrp_pid").arg(vrrp);
    command.arg("--checkers_pid").arg(checkers);
    Process::spawn(name, command, &file("log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_every_setting() {
        let lan = Instance::new("lan", "lan0", 51, 200, &["192.0.2.1/24"])
            .interval(Duration::from_millis(100))
            .with("nopreempt");
        let config =
            KeepalivedConfig { sync_group: Some("gateway".to_owned()), ..KeepalivedConfig::one(lan) };
        let text = config.text();
        for line in ["vrrp_sync_group gateway {", "advert_int 0.1", "virtual_router_id 51", "  nopreempt"] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
