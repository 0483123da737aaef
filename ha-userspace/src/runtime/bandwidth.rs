//! Bits per second of each monitored link and direction, from the data plane's counters, and the guards of `[bandwidth]`.
//!
//! Whoever runs the loop brings readings in at the pace asked for here. Rates for status are averages over about a
//! second; those of the guards over a fifth of `bandwidth.interval`. Pure: no clock, no map.

use super::plan::span;
use crate::config::units::show_duration;
use crate::config::validated::Config;
use crate::journal::{NoticeEvent, explain};
use ha_common::maps::values::LinkCounters;
use holdfast_engine::{
    BandwidthEvent, BandwidthGuard, BandwidthSettings, BandwidthView, BitRate, Duration, Instant, RateWindow,
};
use std::collections::BTreeMap;

/// Averages of status.
const SHOWN_SPAN: Duration = Duration::from_secs(1);
/// Readings per `bandwidth.interval`, and their greatest distance.
const READINGS: u64 = 20;
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Rates of one link, bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) rx_bps: u64,
    pub(super) tx_bps: u64,
}

/// The last readings of one link and direction, once for status and once for the guards: a long window is too coarse for
/// the rate of a second.
#[derive(Debug)]
struct Direction {
    shown: RateWindow,
    measured: RateWindow,
}

impl Direction {
    fn new(measured_over: Duration) -> Self {
        Self { shown: RateWindow::new(SHOWN_SPAN), measured: RateWindow::new(measured_over) }
    }

    fn sample(&mut self, now: Instant, bytes: u64) {
        self.shown.sample(now, bytes);
        self.measured.sample(now, bytes);
    }
}

#[derive(Debug)]
struct Meter {
    rx: Direction,
    tx: Direction,
}

/// A monitored interface at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port<'a> {
    pub(super) name: &'a str,
    pub(super) ifindex: u32,
    /// This node is Active on it, or on the other port of its pair.
    pub(super) owner: bool,
    /// The other port of its pair.
    pub(super) partner: Option<u32>,
}

/// Meters of all links, and a guard for each that has a minimum.
#[derive(Debug)]
pub(super) struct Bandwidth {
    interval: Duration,
    /// Span of the guards' rates.
    measured_over: Duration,
    next_reading: Instant,
    meters: BTreeMap<u32, Meter>,
    guards: BTreeMap<String, BandwidthGuard>,
}

impl Default for Bandwidth {
    fn default() -> Self {
        Self {
            interval: Duration::ZERO,
            measured_over: SHOWN_SPAN,
            next_reading: Instant::default(),
            meters: BTreeMap::new(),
            guards: BTreeMap::new(),
        }
    }
}

impl Bandwidth {
    /// Takes up a configuration; `monitored` are the interfaces of its routers and pairs. A guard whose settings stay keeps
    /// what it has seen.
    pub(super) fn configure(&mut self, config: &Config, monitored: impl Iterator<Item = String>) {
        let interval = span(config.bandwidth.interval);
        let mut known = std::mem::take(&mut self.guards);
        for name in monitored.filter(|_| config.bandwidth.enabled) {
            let own = config.link_settings.iter().find(|link| link.interface == name);
            let minimum = own.and_then(|link| link.bandwidth_minimum_bps).or(config.bandwidth.minimum_bps);
            let Some(minimum) = minimum.map(BitRate::from_bps) else { continue };
            let settings = BandwidthSettings { minimum, interval };
            let mut guard = known.remove(&name).unwrap_or(BandwidthGuard::new(settings));
            guard.reconfigure(settings);
            self.guards.insert(name, guard);
        }
        if interval != self.interval {
            // Windows of another length start afresh.
            self.interval = interval;
            self.measured_over = BandwidthSettings { minimum: BitRate::default(), interval }.measured_over();
            self.meters.clear();
        }
    }

