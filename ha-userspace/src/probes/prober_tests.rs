//! The prober with a clock, a wire and readings of the test's own.

use super::judgement::VoidCause;
use super::keys::PairKeys;
use super::paths::{Place, ProbePath, ProbePeer, ProbeSettings};
use super::prober::{ProbeEvent, Prober, Surroundings};
use super::readings::{PathReadings, Reading, Slots};
use super::sockets::{ProbeFailure, Route, Wire};
use super::standing::Standing;
use super::status::PeerStatus;
use ha_common::wire::probe::{Message, flag, kind};
use holdfast_engine::{CheckSettings, Duration, Health, Instant, PathIndex, PeerId};
use nix::errno::Errno;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

const PEER: PeerId = PeerId(2);
const INTERVAL: Duration = Duration::from_millis(10);
const RTT: Duration = Duration::from_nanos(200_000);
const KEY: [u64; 2] = [11, 12];
const KEY_ID: u16 = 99;
const THEIRS: u64 = 0x1_0000_0007;

/// The peer's data plane and ours in one: answers on the paths that are not cut.
#[derive(Default)]
struct Field {
    readings: BTreeMap<u32, Reading>,
    frames: u64,
    cut: BTreeSet<u8>,
    refuse: Option<Errno>,
    /// What the peer calls itself; another one in a request is challenged.
    incarnation: u64,
    sent: Vec<(u8, Message)>,
}

struct FieldReadings<'a>(&'a std::cell::RefCell<Field>);
struct FieldWire<'a>(&'a std::cell::RefCell<Field>);

// SAFETY: the tests have one thread.
unsafe impl Send for FieldReadings<'_> {}

impl PathReadings for FieldReadings<'_> {
    fn read(&mut self, slots: Slots) -> Option<Reading> {
        Some(self.0.borrow().readings.get(&slots.path).copied().unwrap_or_default())
    }

    fn frames_in(&mut self, _: Slots) -> Option<u64> {
        Some(self.0.borrow().frames)
    }
}

impl Wire for FieldWire<'_> {
    fn send(&mut self, route: &Route<'_>, message: &Message) -> Result<(), ProbeFailure> {
        let mut field = self.0.borrow_mut();
        if let Some(errno) = field.refuse {
            return Err(ProbeFailure::Refused(errno));
        }
        field.sent.push((route.path.0, *message));
        if message.kind != kind::REQUEST || field.cut.contains(&route.path.0) {
            return Ok(());
        }
        field.frames += 1;
        let incarnation = field.incarnation;
        let reading = field.readings.entry(u32::from(route.path.0)).or_default();
        reading.their_incarnation = incarnation;
        if message.responder_incarnation == incarnation {
            reading.reply_sequence = message.sequence;
            reading.reply_at = Instant::from_nanos(message.t1_ns) + RTT;
            reading.rtt = RTT;
            reading.replies += 1;
        }
        Ok(())
    }

    fn retain(&mut self, _: &dyn Fn(PeerId, PathIndex) -> bool) {}
}

struct Bench {
    now: Cell<Instant>,
    field: std::cell::RefCell<Field>,
    prober: Prober,
    events: Vec<ProbeEvent>,
    board: Vec<PeerStatus>,
}

fn path(index: u8) -> ProbePath {
    let place = Place {
        ifindex: 7 + u32::from(index),
        interface: "lan0".into(),
        local: IpAddr::from([10, index, 0, 1]),
        link_local: None,
    };
    ProbePath {
        remote: IpAddr::from([10, index, 0, 2]),
        slots: Slots { peer: 0, path: u32::from(index), link: Some(0) },
        place: Some(place),
    }
}

fn settings(paths: Vec<ProbePath>) -> ProbeSettings {
    let mut keys = PairKeys::default();
    (keys.send[0], keys.key_ids[0]) = (KEY, KEY_ID);
    ProbeSettings {
        node: 1,
        cluster: 5,
        incarnation: 1 << 32,
        port: 8612,
        checks: CheckSettings::new(INTERVAL, 3, 5),
        peers: vec![ProbePeer { peer: PEER, keys, paths }],
    }
}

