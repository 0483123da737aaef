//! The XDP bypass as a wire between two hosts, against a kernel bridge in the same place: frames per second, and the time from
//! the order to the first frame through.
//!
//! The gateway's receive work has a processor of its own; frames are fired and counted on the other one, by XDP on both
//! ends, so that neither the hosts' stacks nor sockets are in the figure.

use crate::trials::{Findings, Session, USUAL_TRIALS};
use anyhow::{Context, Result, ensure};
use ha_common::maps::values::{Head, LinkPolicy, fence};
use holdfast::bypass::{Bypass, BypassReport, PortPair, Reading, WirePorts};
use holdfast::config::validated;
use holdfast::datapath::bpffs::PinDirectory;
use holdfast::datapath::{Datapath, MonitoredLink, WirePort};
use holdfast::runtime::clock;
use holdfast_lab::fabric::{attach_foreign_xdp, connect_hosts};
use holdfast_lab::netns::LabName;
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::processors::{self, ReceiveThread};
use holdfast_lab::xdp_tools::{FrameCannon, FrameMeter};
use holdfast_lab::{Moment, Namespace, eventually};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

pub(crate) const NAME: &str = "wire";
const PAIR: &str = "edge";
const LEFT: &str = "left0";
const RIGHT: &str = "right0";
/// The gateway's ports.
const PORTS: [&str; 2] = ["inside0", "outside0"];
const MTU: u32 = 1500;
/// Bytes of a frame without its check sequence.
const LENGTHS: [usize; 2] = [60, 1514];
/// The processors of the hosts and of the gateway.
const HOSTS: usize = 0;
const GATEWAY: usize = 1;
const SOON: Duration = Duration::from_secs(5);
const LEASE: Duration = Duration::from_secs(600);
/// Time in which frames are counted.
const SPAN: Duration = Duration::from_secs(1);
/// Orders of which the first frame is timed.
const ORDERS: usize = 20;

/// What joins the gateway's two ports.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    Bypass,
    Bridge,
}

pub(crate) fn run(session: &mut Session) {
    for length in LENGTHS {
        // With the four bytes that no program sees.
        let case = format!("frames of {} bytes", length + 4);
        session.apart(USUAL_TRIALS, NAME, &case, |findings| {
            let ours = throughput(Joint::Bypass, length)?;
            let theirs = throughput(Joint::Bridge, length)?;
            findings.add("XDP bypass", "frames/s", ours.through);
            findings.add("kernel bridge", "frames/s", theirs.through);
            findings.add("XDP bypass, per processor", "frames/s", ours.per_processor);
            findings.add("kernel bridge, per processor", "frames/s", theirs.per_processor);
            findings.add(
                "bypass over bridge, per processor",
                "times",
                ours.per_processor / theirs.per_processor,
            );
            findings.add("offered to the bypass", "frames/s", ours.offered);
            findings.add("offered to the bridge", "frames/s", theirs.offered);
            Ok(())
        });
    }
    let mut standing = None;
    session.apart(ORDERS, NAME, "from the order to the first frame", |findings| {
        first_frame(&mut standing, findings)
    });
}

/// Two hosts and a gateway between them. What joins its ports is dropped first.
struct Lab {
    plane: Option<Plane>,
    left: Namespace,
    right: Namespace,
    gateway: Namespace,
    pins: PathBuf,
}

/// The product's data plane and its bypass, without a daemon.
struct Plane {
    _datapath: Datapath,
    bypass: Bypass,
    reports: Receiver<BypassReport>,
}

