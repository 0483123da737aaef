//! Answers to probes per second of one processor: the XDP program, against a program that receives and sends, on a veth in the
//! same run.
//!
//! The side that answers has a processor of its own, where also the device's receive work is done, and its time there is
//! what counts. Requests come from the other processor, faster than they are answered: live frames for XDP, each fresh and
//! signed; a packet socket at several rates for the program, of which the best counts.

use crate::frames::{OUR_ADDRESS, OUR_MAC, PEER_ADDRESS, PEER_MAC};
use crate::plane::Plane;
use crate::probe_frames::{PORT, probe_v4, request};
use crate::trials::{Findings, Session, USUAL_TRIALS};
use anyhow::{Context, Result, ensure};
use ha_common::maps::names;
use ha_common::verdict_reasons::VerdictReason;
use holdfast_lab::Moment;
use holdfast_lab::Namespace;
use holdfast_lab::fabric::connect_hosts;
use holdfast_lab::forge::mac_text;
use holdfast_lab::netns::LabName;
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::processors::{self, ReceiveThread};
use holdfast_lab::xdp_tools::{FrameCannon, FrameMeter};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) const NAME: &str = "probe-answer";
/// Devices' names tell their receive work's threads apart.
const NEAR: &str = "asks0";
const FAR: &str = "answers0";
const MTU: u32 = 1500;
/// The processors of who asks and of who answers.
const ASKING: usize = 0;
const ANSWERING: usize = 1;
/// Fresh requests per salvo; a power of two.
const SALVO: u32 = 1 << 16;
const SALVOS: u32 = 8;
/// Time in which what is on its way has been answered.
const DRAIN: Duration = Duration::from_millis(50);
/// Rates at which the program is asked, per second; then as fast as a socket sends.
const RATES: [Option<u32>; 5] = [Some(50_000), Some(100_000), Some(200_000), Some(400_000), None];
const RATE_SPAN: Duration = Duration::from_millis(500);

/// Two hosts on one wire: one asks and counts what comes back, the other answers.
struct Wire {
    near: Namespace,
    far: Namespace,
    answers: FrameMeter,
}

impl Wire {
    fn build() -> Result<Self> {
        ensure!(processors::count() > ANSWERING, "this bench needs two processors");
        let lab = LabName::unique();
        let (near, far) = (Namespace::create(&lab, "near")?, Namespace::create(&lab, "far")?);
        for host in [&near, &far] {
            host.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        }
        connect_hosts((&near, NEAR), (&far, FAR), MTU)?;
        let answers = FrameMeter::attach(&near, NEAR)?;
        ReceiveThread::start(&near, NEAR, ASKING)?.go_first()?;
        Ok(Wire { near, far, answers })
    }
}

pub(crate) fn run(session: &mut Session) {
    session.apart(USUAL_TRIALS, NAME, "requests of 96 bytes over IPv4, veth", |findings| {
        let ours = xdp_answers(findings)?;
        findings.add("answers of XDP per processor", "/s", ours);
        let best = echo_answers()?;
        findings.add("answers of a UDP echo per processor", "/s", best);
        findings.add("XDP over echo", "times", ours / best);
        Ok(())
    });
}

/// Answers of the XDP program per second of its processor.
fn xdp_answers(findings: &mut Findings) -> Result<f64> {
    let wire = Wire::build()?;
    let mut plane = Plane::new();
    plane.meet_peer();
    wire.far.enter(|| plane.attach_xdp(names::PROGRAM_INGRESS, FAR))?;
    let receiving = ReceiveThread::start(&wire.far, FAR, ANSWERING)?;
    let cannon = FrameCannon::load(&probe_v4(&request(0)), SALVO)?;
    let (before, counted, mut used, mut firing) =
        (plane.verdicts(), wire.answers.frames()?, Duration::ZERO, Duration::ZERO);
    for salvo in 0..SALVOS {
        for turn in 0..SALVO {
            // Number 0 is no request.
            cannon.set(turn, &probe_v4(&request(u64::from(salvo * SALVO + turn) + 1)))?;
        }
        let idle = receiving.processor_time()?;
        let fired = wire.near.enter(|| {
            processors::stay_on(ASKING);
            let begin = Moment::now();
            cannon.fire(NEAR, SALVO).map(|()| begin.elapsed())
        })?;
        firing += fired?;
        std::thread::sleep(DRAIN);
        used += receiving.processor_time()?.saturating_sub(idle);
    }
    let answers = wire.answers.frames()? - counted;
    let after = plane.verdicts();
    let grown = |reason: VerdictReason| after[reason as usize] - before[reason as usize];
    let fresh = grown(VerdictReason::ProbeAnswered);
    let all: u64 = VerdictReason::ALL.iter().map(|reason| grown(*reason)).sum();
    findings.demand(fresh == all, || format!("{fresh} of {all} requests got the answer to a fresh one"));
    findings.demand(answers <= fresh, || format!("{answers} answers to {fresh} requests"));
    findings.add("requests that reached XDP", "%", 100.0 * all as f64 / f64::from(SALVO * SALVOS));
    findings.add("answers that came back", "%", 100.0 * answers as f64 / fresh.max(1) as f64);
    findings.add("requests offered to XDP", "/s", f64::from(SALVO * SALVOS) / firing.as_secs_f64());
    Ok(answers as f64 / used.as_secs_f64())
}

