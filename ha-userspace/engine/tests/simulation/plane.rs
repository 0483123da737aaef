//! The data plane of a simulated node, as far as the engine relies on it. It outlives its controller.
//!
//! Modelled on the XDP programs: adverts are stamped, absorbed where they change nothing, answered where they lose, and
//! revoke the grant in the instant a winner (or anybody, once our own adverts are overdue) is heard; one that its sender's own
//! word does not bear out changes nothing. Probes are answered with what the maps say at that instant, the lease included.
//! Everything here is in the node's own time.

use crate::air::{Frame, Message, SEGMENTS, Word, segment_of};
use crate::setting::Setting;
use holdfast_engine::{
    Advert, Duration, Input, Instant, PathReport, PeerId, PeerReport, PolicyWrite, Role, RouterConfig,
    RouterId, Units, Version,
};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

/// Adverts of ours older than this many intervals no longer keep a rival from owning.
const OVERDUE_INTERVALS: u64 = 3;
/// Losing adverts answered per own interval (V-107).
const ANSWERS_PER_INTERVAL: u32 = 10;
/// First losing advert of an own interval.
const FIRST_TURN: u32 = 1;
/// Answers to repeated or unknown requests per check interval.
const REPEATS_PER_INTERVAL: u64 = 4;

/// What waits in the ring for the controller.
pub(crate) enum Record {
    Input(Input),
    /// A peer's word changed: the maps are to be read.
    Peer,
}

/// One virtual router in the maps.
pub(crate) struct RouterMap {
    pub(crate) config: RouterConfig,
    pub(crate) segment: usize,
    pub(crate) policy: Option<PolicyWrite>,
    /// Rises when role or preemption are written.
    generation: u32,
    granted_at: Instant,
    revoked: u64,
    pub(crate) last_advert: Option<Instant>,
    last_sent: Option<Instant>,
    heard: Option<(u8, u8, Duration, u32)>,
    uncorroborated_told: Option<Instant>,
    answers_since: Instant,
    answers: u32,
    /// The kernel has the addresses.
    pub(crate) addressed: bool,
}

/// What is kept of one path to a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PathMap {
    pub(crate) request_at: Option<Instant>,
    pub(crate) replied_at: Option<Instant>,
    pub(crate) reply_sequence: u32,
    pub(crate) rtt: Duration,
    request_sequence: u32,
    request_incarnation: u32,
    /// Which path it is at the far end is known.
    is_known: bool,
    repeated_at: Option<Instant>,
}

/// What is kept of one peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerMap {
    pub(crate) incarnation: u32,
    /// When its last word was said, by its own clock.
    said_at: Instant,
    heard_at: Option<Instant>,
    word: Word,
    lease_until: Instant,
    /// Its adverts count by themselves; as the engine told.
    pub(crate) plain: bool,
    pub(crate) paths: [PathMap; SEGMENTS.len()],
}

/// What this node says of itself, as the controller last wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) owned: u8,
    pub(crate) ready: u8,
    pub(crate) priority: u8,
    pub(crate) draining: bool,
}

/// An advert and where it meets the router.
#[derive(Clone, Copy)]
struct Heard {
    frame: Frame,
    advert: Advert,
    policy: PolicyWrite,
    owned: bool,
    wins: bool,
}

/// What becomes of an advert on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    /// It is turned into our advert.
    Answered,
}

/// The maps and programs of one node.
pub(crate) struct Plane {
    own: usize,
    setting: Rc<Setting>,
    pub(crate) routers: Vec<RouterMap>,
    pub(crate) peers: Vec<PeerMap>,
    pub(crate) lease_until: Instant,
    pub(crate) incarnation: u32,
    pub(crate) said: Said,
    revoked_units: u8,
    /// By peer: paths on which it is heard, one bit each.
    pub(crate) hears: Vec<u8>,
    pub(crate) ring: VecDeque<Record>,
    /// Frames received, by segment.
    pub(crate) frames: [u64; SEGMENTS.len()],
}

fn unit_bit(config: &RouterConfig) -> u8 {
    config.unit.map_or(0, |unit| 1 << unit.0)
}

impl Plane {
    pub(crate) fn new(own: usize, setting: &Rc<Setting>) -> Self {
        let routers = setting.routers[own].iter().map(|config| RouterMap {
            config: config.clone(),
            segment: segment_of(config.interface),
            policy: None,
            generation: 0,
            granted_at: Instant::default(),
            revoked: 0,
            last_advert: None,
            last_sent: None,
            heard: None,
            uncorroborated_told: None,
            answers_since: Instant::default(),
            answers: 0,
            addressed: false,
        });
        let nodes = setting.routers.len();
        let fresh = PeerMap { plain: true, ..PeerMap::default() };
        Plane {
            own,
            setting: Rc::clone(setting),
            routers: routers.collect(),
            peers: vec![fresh; nodes],
            lease_until: Instant::default(),
            incarnation: 1,
            said: Said::default(),
            revoked_units: 0,
            hears: vec![0; nodes],
            ring: VecDeque::new(),
            frames: [0; SEGMENTS.len()],
        }
    }