impl Bench {
    fn new(paths: u8) -> Self {
        let start = Instant::from_nanos(1_000_000_000);
        let field = Field { incarnation: THEIRS, ..Field::default() };
        let mut bench = Self {
            now: Cell::new(start),
            field: field.into(),
            prober: Prober::new(start, 7),
            events: Vec::new(),
            board: Vec::new(),
        };
        bench.configure(settings((0..paths).map(path).collect()));
        bench
    }

    fn with<T>(
        &mut self,
        work: impl for<'a> FnOnce(&mut Prober, &mut Surroundings<'_, FieldWire<'a>>) -> T,
    ) -> T {
        let now = &self.now;
        let events = &mut self.events;
        let mut around = Surroundings {
            clock: &|| now.get(),
            readings: &mut FieldReadings(&self.field),
            wire: &mut FieldWire(&self.field),
            events: &mut |event| events.push(event),
        };
        work(&mut self.prober, &mut around)
    }

    fn configure(&mut self, settings: ProbeSettings) {
        self.with(|prober, around| prober.configure(settings, around));
    }

    /// Goes on to the next due instant, and as much longer as a busy host takes.
    fn step_late(&mut self, late: Duration) {
        let due = self.prober.next_due().unwrap();
        self.now.set(self.now.get().max(due) + late);
        self.with(|prober, around| prober.run_due(around));
    }

    fn run(&mut self, span: Duration) {
        let end = self.now.get() + span;
        while self.prober.next_due().is_some_and(|due| due <= end) {
            self.step_late(Duration::ZERO);
        }
        self.now.set(end);
    }

    fn intervals(&mut self, count: u64) {
        self.run(INTERVAL.scaled(count, 1));
    }

    fn status(&mut self) -> &PeerStatus {
        self.prober.show(&mut self.board);
        &self.board[0]
    }

    fn peer_events(&mut self) -> Vec<(Health, Option<Instant>, Instant)> {
        let events = std::mem::take(&mut self.events);
        let peers = events.into_iter().filter_map(|event| match event {
            ProbeEvent::PeerHealth { peer: PEER, health, silent_since, at } => {
                Some((health, silent_since, at))
            }
            _ => None,
        });
        peers.collect()
    }

    fn take_sent(&self) -> Vec<(u8, Message)> {
        std::mem::take(&mut self.field.borrow_mut().sent)
    }

    fn cut(&self, paths: impl IntoIterator<Item = u8>) {
        self.field.borrow_mut().cut = paths.into_iter().collect();
    }

    fn healthy(paths: u8) -> Self {
        let mut bench = Self::new(paths);
        bench.intervals(10);
        assert_eq!(bench.peer_events().first().map(|event| event.0), Some(Health::Healthy));
        bench.take_sent();
        bench
    }
}

#[test]
fn the_first_request_is_challenged_which_costs_nothing() {
    let mut bench = Bench::new(1);
    bench.intervals(10);
    let sent = bench.take_sent();
    let named: Vec<u64> = sent.iter().map(|(_, message)| message.responder_incarnation).collect();
    assert_eq!(named[..3], [0, THEIRS, THEIRS]);
    assert_eq!(bench.peer_events().iter().map(|event| event.0).collect::<Vec<_>>(), [Health::Healthy]);
    let status = bench.status();
    let counts = status.paths[0].view.counts;
    assert_eq!((counts.lost, counts.void, status.incarnation), (0, 1, THEIRS));
    assert_eq!(status.paths[0].counters.last_void, Some(VoidCause::Challenged));
    assert_eq!(status.paths[0].view.round_trips.unwrap().last, RTT);
}

