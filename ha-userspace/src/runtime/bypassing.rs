//! Bypass at run time: carries out what the bypass policy says, between the engine and the bypass thread.
//!
//! The policy is the engine's (`BypassPolicy`); the drivers are on a thread of their own. Here is what ties them to the
//! virtual routers: standing down comes first, the wire only when no virtual address is left; an answer to the operator
//! waits for what was read back.

use super::controller::Controller;
use super::requests::Command;
use crate::bypass::{Bypass, BypassReport, PortPair, Reading, Wanted, WirePorts};
use crate::config::validated::{BypassDriver, Config, LinkPair, Topology};
use crate::control::protocol::Response;
use crate::datapath::{BypassMaps, DatapathError, WirePort};
use crate::journal::{Event, NoticeEvent};
use holdfast_engine::{
    BypassAction, BypassPolicy, BypassSettings, BypassSwitch, Duration, Input, Instant, Position, Refusal,
    RouterId, Taken,
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::oneshot;

/// Longest wait for the last virtual address to go before the wire is engaged all the same: the fence holds it silent.
const LONGEST_LEAVING: Duration = Duration::from_secs(1);
/// How long no pair may follow a latch before the node serves without bypass: longer than the driver tries.
const LONGEST_VAIN: Duration = Duration::from_secs(15);
/// How long a fault has to last before it is the operator's answer: the driver tries again meanwhile.
const FAULT_PATIENCE: Duration = Duration::from_secs(3);

/// The bypass of this node, as the controller holds it.
#[derive(Debug)]
pub(super) struct Bypassing {
    pub(super) policy: BypassPolicy,
    /// `None` without a driver, and while another set of pairs is taken up.
    pub(super) thread: Option<Bypass>,
    has_driver: bool,
    /// The last report of each pair.
    pub(super) reports: BTreeMap<String, BypassReport>,
    /// Routers whose addresses are being removed.
    leaving: BTreeSet<RouterId>,
    stood_down_at: Option<Instant>,
    waiting: Vec<Waiting>,
    /// Since when the latch wants what no driver does.
    in_vain_since: Option<Instant>,
    proven_at: Option<Instant>,
}

/// An operator who waits for an order to be read back.
#[derive(Debug)]
struct Waiting {
    pairs: Vec<String>,
    switch: BypassSwitch,
    /// The flap latch was released with it.
    ended_latch: bool,
    failing_since: Option<Instant>,
    reply: oneshot::Sender<Response>,
}

/// What has become of a waiting order.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Pending,
    Done,
    Failing(String),
    Overtaken,
}

impl Bypassing {
    pub(super) fn new(config: &Config, thread: Option<Bypass>) -> Self {
        Self {
            policy: BypassPolicy::new(settings(config)),
            has_driver: thread.is_some(),
            thread,
            reports: BTreeMap::new(),
            leaving: BTreeSet::new(),
            stood_down_at: None,
            waiting: Vec::new(),
            in_vain_since: None,
            proven_at: None,
        }
    }

    pub(super) fn set_latched(&mut self, is_latched: bool) {
        self.policy.set_latched(is_latched);
    }

    pub(super) fn is_latched_without_bypass(&self) -> bool {
        self.policy.is_latched_without_bypass()
    }

    pub(super) fn note_leaving(&mut self, router: RouterId) {
        self.leaving.insert(router);
    }

    pub(super) fn note_left(&mut self, router: RouterId) {
        self.leaving.remove(&router);
    }

    /// Names of the pairs that read engaged.
    pub(super) fn engaged(&self) -> Vec<String> {
        let engaged = |report: &&BypassReport| report.reading == Reading::Engaged;
        self.reports.values().filter(engaged).map(|report| report.pair.clone()).collect()
    }

    /// Names of the pairs that are to be engaged.
    pub(super) fn wanted(&self) -> Vec<String> {
        self.policy.wanted()
    }

