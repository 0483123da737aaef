//! The link pairs of this node: names around the engine's monitor, states of the ports, and when to look next.
//!
//! Ports are read from the interfaces that the controller knows, after every link event and at every monitoring
//! interval. What a verdict leads to is decided elsewhere. Pure: no clock, no map.

use super::passing::{PassingWatch, PortTraffic};
use crate::config::validated::{LinkPair, Links};
use crate::effects::interfaces::Interfaces;
use crate::journal::NoticeEvent;
use holdfast_engine::{
    Duration, Instant, PairFault, PairId, PairMonitor, PairSettings, PairSide, PairView, PortState,
};

/// Traffic is judged over this at least, and over this many monitoring intervals.
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);
const WINDOW_INTERVALS: u64 = 3;

/// A pair by its names.
#[derive(Debug)]
pub(super) struct Pair {
    id: PairId,
    pub(super) name: String,
    pub(super) inside: String,
    pub(super) outside: String,
    passing: PassingWatch,
    ports: [Option<PortState>; 2],
}

/// All pairs.
#[derive(Debug)]
pub(super) struct LinkPairs {
    monitor: PairMonitor,
    pairs: Vec<Pair>,
    interval: Duration,
    next_look: Instant,
    next_id: u32,
    /// The journal has it that too few are active.
    said_low: bool,
}

impl Default for LinkPairs {
    fn default() -> Self {
        let settings = PairSettings { minimum_active: 0, recovery_time: Duration::ZERO };
        Self {
            monitor: PairMonitor::new(settings, []),
            pairs: Vec::new(),
            interval: SHORTEST_WINDOW,
            next_look: Instant::default(),
            next_id: 0,
            said_low: false,
        }
    }
}

impl LinkPairs {
    /// Takes up a configuration. A pair of the same name and ports keeps its state.
    pub(super) fn configure(&mut self, now: Instant, links: &Links, pairs: &[LinkPair]) {
        let mut known = std::mem::take(&mut self.pairs);
        for LinkPair { name, inside, outside, .. } in pairs {
            let same = |pair: &Pair| (&pair.name, &pair.inside, &pair.outside) == (name, inside, outside);
            if let Some(position) = known.iter().position(same) {
                self.pairs.push(known.swap_remove(position));
                continue;
            }
            let id = PairId(self.next_id);
            self.next_id = self.next_id.wrapping_add(1);
            let (name, inside, outside) = (name.clone(), inside.clone(), outside.clone());
            let (passing, ports) = (PassingWatch::default(), [None; 2]);
            self.pairs.push(Pair { id, name, inside, outside, passing, ports });
        }
        self.interval = span(links.monitoring_interval);
        self.next_look = now;
        let settings = PairSettings {
            minimum_active: links.minimum_active_pairs,
            recovery_time: span(links.recovery_time),
        };
        self.monitor.reconfigure(now, settings, self.pairs.iter().map(|pair| pair.id));
    }

    /// Reads the ports.
    pub(super) fn read_ports(&mut self, now: Instant, interfaces: &Interfaces) {
        for pair in &mut self.pairs {
            let ports = [&pair.inside, &pair.outside].map(|name| match interfaces.by_name(name) {
                None => PortState::Missing,
                Some(interface) if interface.link.up => PortState::Up,
                Some(_) => PortState::Down,
            });
            if pair.ports != ports.map(Some) {
                pair.ports = ports.map(Some);
                pair.passing.reset();
                self.monitor.passing(now, pair.id, None);
            }
            self.monitor.port(now, pair.id, PairSide::Inside, ports[0]);
            self.monitor.port(now, pair.id, PairSide::Outside, ports[1]);
        }
        self.monitor.handle_timeout(now);
    }

    /// True once per monitoring interval, with pairs.
    pub(super) fn is_look_due(&mut self, now: Instant) -> bool {
        let due = !self.pairs.is_empty() && now >= self.next_look;
        if due {
            self.next_look = now + self.interval;
        }
        due
    }

    /// Takes in the traffic of a pair, by its position. `serves`: this node is Active on one of its ports.
    pub(super) fn judge_traffic(
        &mut self,
        now: Instant,
        position: usize,
        serves: bool,
        inside: PortTraffic,
        outside: PortTraffic,
    ) {
        let window = SHORTEST_WINDOW.max(self.interval.scaled(WINDOW_INTERVALS, 1));
        let Some(pair) = self.pairs.get_mut(position) else { return };
        let passing = pair.passing.sample(now, window, serves, inside, outside);
        self.monitor.passing(now, pair.id, passing);
    }

