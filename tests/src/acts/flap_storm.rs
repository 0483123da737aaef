//! A primary that lies between two segments flaps until it latches: bypass, and a second gateway behind it serves
//! through the wire until the operator releases it.

use super::stage::{SOON, scene, status_lines, wait_heard};
use super::{Script, Tell};
use crate::clock::Moment;
use crate::daemon::{Daemon, NodeSpec, Status};
use crate::gateway_pair::{node_id, router_name};
use crate::inline_lab::InlineLab;
use crate::instruments::Instruments;
use crate::packet_socket::PacketSocket;
use crate::topology::{CLIENT, Leg, Side};
use crate::trickle::Trickle;
use anyhow::{Context, Result};
use serde_json::Value;
use std::time::Duration;

const ADVERTS: Duration = Duration::from_millis(100);
/// `flaps.maximum_allowed`.
const ALLOWED: u32 = 2;
/// How long a link stays down.
const DOWN: Duration = Duration::from_millis(300);
/// How long the wire is watched.
const THROUGH_WIRE: Duration = Duration::from_secs(3);
const CALM: Duration = Duration::from_secs(1);
/// The second gateway's down interval, and what a busy machine adds.
const MOST_OUTAGE: Duration = Duration::from_millis(600);
const PAIR: &str = "edge";

/// The lab with daemons and instruments, which end before it.
struct Scenery {
    primary: Daemon,
    second: Daemon,
    instruments: Instruments,
    trickle: Trickle,
    lab: InlineLab,
}

pub(super) fn play(script: &mut Script, tell: Tell<'_>) -> Result<()> {
    tell("a primary between client and server, a second gateway behind it");
    let scenery = Scenery::set()?;
    let begin = Moment::now();
    for flap in 1..=ALLOWED + 1 {
        tell(&format!("flap {flap} of gwA's link; {ALLOWED} are allowed"));
        scenery.flap(flap)?;
    }
    tell("latched; traffic goes through the wire");
    let primary = &scenery.primary;
    primary.wait_status("latched and in bypass", SOON, is_engaged)?;
    let first = scenery.trickle.next(SOON)?.context("no frame came through the wire")?;
    scenery.add_storm(script, begin, first)?;
    scenery.add_wire(script, first)?;
    tell("holdfast bypass release");
    scenery.add_release(script)
}

fn is_engaged(status: &Status) -> bool {
    status.0["flaps"]["latched"] == true
        && status.0["bypass"]["engaged"] == true
        && status.0["bypass"]["pairs"] == serde_json::json!([PAIR])
}

/// One of the client's: an IPv4 frame with a UDP datagram from it.
fn is_datagram(frame: &[u8]) -> bool {
    const ETHERTYPE_IPV4: [u8; 2] = [8, 0];
    const PROTOCOL_UDP: u8 = 17;
    frame.get(12..14) == Some(&ETHERTYPE_IPV4)
        && frame.get(23) == Some(&PROTOCOL_UDP)
        && frame.get(26..30) == Some(&CLIENT.octets())
}

impl Scenery {
    fn set() -> Result<Self> {
        let lab = InlineLab::build()?;
        let tables = format!(
            "[ha]\nprimary = true\n\n[flaps]\nmaximum_allowed = {ALLOWED}\nwindow = \"1m\"\n\n\
             [bypass]\ndriver = \"xdp\"\ntopology = \"inline\"\n\n\
             [[link_pair]]\nname = \"{PAIR}\"\ninside = \"{}\"\noutside = \"{}\"\n\n",
            Leg::Lan.interface(),
            Leg::Wan.interface(),
        );
        let start = |side: Side, config: String| {
            let spec = NodeSpec { name: side.label(), id: Some(node_id(side)), config: &config };
            Daemon::start(&lab.name, lab.gateway(side), &spec)
        };
        let primary = start(Side::A, tables + &InlineLab::routers(Side::A, ADVERTS))?;
        Self::wait_role(&primary, "active")?;
        let second = start(Side::B, InlineLab::routers(Side::B, ADVERTS))?;
        wait_heard(&second)?;
        let instruments = Instruments::start(&lab.client, &lab.server)?;
        let (lan, wan) = (Leg::Lan.interface(), Leg::Wan.interface());
        let trickle = Trickle::start((&lab.client, lan), (&lab.server, wan))?;
        instruments.wait_flows(SOON)?;
        Ok(Scenery { primary, second, instruments, trickle, lab })
    }