    /// True when readings are due; the next are then due a pause later.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next_reading;
        if due {
            self.next_reading = now + self.interval.scaled(1, READINGS).min(LONGEST_PAUSE);
        }
        due
    }

    /// When the next reading is due; `None` before the first, which the first pass takes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.next_reading).filter(|at| *at > Instant::default())
    }

    /// Takes a reading of a link.
    pub(super) fn read(&mut self, now: Instant, ifindex: u32, counters: LinkCounters) {
        let direction = || Direction::new(self.measured_over);
        let meter = self.meters.entry(ifindex).or_insert_with(|| Meter { rx: direction(), tx: direction() });
        meter.rx.sample(now, counters.rx_bytes);
        meter.tx.sample(now, counters.tx_bytes);
    }

    /// Rates over about a second; 0 until so much is known.
    pub(super) fn rates(&self, ifindex: u32) -> Rates {
        let Some(meter) = self.meters.get(&ifindex) else { return Rates::default() };
        let bps = |direction: &Direction| direction.shown.rate().unwrap_or_default().as_bps();
        Rates { rx_bps: bps(&meter.rx), tx_bps: bps(&meter.tx) }
    }

    /// Forgets links that are no longer monitored.
    pub(super) fn retain(&mut self, monitored: impl Fn(u32) -> bool) {
        self.meters.retain(|ifindex, _| monitored(*ifindex));
    }

    pub(super) fn has_guards(&self) -> bool {
        !self.guards.is_empty()
    }

    /// Judges every port that has a guard; what comes back is for the journal, and each is a reason to fail over.
    pub(super) fn judge(&mut self, now: Instant, ports: &[Port<'_>]) -> Vec<NoticeEvent> {
        let mut news = Vec::new();
        for port in ports {
            let Some(rate) = self.measured(port.ifindex, |meter| &meter.tx) else { continue };
            let demand = self.demand(port, ports);
            let Some(guard) = self.guards.get_mut(port.name) else { continue };
            if let Some(event @ BandwidthEvent::TooLow { .. }) = guard.sample(now, port.owner, rate, demand) {
                news.push(NoticeEvent::BandwidthLow {
                    link: port.name.to_owned(),
                    detail: describe(event, now),
                });
            }
        }
        news
    }

    /// What arrives to be passed on through a port: at the other port of its pair; without one the most that arrives at any
    /// other port, or at the only one itself.
    fn demand(&self, port: &Port<'_>, ports: &[Port<'_>]) -> Option<BitRate> {
        let arriving = |ifindex| self.measured(ifindex, |meter| &meter.rx);
        if let Some(partner) = port.partner {
            return arriving(partner);
        }
        let others = ports.iter().map(|other| other.ifindex).filter(|ifindex| *ifindex != port.ifindex);
        others.clone().filter_map(arriving).max().or_else(|| {
            let alone = others.count() == 0;
            arriving(port.ifindex).filter(|_| alone)
        })
    }

    fn measured(&self, ifindex: u32, direction: impl Fn(&Meter) -> &Direction) -> Option<BitRate> {
        direction(self.meters.get(&ifindex)?).measured.rate()
    }

    /// The guards by the names of their links.
    pub(super) fn views(&self) -> impl Iterator<Item = (&str, BandwidthView)> {
        self.guards.iter().map(|(name, guard)| (name.as_str(), guard.view()))
    }
}

