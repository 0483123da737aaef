//! Histories drawn from seeds: what the cluster is like, what befalls it and when, and how it ends.
//!
//! A history is data, so that it can be cut down, printed and kept. Bursts of faults are followed by pauses, some of them long
//! enough for everything to come to rest under whatever is broken then; at last all is mended.

use crate::air::{DMZ, SEGMENTS, WAN, Weather, segment_of};
use crate::dice::{Clock, Dice};
use crate::fault::Fault;
use crate::setting::Setting;
use crate::support::*;
use holdfast_engine::{
    CheckSettings, Duration, FlapSettings, GroupId, InterfaceId, LatchRelease, RouterConfig, RouterId,
    Takeover, UnitId, Version,
};
use serde::{Deserialize, Serialize};

/// Before the first fault.
const SETTLING_MS: u64 = 20_000;
const SECOND_MS: u64 = 1_000;
/// Priorities of nodes that differ in them.
const PRIORITIES: [u8; 7] = [200, 150, 120, 100, 90, 80, 70];
/// Checks within a lease, at least.
const CHECKS_PER_LEASE: u64 = 3;
/// Clocks are right to so many parts in a million.
const CLOCK_PPM: u64 = 300;

/// A cluster, and what befalls it at which millisecond.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct History {
    pub(crate) seed: u64,
    pub(crate) setting: Setting,
    pub(crate) faults: Vec<(u64, Fault)>,
    /// When everything is mended.
    pub(crate) mended_ms: u64,
}

impl History {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::seeded(seed ^ 0x5851_F42D_4C95_7F2D);
        dice.below(1);
        let setting = setting(&mut dice);
        let (faults, mended_ms) = faults(&mut dice, &setting);
        History { seed, setting, faults, mended_ms }
    }
}

/// A number that is small more often than not: even chances for every doubling.
fn scaled(dice: &mut Dice, least: u64, most: u64) -> u64 {
    let doublings = (most / least.max(1)).ilog2();
    let low = least << dice.below(u64::from(doublings) + 1);
    dice.between(low, (low * 2).min(most).max(low))
}

// ----- clusters -----

fn setting(dice: &mut Dice) -> Setting {
    let nodes = dice.pick(&[2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 5, 6, 7]);
    let peered = dice.chance(80);
    let segments = dice.pick(&[1, 1, 2, 2, 2, 3]);
    let grouped = segments > 1 && dice.chance(80);
    let interfaces = &[LAN, WAN, DMZ][..segments];
    let mut paths: Vec<usize> = interfaces.iter().map(|interface| segment_of(*interface)).collect();
    if dice.chance(75) {
        paths.push(segment_of(SYNC));
    }
    let differ = dice.chance(15);
    let version = if dice.chance(8) { Version::V2 } else { Version::V3 };
    let common = interval(dice, version, nodes);
    let priorities = priorities(dice, nodes as usize, grouped);
    let preempt = dice.chance(80);
    let delay =
        if dice.chance(20) { Duration::from_millis(scaled(dice, 1_000, 20_000)) } else { Duration::ZERO };
    let mut routers = Vec::new();
    for priority in &priorities {
        let interval = if differ { interval(dice, version, nodes) } else { common };
        let base = RouterConfig {
            version,
            advertisement_interval: interval,
            preempt: preempt || (differ && dice.chance(50)),
            preempt_delay: delay,
            ..config(*priority)
        };
        routers.push(node_routers(&base, interfaces, grouped, peered));
    }
    let checks = checks(dice, nodes);
    let lease = Duration::from_millis(dice.pick(&[500, 1_000, 1_000, 1_000, 1_000, 2_000, 3_000]));
    Setting {
        routers,
        peered,
        paths,
        checks,
        takeover: if dice.chance(25) { Takeover::AfterLease } else { Takeover::Fast },
        // A word has to be renewed before its lease is over, or nobody can vouch for longer than that.
        lease: lease.max(checks.interval().scaled(CHECKS_PER_LEASE, 1)),
        same_configuration: !differ,
        clocks: (0..nodes).map(|_| clock(dice)).collect(),
        flaps: flaps(dice),
        bypasses: (0..nodes).map(|node| node == 0 && dice.chance(30)).collect(),
        inline: dice.chance(50),
    }
}

