//! What can befall a cluster, as data: a history is a list of these with their times.

use crate::air::{Arrival, Frame, MOST_NODES, SEGMENTS, Weather};
use crate::node::{ADDRESS_TIME, Burden, Process};
use crate::world::World;
use holdfast_engine::{BypassSwitch, Cause, Duration, Input};
use serde::{Deserialize, Serialize};

const NANOS_PER_MICRO: u64 = 1_000;

/// One fault, its end, or an order of the operator. Numbers are nodes and segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    PowerOff(usize),
    PowerOn(usize),
    /// `kill -9` of the daemon.
    Crash(usize),
    /// As [`Fault::Crash`], right before its so many-th action from now.
    CrashIn(usize, u32),
    Start(usize),
    /// All threads stop, or the controller alone.
    Pause(usize),
    Stick(usize),
    Resume(usize),
    /// The whole node, with its clock or without.
    Freeze(usize, bool),
    Thaw(usize),
    /// From, to: what the one sends does not reach the other.
    Cut {
        segment: usize,
        from: usize,
        to: usize,
        cut: bool,
    },
    /// Both ways, with everybody.
    Isolate {
        segment: usize,
        node: usize,
        cut: bool,
    },
    Deaf {
        segment: usize,
        node: usize,
        deaf: bool,
    },
    Link {
        segment: usize,
        node: usize,
        up: bool,
    },
    Weather {
        segment: usize,
        weather: Weather,
    },
    Hosts {
        segment: usize,
        talk: bool,
    },
    Unfit(usize, bool),
    Offset(usize, i16),
    Failover(usize),
    Shutdown(usize),
    /// What an order to the kernel takes, in milliseconds, and whether adding fails.
    Effects {
        node: usize,
        millis: u64,
        fail: bool,
    },
    /// Greatest lateness of the controller's wake-ups.
    Sluggish {
        node: usize,
        micros: u64,
    },
    LoseAddresses(usize),
    /// An advert in a node's name that it never sent.
    Forge {
        router: usize,
        sender: usize,
        priority: u8,
    },
    Bypass {
        node: usize,
        engage: bool,
    },
    ReleaseLatch(usize),
    /// Everything is mended and every node runs.
    Mend,
}

impl World {
    /// Lets it happen.
    pub(crate) fn apply(&mut self, fault: Fault) {
        if fault == Fault::Mend {
            return self.mend();
        }
        self.begin_change();
        self.befall(fault);
        self.end_change();
    }

    /// What is done to nodes; the rest to [`Self::befall_network`].
    fn befall(&mut self, fault: Fault) {
        let (nodes, air) = (&mut self.nodes, &mut self.air);
        match fault {
            Fault::PowerOff(node) => nodes[node].power_off(air),
            Fault::PowerOn(node) => nodes[node].power_on(air),
            Fault::Crash(node) => nodes[node].crash(air),
            Fault::CrashIn(node, actions) => nodes[node].crash_in = Some(actions),
            Fault::Start(node) => nodes[node].start(air),
            Fault::Pause(node) => nodes[node].pause(air, Process::Paused),
            Fault::Stick(node) => nodes[node].pause(air, Process::Stuck),
            Fault::Resume(node) => nodes[node].resume(air),
            Fault::Freeze(node, clock_stops) => nodes[node].freeze(air, clock_stops),
            Fault::Thaw(node) => nodes[node].thaw(air),
            Fault::Unfit(node, unfit) => {
                self.watch.expect_anew();
                nodes[node].fitness.unfit = unfit.then_some(Cause::RequirementFailed);
                nodes[node].reconsider(air);
            }
            Fault::Offset(node, offset) => {
                self.watch.expect_anew();
                nodes[node].fitness.offset = offset;
                nodes[node].reconsider(air);
            }
            Fault::Failover(node) => {
                nodes[node].tell(air, Input::Failover { group: None, cause: Cause::FailoverCommand });
            }
            Fault::Shutdown(node) => nodes[node].tell(air, Input::Shutdown),
            Fault::Effects { node, millis, fail } => {
                let effect_time = if millis == 0 { ADDRESS_TIME } else { Duration::from_millis(millis) };
                let burden = &mut nodes[node].burden;
                (burden.effect_time, burden.effects_fail) = (effect_time, fail);
            }
            Fault::Sluggish { node, micros } => {
                nodes[node].burden.lateness = Burden::NONE.lateness.max(micros * NANOS_PER_MICRO);
            }
            Fault::LoseAddresses(node) => nodes[node].lose_addresses(air),
            Fault::Bypass { node, engage } => {
                let switch = if engage { BypassSwitch::Engage } else { BypassSwitch::Release };
                nodes[node].fitness.order(switch);
                nodes[node].reconsider(air);
            }
            Fault::ReleaseLatch(node) => {
                let now = nodes[node].clock.reading(air.now);
                nodes[node].fitness.released(true, now);
                nodes[node].reconsider(air);
            }
            other => self.befall_network(other),
        }
    }

