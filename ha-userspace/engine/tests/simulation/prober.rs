//! The probe thread of a simulated node: one request per peer, path and interval, and how each check ended.
//!
//! The engine's own monitors judge the paths. A verdict of silence waits while the peer's requests still come, as in the
//! daemon; a check that we began or ended late is void, and counts only while others were heard meanwhile.

use crate::air::{Air, Arrival, Message, SEGMENTS};
use crate::plane::Plane;
use crate::setting::Setting;
use holdfast_engine::{
    Check, CheckSettings, Duration, Health, Input, Instant, PathIndex, PeerId, PeerMonitor,
};

/// Greatest jitter: a quarter of the interval, ahead of time only.
const JITTER_DIVISOR: u64 = 4;

#[derive(Clone, Copy, Debug)]
struct OpenCheck {
    sequence: u32,
    sent_at: Instant,
    /// It left late, or not at all.
    fault: Option<Fault>,
    /// The peer's incarnation that the request named.
    named: u32,
    frames: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Late,
    NotSent,
    Challenged,
}

#[derive(Clone, Debug)]
struct Path {
    segment: usize,
    due: Instant,
    at: Instant,
    open: Option<OpenCheck>,
    sequence: u32,
}

#[derive(Clone, Debug)]
struct Probed {
    node: usize,
    monitor: PeerMonitor,
    told: Health,
    paths: Vec<Path>,
}

/// Every peer of one node.
#[derive(Clone, Debug)]
pub(crate) struct Prober {
    own: usize,
    checks: CheckSettings,
    peers: Vec<Probed>,
    pub(crate) next: Option<Instant>,
}

/// What the thread works with: the maps and the wire.
pub(crate) struct Surroundings<'a> {
    pub(crate) plane: &'a mut Plane,
    pub(crate) air: &'a mut Air,
    pub(crate) now: Instant,
}

impl Surroundings<'_> {
    fn frames(&self, node: usize, segment: usize) -> u64 {
        self.plane.frames[segment] + self.air.hosts_heard(segment, node)
    }
}

impl Prober {
    /// Begins with every path at a moment of its own within the first interval.
    pub(crate) fn new(own: usize, setting: &Setting, air: &mut Air, now: Instant) -> Self {
        let interval = setting.checks.interval();
        let others = (0..setting.nodes()).filter(|other| *other != own && setting.peered);
        let peers = others.map(|node| Probed {
            node,
            monitor: PeerMonitor::new(setting.checks, setting.paths.len()),
            told: Health::Unknown,
            paths: setting
                .paths
                .iter()
                .map(|segment| {
                    let first = now + Duration::from_nanos(air.dice.below(interval.as_nanos()));
                    Path { segment: *segment, due: first, at: first, open: None, sequence: 0 }
                })
                .collect(),
        });
        let mut prober = Prober { own, checks: setting.checks, peers: peers.collect(), next: None };
        prober.plan();
        prober
    }

    fn plan(&mut self) {
        self.next = self.peers.iter().flat_map(|peer| &peer.paths).map(|path| path.at).min();
    }

    /// Ends and begins the checks that are due; verdicts that changed go to the controller.
    pub(crate) fn run(&mut self, around: &mut Surroundings<'_>, tell: &mut impl FnMut(Input)) {
        for peer in &mut self.peers {
            let mut ended = false;
            for (position, path) in peer.paths.iter_mut().enumerate() {
                if path.at <= around.now {
                    let check = path.end(self.own, peer.node, &self.checks, around);
                    if let Some(check) = check {
                        peer.monitor.checked(around.now, PathIndex(position as u8), check);
                    }
                    path.begin(self.own, peer.node, &self.checks, around);
                    ended = true;
                }
            }
            if ended && let Some(input) = peer.judge(&self.checks, around) {
                tell(input);
            }
        }
        self.plan();
    }

    /// A request on every path, beside the checks.
    pub(crate) fn announce(&mut self, around: &mut Surroundings<'_>) {
        for peer in &mut self.peers {
            for path in &mut peer.paths {
                path.send(self.own, peer.node, around);
            }
        }
    }

