//! What a probe looks like on the wire, what becomes of what comes to its socket, and what is said when it cannot leave.

use crate::bench::{Bench, DEADLINE, FarSide, PORT, in_fresh_namespace, keys, path, run, settings, until};
use crate::tap::{message_of, next_frame, packet_socket};
use ha_common::wire::probe::{Message, flag, kind};
use holdfast::probes::standing::Standing;
use holdfast::runtime::clock;
use holdfast_engine::{Duration, Health};
use std::collections::BTreeMap;
use std::time::{Duration as StdDuration, Instant};

const TEN_MS: Duration = Duration::from_millis(10);
const A_MINUTE: Duration = Duration::from_secs(60);
/// Don't fragment, at offset 0.
const DF: [u8; 2] = [0x40, 0];

fn bench() -> Bench {
    let far = FarSide::new();
    far.join("lan0", "192.0.2.10/24", "peer0", "192.0.2.11/24");
    Bench::start(far, &[("192.0.2.11".parse().unwrap(), "peer0")])
}

fn lan() -> holdfast::probes::paths::ProbePath {
    path(0, "lan0", "192.0.2.10", "192.0.2.11")
}

#[test]
fn a_request_on_the_wire() {
    in_fresh_namespace(|| {
        let bench = bench();
        let wire = bench.far.run(packet_socket);
        bench.sender.configure(settings(TEN_MS, keys(), vec![lan()]));
        let deadline = Instant::now() + DEADLINE;
        let frame = loop {
            assert!(Instant::now() < deadline, "no probe came");
            if let Some((_, frame)) = next_frame(&wire).filter(|(_, frame)| message_of(frame).is_some()) {
                break frame;
            }
        };
        let packet = &frame[14..];
        assert_eq!((packet[0], packet[1]), (0x45, 0xc0), "no options, CS6");
        assert_eq!((packet[6..8].to_vec(), packet[8]), (DF.to_vec(), 255));
        assert_eq!(packet[12..20], [192, 0, 2, 10, 192, 0, 2, 11]);
        assert_eq!(packet[20..24], [PORT.to_be_bytes(), PORT.to_be_bytes()].concat());
        assert_eq!(packet.len(), 20 + 8 + 96);
        let message = message_of(&frame).unwrap();
        assert_eq!(message.mac, message.compute_mac(keys().send[0]));
        assert_eq!((message.kind, message.flags), (kind::REQUEST, flag::STALE), "no lease was told yet");
    });
}

#[test]
fn what_reaches_the_socket_is_thrown_away() {
    in_fresh_namespace(|| {
        let bench = bench();
        bench.sender.configure(settings(TEN_MS, keys(), vec![lan()]));
        assert_eq!(bench.peer_health().0, Health::Healthy);
        until("answers", || (bench.path_status(0).view.counts.answered > 10).then_some(()));
        let sockets = std::fs::read_to_string("/proc/thread-self/net/udp").unwrap();
        let ours = sockets.lines().find(|line| line.contains(&format!(":{PORT:04X} "))).expect("our socket");
        let fields: Vec<&str> = ours.split_whitespace().collect();
        assert_eq!(fields[4].split(':').nth(1), Some("00000000"), "nothing waits to be read: {ours}");
        let dropped: u64 = fields.last().unwrap().parse().unwrap();
        assert!(dropped > 10, "{ours}");
    });
}

#[test]
fn the_standing_travels_at_once_and_in_order() {
    in_fresh_namespace(|| {
        let bench = bench();
        bench.sender.configure(settings(TEN_MS, keys(), vec![lan()]));
        assert_eq!(bench.peer_health().0, Health::Healthy);
        // So slow that nothing but an announcement can carry it.
        bench.sender.configure(settings(A_MINUTE, keys(), vec![lan()]));
        assert!(bench.sender.settle(StdDuration::from_secs(1)));
        let before = bench.path_status(0).counters.announced;
        let standing = Standing {
            owned: 1,
            ready: 3,
            priority: 200,
            lease: Duration::from_secs(1),
            lease_until: clock::now() + Duration::from_secs(1),
            hears: BTreeMap::from([(crate::bench::PEER, 1)]),
            ..Standing::default()
        };
        bench.sender.set_standing(standing);
        bench.sender.announce_now();
        assert!(bench.sender.settle(StdDuration::from_secs(1)));
        let claim = |message: &&Message| message.owned == 1;
        let heard = until("the claim", || bench.peer.lock().unwrap().accepted.iter().find(claim).copied());
        assert_eq!((heard.ready, heard.priority, heard.hears, heard.lease_centis), (3, 200, 1, 100));
        assert!(heard.remaining_us > 0 && heard.remaining_us <= 1_000_000 && heard.flags == 0);
        until("its count", || (bench.path_status(0).counters.announced == before + 1).then_some(()));
    });
}

#[test]
fn what_this_host_drops_is_not_laid_at_the_peers_door() {
    in_fresh_namespace(|| {
        let bench = bench();
        bench.sender.configure(settings(TEN_MS, keys(), vec![lan()]));
        assert_eq!(bench.peer_health().0, Health::Healthy);
        // A queue too short for any frame.
        run("tc", "qdisc add dev lan0 root bfifo limit 1");
        let path = until("failures", || {
            let path = bench.path_status(0);
            (path.counters.failures > 0).then_some(path)
        });
        let (failure, _) = path.counters.last_failure.unwrap();
        assert_eq!(failure.to_string(), "No buffer space available (os error 105)");
        assert_eq!(bench.peer_health().0, Health::Unhealthy, "but not for ever");
        assert!(bench.path_status(0).view.counts.void >= 3);
        run("tc", "qdisc del dev lan0 root");
        assert_eq!(bench.peer_health().0, Health::Healthy);
    });
}