    /// What is wrong, by pair.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&String, &String)> {
        self.reports.values().filter_map(|report| Some((&report.pair, report.fault.as_ref()?)))
    }

    /// When the data plane last proved a round trip to the watchdog.
    pub(super) fn proven_at(&self) -> Option<Instant> {
        self.proven_at
    }

    /// When something has to be done without anything happening.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let leaving = self.stood_down_at.map(|at| at + LONGEST_LEAVING);
        let answers = self.waiting.iter().filter_map(|waiting| Some(waiting.failing_since? + FAULT_PATIENCE));
        let vain = self.in_vain_since.map(|since| since + LONGEST_VAIN);
        answers.chain(leaving).chain(vain).min()
    }

    /// The daemon ends: `graceful` also ends the watchdogs, which otherwise do their work.
    pub(super) fn end(self, graceful: bool) {
        if let Some(thread) = self.thread.filter(|_| graceful) {
            thread.stop();
        }
    }

    fn outcome(&self, pair: &str, switch: BypassSwitch) -> Outcome {
        let wanted = self.policy.wanted().iter().any(|name| name == pair);
        if wanted != (switch == BypassSwitch::Engage) {
            return Outcome::Overtaken;
        }
        match self.policy.position(pair) {
            Some((ordered, Some(found))) if ordered == switch => {
                if found == switch.position() {
                    return Outcome::Done;
                }
                let fault = self.reports.get(pair).and_then(|report| report.fault.clone());
                Outcome::Failing(fault.unwrap_or_else(|| "it does not read back as ordered".to_owned()))
            }
            _ => Outcome::Pending,
        }
    }
}

/// The pairs as the drivers know them.
pub(super) fn port_pairs(pairs: &[LinkPair]) -> Vec<PortPair> {
    let pair = |pair: &LinkPair| PortPair {
        name: pair.name.clone(),
        inside: pair.inside.clone(),
        outside: pair.outside.clone(),
        device: pair.device.clone(),
        gpio_line: pair.gpio_line,
        gpio_sense_line: pair.gpio_sense_line,
    };
    pairs.iter().map(pair).collect()
}

/// Has the drivers' reports come to the controller's queue.
pub(super) fn report_sink(mailbox: super::mailbox::Mailbox<Command>) -> Box<dyn Fn(BypassReport) + Send> {
    Box::new(move |report| {
        mailbox.send(Command::Bypass(report));
    })
}

/// What the policy has to know.
pub(super) fn settings(config: &Config) -> BypassSettings {
    let has_driver = config.bypass.driver != BypassDriver::None;
    let pairs = config.link_pairs.iter().filter(|_| has_driver).map(|pair| pair.name.clone());
    let alone = config.ha.mode == crate::config::validated::Mode::Standalone;
    BypassSettings { pairs: pairs.collect(), is_primary: config.ha.primary || alone }
}

fn switch_of(wanted: Wanted) -> BypassSwitch {
    match wanted {
        Wanted::Engaged => BypassSwitch::Engage,
        Wanted::Released => BypassSwitch::Release,
    }
}

fn position_of(reading: &Reading) -> Position {
    match reading {
        Reading::Engaged => Position::Engaged,
        Reading::Released => Position::Released,
        Reading::Unknown(_) => Position::Unknown,
    }
}

impl Controller {
    /// Does whatever the bypass policy finds due, and answers operators. Once per pass, and at the start before anything
    /// else.
    pub(super) fn settle_bypass(&mut self, now: Instant) -> Result<(), DatapathError> {
        self.bar_bypass();
        self.give_up_in_vain(now);
        self.finish_standing_down(now);
        while let Some(action) = self.next_bypass_action() {
            match action {
                BypassAction::StandDown(cause) => self.engine.handle_input(now, Input::StandDown { cause }),
                BypassAction::StandUp => self.engine.handle_input(now, Input::StandUp),
                BypassAction::Order { pair, switch } => self.order_driver(&pair, switch),
            }
            self.perform_actions(now)?;
            self.finish_standing_down(now);
        }
        self.answer_bypass_orders(now);
        Ok(())
    }

    /// Nothing while another thread is about to take over.
    fn next_bypass_action(&mut self) -> Option<BypassAction> {
        if self.bypassing.has_driver && self.bypassing.thread.is_none() {
            return None;
        }
        let links_good = self.links_good();
        self.bypassing.policy.next(links_good)
    }

    /// The engine has given everything up.
    pub(super) fn stood_down(&mut self, now: Instant) {
        self.bypassing.stood_down_at = Some(now);
    }

    /// Goes on once no address is left, or has had its time.
    fn finish_standing_down(&mut self, now: Instant) {
        let Some(at) = self.bypassing.stood_down_at else { return };
        let known = &self.routers;
        self.bypassing.leaving.retain(|id| known.get(*id).is_some());
        if self.bypassing.leaving.is_empty() || now >= at + LONGEST_LEAVING {
            self.bypassing.stood_down_at = None;
            self.bypassing.policy.stood_down();
        }
    }