impl Lab {
    fn build(joint: Joint) -> Result<Self> {
        ensure!(processors::count() > GATEWAY, "this bench needs two processors");
        let name = LabName::unique();
        let node = |part| Namespace::create(&name, part);
        let (left, right, gateway) = (node("left")?, node("right")?, node("gw")?);
        for host in [&left, &right, &gateway] {
            host.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        }
        connect_hosts((&gateway, PORTS[0]), (&left, LEFT), MTU)?;
        connect_hosts((&gateway, PORTS[1]), (&right, RIGHT), MTU)?;
        let pins = Path::new("/sys/fs/bpf").join(name.part("pins"));
        let mut lab = Lab { plane: None, left, right, gateway, pins };
        match joint {
            Joint::Bypass => lab.plane = Some(lab.gateway.enter(|| Plane::load(&lab.pins))??),
            Joint::Bridge => lab.gateway.ip_batch(&[
                "link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0".to_owned(),
                "link set br0 up".to_owned(),
                format!("link set {} master br0", PORTS[0]),
                format!("link set {} master br0", PORTS[1]),
            ])?,
        }
        Ok(lab)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(plane) = self.plane.take() {
            plane.bypass.stop();
        }
        if let Ok(pins) = PinDirectory::open(&self.pins) {
            let _ = Datapath::clear_left(&pins);
            let _ = pins.remove();
        }
    }
}

impl Plane {
    /// In the gateway's namespace: both ports monitored and paired, the wire released.
    fn load(pins: &Path) -> Result<Self> {
        let (mut datapath, _ring) = Datapath::load(PinDirectory::open(pins)?)?;
        datapath.maps.write_settings(fence::VIP)?;
        let config = validated::Bypass {
            driver: validated::BypassDriver::Xdp,
            topology: validated::Topology::Inline,
            on_controller_loss: false,
            watchdog: None,
        };
        let pair = PortPair { name: PAIR.into(), ..PortPair::default() };
        let (sender, reports) = channel();
        let maps = datapath.maps.take_bypass();
        let bypass = Bypass::spawn(&config, &[pair], maps, Box::new(move |report| drop(sender.send(report))));
        let bypass = bypass?.context("the driver is none")?;
        let [inside, outside] = PORTS.map(|port| monitor(&mut datapath, port));
        let lease = holdfast_engine::Duration::from_nanos(LEASE.as_nanos() as u64);
        datapath.maps.write_lease(clock::now() + lease)?;
        bypass.rewire(vec![WirePorts { pair: PAIR.into(), inside: Some(inside?), outside: Some(outside?) }]);
        Ok(Plane { _datapath: datapath, bypass, reports })
    }

    fn engage(&self) -> Result<()> {
        self.bypass.engage([PAIR]);
        self.wait(Reading::Engaged)
    }

    fn release(&self) -> Result<()> {
        self.bypass.release([PAIR]);
        self.wait(Reading::Released)
    }

    /// Waits until the wire is read back like this.
    fn wait(&self, reading: Reading) -> Result<()> {
        loop {
            let report = self.reports.recv_timeout(SOON).context("no report of the bypass")?;
            ensure!(report.fault.is_none(), "the bypass says {:?}", report.fault);
            if report.reading == reading {
                return Ok(());
            }
        }
    }
}

/// Attaches the data plane to a port of this thread's namespace.
fn monitor(datapath: &mut Datapath, name: &str) -> Result<WirePort> {
    let ifindex = nix::net::if_::if_nametoindex(name)?;
    let MonitoredLink { slot, mode, .. } = *datapath.monitor(name, ifindex)?;
    let head = Head::of::<LinkPolicy>();
    // No frame here is for the gateway itself: its own hardware address does not matter.
    let policy =
        LinkPolicy { head, ifindex, routers: 0, owned: 0, mac: [2, 0, 0, 0, 0, 1], reserved: [0; 2] };
    datapath.maps.write_link(slot, policy)?;
    Ok(WirePort { name: name.into(), slot, ifindex, mode })
}

/// A frame of a length that nobody understands.
fn frame(length: usize) -> Vec<u8> {
    const EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];
    let mut frame = [[2, 0, 0, 0, 0, 0x77], [2, 0, 0, 0, 0, 0x66]].concat();
    frame.extend(EXPERIMENTAL);
    frame.resize(length, 0x5a);
    frame
}

/// Frames per second.
struct Throughput {
    through: f64,
    /// Per second of the gateway's processor.
    per_processor: f64,
    offered: f64,
}