    /// Waits until both routers of a gateway are in a state.
    fn wait_role(daemon: &Daemon, state: &str) -> Result<()> {
        Leg::BOTH.iter().try_for_each(|leg| daemon.wait_state(router_name(*leg), state, SOON).map(drop))
    }

    /// Loses and regains the primary's link to the client, until it owns again or has latched.
    fn flap(&self, number: u32) -> Result<()> {
        self.lab.fabric.set_carrier(&self.lab.port(Leg::Lan), false)?;
        self.primary.wait_state(router_name(Leg::Lan), "initialize", SOON)?;
        std::thread::sleep(DOWN);
        self.lab.fabric.set_carrier(&self.lab.port(Leg::Lan), true)?;
        if number <= ALLOWED {
            Self::wait_role(&self.primary, "active")?;
        }
        Ok(())
    }

    /// When the primary last recorded something.
    fn recorded(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Moment> {
        let record = self.primary.events()?.into_iter().rfind(|record| wanted(record));
        let stamp = record.and_then(|record| record["boot_ns"].as_u64());
        stamp.map(Moment::from_boot_clock).with_context(|| format!("{what} is not in gwA's journal"))
    }

    /// From the first flap to the first frame through the wire.
    fn add_storm(&self, script: &mut Script, begin: Moment, first: Moment) -> Result<()> {
        let latched = self.recorded("the latch", |record| record["notice"] == "flap-latched")?;
        let released = self.recorded("the release", |record| record["cause"] == "flap-latch")?;
        let mut storm = scene("flap storm", (Side::A, Side::B), &self.instruments, begin);
        storm.explain(&self.primary, Side::A, "flap-latch")?;
        storm.demand(first > released, "the wire closed before the address was released");
        let ms = |earlier: Moment| first.since(earlier).as_secs_f64() * 1000.0;
        storm.figures.push(format!(
            "from the latch to the first frame through the wire {:.1} ms, from the release of the address {:.1} ms",
            ms(latched),
            ms(released)
        ));
        script.scenes.push(storm);
        script.status = status_lines(&self.primary.cli_ok(&["status"])?, &["flaps", "bypass"]);
        Ok(())
    }

    /// The primary is a mere wire, and the second gateway serves.
    fn add_wire(&self, script: &mut Script, first: Moment) -> Result<()> {
        Self::wait_role(&self.second, "active")?;
        self.instruments.wait_flows(SOON)?;
        let rerouted = self.wait_rerouted()?;
        std::thread::sleep(THROUGH_WIRE.saturating_sub(first.elapsed()));
        let mut wire = scene("through wire", (Side::A, Side::B), &self.instruments, first);
        wire.demand_outage(MOST_OUTAGE);
        wire.demand(self.instruments.flows(), "no datagram gets through");
        match rerouted {
            true => wire.figures.push("datagrams go client, wire, gwB, server".to_owned()),
            false => wire.demand(false, "the client's datagrams do not come through the wire and gwB"),
        }
        script.scenes.push(wire);
        Ok(())
    }

    /// Waits until the server is sent the client's datagrams by the second gateway, which only the wire can have
    /// brought there; the client's neighbour table decides when.
    fn wait_rerouted(&self) -> Result<bool> {
        let second = PacketSocket::open(self.lab.gateway(Side::B), Leg::Wan.interface())?.mac;
        let server = PacketSocket::open(&self.lab.server, Leg::Wan.interface())?;
        server.only_from(second)?;
        let found = server.wait_for(SOON, |frame| is_datagram(&frame.bytes))?;
        Ok(found.is_some())
    }

    /// The operator releases the latch and the wire.
    fn add_release(&self, script: &mut Script) -> Result<()> {
        let begin = Moment::now();
        self.primary.cli_ok(&["bypass", "release"])?;
        Self::wait_role(&self.primary, "active")?;
        Self::wait_role(&self.second, "backup")?;
        self.instruments.wait_flows(SOON)?;
        std::thread::sleep(CALM);
        let mut release = scene("release", (Side::A, Side::A), &self.instruments, begin);
        release.demand_outage(MOST_OUTAGE);
        release.demand(self.trickle.is_quiet()?, "frames still go through the wire");
        // The owner was heard on the outside alone.
        release.explain_leg(&self.primary, Side::A, Leg::Wan, "preemption")?;
        script.scenes.push(release);
        Ok(())
    }
}