    fn order_driver(&self, pair: &str, switch: BypassSwitch) {
        let Some(thread) = &self.bypassing.thread else { return };
        match switch {
            BypassSwitch::Engage => thread.engage([pair]),
            BypassSwitch::Release => thread.release([pair]),
        }
    }

    /// A wire beside a peer that forwards would join two segments twice.
    fn bar_bypass(&mut self) {
        let barred = self.config.bypass.topology == Topology::Parallel && self.a_peer_is_healthy();
        if self.bypassing.policy.set_barred(barred) {
            tracing::warn!(
                "a peer is healthy again beside this node: the bypass is released, or it would close a loop"
            );
        }
    }

    /// A latch that no driver answers must not leave the segment with neither gateway nor wire.
    fn give_up_in_vain(&mut self, now: Instant) {
        if !self.bypassing.policy.engages_in_vain() {
            self.bypassing.in_vain_since = None;
            return;
        }
        let since = *self.bypassing.in_vain_since.get_or_insert(now);
        if now >= since + LONGEST_VAIN {
            tracing::error!(
                "no link pair could be engaged for the flap latch: this node serves at priority 1 instead"
            );
            self.bypassing.policy.give_up();
            self.bypassing.in_vain_since = None;
        }
    }

    /// As many pairs have both ports up as the configuration asks for.
    fn links_good(&self) -> bool {
        let up = |name: &str| self.interfaces.by_name(name).is_some_and(|interface| interface.link.up);
        let pairs = &self.config.link_pairs;
        let active = pairs.iter().filter(|pair| up(&pair.inside) && up(&pair.outside)).count();
        active >= pairs.len().min(self.config.links.minimum_active_pairs as usize)
    }

    /// A driver has read a pair back.
    pub(super) fn bypass_report(&mut self, now: Instant, report: BypassReport) {
        if !self.config.link_pairs.iter().any(|pair| pair.name == report.pair) {
            return;
        }
        self.bypassing.policy.read_back(&report.pair, switch_of(report.wanted), position_of(&report.reading));
        let before = self.bypassing.reports.insert(report.pair.clone(), report.clone());
        let fault_before = before.as_ref().and_then(|before| before.fault.clone());
        let BypassReport { pair, wanted, reading, fault } = report;
        let changed = before.as_ref().map(|before| &before.reading) != Some(&reading);
        if changed && reading == Reading::Engaged && wanted == Wanted::Engaged {
            self.occur(now, Event::Notice(NoticeEvent::BypassEngaged { pair: pair.clone() }));
        }
        if changed && reading == Reading::Released && before.is_some() {
            self.occur(now, Event::Notice(NoticeEvent::BypassReleased { pair: pair.clone() }));
        }
        if let Some(fault) = fault.filter(|fault| fault_before.as_ref() != Some(fault)) {
            self.occur(now, Event::Notice(NoticeEvent::BypassFault { pair, fault }));
        }
    }

    /// `holdfast bypass engage|release [PAIR]`.
    pub(super) fn order_bypass(
        &mut self,
        now: Instant,
        switch: BypassSwitch,
        pair: Option<&str>,
        reply: oneshot::Sender<Response>,
    ) {
        self.bar_bypass();
        match self.bypassing.policy.order(switch, pair) {
            Err(refusal) => {
                let _ = reply.send(Response::refused(self.refusal_text(refusal, switch, pair)));
            }
            Ok(Taken { pairs, ends_latch }) => {
                if ends_latch {
                    self.release_latch(now);
                }
                let waiting = Waiting { pairs, switch, ended_latch: ends_latch, failing_since: None, reply };
                self.bypassing.waiting.push(waiting);
            }
        }
    }

    fn refusal_text(&self, refusal: Refusal, switch: BypassSwitch, pair: Option<&str>) -> String {
        match refusal {
            Refusal::NoDriver if switch == BypassSwitch::Engage => {
                "no bypass driver is configured: set bypass.driver and a [[link_pair]] first".to_owned()
            }
            Refusal::NoDriver => {
                "no bypass driver is configured and flaps have not latched this node: nothing to release"
                    .to_owned()
            }
            Refusal::UnknownPair => {
                let known: Vec<&str> = self.config.link_pairs.iter().map(|pair| pair.name.as_str()).collect();
                format!(
                    "no link pair \"{}\" is configured (configured: {})",
                    pair.unwrap_or_default(),
                    known.join(", ")
                )
            }
            Refusal::PeerForwards => {
                "a peer is healthy, or may be, and bypass.topology is \"parallel\": a wire here would \
                                      close a loop beside it"
                    .to_owned()
            }
        }
    }