    /// A new controller takes the maps over: nothing is owned, and what was said is said no more.
    pub(crate) fn taken_over(&mut self) {
        self.incarnation += 1;
        self.said = Said::default();
        self.hears.iter_mut().for_each(|hears| *hears = 0);
        self.ring.clear();
        for router in &mut self.routers {
            router.policy = None;
            router.generation += 1;
            router.addressed = false;
        }
        self.peers.fill(PeerMap { plain: true, ..PeerMap::default() });
    }

    pub(crate) fn at(&self, router: RouterId) -> &RouterMap {
        self.routers.iter().find(|known| known.config.id == router).unwrap()
    }

    pub(crate) fn at_mut(&mut self, router: RouterId) -> &mut RouterMap {
        self.routers.iter_mut().find(|known| known.config.id == router).unwrap()
    }

    /// Whether the controller made this node Active under a grant that nothing has ended.
    pub(crate) fn is_owned(&self, router: &RouterMap, now: Instant) -> bool {
        let granted = |policy: &PolicyWrite| {
            policy.role == Role::Active && policy.epoch != 0 && policy.epoch != router.revoked
        };
        router.policy.as_ref().is_some_and(granted) && now < self.lease_until
    }

    /// Whether hosts get an answer from here: owned, said so once, and the kernel has the address.
    pub(crate) fn answers(&self, router: &RouterMap, now: Instant) -> bool {
        let said_so = router.last_sent.is_some_and(|sent| sent >= router.granted_at);
        router.addressed && said_so && self.is_owned(router, now)
    }

    /// The engine's word on a router. Whether it revives a grant that was revoked for good.
    pub(crate) fn write_policy(
        &mut self,
        router: RouterId,
        policy: PolicyWrite,
        now: Instant,
    ) -> Result<(), u64> {
        let router = self.at_mut(router);
        let before = router.policy.replace(policy);
        let earlier = before.map_or(0, |before| before.epoch);
        if policy.epoch != 0 && policy.epoch != earlier {
            router.granted_at = now;
            if policy.epoch <= router.revoked {
                return Err(policy.epoch);
            }
        }
        if before.map(|before| (before.role, before.preempt)) != Some((policy.role, policy.preempt)) {
            router.generation += 1;
        }
        Ok(())
    }

    pub(crate) fn say(&mut self, said: Said) -> bool {
        let before = std::mem::replace(&mut self.said, said);
        if said.owned & !before.owned != 0 {
            self.revoked_units = 0;
        }
        before.owned != said.owned
    }

    /// Whether the egress check lets an advert out; notes it if so.
    pub(crate) fn egress(&mut self, router: RouterId, now: Instant) -> bool {
        let owned = self.is_owned(self.at(router), now);
        if owned {
            self.at_mut(router).last_sent = Some(now);
        }
        owned
    }

    /// An advert arrives.
    pub(crate) fn advert(
        &mut self,
        frame: Frame,
        source: IpAddr,
        own_source: IpAddr,
        now: Instant,
    ) -> Verdict {
        let Some(index) = self.routers.iter().position(|known| known.config.id == frame.router) else {
            return Verdict::Taken;
        };
        let router = &self.routers[index];
        let Some(policy) = router.policy.filter(|policy| policy.role != Role::Initialize) else {
            return Verdict::Taken;
        };
        let owned = self.is_owned(router, now);
        let advert = Advert {
            at: now,
            source,
            priority: frame.priority,
            interval: frame.interval,
            checksum: None,
            answered: false,
            addresses_differ: false,
            epoch: if owned { policy.epoch } else { 0 },
            revoked: false,
        };
        let higher = policy.priority == 0 || frame.priority > policy.priority;
        let wins = higher || (frame.priority == policy.priority && source > own_source);
        let heard = Heard { frame, advert, policy, owned, wins };
        if !self.is_borne_out(index, &frame, now) {
            self.uncorroborated(index, heard, now)
        } else if owned {
            self.while_owned(index, heard, now)
        } else {
            self.while_not_owned(index, heard, now)
        }
    }

