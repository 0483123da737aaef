//! Two gateways running the product, or keepalived in its place: what demo, benches and comparisons drive.
//!
//! Both run one configuration: virtual routers `lan` (VRID 51) and `wan` (VRID 52) that move together, A at priority
//! 200, B at 100.

use crate::daemon::{Daemon, FILES_WORD, NodeSpec, SECRET_FILE};
use crate::keepalived::{Instance, Keepalived, KeepalivedConfig};
use crate::poll::eventually_true;
use crate::process::Process;
use crate::topology::{GatewayLab, LAN_VIP, Leg, Side, WAN_VIP};
use anyhow::{Context, Result};
use std::time::Duration;

pub const LAN_VRID: u8 = 51;
pub const WAN_VRID: u8 = 52;
const GROUP: &str = "gateway";

/// What runs on the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    Holdfast,
    Keepalived,
}

impl Product {
    pub fn name(self) -> &'static str {
        match self {
            Product::Holdfast => "holdfast",
            Product::Keepalived => "keepalived",
        }
    }
}

/// What a gateway says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No process, or one that does not answer.
    Down,
    Initialize,
    Backup,
    Active,
}

/// The processes of both gateways.
#[derive(Debug)]
pub struct GatewayPair {
    product: Product,
    speakers: [Speaker; 2],
    running: [bool; 2],
}

#[derive(Debug)]
enum Speaker {
    Holdfast(Box<Daemon>),
    Keepalived(Box<Keepalived>),
}

/// The priority a side is configured with.
pub fn priority(side: Side) -> u8 {
    match side {
        Side::A => 200,
        Side::B => 100,
    }
}

/// The product's configuration of a side, without its `[node]` table.
pub fn holdfast_config(side: Side, interval: Duration) -> String {
    let router = |name: &str, leg: Leg, vrid: u8, address: &str| {
        format!(
            "[[virtual_router]]\nname = \"{name}\"\ninterface = \"{}\"\nvrid = {vrid}\naddresses = [\"{address}/24\"]\n\
             priority = {}\nadvertisement_interval = \"{}ms\"\ngroup = \"{GROUP}\"\n\n",
            leg.interface(),
            priority(side),
            interval.as_millis(),
        )
    };
    router("lan", Leg::Lan, LAN_VRID, &LAN_VIP.to_string())
        + &router("wan", Leg::Wan, WAN_VRID, &WAN_VIP.to_string())
}

/// How the gateways of a pair check each other.
#[derive(Clone, Debug)]
pub struct Peering {
    pub check_interval: Duration,
    pub failure_threshold: u32,
    pub recovery_threshold: u32,
    pub lease: Duration,
    /// Legs with a path, besides the link between the gateways.
    pub legs: Vec<Leg>,
    /// A path over the link between the gateways.
    pub sync: bool,
    /// Further lines of `[ha]`.
    pub ha: String,
    /// Further sections.
    pub rest: String,
}

impl Peering {
    /// Checks at this interval, three of them, over both legs and the link between the gateways.
    pub fn every(check_interval: Duration) -> Self {
        Peering {
            check_interval,
            failure_threshold: 3,
            recovery_threshold: 5,
            lease: Duration::from_secs(1),
            legs: Leg::BOTH.to_vec(),
            sync: true,
            ha: String::new(),
            rest: String::new(),
        }
    }

    /// With a line of `[ha]`, such as `takeover = "after-lease"`.
    #[must_use]
    pub fn with_ha(mut self, line: &str) -> Self {
        self.ha += line;
        self.ha += "\n";
        self
    }

    #[must_use]
    pub fn with(mut self, sections: &str) -> Self {
        self.rest += sections;
        self
    }

    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The configuration of a side, without its `[node]` table.
    pub fn config(&self, side: Side, interval: Duration) -> String {
        let other = side.other();
        let mut addresses: Vec<String> = Vec::new();
        for leg in &self.legs {
            addresses.push(match leg {
                Leg::Lan => other.lan_address().to_string(),
                Leg::Wan => other.wan_address().to_string(),
            });
        }
        if self.sync {
            addresses.push(other.sync_address().to_string());
        }
        let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        format!(
            "[ha]\nsecret_files = [\"{FILES_WORD}/{SECRET_FILE}\"]\ncontroller_lease = \"{}ms\"\n{}\n\
             [[peer]]\nname = \"{}\"\nid = {}\naddresses = [{}]\n\n\
             [peer_check]\ninterval = \"{}us\"\nfailure_threshold = {}\nrecovery_threshold = {}\n\n{}\n{}",
            self.lease.as_millis(),
            self.ha,
            other.label(),
            node_id(other),
            addresses.join(", "),
            self.check_interval.as_micros(),
            self.failure_threshold,
            self.recovery_threshold,
            holdfast_config(side, interval),
            self.rest,
        )
    }
}