fn throughput(joint: Joint, length: usize) -> Result<Throughput> {
    /// Frames to learn the rate from.
    const SIGHTING: u32 = 200_000;
    /// Time into a salvo from which frames are counted, and how long a salvo lasts.
    const LEAD: Duration = Duration::from_millis(300);
    const SALVO: Duration = Duration::from_millis(1800);
    let lab = Lab::build(joint)?;
    if let Some(plane) = &lab.plane {
        plane.engage()?;
    }
    attach_foreign_xdp(&lab.left, LEFT)?;
    let meter = FrameMeter::attach(&lab.right, RIGHT)?;
    ReceiveThread::start(&lab.right, RIGHT, HOSTS)?.go_first()?;
    let working = [
        ReceiveThread::start(&lab.gateway, PORTS[0], GATEWAY)?,
        ReceiveThread::start(&lab.gateway, PORTS[1], GATEWAY)?,
    ];
    let used = || working.iter().map(ReceiveThread::processor_time).sum::<Result<Duration>>();
    let cannon = FrameCannon::load(&frame(length), 1)?;
    let fire = |count: u32| {
        lab.left.enter(|| {
            processors::stay_on(HOSTS);
            let begin = Moment::now();
            cannon.fire(LEFT, count).map(|()| f64::from(count) / begin.elapsed().as_secs_f64())
        })?
    };
    let offered = fire(SIGHTING)?;
    ensure!(meter.frames()? > 0, "no frame came through");
    let count = (offered * SALVO.as_secs_f64()) as u32;
    std::thread::scope(|scope| {
        let firing = scope.spawn(|| fire(count));
        std::thread::sleep(LEAD);
        let (begin, first, idle) = (Moment::now(), meter.frames()?, used()?);
        (begin + SPAN).sleep_until();
        let (took, frames, used) = (begin.elapsed(), meter.frames()? - first, used()?.saturating_sub(idle));
        let offered = firing.join().map_err(|_| anyhow::anyhow!("the cannon panicked"))??;
        Ok(Throughput {
            through: frames as f64 / took.as_secs_f64(),
            per_processor: frames as f64 / used.as_secs_f64(),
            offered,
        })
    })
}

/// A lab with a stream of frames, for orders one after the other.
struct Stream<'a> {
    right: &'a PacketSocket,
    frame: &'a [u8],
}

impl Stream<'_> {
    /// When the next frame came through.
    fn next(&self, patience: Duration) -> Result<Option<Moment>> {
        Ok(self.right.wait_for(patience, |found| found.bytes == self.frame)?.map(|frame| frame.at))
    }

    /// Waits until nothing comes through any more.
    fn wait_quiet(&self) -> Result<()> {
        const QUIET: Duration = Duration::from_millis(50);
        eventually("the wire is quiet", SOON, || matches!(self.next(QUIET), Ok(None)).then_some(()))
    }
}

/// One order, timed to the first frame through, while a host sends without pause.
fn first_frame(standing: &mut Option<Lab>, findings: &mut Findings) -> Result<()> {
    let lab = match standing.take() {
        Some(lab) => lab,
        None => Lab::build(Joint::Bypass)?,
    };
    let plane = lab.plane.as_ref().context("a lab with a bypass")?;
    let (left, right) = (PacketSocket::open(&lab.left, LEFT)?, PacketSocket::open(&lab.right, RIGHT)?);
    let frame = frame(LENGTHS[0]);
    let stream = Stream { right: &right, frame: &frame };
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            processors::stay_on(HOSTS);
            let (begin, mut sent) = (Moment::now(), 0u32);
            while !stop.load(Ordering::Relaxed) {
                sent += u32::from(left.send(&frame).is_ok());
            }
            f64::from(sent) / begin.elapsed().as_secs_f64()
        });
        let measured = time_order(plane, &stream, findings);
        stop.store(true, Ordering::Relaxed);
        let sent = sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))?;
        measured.map(|()| sent)
    })?;
    findings.add("frames offered", "/s", sent);
    plane.release()?;
    *standing = Some(lab);
    Ok(())
}

fn time_order(plane: &Plane, stream: &Stream<'_>, findings: &mut Findings) -> Result<()> {
    stream.wait_quiet()?;
    let order = Moment::now();
    plane.engage()?;
    let read_back = order.elapsed();
    let first = stream.next(SOON)?.context("no frame came through the wire")?;
    findings.add("first frame after", "us", first.since(order).as_secs_f64() * 1e6);
    findings.add("read back after", "us", read_back.as_secs_f64() * 1e6);
    Ok(())
}