fn describe(event: BandwidthEvent, now: Instant) -> String {
    let BandwidthEvent::TooLow { rate, minimum, demand, since } = event else { return String::new() };
    let [rate, minimum, demand] = [rate, minimum, demand].map(|rate| explain::rate(rate.as_bps()));
    let span = show_duration(std::time::Duration::from_secs(now.since(since).as_nanos() / NANOS_PER_SECOND));
    format!("{rate} sent, less than {minimum} for {span}, while {demand} arrived to be passed on")
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const LAN: u32 = 3;
    const WAN: u32 = 4;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn bytes(rx_bytes: u64, tx_bytes: u64) -> LinkCounters {
        LinkCounters { rx_bytes, tx_bytes, ..LinkCounters::default() }
    }

    fn config(rest: &str) -> Config {
        let text = format!(
            "[[virtual_router]]\nname = \"lan\"\ninterface = \"lan0\"\nvrid = 1\naddresses = [\"192.0.2.1/24\"]\n{rest}"
        );
        parse(&text, "bandwidth.toml").unwrap().config
    }

    const GUARDED: &str = "[bandwidth]\nenabled = true\nminimum = \"1Mbps\"\ninterval = \"5s\"\n";

    fn monitored() -> impl Iterator<Item = String> {
        ["lan0", "wan0"].into_iter().map(str::to_owned)
    }

    fn ports(owner: bool) -> [Port<'static>; 2] {
        [("lan0", LAN, WAN), ("wan0", WAN, LAN)].map(|(name, ifindex, partner)| Port {
            name,
            ifindex,
            owner,
            partner: Some(partner),
        })
    }

    /// A gateway under constant rates, bytes per second.
    struct Feed {
        bandwidth: Bandwidth,
        ms: u64,
        lan: [u64; 2],
        wan: [u64; 2],
        owner: bool,
    }

    impl Feed {
        fn new(rest: &str) -> Self {
            let mut bandwidth = Bandwidth::default();
            bandwidth.configure(&config(rest), monitored());
            Self { bandwidth, ms: 0, lan: [0; 2], wan: [0; 2], owner: true }
        }

        /// Of the LAN, `out` leaves at the WAN; nothing comes back.
        fn seconds(&mut self, seconds: u64, arrives: u64, out: u64) -> Vec<NoticeEvent> {
            let mut news = Vec::new();
            for _ in 0..seconds * 10 {
                self.ms += 100;
                self.lan[0] += arrives / 10;
                self.wan[1] += out / 10;
                self.bandwidth.read(at(self.ms), LAN, bytes(self.lan[0], self.lan[1]));
                self.bandwidth.read(at(self.ms), WAN, bytes(self.wan[0], self.wan[1]));
                news.extend(self.bandwidth.judge(at(self.ms), &ports(self.owner)));
            }
            news
        }
    }

    #[test]
    fn a_rate_is_bits_over_about_a_second() {
        let mut bandwidth = Bandwidth::default();
        bandwidth.read(at(0), LAN, bytes(0, 1_000));
        assert_eq!(bandwidth.rates(LAN), Rates::default());
        bandwidth.read(at(500), LAN, bytes(9_999_999, 9_999_999));
        assert_eq!(bandwidth.rates(LAN), Rates::default(), "too soon to form a rate");
        let mut bandwidth = Bandwidth::default();
        bandwidth.read(at(0), LAN, bytes(0, 1_000));
        bandwidth.read(at(2_000), LAN, bytes(2_500_000, 1_250_000 + 1_000));
        assert_eq!(bandwidth.rates(LAN), Rates { rx_bps: 10_000_000, tx_bps: 5_000_000 });
        bandwidth.retain(|ifindex| ifindex != LAN);
        assert_eq!(bandwidth.rates(LAN), Rates::default());
    }

    #[test]
    fn a_long_interval_does_not_blur_what_status_shows() {
        let mut bandwidth = Bandwidth::default();
        bandwidth.configure(&config(&GUARDED.replace("5s", "1h")), monitored());
        for tick in 0..400 {
            let sent = if tick < 396 { 0 } else { (tick - 395) * 250_000 };
            bandwidth.read(at(tick * 250), LAN, bytes(0, sent));
        }
        assert_eq!(bandwidth.rates(LAN).tx_bps, 8_000_000);
    }

    #[test]
    fn readings_come_several_times_per_interval() {
        let mut bandwidth = Bandwidth::default();
        bandwidth.configure(&config(&GUARDED.replace("5s", "1s")), monitored());
        assert!(bandwidth.is_due(at(1_000)));
        assert!(!bandwidth.is_due(at(1_049)));
        assert_eq!(bandwidth.deadline(), Some(at(1_050)));
    }

    #[test]
    fn an_owner_that_passes_less_than_arrives_is_told_of_once() {
        let mut feed = Feed::new(GUARDED);
        assert_eq!(feed.seconds(10, 250_000, 250_000), []);
        let news = feed.seconds(20, 250_000, 10_000);
        let [NoticeEvent::BandwidthLow { link, detail }] = &news[..] else { panic!("{news:?}") };
        assert_eq!(link, "wan0");
        assert_eq!(detail, "80.0kbps sent, less than 1.0Mbps for 5s, while 2.0Mbps arrived to be passed on");
        let views: Vec<_> = feed.bandwidth.views().map(|(name, view)| (name, view.failures)).collect();
        assert_eq!(views, [("lan0", 0), ("wan0", 1)]);
    }

    #[test]
    fn a_quiet_night_a_backup_and_a_link_without_a_minimum_are_left_alone() {
        let mut quiet = Feed::new(GUARDED);
        quiet.seconds(10, 250_000, 250_000);
        assert_eq!(quiet.seconds(60, 1_000, 0), []);
        let mut backup = Feed::new(GUARDED);
        backup.owner = false;
        backup.seconds(10, 250_000, 250_000);
        assert_eq!(backup.seconds(60, 250_000, 0), []);
        let only_lan =
            "[bandwidth]\nenabled = true\n[[link]]\ninterface = \"lan0\"\nbandwidth_minimum = \"1Mbps\"\n";
        let mut other = Feed::new(only_lan);
        other.seconds(30, 250_000, 250_000);
        assert_eq!(other.seconds(60, 250_000, 0), []);
        assert_eq!(other.bandwidth.views().count(), 1);
    }

    #[test]
    fn a_links_own_minimum_counts_before_the_common_one() {
        let mut feed =
            Feed::new(&format!("{GUARDED}[[link]]\ninterface = \"lan0\"\nbandwidth_minimum = \"8kbps\"\n"));
        let minima = |feed: &Feed| -> Vec<u64> {
            feed.bandwidth.views().map(|(_, view)| view.minimum.as_bps()).collect()
        };
        assert_eq!(minima(&feed), [8_000, 1_000_000]);
        feed.bandwidth.configure(&config(""), monitored());
        assert!(!feed.bandwidth.has_guards());
    }

    #[test]
    fn without_pairs_the_other_links_show_the_demand() {
        let mut bandwidth = Bandwidth::default();
        for second in 0..=2 {
            bandwidth.read(at(second * 1_000), LAN, bytes(second * 1_000, 0));
            bandwidth.read(at(second * 1_000), WAN, bytes(second * 9_000, 0));
        }
        let port = |ifindex| Port { name: "x", ifindex, owner: true, partner: None };
        let both = [port(LAN), port(WAN)];
        assert_eq!(bandwidth.demand(&both[0], &both), Some(BitRate::from_bps(72_000)));
        assert_eq!(bandwidth.demand(&both[1], &both), Some(BitRate::from_bps(8_000)));
        assert_eq!(bandwidth.demand(&both[1], &both[1..]), Some(BitRate::from_bps(72_000)), "the only one");
    }
}
