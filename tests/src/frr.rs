//! FRR's zebra and vrrpd in a namespace, with the macvlan devices that vrrpd wants to be given.
//!
//! Sockets, pid files and logs lie in a directory of the node's own, so that several run beside each other and
//! nothing of the host's FRR is touched. The daemons drop to the user `frr`, as packaged.

use crate::netns::{LabName, Namespace};
use crate::poll::eventually_true;
use crate::process::Process;
use crate::workdir::WorkDir;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const DAEMONS: &str = "/usr/lib/frr";
const USER: &str = "frr";
const READY_WITHIN: Duration = Duration::from_secs(15);

/// One virtual router of vrrpd.
#[derive(Clone, Debug)]
pub struct FrrRouter {
    pub interface: String,
    pub vrid: u8,
    pub priority: u8,
    /// Advertisement interval; FRR takes multiples of 10 ms.
    pub interval: Duration,
    /// 2 or 3.
    pub version: u8,
    /// Addresses of either family.
    pub addresses: Vec<IpAddr>,
    pub preempt: bool,
    /// VRRPv3 over IPv4: checksum with pseudo-header, FRR's default (RFC 5798).
    pub checksum_with_pseudoheader: bool,
}

impl FrrRouter {
    /// A VRRPv3 router at one second.
    pub fn new(interface: &str, vrid: u8, priority: u8, addresses: &[IpAddr]) -> Self {
        FrrRouter {
            interface: interface.to_owned(),
            vrid,
            priority,
            interval: Duration::from_secs(1),
            version: 3,
            addresses: addresses.to_vec(),
            preempt: true,
            checksum_with_pseudoheader: true,
        }
    }

    fn text(&self) -> String {
        let FrrRouter { interface, vrid, version, priority, .. } = self;
        let mut lines = vec![
            format!("interface {interface}"),
            format!(" vrrp {vrid} version {version}"),
            format!(" vrrp {vrid} priority {priority}"),
            format!(" vrrp {vrid} advertisement-interval {}", self.interval.as_millis()),
        ];
        if !self.preempt {
            lines.push(format!(" no vrrp {vrid} preempt"));
        }
        if !self.checksum_with_pseudoheader {
            lines.push(format!(" no vrrp {vrid} checksum-with-ipv4-pseudoheader"));
        }
        for address in &self.addresses {
            let family = if address.is_ipv4() { "ip" } else { "ipv6" };
            lines.push(format!(" vrrp {vrid} {family} {address}"));
        }
        lines.push("exit".to_owned());
        lines.join("\n") + "\n"
    }

    /// The devices vrrpd recognises by parent and virtual MAC: one per family in use.
    fn device_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (family, octet, prefix) in [(4, 1, 24), (6, 2, 64)] {
            let own: Vec<&IpAddr> = self.addresses.iter().filter(|a| a.is_ipv4() == (family == 4)).collect();
            if own.is_empty() {
                continue;
            }
            let device = format!("vrrp{family}-{}", self.vrid);
            lines.push(format!("link add name {device} link {} type macvlan mode bridge", self.interface));
            lines.push(format!(
                "link set {device} address 00:00:5e:00:{octet:02x}:{:02x} addrgenmode none",
                self.vrid
            ));
            for address in own {
                let duplicate_check = if family == 6 { " nodad" } else { "" };
                lines.push(format!("addr add {address}/{prefix} dev {device}{duplicate_check}"));
            }
            lines.push(format!("link set {device} up"));
        }
        lines
    }
}

/// Running zebra and vrrpd. Fields are dropped in order: the daemons before their files.
#[derive(Debug)]
pub struct Frr {
    namespace: Namespace,
    vrrpd: Process,
    zebra: Process,
    files: WorkDir,
}

