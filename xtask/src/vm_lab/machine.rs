//! One QEMU process with one guest. It ends with the value, on Ctrl-C, and at the latest when the next lab starts.
//!
//! Frames leave a guest only through unix sockets in the lab's directory; there is no other way out of it.

use super::QEMU;
use super::accelerator::Accelerator;
use super::agent::Agent;
use anyhow::{Context, Result};
use holdfast_lab::process::Process;
use holdfast_vm_protocol::PORT_NAME;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MEMORY: &str = "384";
/// Time a guest is given to start; seconds where nothing else runs.
const BOOT_WITHIN: Duration = Duration::from_secs(180);
const SOCKET_WITHIN: Duration = Duration::from_secs(20);
/// Lines of the console shown when a guest fails.
const SHOWN_LINES: usize = 40;
const COMMAND_LINE: &str =
    "console=ttyS0 rdinit=/init panic=-1 mitigations=off net.ifnames=0 ipv6.autoconf=0 loglevel=5";

/// What all guests of a lab have in common.
#[derive(Clone, Debug)]
pub(crate) struct Hardware {
    pub(crate) accelerator: Accelerator,
    pub(crate) kernel_image: PathBuf,
    pub(crate) initramfs: PathBuf,
    /// Sockets and process ids.
    pub(crate) run_dir: PathBuf,
    /// Consoles.
    pub(crate) log_dir: PathBuf,
    /// First word of the consoles' names.
    pub(crate) label: String,
}

/// An emulated network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nic {
    /// Name of the interface in the guest.
    pub(crate) interface: &'static str,
    pub(crate) mac: String,
    /// The wire's socket of its own and the hub's; `None` for a card without a wire.
    pub(crate) wire: Option<(PathBuf, PathBuf)>,
}

/// A running guest.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    process: Process,
    pub(crate) agent: Agent,
    console: PathBuf,
}

impl Machine {
    /// Starts a guest without waiting for it.
    pub(crate) fn start(hardware: &Hardware, name: &str, nics: &[Nic]) -> Result<Self> {
        let console = hardware.log_dir.join(format!("{}-{name}.console", hardware.label));
        let _ = fs::remove_file(&console);
        let socket = agent_socket(&hardware.run_dir, name);
        let mut qemu = Command::new(QEMU);
        qemu.args(hardware.accelerator.options());
        qemu.args(["-machine", "q35", "-m", MEMORY, "-nodefaults", "-no-user-config", "-no-reboot"]);
        qemu.args(["-display", "none", "-append"]);
        qemu.arg(format!("{COMMAND_LINE} {}", hardware.accelerator.kernel_parameters()));
        qemu.arg("-kernel").arg(&hardware.kernel_image).arg("-initrd").arg(&hardware.initramfs);
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.arg("-pidfile").arg(pid_file(&hardware.run_dir, name));
        qemu.args(["-device", "virtio-serial-pci", "-chardev"]);
        qemu.arg(format!("socket,id=agent,path={},server=on,wait=off", socket.display()));
        qemu.args(["-device", &format!("virtserialport,chardev=agent,name={PORT_NAME}")]);
        for nic in nics {
            qemu.args(["-netdev", &netdev(nic), "-device"]);
            qemu.arg(format!("virtio-net-pci,netdev={},mac={},romfile=", nic.interface, nic.mac));
        }
        let log = hardware.log_dir.join(format!("{}-{name}.qemu", hardware.label));
        let process = Process::spawn(&format!("QEMU of {name}"), qemu, &log)?;
        let agent = Agent::connect(name, &socket, SOCKET_WITHIN).with_context(|| process.log_tail())?;
        Ok(Machine { name: name.to_owned(), process, agent, console })
    }

    /// Waits until the guest has started; gives the kernel's release. What it complained of is told.
    pub(crate) fn wait_started(&mut self) -> Result<String> {
        let hello = self.agent.hello(BOOT_WITHIN).with_context(|| self.last_words())?;
        for complaint in &hello.complaints {
            eprintln!("vm-lab: {}: {complaint}", self.name);
        }
        Ok(hello.kernel_release)
    }

    /// Gives the interfaces their names, found by their addresses.
    pub(crate) fn name_interfaces(&mut self, nics: &[Nic]) -> Result<()> {
        let listed = self.agent.ip("-oneline link show")?;
        for nic in nics {
            let line = listed.lines().find(|line| line.contains(&nic.mac));
            let found = line.and_then(|line| line.split(": ").nth(1));
            let found =
                found.with_context(|| format!("{}: no interface has {}\n{listed}", self.name, nic.mac))?;
            self.agent.ip(&format!("link set dev {found} name {}", nic.interface))?;
        }
        Ok(())
    }

    /// Takes the power away: the guest gets no chance to say anything.
    pub(crate) fn cut_power(mut self) {
        self.process.kill9();
    }

    /// The end of the console and of what QEMU said.
    pub(crate) fn last_words(&self) -> String {
        let console = String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = console.lines().collect();
        let tail = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        format!("{}\n--- last lines of {} ---\n{tail}\n---", self.process.log_tail(), self.console.display())
    }

    /// Lets the guest outlive this process.
    pub(crate) fn leave_running(&mut self) {
        self.process.leave_running();
    }
}

/// Where a guest's agent is reached.
pub(crate) fn agent_socket(run_dir: &Path, name: &str) -> PathBuf {
    run_dir.join(format!("{name}.agent"))
}

/// Where a QEMU process writes its number.
pub(crate) fn pid_file(run_dir: &Path, name: &str) -> PathBuf {
    run_dir.join(format!("{name}.pid"))
}

fn netdev(nic: &Nic) -> String {
    match &nic.wire {
        Some((own, hub)) => datagram_netdev(nic.interface, own, hub),
        None => format!("hubport,id={},hubid=0", nic.interface),
    }
}

/// A wire's end: datagrams over unix sockets.
pub(crate) fn datagram_netdev(id: &str, own: &Path, other: &Path) -> String {
    format!(
        "dgram,id={id},local.type=unix,local.path={},remote.type=unix,remote.path={}",
        own.display(),
        other.display()
    )
}
