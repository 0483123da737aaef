//! Something happens to a pair of gateways, and it is measured what the hosts notice of it.
//!
//! A rig is a lab with a running pair, a stream of datagrams from client to server and an owner probe on each side.
//! An episode is one event on it, from the blow to calm. The demo and the benches are sequences of episodes.

use crate::clock::Moment;
use crate::gateway_pair::{GatewayPair, Product};
use crate::instruments::Instruments;
use crate::netns::LabName;
use crate::owners::{OwnerProbe, OwnerSummary};
use crate::packet_socket::PacketSocket;
use crate::topology::{GatewayLab, Leg, Side};
use crate::traffic::Stream;
use anyhow::{Result, bail};
use std::time::Duration;

/// The controller's default lease: by then a dead controller's node must be silent.
pub const LEASE: Duration = Duration::from_secs(1);
/// What the instruments and two busy cores may add to a bound.
const MARGIN: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(50);

/// What can happen to a pair. Those that hit a gateway hit the one that is Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// All links of the node go silent, with their carriers up.
    NodeLoss,
    /// The silent node's links speak again.
    Restore,
    /// The controller dies by SIGKILL and cleans nothing up.
    Kill9,
    /// The dead or stopped controller is started again.
    Restart,
    /// The controller is stopped by SIGTERM.
    Stop,
}

impl Event {
    pub const ALL: [Event; 5] = [Event::NodeLoss, Event::Restore, Event::Kill9, Event::Restart, Event::Stop];

    pub fn name(self) -> &'static str {
        match self {
            Event::NodeLoss => "node-loss",
            Event::Restore => "restore",
            Event::Kill9 => "kill9",
            Event::Restart => "restart",
            Event::Stop => "stop",
        }
    }

    /// Time from the event after which two owners may never answer.
    pub fn fence_bound(self, interval: Duration) -> Duration {
        match self {
            Event::NodeLoss | Event::Kill9 => LEASE + MARGIN,
            // Both may rightly own until they hear each other: one advert from either side decides.
            Event::Restore | Event::Restart => interval + MARGIN,
            Event::Stop => Duration::ZERO,
        }
    }
}

impl std::str::FromStr for Event {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Event::ALL.into_iter().find(|event| event.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Event::ALL.iter().map(|event| event.name()).collect();
            format!("unknown event {name:?}; known are {}", known.join(", "))
        })
    }
}

/// What an event did to the hosts. Times in milliseconds.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    pub event: Event,
    /// The gateway it happened to.
    pub node: &'static str,
    /// The gateway that is Active afterwards.
    pub active: &'static str,
    pub outage_ms: f64,
    pub sent: usize,
    pub lost: usize,
    pub duplicated: usize,
    /// Milliseconds with two answering owners, on the worse side.
    pub contested_ms: usize,
    /// Those of them after the fence's bound.
    pub contested_after_fence_ms: usize,
    pub fence_bound_ms: u128,
    /// Longest time in which nobody answered for the address, on the worse side.
    pub unanswered_ms: u128,
    pub recovered: bool,
    /// The gateway whose last transition explains the event: the new owner, or the one that yielded to it.
    pub explained_by: &'static str,
    /// The cause of that transition as status names it, and in the words of `why`, where the product can say.
    pub cause: Option<String>,
    pub why: Option<String>,
}

impl Report {
    /// The event was survived: service is back, and nobody answered beside the owner after the bound.
    pub fn passed(&self) -> bool {
        self.recovered && self.contested_after_fence_ms == 0
    }
}

/// A lab with a pair at work and the instruments on it. The pair is dropped before the lab.
#[derive(Debug)]
pub struct Rig {
    instruments: Instruments,
    pub pair: GatewayPair,
    pub lab: GatewayLab,
    interval: Duration,
    silent: Option<Side>,
    /// Hardware addresses of the gateways' LAN interfaces.
    macs: [[u8; 6]; 2],
}

/// Called while an episode waits, for a live view.
pub type Watcher<'a> = &'a mut dyn FnMut(&mut Rig);

impl Rig {
    /// Builds a lab, starts a pair at the advertisement interval, and waits until A serves the traffic.
    pub fn start(name: LabName, product: Product, interval: Duration) -> Result<Self> {
        Self::start_with(name, interval, |lab| GatewayPair::start(lab, product, interval))
    }