impl Frr {
    /// Makes the devices, starts both daemons in `namespace` and waits until vrrpd knows its routers.
    pub fn start(lab: &LabName, namespace: &Namespace, name: &str, routers: &[FrrRouter]) -> Result<Self> {
        let files = WorkDir::create(lab, &format!("{name}-frr"))?;
        give_to_user(files.path())?;
        for router in routers {
            namespace.ip_batch(&router.device_lines())?;
        }
        let text: String = routers.iter().map(FrrRouter::text).collect();
        files.write("zebra.conf", "")?;
        files.write("vrrpd.conf", &text)?;
        let zebra = run(namespace, "zebra", &files, &[])?;
        let socket = files.path().join("zserv.api");
        eventually_true("zebra's socket", READY_WITHIN, || socket.exists())
            .with_context(|| zebra.log_tail())?;
        let vrrpd = run(namespace, "vrrpd", &files, &[])?;
        let frr = Frr { namespace: Namespace::open(namespace.name())?, vrrpd, zebra, files };
        let wanted = routers.len();
        eventually_true("vrrpd's routers", READY_WITHIN, || {
            frr.show().is_ok_and(|all| all.as_array().is_some_and(|list| list.len() == wanted))
        })
        .with_context(|| frr.vrrpd.log_tail())?;
        Ok(frr)
    }

    /// What a vtysh command prints.
    pub fn vtysh(&self, commands: &[&str]) -> Result<String> {
        vtysh(&self.namespace, self.files.path(), commands)
    }

    /// `show vrrp json`: an array of routers.
    pub fn show(&self) -> Result<Value> {
        let text = self.vtysh(&["show vrrp json"])?;
        serde_json::from_str(&text).with_context(|| format!("show vrrp json: {text}"))
    }

    /// State of a virtual router in a family (4 or 6), in lower case: `initialize`, `backup`, `active`.
    pub fn state(&self, vrid: u8, family: u8) -> Result<String> {
        let all = self.show()?;
        let routers = all.as_array().map(Vec::as_slice).unwrap_or_default();
        let router = routers.iter().find(|router| router["vrid"] == vrid);
        let entry =
            router.map(|router| &router[format!("v{family}")]).context("vrrpd does not know the VRID")?;
        // Releases before FRR 8 said Master.
        Ok(match entry["status"].as_str().unwrap_or_default().to_lowercase().as_str() {
            "master" => "active".to_owned(),
            state => state.to_owned(),
        })
    }

    pub fn is_active(&self, vrid: u8, family: u8) -> bool {
        self.state(vrid, family).is_ok_and(|state| state == "active")
    }

    pub fn vrrpd(&mut self) -> &mut Process {
        &mut self.vrrpd
    }

    pub fn zebra(&mut self) -> &mut Process {
        &mut self.zebra
    }
}

/// What vtysh commands print, asked of the daemons whose sockets lie in a directory.
pub(crate) fn vtysh(namespace: &Namespace, sockets: &Path, commands: &[&str]) -> Result<String> {
    let mut vtysh = namespace.command("vtysh");
    vtysh.arg("--vty_socket").arg(sockets);
    for command in commands {
        vtysh.args(["-c", command]);
    }
    let output = vtysh.output().context("running vtysh (package frr)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "vtysh {commands:?}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Starts a daemon with its files in a directory, and further arguments.
pub(crate) fn run(
    namespace: &Namespace,
    daemon: &str,
    files: &WorkDir,
    arguments: &[&str],
) -> Result<Process> {
    let file = |name: String| files.path().join(name);
    let mut command = namespace.command(Path::new(DAEMONS).join(daemon));
    command.arg("-f").arg(file(format!("{daemon}.conf")));
    command.arg("-i").arg(file(format!("{daemon}.pid")));
    command.arg("-z").arg(file("zserv.api".to_owned()));
    command.arg("--vty_socket").arg(files.path());
    command.args(["-P", "0", "-u", USER, "-g", USER, "--log", "stdout"]).args(arguments);
    Process::spawn(daemon, command, &file(format!("{daemon}.log")))
}

/// Gives a directory to the user that the daemons drop to.
pub(crate) fn give_to_user(path: &Path) -> Result<()> {
    let owner = format!("{USER}:{USER}");
    let status = Command::new("chown").arg(&owner).arg(path).status().context("running chown")?;
    ensure!(status.success(), "chown {owner} {}: is the package frr installed?", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_is_written_for_each_family() {
        let addresses = ["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()];
        let router = FrrRouter { preempt: false, ..FrrRouter::new("eth0", 51, 100, &addresses) };
        let text = router.text();
        assert!(text.contains(" vrrp 51 ip 192.0.2.1\n vrrp 51 ipv6 fe80::1\n"), "{text}");
        assert!(text.contains(" no vrrp 51 preempt\n"));
        let lines = router.device_lines().join("\n");
        assert!(lines.contains("vrrp4-51 address 00:00:5e:00:01:33") && lines.contains("00:00:5e:00:02:33"));
    }
}