fn node_routers(
    base: &RouterConfig,
    interfaces: &[InterfaceId],
    grouped: bool,
    peered: bool,
) -> Vec<RouterConfig> {
    let router = |(position, interface): (usize, &InterfaceId)| {
        let unit = if grouped { 0 } else { position as u8 };
        RouterConfig {
            id: RouterId(position as u32 + 1),
            interface: *interface,
            group: grouped.then_some(GroupId(1)),
            unit: peered.then_some(UnitId(unit)),
            ..base.clone()
        }
    };
    interfaces.iter().enumerate().map(router).collect()
}

fn interval(dice: &mut Dice, version: Version, nodes: u64) -> Duration {
    match version {
        Version::V2 => Duration::from_secs(dice.pick(&[1, 1, 2])),
        Version::V3 if nodes < 4 => centis(dice.pick(&[3, 10, 10, 20, 50, 100, 100, 100, 100, 300])),
        Version::V3 => centis(dice.pick(&[20, 50, 100, 100, 100, 300])),
    }
}

/// Mostly all different, in any order; sometimes all alike, or with an address owner, which no group may have.
fn priorities(dice: &mut Dice, nodes: usize, grouped: bool) -> Vec<u8> {
    let mut priorities = PRIORITIES[..nodes].to_vec();
    if dice.chance(12) {
        priorities.fill(100);
    }
    for node in (1..nodes).rev() {
        priorities.swap(node, dice.below(node as u64 + 1) as usize);
    }
    if dice.chance(3) && !grouped {
        priorities[0] = 255;
    }
    priorities
}

/// Large clusters check each other less often, as one would configure them.
fn checks(dice: &mut Dice, nodes: u64) -> CheckSettings {
    let millis = match nodes {
        2 => dice.pick(&[20, 50, 100, 100, 100, 100, 200, 500]),
        3 => dice.pick(&[100, 100, 200, 500]),
        4 => dice.pick(&[200, 500]),
        _ => dice.pick(&[500, 1_000]),
    };
    CheckSettings::new(Duration::from_millis(millis), dice.between(2, 5) as u32, dice.between(1, 6) as u32)
}

fn clock(dice: &mut Dice) -> Clock {
    let rate = dice.below(2 * CLOCK_PPM + 1) as i32 - CLOCK_PPM as i32;
    Clock::new(rate, dice.below(1_000_000) * 1_000_000_000)
}

fn flaps(dice: &mut Dice) -> FlapSettings {
    if dice.chance(40) {
        let window = Duration::from_secs(1);
        return FlapSettings { maximum_allowed: 100, window, release: LatchRelease::Manual };
    }
    let release = if dice.chance(50) {
        LatchRelease::Manual
    } else {
        LatchRelease::After(Duration::from_secs(dice.between(30, 120)))
    };
    let window = Duration::from_secs(dice.between(60, 600));
    FlapSettings { maximum_allowed: dice.between(0, 4) as u32, window, release }
}

// ----- what befalls them -----

struct Script<'a> {
    dice: &'a mut Dice,
    setting: &'a Setting,
    /// Segments that are in use.
    segments: Vec<usize>,
    faults: Vec<(u64, Fault)>,
    at: u64,
}