    /// As [`Rig::start`], with a pair of the caller's at that interval.
    pub fn start_with(
        name: LabName,
        interval: Duration,
        pair: impl FnOnce(&GatewayLab) -> Result<GatewayPair>,
    ) -> Result<Self> {
        let lab = GatewayLab::build_named(name)?;
        let pair = pair(&lab)?;
        let instruments = Instruments::start(&lab.client, &lab.server)?;
        let mac = |side| PacketSocket::open(lab.gateway(side), Leg::Lan.interface()).map(|socket| socket.mac);
        let macs = [mac(Side::A)?, mac(Side::B)?];
        let mut rig = Rig { instruments, pair, lab, interval, silent: None, macs };
        rig.settle(&mut |_| ())?;
        Ok(rig)
    }

    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The datagrams from client to server.
    pub fn traffic(&self) -> &Stream {
        &self.instruments.stream
    }

    /// Who answers for the address on a leg.
    pub fn owners(&self, leg: Leg) -> &OwnerProbe {
        self.instruments.owners(leg)
    }

    /// The datagrams sent and lost in the last second.
    pub fn last_second(&self) -> (usize, usize) {
        let now = Moment::now();
        let summary = self.instruments.traffic(now.before(Duration::from_millis(1200)), now);
        (summary.sent, summary.lost)
    }

    /// Who last answered for the LAN address, if that was just now. A virtual MAC names nobody.
    pub fn answering(&self) -> Option<Side> {
        let (mac, at) = self.owners(Leg::Lan).last_owner()?;
        let side = Side::BOTH.into_iter().find(|side| self.macs[*side as usize] == mac)?;
        (at.elapsed() < Duration::from_millis(200)).then_some(side)
    }

    /// Brings back whatever is down and waits until A serves, unmeasured.
    pub fn settle(&mut self, watch: Watcher<'_>) -> Result<()> {
        if let Some(side) = self.silent.take() {
            self.lab.node_restore(side)?;
        }
        for side in Side::BOTH {
            if !self.pair.is_running(side) {
                self.pair.restart(side)?;
            }
        }
        if !self.wait(watch, |rig| rig.serves(Side::A)) {
            bail!(
                "the gateways do not come to rest with A Active: {}\n{}",
                self.shown(),
                self.pair.log_tails()
            );
        }
        self.rest(Duration::from_millis(300) + self.interval, watch);
        Ok(())
    }

    /// Lets `event` happen and measures until calm. An event that does not fit (a restore with nothing silent) is
    /// an error.
    pub fn episode(&mut self, event: Event, watch: Watcher<'_>) -> Result<Report> {
        let (node, successor) = self.cast(event)?;
        self.rest(Duration::from_millis(100), watch);
        let begin = Moment::now();
        self.perform(event, node)?;
        let mut recovered = self.wait(watch, |rig| rig.serves(successor));
        if event == Event::Stop {
            recovered &= self.wait(watch, |rig| rig.pair.has_ended(node));
        }
        // Long enough to see the bound kept, and what the next adverts bring.
        let calm = event.fence_bound(self.interval) + self.interval * 3 + Duration::from_millis(500);
        self.rest(calm.saturating_sub(begin.elapsed()).max(Duration::from_millis(500)), watch);
        recovered &= self.serves(successor);
        Ok(self.report(event, node, successor, begin, recovered))
    }

    /// Whom the event happens to, and who is Active afterwards.
    fn cast(&self, event: Event) -> Result<(Side, Side)> {
        let active = || Side::BOTH.into_iter().find(|side| self.serves(*side));
        match event {
            Event::NodeLoss | Event::Kill9 | Event::Stop => match active() {
                Some(side) if self.is_up(side.other()) => Ok((side, side.other())),
                Some(_) => bail!("{}: the other gateway is down; restore or restart it first", event.name()),
                None => bail!("{}: neither gateway is Active\n{}", event.name(), self.pair.log_tails()),
            },
            Event::Restore => match self.silent {
                Some(side) => Ok((side, Side::A)),
                None => bail!("restore: no node is silent; node-loss comes first"),
            },
            Event::Restart => match Side::BOTH.into_iter().find(|side| !self.pair.is_running(*side)) {
                Some(side) => Ok((side, Side::A)),
                None => bail!("restart: both controllers run; kill9 or stop comes first"),
            },
        }
    }