    fn befall_network(&mut self, fault: Fault) {
        match fault {
            Fault::Cut { segment, from, to, cut } => self.air.set_cut(segment, from, to, cut),
            Fault::Isolate { segment, node, cut } => {
                for other in (0..self.nodes.len()).filter(|other| *other != node) {
                    self.air.set_cut(segment, node, other, cut);
                    self.air.set_cut(segment, other, node, cut);
                }
            }
            Fault::Deaf { segment, node, deaf } => self.air.set_deaf(segment, node, deaf),
            Fault::Link { segment, node, up } => self.set_link(segment, node, up),
            Fault::Weather { segment, weather } => self.air.weather[segment] = weather,
            Fault::Hosts { segment, talk } => self.air.hosts[segment] = talk,
            Fault::Forge { router, sender, priority } => {
                self.watch.expect_anew();
                self.forge_advert(router, sender, priority, None);
            }
            other => unreachable!("{other:?} is no fault of the network"),
        }
    }

    fn set_link(&mut self, segment: usize, node: usize, up: bool) {
        if self.air.link_up(segment, node) != up {
            self.air.set_link(segment, node, up);
            self.nodes[node].link_changed(&mut self.air, segment, up);
        }
    }

    /// An advert in a node's name, before everybody else on the segment.
    pub(crate) fn forge_advert(
        &mut self,
        router: usize,
        sender: usize,
        priority: u8,
        interval: Option<Duration>,
    ) {
        let map = &self.nodes[sender].plane.routers[router];
        let interval = interval.unwrap_or(map.config.advertisement_interval);
        let frame = Frame { router: map.config.id, sender: sender as u8, priority, interval };
        let (segment, now) = (map.segment, self.air.now);
        for to in (0..self.nodes.len()).filter(|to| *to != sender) {
            self.air.deliver(now, segment, to, Arrival::Advert(frame));
        }
    }

    /// Mends everything there is to mend.
    fn mend(&mut self) {
        for segment in 0..SEGMENTS.len() {
            self.apply(Fault::Weather { segment, weather: Weather::FAIR });
            self.apply(Fault::Hosts { segment, talk: true });
            for node in 0..self.nodes.len() {
                self.apply(Fault::Isolate { segment, node, cut: false });
                self.apply(Fault::Deaf { segment, node, deaf: false });
                self.apply(Fault::Link { segment, node, up: true });
            }
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].crash_in = None;
            for fault in [
                Fault::Thaw(node),
                Fault::PowerOn(node),
                Fault::Start(node),
                Fault::Resume(node),
                Fault::Unfit(node, false),
                Fault::Offset(node, 0),
                Fault::Effects { node, millis: 0, fail: false },
                Fault::Sluggish { node, micros: 0 },
                Fault::Bypass { node, engage: false },
                Fault::ReleaseLatch(node),
            ] {
                self.apply(fault);
            }
        }
        debug_assert!(self.nodes.len() <= MOST_NODES);
    }
}