    /// What the journal is to say since it was last asked.
    pub(super) fn news(&mut self) -> Option<NoticeEvent> {
        let low = !self.monitor.is_up();
        if std::mem::replace(&mut self.said_low, low) == low {
            return None;
        }
        Some(if low {
            NoticeEvent::LinkPairsLow { detail: self.detail() }
        } else {
            NoticeEvent::LinkPairsRestored
        })
    }

    fn detail(&self) -> String {
        let faults: Vec<String> = self
            .pairs
            .iter()
            .filter_map(|pair| {
                let fault = self.view(&pair.name)?.fault?;
                Some(format!("{}: {}", pair.name, describe(fault, pair)))
            })
            .collect();
        format!("{} of {} active ({})", self.monitor.active(), self.pairs.len(), faults.join("; "))
    }

    pub(super) fn is_up(&self) -> bool {
        self.monitor.is_up()
    }

    /// When to come back: the next look, or a recovery.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let look = (!self.pairs.is_empty()).then_some(self.next_look);
        look.into_iter().chain(self.monitor.deadline()).min()
    }

    pub(super) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Interfaces of all pairs.
    pub(super) fn ports(&self) -> Vec<String> {
        self.pairs.iter().flat_map(|pair| [pair.inside.clone(), pair.outside.clone()]).collect()
    }

    /// The port at the other end of an interface's pair.
    pub(super) fn other_port(&self, interface: &str) -> Option<&str> {
        self.pairs.iter().find_map(|pair| match interface {
            name if name == pair.inside => Some(pair.outside.as_str()),
            name if name == pair.outside => Some(pair.inside.as_str()),
            _ => None,
        })
    }

    /// What is known of a pair, and its fault in words.
    pub(super) fn describe(&self, name: &str) -> Option<(PairView, Option<String>)> {
        let pair = self.pairs.iter().find(|pair| pair.name == name)?;
        let view = self.view(name)?;
        Some((view, view.fault.map(|fault| describe(fault, pair))))
    }

    pub(super) fn is_active(&self, name: &str) -> bool {
        self.pairs.iter().any(|pair| pair.name == name && self.monitor.is_active(pair.id))
    }

    fn view(&self, name: &str) -> Option<PairView> {
        let id = self.pairs.iter().find(|pair| pair.name == name)?.id;
        self.monitor.views().find(|view| view.pair == id)
    }
}

fn describe(fault: PairFault, pair: &Pair) -> String {
    let port = |side: PairSide| match side {
        PairSide::Inside => &pair.inside,
        PairSide::Outside => &pair.outside,
    };
    match fault {
        PairFault::Unread(side) => format!("{} was not read yet", port(side)),
        PairFault::Missing(side) => format!("{} is missing", port(side)),
        PairFault::Down(side) => format!("{} is down", port(side)),
        PairFault::NotPassing => "what arrives at one port does not leave at the other".to_owned(),
        PairFault::Recovering { .. } => "good again, for less than links.recovery_time".to_owned(),
    }
}