    /// It changes nothing; one that loses is answered all the same.
    fn uncorroborated(&mut self, index: usize, heard: Heard, now: Instant) -> Verdict {
        let rested = self.setting.checks.interval();
        let router = &mut self.routers[index];
        let loses = heard.owned && !router.is_stale(now) && (heard.frame.priority == 0 || !heard.wins);
        let answered = loses && router.take_turn(now) <= ANSWERS_PER_INTERVAL;
        if router.uncorroborated_told.is_none_or(|at| now.since(at) >= rested) {
            router.uncorroborated_told = Some(now);
            let peer = PeerId(u16::from(heard.frame.sender));
            let advert = Advert { answered, ..heard.advert };
            let input = Input::Uncorroborated { router: heard.frame.router, peer, advert };
            self.ring.push_back(Record::Input(input));
        }
        if answered { Verdict::Answered } else { Verdict::Taken }
    }

    fn while_not_owned(&mut self, index: usize, heard: Heard, now: Instant) -> Verdict {
        let Heard { frame, advert, policy, .. } = heard;
        let router = &mut self.routers[index];
        let changed = router.remember(&frame);
        let ignored = policy.preempt && frame.priority < policy.priority;
        if frame.priority > 0 && !ignored {
            router.last_advert = Some(now);
        }
        if changed || frame.priority == 0 || policy.role == Role::Active {
            self.ring.push_back(Record::Input(Input::Advert { router: frame.router, advert }));
        }
        Verdict::Taken
    }

    fn while_owned(&mut self, index: usize, heard: Heard, now: Instant) -> Verdict {
        let Heard { frame, mut advert, policy, wins, .. } = heard;
        let router = &mut self.routers[index];
        let (stale, changed) = (router.is_stale(now), router.remember(&frame));
        if frame.priority > 0 && (stale || wins) {
            router.revoked = policy.epoch;
            router.last_advert = Some(now);
            self.revoked_units |= unit_bit(&router.config);
            advert.revoked = true;
            self.ring.push_back(Record::Input(Input::Advert { router: frame.router, advert }));
            return Verdict::Taken;
        }
        let turn = router.take_turn(now);
        // VRRPv2 drops a losing advert silently (V-058).
        let unanswered = router.config.version == Version::V2 && frame.priority != 0;
        advert.answered = !unanswered && !stale && turn <= ANSWERS_PER_INTERVAL;
        if changed || frame.priority == 0 || turn == FIRST_TURN {
            self.ring.push_back(Record::Input(Input::Advert { router: frame.router, advert }));
        }
        if advert.answered { Verdict::Answered } else { Verdict::Taken }
    }

    /// Whether the sender's own word, if young, says the same as an advert in its name.
    fn is_borne_out(&self, index: usize, frame: &Frame, now: Instant) -> bool {
        let config = &self.routers[index].config;
        let peer = &self.peers[usize::from(frame.sender)];
        if !self.setting.peered || peer.plain {
            return true;
        }
        if peer.heard_at.is_none_or(|at| now.since(at) > self.setting.checks.detection_time()) {
            return false;
        }
        let owns = peer.word.owned & unit_bit(config) != 0;
        if frame.priority == 0 {
            return !owns || peer.word.draining;
        }
        let agreed = self.setting.same_configuration && !peer.word.draining;
        let differs = frame.interval != config.advertisement_interval;
        owns && frame.priority <= peer.word.priority && !(agreed && differs)
    }

    /// What this node says to another at `now`.
    pub(crate) fn word_to(&self, peer: usize, now: Instant) -> Word {
        let remaining = self.lease_until.since(now);
        let mut word = Word { hears: self.hears[peer], draining: self.said.draining, ..Word::default() };
        if remaining > Duration::ZERO {
            word.owned = self.said.owned & !self.revoked_units;
            word.ready = self.said.ready;
            word.priority = self.said.priority;
            word.remaining = remaining;
        }
        word
    }

    /// A request arrives; the answer, if it gets one.
    pub(crate) fn request(&mut self, request: &Message, now: Instant) -> Option<Message> {
        let from = usize::from(request.from);
        let repeat_after = self.setting.checks.interval().scaled(1, REPEATS_PER_INTERVAL);
        let known_incarnation = self.peers[from].incarnation;
        let path = &mut self.peers[from].paths[usize::from(request.segment)];
        let fresh = request.responder_incarnation == self.incarnation;
        let known_run = path.request_incarnation == request.prober_incarnation;
        let repeated = fresh && known_run && request.sequence <= path.request_sequence;
        if !fresh || repeated {
            if path.repeated_at.is_some_and(|at| now.since(at) < repeat_after) {
                return None;
            }
            path.repeated_at = Some(now);
        } else {
            if request.prober_incarnation < known_incarnation {
                return None;
            }
            path.request_sequence = request.sequence;
            path.request_incarnation = request.prober_incarnation;
            path.is_known = true;
            path.request_at = Some(now);
            self.run_as(from, request.prober_incarnation);
            self.learn(from, request, now);
        }
        Some(Message {
            from: self.own as u8,
            is_challenge: !fresh,
            responder_incarnation: self.incarnation,
            said_at: now,
            word: self.word_to(from, now),
            ..*request
        })
    }

