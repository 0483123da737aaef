//! What somebody on the segment can try with probes: real ones captured and sent again, changed, reflected, flooded.
//!
//! Every attempt must be counted under its reason and teach nothing, and no answer may be longer or more frequent than what
//! asked for it. The data plane's own tests play the same attacks frame by frame; here the daemons live.

use crate::bad_adverts::flood;
use crate::peers_bench::{Bench, STRANGER, Stranger};
use crate::support::{MS, SECOND, SOON, mac};
use holdfast_lab::clock::Moment;
use holdfast_lab::gateway_pair::{Peering, node_id};
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{Leg, Side};
use serde_json::{Value, json};
use std::time::Duration;

const ADVERTS: Duration = SECOND;
const CHECKS: Duration = Duration::from_millis(5);
const PORT: [u8; 2] = 8612u16.to_be_bytes();
/// Offsets in a frame without tags and options.
const IP: usize = 14;
const TTL: usize = IP + 8;
const SUM: usize = IP + 10;
const SOURCE: usize = IP + 12;
const DESTINATION: usize = IP + 16;
const UDP: usize = IP + 20;
const MESSAGE: usize = UDP + 8;
const LENGTH: usize = MESSAGE + 96;
const KIND: usize = MESSAGE + 3;
const KEY: usize = MESSAGE + 4;
const FROM: usize = MESSAGE + 12;
const MAC: usize = MESSAGE + 88;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;

struct Attack {
    /// Hears what passes A's port on the LAN, as somebody with a tap would.
    tap: PacketSocket,
    stranger: Stranger,
    ear: PacketSocket,
    wan: PacketSocket,
    bytes_in: usize,
    bytes_out: usize,
    bench: Bench,
}

fn is_probe(frame: &[u8]) -> bool {
    frame.len() >= LENGTH && frame[12..14] == [8, 0] && frame[IP + 9] == 17 && frame[UDP + 2..UDP + 4] == PORT
}

/// With the IP header's checksum made right.
fn mended(mut frame: Vec<u8>) -> Vec<u8> {
    frame[SUM..SUM + 2].fill(0);
    let words = frame[IP..UDP].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    frame[SUM..SUM + 2].copy_from_slice(&(!((sum + (sum >> 16)) as u16)).to_be_bytes());
    frame
}

fn changed(frame: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut frame = frame.to_vec();
    change(&mut frame);
    mended(frame)
}

/// What a side believes of its peer, as far as status tells.
fn beliefs(bench: &Bench, side: Side) -> Value {
    let peer = bench.status(side).0["peers"][0].clone();
    let health: Vec<Value> =
        peer["paths"].as_array().unwrap().iter().map(|path| path["health"].clone()).collect();
    let keys = ["health", "role", "owns", "ready_for", "authenticated"].map(|key| peer[key].clone());
    json!([keys, health])
}

impl Attack {
    fn begin() -> Self {
        let bench = Bench::start(ADVERTS, &Peering::every(CHECKS));
        let stranger = bench.stranger();
        let port = bench.lab.port(Side::A, Leg::Lan);
        Attack {
            tap: PacketSocket::open(bench.lab.fabric.namespace(), &port.name).unwrap(),
            ear: stranger.ear(),
            wan: PacketSocket::open(&bench.lab.server, "wan0").unwrap(),
            stranger,
            bytes_in: 0,
            bytes_out: 0,
            bench,
        }
    }

    /// A real message of this kind, as it passed just now, as if sent by the stranger's hardware.
    fn capture(&self, kind: u8, from: Side) -> Vec<u8> {
        while self.tap.receive(Duration::ZERO).unwrap().is_some() {}
        let begin = Moment::now();
        loop {
            assert!(begin.elapsed() < SOON, "no probe of kind {kind} passes");
            let Some(frame) = self.tap.receive(20 * MS).unwrap() else { continue };
            let bytes = &frame.bytes;
            let from = node_id(from).to_le_bytes();
            if is_probe(bytes) && bytes[KIND] == kind && bytes[FROM..FROM + 2] == from {
                let mut frame = bytes[..LENGTH].to_vec();
                frame[6..12].copy_from_slice(&self.stranger.socket.mac);
                return frame;
            }
        }
    }

    fn count(&self, victim: Side, reasons: &[&str]) -> u64 {
        let status = self.bench.status(victim);
        reasons.iter().map(|reason| status.verdicts(reason)).sum()
    }