/// Configuration bounds keep it far from overflow.
fn span(duration: std::time::Duration) -> Duration {
    super::plan::span(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::frames::MacAddress;
    use crate::effects::interfaces::{LinkEvent, LinkState};

    const LINKS: Links = Links {
        monitoring_interval: std::time::Duration::from_millis(100),
        minimum_active_pairs: 1,
        recovery_time: std::time::Duration::from_secs(1),
    };

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_millis(millis)
    }

    fn pair(name: &str) -> LinkPair {
        LinkPair {
            name: name.to_owned(),
            inside: format!("{name}-in"),
            outside: format!("{name}-out"),
            device: None,
            gpio_line: None,
            gpio_sense_line: None,
        }
    }

    fn set(interfaces: &mut Interfaces, ifindex: u32, name: &str, up: bool) {
        let mac = MacAddress::default();
        let link = LinkState {
            ifindex,
            name: name.to_owned(),
            up,
            mac,
            mtu: 0,
            kind: None,
            parent: None,
            vlan: None,
        };
        interfaces.apply(&LinkEvent::Link(link));
    }

    fn good(name: &str) -> Interfaces {
        let mut interfaces = Interfaces::default();
        set(&mut interfaces, 1, &format!("{name}-in"), true);
        set(&mut interfaces, 2, &format!("{name}-out"), true);
        interfaces
    }

    #[test]
    fn without_pairs_it_is_up_and_asks_for_nothing() {
        let mut pairs = LinkPairs::default();
        pairs.configure(at(0), &LINKS, &[]);
        assert!(pairs.is_up() && pairs.news().is_none() && pairs.deadline().is_none());
        assert!(!pairs.is_look_due(at(1_000)));
    }

    #[test]
    fn a_lost_port_is_told_once_with_its_name_and_comes_back_after_the_recovery_time() {
        let mut pairs = LinkPairs::default();
        pairs.configure(at(0), &LINKS, &[pair("edge")]);
        let mut interfaces = good("edge");
        pairs.read_ports(at(0), &interfaces);
        assert!(pairs.is_up() && pairs.news().is_none(), "a good start is no news");
        set(&mut interfaces, 2, "edge-out", false);
        pairs.read_ports(at(10), &interfaces);
        let detail = "0 of 1 active (edge: edge-out is down)".to_owned();
        assert_eq!(pairs.news(), Some(NoticeEvent::LinkPairsLow { detail }));
        assert_eq!(pairs.news(), None);
        set(&mut interfaces, 2, "edge-out", true);
        pairs.read_ports(at(100), &interfaces);
        assert!(!pairs.is_up() && pairs.deadline() <= Some(at(1_100)));
        pairs.read_ports(at(1_100), &interfaces);
        assert_eq!(pairs.news(), Some(NoticeEvent::LinkPairsRestored));
    }

    #[test]
    fn a_bad_start_is_news() {
        let mut pairs = LinkPairs::default();
        pairs.configure(at(0), &LINKS, &[pair("edge")]);
        pairs.read_ports(at(0), &Interfaces::default());
        let detail = "0 of 1 active (edge: edge-in is missing)".to_owned();
        assert_eq!(pairs.news(), Some(NoticeEvent::LinkPairsLow { detail }));
    }

    #[test]
    fn a_reload_keeps_a_pair_that_stays_whatever_its_place() {
        let mut pairs = LinkPairs::default();
        pairs.configure(at(0), &LINKS, &[pair("edge"), pair("core")]);
        let mut interfaces = good("core");
        pairs.read_ports(at(0), &interfaces);
        assert!(pairs.is_active("core") && !pairs.is_active("edge"));
        pairs.configure(at(5), &LINKS, &[pair("core")]);
        assert!(pairs.is_active("core") && pairs.is_up());
        set(&mut interfaces, 1, "core-in", false);
        pairs.read_ports(at(10), &interfaces);
        set(&mut interfaces, 1, "core-in", true);
        pairs.configure(at(20), &LINKS, &[pair("edge"), pair("core")]);
        pairs.read_ports(at(30), &interfaces);
        assert!(!pairs.is_active("core"), "its recovery goes on");
    }

    #[test]
    fn looks_come_at_the_monitoring_interval() {
        let mut pairs = LinkPairs::default();
        pairs.configure(at(0), &LINKS, &[pair("edge")]);
        assert!(pairs.is_look_due(at(0)));
        assert!(!pairs.is_look_due(at(99)));
        assert_eq!(pairs.deadline(), Some(at(100)));
        assert!(pairs.is_look_due(at(100)));
    }

    #[test]
    fn a_pair_that_stops_passing_falls_out_and_a_port_that_bounces_clears_it() {
        let mut pairs = LinkPairs::default();
        pairs.configure(at(0), &LINKS, &[pair("edge")]);
        let mut interfaces = good("edge");
        pairs.read_ports(at(0), &interfaces);
        let (mut inside, mut outside) = (PortTraffic::default(), PortTraffic::default());
        for tick in 1..=60 {
            inside.rx += 50;
            outside.tx += if tick < 30 { 50 } else { 0 };
            pairs.judge_traffic(at(tick * 100), 0, true, inside, outside);
        }
        assert!(!pairs.is_up());
        let (view, words) = pairs.describe("edge").unwrap();
        assert_eq!(view.fault, Some(PairFault::NotPassing));
        assert!(words.unwrap().starts_with("what arrives"));
        for (up, ms) in [(false, 6_100), (true, 6_200), (true, 7_200)] {
            set(&mut interfaces, 1, "edge-in", up);
            pairs.read_ports(at(ms), &interfaces);
        }
        assert!(pairs.is_up());
    }
}