    /// An answer arrives.
    pub(crate) fn reply(&mut self, reply: &Message, now: Instant) {
        let from = usize::from(reply.from);
        let deadline = self.setting.checks.detection_time();
        let path = &mut self.peers[from].paths[usize::from(reply.segment)];
        let matched = reply.prober_incarnation == self.incarnation
            && now.since(reply.asked_at) <= deadline
            && reply.asked_at <= now
            && reply.sequence > path.reply_sequence;
        if !matched {
            return;
        }
        if !reply.is_challenge {
            path.reply_sequence = reply.sequence;
            path.replied_at = Some(now);
            path.rtt = now.since(reply.asked_at);
        }
        self.run_as(from, reply.responder_incarnation);
        if !reply.is_challenge {
            self.learn(from, reply, now);
        }
    }

    fn run_as(&mut self, peer: usize, incarnation: u32) {
        let peer = &mut self.peers[peer];
        if peer.incarnation != incarnation {
            peer.incarnation = incarnation;
            peer.said_at = Instant::default();
        }
    }

    /// Takes over what a fresh message says, unless something newer by its sender's clock has been heard.
    fn learn(&mut self, from: usize, message: &Message, now: Instant) {
        let window = self.setting.checks.detection_time();
        let peer = &mut self.peers[from];
        let mut worth_telling = peer.heard_at.is_none_or(|at| now.since(at) > window);
        peer.heard_at = Some(now);
        if message.said_at > peer.said_at {
            let said = |word: &Word| (word.owned, word.ready, word.draining);
            worth_telling |= peer.said_at == Instant::default() || said(&peer.word) != said(&message.word);
            peer.said_at = message.said_at;
            peer.word = message.word;
            peer.lease_until = if message.word.remaining > Duration::ZERO {
                now + message.word.remaining
            } else {
                Instant::default()
            };
        }
        if worth_telling {
            self.ring.push_back(Record::Peer);
        }
    }

    /// Reads on which paths a peer is heard.
    pub(crate) fn note_hearing(&mut self, peer: usize, now: Instant) {
        let window = self.setting.checks.detection_time();
        let mut hears = 0;
        for segment in &self.setting.paths {
            let path = &self.peers[peer].paths[*segment];
            let heard = path.replied_at.max(path.request_at);
            hears |= u8::from(heard.is_some_and(|at| now.since(at) <= window)) << segment;
        }
        self.hears[peer] = hears;
    }

    /// What a peer said last, for the engine.
    pub(crate) fn report(&self, peer: usize) -> PeerReport {
        let known = &self.peers[peer];
        let path = |segment: &usize| {
            let path = &known.paths[*segment];
            PathReport {
                interface: Some(SEGMENTS[*segment]),
                heard_at: path.replied_at.max(path.request_at),
                replied_at: path.replied_at,
                hears_us: path.is_known.then_some(known.word.hears & (1 << segment) != 0),
            }
        };
        PeerReport {
            heard_at: known.heard_at,
            owned: Units(u64::from(known.word.owned)),
            ready: Units(u64::from(known.word.ready)),
            lease_until: known.lease_until,
            lease: self.setting.lease,
            priority: known.word.priority,
            same_configuration: self.setting.same_configuration,
            draining: known.word.draining,
            bad_mac_at: None,
            paths: self.setting.paths.iter().map(path).collect(),
        }
    }
}

impl RouterMap {
    /// Our own adverts are so old that a Backup can rightly have taken over.
    fn is_stale(&self, now: Instant) -> bool {
        let since = self.last_sent.unwrap_or_default().max(self.granted_at);
        now.since(since) > self.config.advertisement_interval.scaled(OVERDUE_INTERVALS, 1)
    }

    /// Notes what was heard; whether it differs from what was heard before.
    fn remember(&mut self, frame: &Frame) -> bool {
        let seen = (frame.sender, frame.priority, frame.interval, self.generation);
        self.heard.replace(seen) != Some(seen)
    }

    /// Counts the losing adverts of this own interval, this one included.
    fn take_turn(&mut self, now: Instant) -> u32 {
        if now.since(self.answers_since) >= self.config.advertisement_interval {
            self.answers_since = now;
            self.answers = 0;
        }
        self.answers += 1;
        self.answers
    }
}