#[test]
fn requests_are_signed_rising_and_one_an_interval() {
    let mut bench = Bench::new(2);
    bench.intervals(100);
    let sent = bench.take_sent();
    for wanted in [0, 1] {
        let messages: Vec<Message> =
            sent.iter().filter(|(path, _)| *path == wanted).map(|(_, message)| *message).collect();
        assert!((100..=101).contains(&messages.len()), "{}", messages.len());
        for message in &messages {
            assert_eq!(message.mac, message.compute_mac(KEY));
            assert_eq!((message.key_id, message.from, message.to, message.cluster), (KEY_ID, 1, 2, 5));
            assert_eq!((message.path_index(), message.prober_incarnation), (u32::from(wanted), 1 << 32));
        }
        assert!(messages.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    }
}

#[test]
fn a_peer_that_stops_is_unhealthy_after_exactly_the_threshold() {
    let mut bench = Bench::healthy(1);
    bench.cut([0]);
    let before = bench.status().paths[0].view.counts;
    while bench.peer_events().is_empty() {
        bench.step_late(Duration::ZERO);
    }
    let now = bench.now.get();
    let status = bench.status().clone();
    // The check that was open when the peer stopped had been answered.
    assert_eq!(status.paths[0].view.counts.ended, before.ended + 4);
    assert_eq!(status.paths[0].view.counts.lost, 3);
    assert_eq!((status.health, status.paths[0].view.health), (Health::Unhealthy, Health::Unhealthy));
    assert_eq!(status.since, Some(now));
    let silent = now.since(status.silent_since.unwrap());
    assert!(silent >= Duration::from_nanos(17_500_000) && silent <= Duration::from_nanos(22_500_000));

    bench.cut([]);
    let answered = status.paths[0].view.counts.answered;
    while bench.peer_events().is_empty() {
        bench.step_late(Duration::ZERO);
    }
    let status = bench.status();
    assert_eq!(status.paths[0].view.counts.answered, answered + 5);
    assert_eq!((status.health, status.silent_since), (Health::Healthy, None));
}

#[test]
fn one_cut_path_of_two_is_the_paths_affair() {
    let mut bench = Bench::healthy(2);
    bench.cut([1]);
    bench.intervals(50);
    let told = std::mem::take(&mut bench.events);
    let [ProbeEvent::PathHealth { peer: PEER, path: PathIndex(1), change }] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((change.from, change.to), (Health::Healthy, Health::Unhealthy));
    assert_eq!(bench.status().health, Health::Healthy);
    bench.cut([0, 1]);
    bench.intervals(5);
    assert_eq!(bench.peer_events().iter().map(|event| event.0).collect::<Vec<_>>(), [Health::Unhealthy]);
}

#[test]
fn a_peer_is_asked_on_all_its_paths_at_once_and_found_silent_at_one_instant() {
    let mut bench = Bench::healthy(3);
    bench.cut([0, 1, 2]);
    let begin = bench.now.get();
    for _ in 0..3 {
        bench.step_late(Duration::ZERO);
        let sent: Vec<u8> = bench.take_sent().into_iter().map(|(path, _)| path).collect();
        assert_eq!(sent, [0, 1, 2]);
    }
    assert_eq!(bench.events, []);
    bench.step_late(Duration::ZERO);
    let told = std::mem::take(&mut bench.events);
    assert_eq!(told.len(), 4, "three paths and the peer: {told:?}");
    let took = bench.now.get().since(begin);
    assert!(took <= INTERVAL.scaled(4, 1), "four intervals at most: {took:?}");
}

#[test]
fn a_late_sender_counts_against_itself() {
    let mut bench = Bench::healthy(1);
    bench.cut([0]);
    bench.step_late(Duration::ZERO);
    let before = bench.status().paths[0].view.counts;
    // Deaf as well: for as long as it lasts, nobody is judged.
    for _ in 0..100 {
        bench.step_late(Duration::from_millis(8));
    }
    let path = bench.status().paths[0].clone();
    assert_eq!((path.view.counts.lost, path.view.counts.void), (before.lost, before.void + 100));
    assert_eq!(path.counters.last_void, Some(VoidCause::SentLate));
    assert!(path.counters.sent_late == 100 && path.counters.maximum_lateness >= Duration::from_millis(8));
    assert_eq!(bench.peer_events(), []);
}

#[test]
fn a_late_sender_that_hears_others_gives_the_peer_a_second_chance_and_no_third() {
    let mut bench = Bench::healthy(1);
    bench.cut([0]);
    bench.step_late(Duration::ZERO);
    for late in 1..=6 {
        assert_eq!(bench.peer_events(), [], "check {late}");
        bench.field.borrow_mut().frames += 1;
        bench.step_late(Duration::from_millis(8));
    }
    assert_eq!(bench.peer_events().iter().map(|event| event.0).collect::<Vec<_>>(), [Health::Unhealthy]);
}

#[test]
fn a_gap_at_the_end_of_a_check_is_ours_unless_it_was_answered() {
    let mut bench = Bench::healthy(1);
    bench.step_late(Duration::from_millis(55));
    let counts = bench.status().paths[0].view.counts;
    assert_eq!((counts.void, counts.lost), (1, 0), "the challenge at the start, nothing since");
    bench.cut([0]);
    bench.step_late(Duration::ZERO);
    bench.step_late(Duration::from_millis(55));
    let path = &bench.status().paths[0];
    assert_eq!((path.view.counts.void, path.view.counts.lost), (2, 0));
    assert_eq!(path.counters.last_void, Some(VoidCause::Gap));
}

#[test]
fn what_cannot_be_sent_is_void_with_its_reason_and_not_for_ever() {
    let mut bench = Bench::healthy(1);
    bench.field.borrow_mut().refuse = Some(Errno::ENETUNREACH);
    let mut checks = 0;
    while bench.peer_events().is_empty() {
        bench.step_late(Duration::ZERO);
        checks += 1;
    }
    assert_eq!(checks, 1 + 2 * 3, "one answered, three forgiven, three lost");
    let counters = bench.status().paths[0].counters;
    assert_eq!(counters.failures, 7);
    assert_eq!(counters.last_failure.unwrap().0, ProbeFailure::Refused(Errno::ENETUNREACH));
    assert_eq!(counters.last_void, Some(VoidCause::NotSent));
}

#[test]
fn a_packet_filter_of_our_own_is_told_before_any_verdict_and_ends_with_the_first_request() {
    let muzzled = |muzzled| ProbeEvent::Muzzled { peer: PEER, muzzled };
    let mut bench = Bench::healthy(2);
    bench.field.borrow_mut().refuse = Some(Errno::EPERM);
    for round in 1..=2 {
        bench.step_late(Duration::ZERO);
        assert_eq!(bench.events, [], "round {round}");
    }
    bench.step_late(Duration::ZERO);
    assert_eq!(bench.events, [muzzled(true)], "the threshold");
    bench.intervals(10);
    assert_eq!(bench.events.iter().filter(|event| **event == muzzled(true)).count(), 1, "told once");
    assert_eq!(bench.peer_events().iter().map(|event| event.0).collect::<Vec<_>>(), [Health::Unhealthy]);
    bench.field.borrow_mut().refuse = None;
    bench.step_late(Duration::ZERO);
    assert_eq!(bench.events, [muzzled(false)]);
}

#[test]
fn what_the_peer_can_bring_about_is_no_packet_filter() {
    let mut bench = Bench::healthy(1);
    bench.field.borrow_mut().refuse = Some(Errno::EHOSTUNREACH);
    bench.intervals(20);
    assert!(
        !bench.events.iter().any(|event| matches!(event, ProbeEvent::Muzzled { .. })),
        "{:?}",
        bench.events
    );
}

#[test]
fn a_peer_that_is_heard_is_not_unhealthy_until_it_falls_silent() {
    let mut bench = Bench::healthy(2);
    bench.cut([0, 1]);
    for _ in 0..50 {
        bench.intervals(1);
        let now = bench.now.get();
        bench.field.borrow_mut().readings.entry(1).or_default().request_at = now;
    }
    assert_eq!(bench.peer_events(), []);
    let (last, status) = (bench.now.get(), bench.status());
    assert!(status.withheld && status.health == Health::Healthy);
    bench.intervals(6);
    let told = bench.peer_events();
    assert_eq!((told[0].0, told[0].1), (Health::Unhealthy, Some(last)));
    assert!(told[0].2.since(last) >= INTERVAL.scaled(3, 1), "a whole detection time after the last request");
    assert!(!bench.status().withheld);
}

#[test]
fn an_announcement_is_a_request_on_every_path_and_no_check() {
    let mut bench = Bench::healthy(2);
    let before = bench.status().paths[0].view.counts;
    bench.with(|prober, around| prober.announce(around));
    let sent = bench.take_sent();
    assert_eq!(sent.iter().map(|(path, _)| *path).collect::<Vec<_>>(), [0, 1]);
    assert!(sent.iter().all(|(_, message)| message.kind == kind::REQUEST));
    bench.intervals(10);
    let path = &bench.status().paths[0];
    assert_eq!(path.view.counts.ended, before.ended + 10);
    assert_eq!((path.view.counts.lost, path.counters.announced), (before.lost, 1));
    let sequences: Vec<u64> = sent.iter().chain(&bench.take_sent()).map(|(_, sent)| sent.sequence).collect();
    assert_eq!(sequences.iter().collect::<BTreeSet<_>>().len(), sequences.len(), "each has its own");
}

#[test]
fn a_message_after_the_lease_claims_nothing() {
    let mut bench = Bench::healthy(1);
    let until = bench.now.get() + INTERVAL;
    bench.prober.set_standing(Standing { owned: 1, ready: 3, lease_until: until, ..Standing::default() });
    bench.intervals(3);
    let sent = bench.take_sent();
    let (first, last) = (sent.first().unwrap().1, sent.last().unwrap().1);
    assert!(first.owned == 1 && first.ready == 3 && first.remaining_us > 0 && first.flags == 0);
    assert_eq!((last.owned, last.ready, last.remaining_us, last.flags), (0, 0, 0, flag::STALE));
    let later = bench.now.get() + Duration::from_secs(1);
    bench.prober.extend_lease(later);
    bench.intervals(1);
    assert_eq!(bench.take_sent().last().unwrap().1.owned, 1);
}

#[test]
fn what_an_earlier_run_left_in_the_maps_speaks_for_nobody() {
    let mut bench = Bench::new(1);
    bench.cut([0]);
    let left = Reading {
        reply_sequence: u64::MAX,
        reply_at: bench.now.get() + Duration::from_secs(1),
        rtt: RTT,
        their_incarnation: 0,
        ..Reading::default()
    };
    bench.field.borrow_mut().readings.insert(0, left);
    bench.intervals(5);
    assert_eq!(bench.status().paths[0].view.counts.answered, 0);
    assert_eq!(bench.peer_events().iter().map(|event| event.0).collect::<Vec<_>>(), [Health::Unhealthy]);
}

#[test]
fn a_reload_leaves_what_it_does_not_touch_alone() {
    let mut bench = Bench::healthy(2);
    bench.cut([1]);
    bench.intervals(5);
    let before = bench.status().clone();
    let (due, last) = (bench.prober.next_due(), bench.take_sent().last().unwrap().1.sequence);
    bench.events.clear();
    bench.configure(settings((0..3).map(path).collect()));
    assert_eq!(bench.status().paths[..2], before.paths[..2]);
    assert_eq!(bench.status().paths[2].view.health, Health::Unknown);
    assert!(bench.prober.next_due() <= due, "the third path begins at once, the others go on");
    bench.intervals(5);
    assert!(bench.take_sent().iter().all(|(_, message)| message.sequence > last));
    assert_eq!(bench.status().paths[0].view.counts.lost, 0);
    // Without the good ones, the bad one judges.
    bench.peer_events();
    let alone = ProbePath { remote: IpAddr::from([10, 0, 0, 2]), ..path(0) };
    bench.cut([0]);
    bench.configure(settings(vec![alone]));
    assert_eq!(bench.status().paths.len(), 1);
    assert_eq!(bench.peer_events(), []);
    bench.configure(ProbeSettings { peers: vec![], ..settings(vec![]) });
    assert_eq!(bench.prober.next_due(), None);
    bench.prober.show(&mut bench.board);
    assert!(bench.board.is_empty());
}

#[test]
fn an_interface_that_goes_and_comes_back_keeps_the_paths_history() {
    let mut bench = Bench::healthy(1);
    let answered = bench.status().paths[0].view.counts.answered;
    bench.configure(settings(vec![ProbePath { place: None, ..path(0) }]));
    bench.intervals(10);
    assert_eq!(bench.peer_events().iter().map(|event| event.0).collect::<Vec<_>>(), [Health::Unhealthy]);
    let failure = bench.status().paths[0].counters.last_failure.unwrap().0;
    assert_eq!(failure, ProbeFailure::NoPlace);
    let mut back = path(0);
    back.place.as_mut().unwrap().ifindex = 70;
    bench.configure(settings(vec![back]));
    bench.intervals(10);
    assert_eq!(bench.peer_events().iter().map(|event| event.0).collect::<Vec<_>>(), [Health::Healthy]);
    assert!(bench.status().paths[0].view.counts.answered > answered);
}

#[test]
fn another_interval_holds_at_once() {
    let mut bench = Bench::healthy(1);
    let slow = CheckSettings::new(Duration::from_secs(60), 3, 5);
    bench.configure(ProbeSettings { checks: slow, ..settings(vec![path(0)]) });
    bench.run(Duration::from_secs(60));
    assert!((1..=2).contains(&bench.take_sent().len()));
    bench.configure(settings(vec![path(0)]));
    bench.intervals(10);
    assert!((10..=11).contains(&bench.take_sent().len()), "not after what was left of the minute");
    assert_eq!(bench.status().paths[0].view.counts.lost, 0);
}

#[test]
fn the_link_local_address_is_told_every_second_and_whenever_it_is_news() {
    let mut bench = Bench::healthy(1);
    let told = |bench: &Bench| {
        let sent = bench.take_sent();
        sent.iter().filter(|(_, message)| message.kind == kind::ADDRESS).count()
    };
    let with_address = |text: &str| {
        let mut path = path(0);
        path.place.as_mut().unwrap().link_local = Some(text.parse().unwrap());
        settings(vec![path])
    };
    bench.configure(with_address("fe80::1"));
    bench.intervals(1);
    assert_eq!(told(&bench), 1, "at once");
    bench.run(Duration::from_secs(10));
    assert_eq!(told(&bench), 10);
    bench.configure(with_address("fe80::1"));
    bench.intervals(1);
    assert_eq!(told(&bench), 0, "not news");
    bench.configure(with_address("fe80::2"));
    bench.intervals(1);
    assert_eq!(told(&bench), 1, "another address");
    bench.field.borrow_mut().incarnation += 1 << 32;
    bench.intervals(3);
    let sent = bench.take_sent();
    let kinds: Vec<u8> = sent.iter().map(|(_, message)| message.kind).collect();
    assert_eq!(kinds, [kind::REQUEST, kind::REQUEST, kind::ADDRESS, kind::REQUEST], "once it knows us");
    bench.configure(settings(vec![path(0)]));
    bench.run(Duration::from_secs(2));
    assert_eq!(told(&bench), 0, "no address, nothing to tell");
}