    /// Sends a frame ten times to `victim`: each is counted under one of the reasons, nothing is taught, and nobody moves.
    /// Gives how many answers the stranger got.
    fn attempt(&mut self, what: &str, victim: Side, frame: &[u8], reasons: &[&str]) -> usize {
        const COPIES: u64 = 10;
        let mut frame = frame.to_vec();
        frame[..6].copy_from_slice(&mac(self.bench.lab.gateway(victim), "lan0"));
        while self.ear.receive(Duration::ZERO).unwrap().is_some() {}
        let believed = Side::BOTH.map(|side| beliefs(&self.bench, side));
        let before = self.count(victim, reasons);
        let mark = self.bench.mark();
        for _ in 0..COPIES {
            self.stranger.socket.send(&frame).unwrap();
            std::thread::sleep(5 * MS);
        }
        // A late reply of the peer's own may be counted beside them.
        let counted = || self.count(victim, reasons) >= before + COPIES;
        eventually_true(&format!("{what}: each is counted"), SOON, counted).unwrap();
        let found = self.count(victim, reasons) - before;
        assert_eq!(Side::BOTH.map(|side| beliefs(&self.bench, side)), believed, "{what}");
        std::thread::sleep(20 * MS);
        let heard_until = Moment::now();
        let mut answers = 0;
        while let Some(frame) =
            self.ear.receive(Duration::ZERO).unwrap().filter(|frame| frame.at <= heard_until)
        {
            let to_us = !frame.outgoing && frame.bytes[..6] == self.stranger.socket.mac;
            if to_us && is_probe(&frame.bytes) {
                answers += 1;
                self.bytes_out += frame.bytes.len();
                assert_eq!(frame.bytes.len(), LENGTH, "{what}: an answer is as long as what asked for it");
            }
        }
        self.bytes_in += COPIES as usize * frame.len();
        println!("{what}: {found} counted of {COPIES}, {answers} answers");
        assert!(answers <= COPIES as usize, "{what}: {answers} answers");
        self.bench.assert_nobody_moved(&mark, what);
        answers
    }

    fn replays_and_reflections(&mut self) {
        const REPEATED: &[&str] = &["probe-repeated", "probe-repeat-limited"];
        let request = self.capture(REQUEST, Side::B);
        std::thread::sleep(50 * MS);
        self.attempt("a request again", Side::A, &request, REPEATED);
        let reply = self.capture(REPLY, Side::A);
        std::thread::sleep(50 * MS);
        let answers = self.attempt("a reply again", Side::B, &reply, &["probe-reply-unmatched"]);
        assert_eq!(answers, 0, "a reply is never answered");

        let own = self.capture(REQUEST, Side::A);
        let swapped = changed(&own, |frame| {
            let (source, destination) = frame[SOURCE..UDP].split_at_mut(4);
            source.swap_with_slice(destination);
        });
        let answers = self.attempt("our own request reflected", Side::A, &swapped, &["probe-header-invalid"]);
        assert_eq!(answers, 0);
        let answers = self.attempt("our own request as it was", Side::A, &own, &["probe-path-unknown"]);
        assert_eq!(answers, 0);
    }

    fn changes(&mut self) {
        let request = self.capture(REQUEST, Side::B);
        let cases: [(&str, &str, Vec<u8>); 6] = [
            ("TTL 254", "probe-header-invalid", changed(&request, |frame| frame[TTL] = 254)),
            ("a wrong MAC", "probe-mac-invalid", changed(&request, |frame| frame[MAC] ^= 1)),
            ("a changed claim", "probe-mac-invalid", changed(&request, |frame| frame[MESSAGE + 56] ^= 1)),
            ("another secret", "probe-key-unknown", changed(&request, |frame| frame[KEY] ^= 1)),
            (
                "from another address",
                "probe-path-unknown",
                changed(&request, |frame| frame[SOURCE..DESTINATION].copy_from_slice(&STRANGER.octets())),
            ),
            (
                "to another address",
                "probe-path-unknown",
                changed(&request, |frame| frame[UDP - 1] = Side::B.host_number()),
            ),
        ];
        for (what, reason, frame) in cases {
            let answers = self.attempt(what, Side::A, &frame, &[reason]);
            assert_eq!(answers, 0, "{what}");
        }
        assert!(
            Side::BOTH.iter().all(|side| self.bench.status(*side).0["peers"][0]["authenticated"] == true)
        );
    }