/// `node.id` of a side.
pub fn node_id(side: Side) -> u16 {
    side as u16 + 1
}

/// keepalived's configuration of a side.
pub fn keepalived_config(side: Side, interval: Duration) -> KeepalivedConfig {
    let instance = |name: &str, leg: Leg, vrid: u8, address: String| {
        Instance::new(name, leg.interface(), vrid, priority(side), &[&address]).interval(interval)
    };
    KeepalivedConfig {
        instances: vec![
            instance("lan", Leg::Lan, LAN_VRID, format!("{LAN_VIP}/24")),
            instance("wan", Leg::Wan, WAN_VRID, format!("{WAN_VIP}/24")),
        ],
        sync_group: Some(GROUP.to_owned()),
        global: Vec::new(),
    }
}

impl GatewayPair {
    /// Starts both gateways at the given advertisement interval.
    pub fn start(lab: &GatewayLab, product: Product, interval: Duration) -> Result<Self> {
        Self::start_with(lab, product, interval, |side| holdfast_config(side, interval))
    }

    /// Starts two gateways of the product that check each other.
    pub fn start_peered(lab: &GatewayLab, interval: Duration, peering: &Peering) -> Result<Self> {
        Self::start_with(lab, Product::Holdfast, interval, |side| peering.config(side, interval))
    }

    /// Starts both gateways, the product's with a configuration of the caller's.
    pub fn start_with(
        lab: &GatewayLab,
        product: Product,
        interval: Duration,
        config: impl Fn(Side) -> String,
    ) -> Result<Self> {
        let speaker = |side: Side| -> Result<Speaker> {
            let node = lab.gateway(side);
            Ok(match product {
                Product::Holdfast => {
                    let config = config(side);
                    let spec = NodeSpec { name: side.label(), id: Some(node_id(side)), config: &config };
                    Speaker::Holdfast(Box::new(Daemon::start(&lab.name, node, &spec)?))
                }
                Product::Keepalived => {
                    let config = keepalived_config(side, interval);
                    Speaker::Keepalived(Box::new(Keepalived::start(&lab.name, node, side.label(), &config)?))
                }
            })
        };
        Ok(GatewayPair { product, speakers: [speaker(Side::A)?, speaker(Side::B)?], running: [true; 2] })
    }

    pub fn product(&self) -> Product {
        self.product
    }

    /// What a gateway says of its virtual router on `leg`.
    pub fn state(&self, side: Side, leg: Leg) -> State {
        if !self.is_running(side) {
            return State::Down;
        }
        let router = router_name(leg);
        match &self.speakers[side as usize] {
            Speaker::Holdfast(daemon) => {
                match daemon.status().ok().as_ref().and_then(|all| all.state(router)) {
                    Some("active") => State::Active,
                    Some("backup") => State::Backup,
                    Some(_) => State::Initialize,
                    None => State::Down,
                }
            }
            Speaker::Keepalived(keepalived) if keepalived.is_active(router) => State::Active,
            Speaker::Keepalived(_) => State::Backup,
        }
    }

    /// True if both legs of a gateway are Active.
    pub fn is_active(&self, side: Side) -> bool {
        Leg::BOTH.iter().all(|leg| self.state(side, *leg) == State::Active)
    }

    /// Waits until `side` alone is Active.
    pub fn wait_active(&self, side: Side, deadline: Duration) -> Result<()> {
        let what = format!("{} alone is Active", side.label());
        let settled = eventually_true(&what, deadline, || {
            self.is_active(side)
                && (!self.is_running(side.other())
                    || Leg::BOTH.iter().all(|leg| self.state(side.other(), *leg) != State::Active))
        });
        settled.with_context(|| self.log_tails())
    }