    fn perform(&mut self, event: Event, node: Side) -> Result<()> {
        match event {
            Event::NodeLoss => {
                self.silent = Some(node);
                self.lab.node_silent(node)
            }
            Event::Restore => {
                self.silent = None;
                self.lab.node_restore(node)
            }
            Event::Kill9 => {
                self.pair.kill9(node);
                Ok(())
            }
            Event::Restart => self.pair.restart(node),
            Event::Stop => {
                self.pair.begin_stop(node);
                Ok(())
            }
        }
    }

    /// What is known of both gateways, for an error.
    fn shown(&self) -> String {
        let gateway = |side: Side| {
            let [lan, wan] = Leg::BOTH.map(|leg| self.pair.state(side, leg));
            format!("{} lan {lan:?} wan {wan:?}", side.label())
        };
        let answering = self.answering().map_or("nobody", Side::label);
        let (sent, lost) = self.last_second();
        let [a, b] = Side::BOTH.map(gateway);
        format!("{a}, {b}, {answering} answers, {lost} of the last {sent} datagrams lost")
    }

    fn is_up(&self, side: Side) -> bool {
        self.pair.is_running(side) && self.silent != Some(side)
    }

    /// `side` says it is Active, no other gateway in reach says so, and datagrams get through.
    fn serves(&self, side: Side) -> bool {
        self.instruments.flows()
            && self.pair.is_active(side)
            && !(self.is_up(side.other()) && self.pair.is_active(side.other()))
    }

    fn wait(&mut self, watch: Watcher<'_>, mut holds: impl FnMut(&mut Rig) -> bool) -> bool {
        let deadline = Moment::now() + Duration::from_secs(15) + self.interval * 10;
        while Moment::now() < deadline {
            if holds(self) {
                return true;
            }
            watch(self);
            std::thread::sleep(LOOK);
        }
        false
    }

    fn rest(&mut self, span: Duration, watch: Watcher<'_>) {
        let end = Moment::now() + span;
        while Moment::now() < end {
            watch(self);
            std::thread::sleep(LOOK.min(end.since(Moment::now())));
        }
    }

    fn report(&self, event: Event, node: Side, active: Side, begin: Moment, recovered: bool) -> Report {
        let end = Moment::now();
        let traffic = self.instruments.traffic(begin, end);
        let bound = event.fence_bound(self.interval);
        // A restored node was Active to itself all along: what changed is the other one.
        let explainer = if event == Event::Restore { node.other() } else { active };
        let contested = |from| self.instruments.worse_owners(|summary| summary.contested, from, end);
        let unanswered = |summary: &OwnerSummary| summary.longest_unanswered.as_millis();
        Report {
            event,
            node: node.label(),
            active: active.label(),
            outage_ms: traffic.outage.as_secs_f64() * 1000.0,
            sent: traffic.sent,
            lost: traffic.lost,
            duplicated: traffic.duplicated,
            contested_ms: contested(begin),
            contested_after_fence_ms: contested(begin + bound),
            fence_bound_ms: bound.as_millis(),
            unanswered_ms: self.instruments.worse_owners(unanswered, begin, end),
            recovered,
            explained_by: explainer.label(),
            cause: self.pair.cause(explainer, Leg::Lan),
            why: self.pair.why(explainer, Leg::Lan),
        }
    }

    /// Lets the lab and the daemons outlive this process; the instruments end.
    pub fn leave_standing(mut self) {
        self.lab.leave_standing();
        self.pair.leave_running();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_by_name() {
        for event in Event::ALL {
            assert_eq!(event.name().parse(), Ok(event));
        }
        assert!("meteor".parse::<Event>().unwrap_err().contains("node-loss"));
    }

    #[test]
    fn a_graceful_stop_has_no_allowance() {
        assert_eq!(Event::Stop.fence_bound(Duration::from_secs(1)), Duration::ZERO);
        assert!(Event::Kill9.fence_bound(Duration::from_secs(5)) >= LEASE);
    }
}