    /// A request of the LAN's path sent on the WAN's, with the addresses of that.
    fn on_another_path(&mut self) {
        let request = self.capture(REQUEST, Side::B);
        let mut frame = changed(&request, |frame| {
            frame[SOURCE..DESTINATION].copy_from_slice(&Side::B.wan_address().octets());
            frame[DESTINATION..UDP].copy_from_slice(&Side::A.wan_address().octets());
        });
        frame[..6].copy_from_slice(&mac(self.bench.lab.gateway(Side::A), "wan0"));
        frame[6..12].copy_from_slice(&self.wan.mac);
        let believed = beliefs(&self.bench, Side::A);
        let before = self.count(Side::A, &["probe-path-mismatch"]);
        self.wan.send(&frame).unwrap();
        let counted = || self.count(Side::A, &["probe-path-mismatch"]) == before + 1;
        eventually_true("counted", SOON, counted).unwrap();
        assert_eq!(beliefs(&self.bench, Side::A), believed);
    }

    /// Checks of a side's path over the LAN so far: answered, lost, void.
    fn lan_checks(&self, side: Side) -> [u64; 3] {
        let path = self.bench.status(side).0["peers"][0]["paths"][0].clone();
        ["answered", "lost", "void"].map(|key| path[key].as_u64().unwrap())
    }

    fn flood_of_wrong_macs(&mut self) {
        const SPAN: Duration = Duration::from_secs(3);
        let request = self.capture(REQUEST, Side::B);
        let mut frame = changed(&request, |frame| frame[MAC] ^= 1);
        frame[..6].copy_from_slice(&mac(self.bench.lab.gateway(Side::A), "lan0"));
        let believed = Side::BOTH.map(|side| beliefs(&self.bench, side));
        let before = Side::BOTH.map(|side| self.lan_checks(side));
        let refused = self.count(Side::A, &["probe-mac-invalid"]);
        let mark = self.bench.mark();
        let sent = flood(&self.stranger.socket, &frame, mark.at + SPAN);
        let after = Side::BOTH.map(|side| self.lan_checks(side));
        let refused = self.count(Side::A, &["probe-mac-invalid"]) - refused;
        let [answered, lost, void] =
            std::array::from_fn(|at| (0..2).map(|side| after[side][at] - before[side][at]).sum::<u64>());
        println!(
            "flood: {sent} wrong MACs in {SPAN:?}, {refused} refused; of the checks on that path {answered} were answered, \
             {lost} lost, {void} void"
        );
        assert!(sent > 20_000 && refused * 10 > sent * 9, "{sent} sent, {refused} refused");
        assert!(answered > 300 && lost * 1000 <= answered, "{lost} of {answered} lost");
        self.bench.assert_nobody_moved(&mark, "a flood of wrong MACs");
        for side in Side::BOTH {
            for notice in ["peer-unhealthy", "authentication-failing"] {
                assert_eq!(self.bench.notices(side, &mark, notice), 0, "{}: {notice}", side.label());
            }
        }
        assert_eq!(Side::BOTH.map(|side| beliefs(&self.bench, side)), believed);
    }

    /// What was recorded before a restart, of the one or of the other, is worth nothing afterwards.
    fn recordings_do_not_outlive_a_restart(&mut self) {
        let request = self.capture(REQUEST, Side::B);
        self.restart(Side::B);
        let answers =
            self.attempt("from before the prober's restart", Side::A, &request, &["probe-old-incarnation"]);
        assert_eq!(answers, 0);
        let request = self.capture(REQUEST, Side::B);
        self.restart(Side::A);
        const CHALLENGED: &[&str] = &["probe-challenged", "probe-repeat-limited"];
        let answers = self.attempt("from before the responder's restart", Side::A, &request, CHALLENGED);
        assert!(answers > 0, "challenged");
    }

    fn restart(&mut self, side: Side) {
        self.bench.pair.begin_stop(side);
        eventually_true("it has ended", SOON, || self.bench.pair.has_ended(side)).unwrap();
        self.bench.pair.restart(side).unwrap();
        self.bench.settle(Side::A);
    }
}

#[test]
fn probes_captured_changed_and_flooded_teach_nothing() {
    let mut attack = Attack::begin();
    attack.replays_and_reflections();
    attack.changes();
    attack.on_another_path();
    attack.flood_of_wrong_macs();
    attack.recordings_do_not_outlive_a_restart();
    println!("{} bytes were sent and {} came back", attack.bytes_in, attack.bytes_out);
    assert!(attack.bytes_out <= attack.bytes_in);
}