    fn answer_bypass_orders(&mut self, now: Instant) {
        for mut waiting in std::mem::take(&mut self.bypassing.waiting) {
            let outcomes: Vec<(&String, Outcome)> = waiting
                .pairs
                .iter()
                .map(|pair| (pair, self.bypassing.outcome(pair, waiting.switch)))
                .collect();
            let faults: Vec<String> = outcomes
                .iter()
                .filter_map(|(pair, outcome)| match outcome {
                    Outcome::Failing(fault) => Some(format!("{pair}: {fault}")),
                    _ => None,
                })
                .collect();
            let response = if outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Done) {
                Some(self.done_text(&waiting))
            } else if outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Overtaken) {
                Some(Response::refused("another order, or the flap latch, has overtaken this one"))
            } else if faults.is_empty() {
                waiting.failing_since = None;
                None
            } else {
                let since = *waiting.failing_since.get_or_insert(now);
                (now >= since + FAULT_PATIENCE).then(|| Response::refused(faults.join("\n")))
            };
            match response {
                Some(response) => {
                    let _ = waiting.reply.send(response);
                }
                None => self.bypassing.waiting.push(waiting),
            }
        }
    }

    fn done_text(&self, waiting: &Waiting) -> Response {
        let pairs = waiting.pairs.join(", ");
        let message = match (waiting.switch, waiting.ended_latch) {
            (BypassSwitch::Engage, _) => format!("bypass of {pairs} is engaged, read back"),
            (BypassSwitch::Release, true) if pairs.is_empty() => "the flap latch is released".to_owned(),
            (BypassSwitch::Release, true) => {
                format!("bypass of {pairs} is released, read back; the flap latch is released")
            }
            (BypassSwitch::Release, false) => format!("bypass of {pairs} is released, read back"),
        };
        let mut warnings = Vec::new();
        if self.bypassing.policy.waits_for_links(self.links_good()) {
            warnings
                .push("the virtual routers stay down until enough link pairs have both ports up".to_owned());
        } else if waiting.switch == BypassSwitch::Release && !self.bypassing.wanted().is_empty() {
            let rest = self.bypassing.wanted().join(", ");
            warnings.push(format!("the virtual routers stay down: still engaged is {rest}"));
        }
        Response::Done { message, warnings }
    }

    /// Tells the software wire how the ports of the pairs stand. The lease has been extended before.
    pub(super) fn rewire_bypass(&mut self) -> Result<(), DatapathError> {
        if !self.bypassing.has_driver {
            return Ok(());
        }
        let pairs = self.config.link_pairs.iter();
        let ports: Vec<WirePorts> = pairs
            .map(|pair| WirePorts {
                pair: pair.name.clone(),
                inside: self.wire_port(&pair.inside),
                outside: self.wire_port(&pair.outside),
            })
            .collect();
        // What the wire keeps for this host is told by the ports' own MAC, virtual routers there or not.
        let ends = ports.iter().flat_map(|ports| [&ports.inside, &ports.outside]).flatten();
        for ifindex in ends.map(|port| port.ifindex).collect::<BTreeSet<u32>>() {
            self.write_link_policy(ifindex)?;
        }
        if let Some(thread) = &self.bypassing.thread {
            thread.rewire(ports);
        }
        Ok(())
    }

    fn wire_port(&self, interface: &str) -> Option<WirePort> {
        let interface = self.interfaces.by_name(interface)?;
        let link = self.datapath.link(interface.link.ifindex)?;
        Some(WirePort {
            name: interface.link.name.clone(),
            slot: link.slot,
            ifindex: link.ifindex,
            mode: link.mode,
        })
    }

    /// Lets the watchdog know of the data plane's last proven round trip.
    pub(super) fn pet_bypass(&mut self) {
        let Some(proven_at) = self.last_round_trip() else { return };
        self.bypassing.proven_at = Some(proven_at);
        if let Some(thread) = &self.bypassing.thread {
            thread.pet(proven_at);
        }
    }
}

/// Maps of the software wire for a driver that needs them.
pub(super) fn wire_maps(config: &Config, datapath: &mut crate::datapath::Datapath) -> Option<BypassMaps> {
    (config.bypass.driver == BypassDriver::Xdp).then(|| datapath.maps.take_bypass()).flatten()
}