fn faults(dice: &mut Dice, setting: &Setting) -> (Vec<(u64, Fault)>, u64) {
    let end = dice.between(8 * 60, 25 * 60) * SECOND_MS;
    let mut segments: Vec<usize> = setting.routers[0]
        .iter()
        .map(|config| segment_of(config.interface))
        .chain(setting.paths.clone())
        .collect();
    segments.sort_unstable();
    segments.dedup();
    let mut script = Script { dice, setting, segments, faults: Vec::new(), at: SETTLING_MS };
    while script.at < end {
        script.burst();
    }
    let mended = script.at;
    let mut faults = script.faults;
    faults.retain(|(at, _)| *at < mended);
    faults.sort_by_key(|(at, _)| *at);
    (faults, mended)
}

impl Script<'_> {
    fn burst(&mut self) {
        let spacing = self.dice.pick(&[50, 1_000, 5_000, 5_000]);
        for _ in 0..self.dice.between(1, 5) {
            self.one();
            self.at += self.dice.below(spacing);
        }
        self.at += match self.dice.below(10) {
            0..5 => self.dice.between(1_000, 10_000),
            5..8 => self.dice.between(10_000, 60_000),
            _ => self.dice.between(120_000, 240_000),
        };
        if self.dice.chance(35) {
            self.add(self.at, Fault::Mend);
            self.at += self.dice.between(500, 30_000);
        }
    }

    fn add(&mut self, at: u64, fault: Fault) {
        self.faults.push((at, fault));
    }

    /// A fault that ends by itself, more often than not.
    fn spell(&mut self, fault: Fault, end: Fault) {
        self.add(self.at, fault);
        if self.dice.chance(75) {
            let span = scaled(self.dice, 30, 30_000);
            self.add(self.at + span, end);
        }
    }

    fn node(&mut self) -> usize {
        self.dice.below(self.setting.nodes() as u64) as usize
    }

    fn others(&mut self) -> (usize, usize) {
        let nodes = self.setting.nodes() as u64;
        let from = self.dice.below(nodes);
        let to = (from + 1 + self.dice.below(nodes - 1)) % nodes;
        (from as usize, to as usize)
    }

    fn segment(&mut self) -> usize {
        self.dice.pick(&self.segments)
    }

    fn one(&mut self) {
        match self.dice.below(24) {
            0..3 => self.network_pair(),
            3..6 => self.network_node(),
            6..8 => self.weather(),
            8..13 => self.process(),
            13..15 => self.whole_node(),
            15..17 => self.fitness(),
            17..20 => self.operator(),
            20..22 => self.kernel(),
            _ => self.forgery(),
        }
    }

    fn network_pair(&mut self) {
        let ((from, to), segment) = (self.others(), self.segment());
        self.spell(Fault::Cut { segment, from, to, cut: true }, Fault::Cut { segment, from, to, cut: false });
        if self.dice.chance(50) {
            let (from, to) = (to, from);
            self.spell(
                Fault::Cut { segment, from, to, cut: true },
                Fault::Cut { segment, from, to, cut: false },
            );
        }
    }

    fn network_node(&mut self) {
        let (node, segment) = (self.node(), self.segment());
        match self.dice.below(4) {
            0 => self.spell(
                Fault::Isolate { segment, node, cut: true },
                Fault::Isolate { segment, node, cut: false },
            ),
            1 => self
                .spell(Fault::Deaf { segment, node, deaf: true }, Fault::Deaf { segment, node, deaf: false }),
            2 => {
                self.spell(Fault::Link { segment, node, up: false }, Fault::Link { segment, node, up: true })
            }
            // Cut off from everybody everywhere: two sides that know nothing of each other.
            _ => {
                for segment in self.segments.clone() {
                    self.spell(
                        Fault::Isolate { segment, node, cut: true },
                        Fault::Isolate { segment, node, cut: false },
                    );
                }
            }
        }
    }

    fn weather(&mut self) {
        let check = self.setting.checks.interval().as_nanos();
        let weather = Weather {
            loss_percent: if self.dice.chance(50) { self.dice.between(1, 30) } else { 0 },
            spread: scaled(self.dice, 100_000, (check / 2).max(200_000)),
            doubled_percent: self.dice.pick(&[0, 0, 5, 30]),
        };
        let segment = self.segment();
        self.spell(Fault::Weather { segment, weather }, Fault::Weather { segment, weather: Weather::FAIR });
        if self.dice.chance(10) {
            let segment = self.segment();
            self.spell(Fault::Hosts { segment, talk: false }, Fault::Hosts { segment, talk: true });
        }
    }

    fn process(&mut self) {
        let node = self.node();
        match self.dice.below(7) {
            0 => self.spell(Fault::Crash(node), Fault::Start(node)),
            1 | 2 => {
                let actions = self.dice.below(24) as u32;
                self.add(self.at, Fault::CrashIn(node, actions));
                if self.dice.chance(50) {
                    // Something that makes it act.
                    let stir = self.setting.stir(self.dice);
                    self.add(self.at, stir);
                }
                let span = scaled(self.dice, 100, 20_000);
                self.add(self.at + span, Fault::Start(node));
            }
            3 | 4 => self.spell(Fault::Pause(node), Fault::Resume(node)),
            5 => self.spell(Fault::Stick(node), Fault::Resume(node)),
            _ => {
                let micros = scaled(self.dice, 100, 20_000);
                self.spell(Fault::Sluggish { node, micros }, Fault::Sluggish { node, micros: 0 });
            }
        }
    }

    fn whole_node(&mut self) {
        let node = self.node();
        match self.dice.below(3) {
            0 => self.spell(Fault::PowerOff(node), Fault::PowerOn(node)),
            1 => self.spell(Fault::Freeze(node, false), Fault::Thaw(node)),
            _ => self.spell(Fault::Freeze(node, true), Fault::Thaw(node)),
        }
    }

    fn fitness(&mut self) {
        let node = self.node();
        if self.dice.chance(60) {
            self.spell(Fault::Unfit(node, true), Fault::Unfit(node, false));
        } else {
            let offset = self.dice.between(1, 200) as i16 - 100;
            self.spell(Fault::Offset(node, offset), Fault::Offset(node, 0));
        }
    }

    fn operator(&mut self) {
        let node = self.node();
        match self.dice.below(6) {
            0..3 => self.add(self.at, Fault::Failover(node)),
            3 => self.spell(Fault::Shutdown(node), Fault::Start(node)),
            4 => self.spell(Fault::Bypass { node, engage: true }, Fault::Bypass { node, engage: false }),
            _ => self.add(self.at, Fault::ReleaseLatch(node)),
        }
    }

    fn kernel(&mut self) {
        let node = self.node();
        if self.dice.chance(40) {
            self.add(self.at, Fault::LoseAddresses(node));
            return;
        }
        let (millis, fail) = (scaled(self.dice, 1, 800), self.dice.chance(50));
        self.spell(Fault::Effects { node, millis, fail }, Fault::Effects { node, millis: 0, fail: false });
    }

    /// Without keys a forged advert is as good as a true one; there is nothing to check then.
    fn forgery(&mut self) {
        let router = self.dice.below(self.setting.routers[0].len() as u64) as usize;
        let (sender, priority) = (self.node(), self.dice.pick(&[0, 0, 1, 100, 254, 255]));
        if !self.setting.peered {
            return;
        }
        for _ in 0..self.dice.between(1, 6) {
            self.add(self.at, Fault::Forge { router, sender, priority });
            self.at += self.dice.below(300);
        }
    }
}

impl Setting {
    /// Something that makes a cluster move.
    fn stir(&self, dice: &mut Dice) -> Fault {
        let node = dice.below(self.nodes() as u64) as usize;
        let segment = dice.pick(&[0, SEGMENTS.len() - 1]);
        dice.pick(&[
            Fault::Failover(node),
            Fault::PowerOff(node),
            Fault::Isolate { segment, node, cut: true },
            Fault::Offset(node, 60),
        ])
    }
}