    /// What was last told of every peer.
    pub(crate) fn healths(&self) -> impl Iterator<Item = Health> {
        self.peers.iter().map(|peer| peer.told)
    }
}

impl Path {
    fn send(&mut self, own: usize, peer: usize, around: &mut Surroundings<'_>) -> bool {
        self.sequence += 1;
        if !around.air.link_up(self.segment, own) {
            return false;
        }
        let message = Message {
            from: own as u8,
            segment: self.segment as u8,
            is_challenge: false,
            sequence: self.sequence,
            prober_incarnation: around.plane.incarnation,
            responder_incarnation: around.plane.peers[peer].incarnation,
            asked_at: around.now,
            said_at: around.now,
            word: around.plane.word_to(peer, around.now),
        };
        around.air.send(self.segment, own, peer, Arrival::Request(message));
        true
    }

    fn begin(&mut self, own: usize, peer: usize, checks: &CheckSettings, around: &mut Surroundings<'_>) {
        let late = checks.is_late(self.due.max(self.at), around.now);
        let named = around.plane.peers[peer].incarnation;
        let sent = self.send(own, peer, around);
        let fault = if !sent { Some(Fault::NotSent) } else { late.then_some(Fault::Late) };
        let frames = around.frames(own, self.segment);
        self.open = Some(OpenCheck { sequence: self.sequence, sent_at: around.now, fault, named, frames });
        self.schedule(checks.interval(), around);
    }

    /// Drift-free; whole intervals that passed meanwhile are skipped without a burst.
    fn schedule(&mut self, interval: Duration, around: &mut Surroundings<'_>) {
        let skipped = around.now.since(self.due).as_nanos() / interval.as_nanos();
        self.due = self.due + interval.scaled(skipped + 1, 1);
        let jitter = Duration::from_nanos(around.air.dice.below(interval.as_nanos() / JITTER_DIVISOR));
        let window = interval.scaled(JITTER_DIVISOR - 1, JITTER_DIVISOR);
        self.at = (self.due - jitter).max(around.now + window);
    }

    /// How the open check ended, if there is one.
    fn end(
        &mut self,
        own: usize,
        peer: usize,
        checks: &CheckSettings,
        around: &Surroundings<'_>,
    ) -> Option<Check> {
        let open = self.open.take()?;
        let map = &around.plane.peers[peer];
        let path = &map.paths[self.segment];
        let answered = (open.sequence..=self.sequence).contains(&path.reply_sequence)
            && path.replied_at.is_some_and(|at| at >= open.sent_at)
            && path.rtt <= checks.interval();
        if answered {
            return Some(Check::Answered { rtt: path.rtt });
        }
        let gap = checks.is_late(self.due.max(self.at), around.now).then_some(Fault::Late);
        let challenged = (map.incarnation != open.named).then_some(Fault::Challenged);
        Some(match open.fault.or(gap).or(challenged) {
            None => Check::Missed,
            Some(Fault::Late) => Check::Void { heard_others: around.frames(own, self.segment) > open.frames },
            Some(Fault::NotSent | Fault::Challenged) => Check::Void { heard_others: true },
        })
    }
}

impl Probed {
    fn judge(&mut self, checks: &CheckSettings, around: &Surroundings<'_>) -> Option<Input> {
        let health = self.monitor.health();
        if health == self.told {
            return None;
        }
        let mut silent_since = None;
        if health == Health::Unhealthy {
            let unanswered = self.monitor.silent_since()?;
            let map = &around.plane.peers[self.node];
            let requests = (0..SEGMENTS.len()).filter_map(|segment| map.paths[segment].request_at);
            let heard = requests.max().filter(|heard| *heard > unanswered);
            if heard.is_some_and(|heard| around.now.since(heard) < checks.detection_time()) {
                return None;
            }
            silent_since = heard.or(Some(unanswered));
        }
        self.told = health;
        Some(Input::PeerHealth { peer: PeerId(self.node as u16), health, silent_since })
    }
}
