//! Invalid adverts on our VRID, at any rate, change nothing: every scheduled advert leaves, nobody moves, each discard is
//! counted under its reason, and the controller hardly notices (V-006, V-042, V-045, V-061 to V-065, V-071).

use crate::support::{
    INTERVAL, LAN, MS, SECOND, SOON, VIP, VRID, cpu_time, mac, start_pair, transition_count,
};
use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, Status};
use holdfast_lab::forge::{AdvertSpec, ChecksumForm};
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::topology::Segment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The target is 5 %; the rest is for a debug build on a busy machine.
const MOST_CPU_PERCENT: f64 = 25.0;
/// Sends of a flood between two looks at the clock.
const BURST: usize = 64;

/// A way to be wrong, the reason it is counted under, and whether the router or only the node counts it.
type Fault = (&'static str, fn(&mut AdvertSpec));

const FAULTS: [Fault; 6] = [
    ("checksum-invalid", |advert| advert.checksum = ChecksumForm::Wrong),
    ("ttl-invalid", |advert| advert.ttl = 254),
    ("version-invalid", |advert| advert.version = 4),
    ("length-invalid", |advert| advert.truncate = Some(11)),
    ("vrid-unknown", |advert| advert.vrid = VRID + 1),
    ("type-invalid", |advert| advert.kind = 2),
];

fn counted(status: &Status, reason: &str) -> u64 {
    match reason {
        "vrid-unknown" => status.verdicts(reason),
        _ => status.discards(LAN, reason),
    }
}

struct Bench {
    capture: AdvertCapture,
    tester: PacketSocket,
    a: Daemon,
    b: Daemon,
    segment: Segment,
}

impl Bench {
    fn start() -> Self {
        let segment = Segment::build(&["a", "b", "tester", "ear"]).unwrap();
        let (a, b) = start_pair(&segment, |router| router);
        let tester = PacketSocket::open(segment.host("tester"), Segment::INTERFACE).unwrap();
        let own = mac(segment.host("a"), Segment::INTERFACE);
        let capture = AdvertCapture::start_from(segment.host("ear"), Segment::INTERFACE, own).unwrap();
        Bench { capture, tester, a, b, segment }
    }

    /// An advert that would win if it were right.
    fn winner(&self) -> AdvertSpec {
        let source = self.segment.address("tester");
        AdvertSpec { interval: 10, ..AdvertSpec::v3(source, self.tester.mac, VRID, 250, &[VIP.into()]) }
    }

    /// Has `send` send for `span`, and checks what must hold meanwhile. Gives how many were sent.
    fn endure(&self, what: &str, span: Duration, send: impl FnOnce(Moment) -> u64) -> u64 {
        let before = [self.a.status().unwrap(), self.b.status().unwrap()];
        let cpu = [cpu_time(&self.a), cpu_time(&self.b)];
        let begin = Moment::now();
        let sent = send(begin + span);
        let end = Moment::now();
        let took = end.since(begin);
        let daemons = [&self.a, &self.b];
        let shares = daemons
            .iter()
            .zip(cpu)
            .map(|(daemon, before)| 100.0 * (cpu_time(daemon) - before).as_secs_f64() / took.as_secs_f64());
        let shares: Vec<f64> = shares.collect();
        // The capture reads in order: with the next advert in hand it has all before it.
        self.capture.wait_for("the advert after the last", end, SOON, |_| true).unwrap();
        let adverts = self.capture.since(begin).into_iter().filter(|advert| advert.at <= end).count() as u128;
        let due = took.as_nanos() / INTERVAL.as_nanos();
        println!(
            "{what}: {sent} sent in {took:?}, {adverts} of {due} adverts left, CPU Active {:.1} %, Backup {:.1} %",
            shares[0], shares[1]
        );
        let gap = self.capture.longest_gap(self.segment.address("a"), begin, end);
        assert!(adverts + 1 >= due, "{what}: {adverts} of {due} scheduled adverts left, longest gap {gap:?}");
        assert!(shares.iter().all(|share| *share < MOST_CPU_PERCENT), "{what}: {shares:?} % CPU");
        for (daemon, before) in [&self.a, &self.b].iter().zip(before) {
            let now = daemon.status().unwrap();
            assert_eq!(transition_count(&now), transition_count(&before), "{what}: nobody moves");
        }
        sent
    }

    fn assert_counted(&self, reason: &str, before: [u64; 2], sent: u64) {
        for (daemon, before) in [&self.a, &self.b].iter().zip(before) {
            let found = counted(&daemon.status().unwrap(), reason) - before;
            assert_eq!(found, sent, "{reason}: each is counted once");
        }
    }

    fn counts(&self, reason: &str) -> [u64; 2] {
        [&self.a, &self.b].map(|daemon| counted(&daemon.status().unwrap(), reason))
    }

    fn roles_stand(&self) {
        assert_eq!(self.a.status().unwrap().state(LAN), Some("active"));
        assert_eq!(self.b.status().unwrap().state(LAN), Some("backup"));
    }
}

#[test]
fn twenty_invalid_adverts_a_second_change_nothing() {
    const RATE: u32 = 20;
    let bench = Bench::start();
    for (reason, spoil) in FAULTS {
        let mut advert = bench.winner();
        spoil(&mut advert);
        let before = bench.counts(reason);
        let sent = bench.endure(&format!("{reason} at {RATE}/s"), 3 * SECOND, |end| {
            let mut sent = 0;
            let mut next = Moment::now();
            while next < end {
                next.sleep_until();
                bench.tester.send(&advert.frame()).unwrap();
                sent += 1;
                next = next + SECOND / RATE;
            }
            sent
        });
        bench.assert_counted(reason, before, sent);
    }
    bench.roles_stand();
}

#[test]
fn a_flood_of_invalid_adverts_changes_nothing() {
    let bench = Bench::start();
    for (reason, spoil) in FAULTS {
        let mut advert = bench.winner();
        spoil(&mut advert);
        let frame = advert.frame();
        let before = bench.counts(reason);
        let sent =
            bench.endure(&format!("flood of {reason}"), 2 * SECOND, |end| flood(&bench.tester, &frame, end));
        assert!(sent > 10_000, "{reason}: a flood was meant, {sent} were sent");
        // A bridge under a flood may drop frames before they arrive, never double them.
        let after = bench.counts(reason);
        for (before, after) in before.into_iter().zip(after) {
            assert!(
                after - before <= sent && after - before > sent / 2,
                "{reason}: {} of {sent}",
                after - before
            );
        }
    }
    bench.roles_stand();
}

/// V-071: rejected adverts do not keep a Backup from taking over.
#[test]
fn a_flood_of_invalid_adverts_does_not_stand_in_for_the_active() {
    let bench = Bench::start();
    let mut advert = bench.winner();
    advert.checksum = ChecksumForm::Wrong;
    let frame = advert.frame();
    bench.segment.fabric.silence(&bench.segment.port("a")).unwrap();
    let lost = Moment::now();
    flood(&bench.tester, &frame, lost + SECOND);
    let status = bench.b.wait_state(LAN, "active", SOON).unwrap();
    assert_eq!(status.cause(LAN), Some("advert-timeout"));
    let last = crate::support::events(&bench.b).pop().unwrap();
    // Active_Down_Interval at priority 100 and 100 ms is 361 ms.
    let age = Duration::from_nanos(last["last_advert_age_ns"].as_u64().unwrap());
    assert!(age >= 360 * MS && age < 700 * MS, "taken over {age:?} after the last good advert");
}

/// Sends one frame as fast as the socket takes it; a full queue is no error.
pub(crate) fn flood(socket: &PacketSocket, frame: &[u8], end: Moment) -> u64 {
    let mut sent = 0;
    while Moment::now() < end {
        for _ in 0..BURST {
            sent += u64::from(socket.send(frame).is_ok());
        }
        FLOODED_AT.store(Moment::now().as_nanos(), Ordering::Relaxed);
    }
    sent
}

/// When any scenario flooded last.
static FLOODED_AT: AtomicU64 = AtomicU64::new(0);

/// Whether a scenario has flooded since. All labs share one kernel, whose queues then are full for everybody: scenarios beside
/// it cannot hold others to what they answer in time.
pub(crate) fn is_flooded_since(moment: Moment) -> bool {
    Moment::from_nanos(FLOODED_AT.load(Ordering::Relaxed)) >= moment
}