/// Answers of a plain program per second of its processor, at the best of the rates.
fn echo_answers() -> Result<f64> {
    let wire = Wire::build()?;
    let (own, other) = (Ipv4Addr::from(OUR_ADDRESS), Ipv4Addr::from(PEER_ADDRESS));
    wire.far.ip_batch(&[
        format!("link set {FAR} address {}", mac_text(OUR_MAC)),
        format!("addr add {own}/24 dev {FAR}"),
        format!("neigh add {other} lladdr {} dev {FAR} nud permanent", mac_text(PEER_MAC)),
    ])?;
    let receiving = ReceiveThread::start(&wire.far, FAR, ANSWERING)?;
    let echo = wire.far.enter(|| UdpSocket::bind((own, PORT)))??;
    const SLICE: Duration = Duration::from_millis(5);
    echo.set_read_timeout(Some(SLICE))?;
    let socket = PacketSocket::open(&wire.near, NEAR)?;
    socket.only_from(socket.mac)?;
    let frame = probe_v4(&request(1));
    let mut best: Option<f64> = None;
    for rate in RATES {
        let (stop, counted, idle) =
            (AtomicBool::new(false), wire.answers.frames()?, receiving.processor_time()?);
        let used = std::thread::scope(|scope| -> Result<Duration> {
            let program = scope.spawn(|| answer_until(&echo, &stop));
            let asker = scope.spawn(|| ask(&socket, &frame, rate));
            asker.join().map_err(|_| anyhow::anyhow!("the asker panicked"))?;
            std::thread::sleep(DRAIN);
            stop.store(true, Ordering::Relaxed);
            program.join().map_err(|_| anyhow::anyhow!("the echo panicked"))
        })?;
        let used = used + receiving.processor_time()?.saturating_sub(idle);
        let answers = wire.answers.frames()? - counted;
        let per_second = answers as f64 / used.as_secs_f64();
        eprintln!("  echo asked at {rate:?}: {answers} answers, {per_second:.0} per second of its processor");
        best = best.into_iter().chain([per_second]).reduce(f64::max);
    }
    best.filter(|best| *best > 0.0).context("the echo answered nothing")
}

/// Sends back what comes; gives the processor time it took.
fn answer_until(socket: &UdpSocket, stop: &AtomicBool) -> Duration {
    processors::stay_on(ANSWERING);
    let begin = processors::own_time();
    let mut room = [0u8; 256];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut room) {
            let _ = socket.send_to(&room[..length], from);
        }
    }
    processors::own_time().saturating_sub(begin)
}

/// Sends a frame for a while, at a rate per second or as fast as the socket takes it.
fn ask(socket: &PacketSocket, frame: &[u8], rate: Option<u32>) {
    /// Frames sent together, so that the pauses are not shorter than a sleep can be.
    const BURST: u32 = 32;
    processors::stay_on(ASKING);
    let begin = Moment::now();
    let mut next = begin;
    while begin.elapsed() < RATE_SPAN {
        for _ in 0..BURST {
            let _ = socket.send(frame);
        }
        if let Some(rate) = rate {
            next = next + Duration::from_secs(1) * BURST / rate;
            next.sleep_until();
        }
    }
}