    /// Why the router on `leg` last changed, in the product's words; `None` if it cannot say.
    pub fn why(&self, side: Side, leg: Leg) -> Option<String> {
        match &self.speakers[side as usize] {
            Speaker::Holdfast(daemon) => {
                Some(daemon.cli_ok(&["why", router_name(leg)]).ok()?.trim().to_owned())
            }
            Speaker::Keepalived(_) => None,
        }
    }

    /// The cause of the last transition of the router on `leg`, as status names it.
    pub fn cause(&self, side: Side, leg: Leg) -> Option<String> {
        match &self.speakers[side as usize] {
            Speaker::Holdfast(daemon) => daemon.status().ok()?.cause(router_name(leg)).map(str::to_owned),
            Speaker::Keepalived(_) => None,
        }
    }

    pub fn is_running(&self, side: Side) -> bool {
        self.running[side as usize]
    }

    /// Kills a gateway's processes by SIGKILL.
    pub fn kill9(&mut self, side: Side) {
        match &mut self.speakers[side as usize] {
            Speaker::Holdfast(daemon) => daemon.kill9(),
            Speaker::Keepalived(keepalived) => keepalived.kill9(),
        }
        self.running[side as usize] = false;
    }

    /// Asks a gateway to stop gracefully, without waiting: [`GatewayPair::has_ended`] says when it has.
    pub fn begin_stop(&self, side: Side) {
        self.process(side).signal(libc::SIGTERM);
    }

    /// The process of a side: the leader of the group of all its processes.
    pub fn process(&self, side: Side) -> &Process {
        match &self.speakers[side as usize] {
            Speaker::Holdfast(daemon) => daemon.process(),
            Speaker::Keepalived(keepalived) => keepalived.process(),
        }
    }

    /// True once the gateway's process is gone.
    pub fn has_ended(&mut self, side: Side) -> bool {
        let process = match &mut self.speakers[side as usize] {
            Speaker::Holdfast(daemon) => daemon.process_mut(),
            Speaker::Keepalived(keepalived) => keepalived.process_mut(),
        };
        let ended = process.exited().is_some();
        if ended {
            self.running[side as usize] = false;
        }
        ended
    }

    pub fn sigstop(&self, side: Side) {
        match &self.speakers[side as usize] {
            Speaker::Holdfast(daemon) => daemon.sigstop(),
            Speaker::Keepalived(keepalived) => keepalived.sigstop(),
        }
    }

    pub fn sigcont(&self, side: Side) {
        match &self.speakers[side as usize] {
            Speaker::Holdfast(daemon) => daemon.sigcont(),
            Speaker::Keepalived(keepalived) => keepalived.sigcont(),
        }
    }

    /// Starts a gateway's processes again.
    pub fn restart(&mut self, side: Side) -> Result<()> {
        match &mut self.speakers[side as usize] {
            Speaker::Holdfast(daemon) => daemon.restart()?,
            Speaker::Keepalived(keepalived) => keepalived.restart()?,
        }
        self.running[side as usize] = true;
        Ok(())
    }

    /// The daemon of a side, where the product runs.
    pub fn daemon(&self, side: Side) -> Option<&Daemon> {
        match &self.speakers[side as usize] {
            Speaker::Holdfast(daemon) => Some(daemon),
            Speaker::Keepalived(_) => None,
        }
    }

    /// The last lines of both logs.
    pub fn log_tails(&self) -> String {
        Side::BOTH.map(|side| self.process(side).log_tail()).join("\n")
    }

    /// Lets both outlive this process.
    pub fn leave_running(&mut self) {
        for speaker in &mut self.speakers {
            match speaker {
                Speaker::Holdfast(daemon) => daemon.leave_running(),
                Speaker::Keepalived(keepalived) => keepalived.leave_running(),
            }
        }
    }
}

/// Name of the virtual router on a leg.
pub fn router_name(leg: Leg) -> &'static str {
    match leg {
        Leg::Lan => "lan",
        Leg::Wan => "wan",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_products_get_the_same_routers() {
        let interval = Duration::from_millis(100);
        let ours = holdfast_config(Side::A, interval);
        let theirs = keepalived_config(Side::A, interval).text();
        assert!(ours.contains("vrid = 51") && theirs.contains("virtual_router_id 51"));
        assert!(ours.contains("\"198.51.100.1/24\"") && theirs.contains("198.51.100.1/24"));
        assert!(ours.contains("priority = 200") && theirs.contains("priority 200"));
        assert!(ours.contains("\"100ms\"") && theirs.contains("advert_int 0.1"));
    }
}
