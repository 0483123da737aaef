//! A pair of gateways that check each other, under traffic and under watch: what the scenarios of peers are played on.
//!
//! Starting a pair costs seconds, so a scenario plays several acts on one. Each act begins with a [`Mark`] and ends with a
//! judgement of what has happened since, from outside (who answers, what traffic lost) and from the journals.

use crate::bad_adverts::is_flooded_since;
use crate::support::{MS, SOON, events};
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, Status};
use holdfast_lab::forge::AdvertSpec;
use holdfast_lab::gateway_pair::{GatewayPair, LAN_VRID, Peering};
use holdfast_lab::netns::Namespace;
use holdfast_lab::owners::{OwnerProbe, OwnerSummary};
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{GatewayLab, LAN_VIP, Leg, SERVER, Side, WAN_VIP};
use holdfast_lab::traffic::{Stream, TrafficSummary};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A host of the LAN that is no gateway.
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);
pub(crate) const STRANGER6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x66);
/// The longest interval an advert can announce, in hundredths of a second.
pub(crate) const LONGEST_INTERVAL: u16 = 4095;
/// Every act that takes the ownership from A and gives it back is a flap: here they must add up to nothing.
pub(crate) const FLAPS_FORGOTTEN: &str = "[flaps]\nmaximum_allowed = 1000\nwindow = \"1s\"\n\n";
/// A question is given this long to be answered, and a datagram to arrive.
const SETTLED: Duration = Duration::from_millis(250);
/// The longest that questions may go unanswered while nothing happens: a busy machine.
const HICCUP: Duration = Duration::from_millis(150);

/// See the module's header.
pub(crate) struct Bench {
    pub(crate) stream: Stream,
    pub(crate) lan: OwnerProbe,
    pub(crate) wan: OwnerProbe,
    pub(crate) pair: GatewayPair,
    pub(crate) lab: GatewayLab,
}

/// An instant, and where the journals were then.
pub(crate) struct Mark {
    pub(crate) at: Moment,
    boot_ns: [u64; 2],
}

impl Bench {
    /// Starts the pair with A Active, both healthy to each other on every path, and traffic through A.
    pub(crate) fn start(adverts: Duration, peering: &Peering) -> Self {
        Self::start_with(adverts, peering, |text| text)
    }

    /// [`Bench::start`] with the configurations changed by the caller.
    pub(crate) fn start_with(
        adverts: Duration,
        peering: &Peering,
        change: impl Fn(String) -> String,
    ) -> Self {
        Self::start_each(|side| change(peering.config(side, adverts)))
    }

    /// [`Bench::start`] with configurations of the caller's.
    pub(crate) fn start_each(config: impl Fn(Side) -> String) -> Self {
        let lab = GatewayLab::build().unwrap();
        let pair = GatewayPair::start_together(&lab, config).unwrap();
        let stream =
            Stream::start(&lab.client, &lab.server, SocketAddr::new(SERVER.into(), 9000), MS).unwrap();
        let lan = OwnerProbe::start(&lab.client, "lan0", LAN_VIP.into(), MS).unwrap();
        let wan = OwnerProbe::start(&lab.server, "wan0", WAN_VIP.into(), MS).unwrap();
        let bench = Bench { stream, lan, wan, pair, lab };
        bench.settle(Side::A);
        bench
    }

    pub(crate) fn daemon(&self, side: Side) -> &Daemon {
        self.pair.daemon(side).unwrap()
    }

    pub(crate) fn status(&self, side: Side) -> Status {
        self.daemon(side).status().unwrap()
    }

    #[track_caller]
    /// Waits until `owner` alone is Active, the peers are healthy to each other on every path, and traffic flows.
    pub(crate) fn settle(&self, owner: Side) {
        self.pair.wait_active(owner, SOON).unwrap();
        self.wait_healthy();
        self.wait_flow();
    }

    pub(crate) fn wait_flow(&self) {
        let flows = || self.stream.flows_since(Moment::now().before(30 * MS));
        eventually_true("traffic", SOON, flows).unwrap();
    }

    /// Waits until both are healthy to each other on every path.
    #[track_caller]
    pub(crate) fn wait_healthy(&self) {
        let healthy = |side| is_peer_healthy(&self.status(side));
        let found = eventually_true("health on every path", 2 * SOON, || Side::BOTH.into_iter().all(healthy));
        if let Err(error) = found {
            let said = Side::BOTH.map(|side| self.daemon(side).cli_ok(&["status"]).unwrap());
            panic!("{error}\n{}", said.join("\n"));
        }
    }

    /// Gives both other configurations, by reload.
    pub(crate) fn reload(&self, config: impl Fn(Side) -> String) {
        for side in Side::BOTH {
            self.daemon(side).set_config(&config(side)).unwrap();
            self.daemon(side).cli_ok(&["reload"]).unwrap();
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        let last = |side| self.journal(side).iter().filter_map(|record| record["boot_ns"].as_u64()).max();
        let boot_ns = Side::BOTH.map(|side| last(side).unwrap_or(0));
        Mark { at: Moment::now(), boot_ns }
    }

    fn journal(&self, side: Side) -> Vec<Value> {
        if self.pair.is_running(side) { events(self.daemon(side)) } else { Vec::new() }
    }

    /// What a journal has taken up since the mark.
    pub(crate) fn records(&self, side: Side, mark: &Mark) -> Vec<Value> {
        let since = mark.boot_ns[side as usize];
        let mut records = self.journal(side);
        records.retain(|record| record["boot_ns"].as_u64().is_some_and(|at| at > since));
        records
    }

    /// `router:from>to:cause` of every transition of a side since the mark.
    pub(crate) fn moves(&self, side: Side, mark: &Mark) -> Vec<String> {
        let word = |record: &Value, key: &str| record[key].as_str().unwrap_or("?").to_owned();
        let line = |record: &Value| {
            let [router, from, to, cause] = ["router", "from", "to", "cause"].map(|key| word(record, key));
            format!("{router}:{from}>{to}:{cause}")
        };
        let mut moves: Vec<String> = self
            .records(side, mark)
            .iter()
            .filter(|record| record["event"] == "transition")
            .map(line)
            .collect();
        moves.sort_unstable();
        moves
    }

    /// How often a notice was given since the mark.
    pub(crate) fn notices(&self, side: Side, mark: &Mark, notice: &str) -> usize {
        self.records(side, mark).iter().filter(|record| record["notice"] == notice).count()
    }

    /// Waits for a notice after the mark.
    pub(crate) fn wait_notice(&self, side: Side, mark: &Mark, notice: &str) {
        let what = format!("{} says {notice}", side.label());
        eventually_true(&what, SOON, || self.notices(side, mark, notice) > 0).unwrap();
    }

    /// The traffic since a moment; what is on its way now has had its time to arrive.
    pub(crate) fn traffic(&self, since: Moment) -> TrafficSummary {
        let now = Moment::now();
        std::thread::sleep(SETTLED);
        self.stream.window(since, now)
    }

    /// Who has answered for the address of a leg since a moment.
    pub(crate) fn owners(&self, leg: Leg, since: Moment) -> OwnerSummary {
        let now = Moment::now();
        std::thread::sleep(SETTLED);
        self.probe(leg).window(since, now)
    }

    pub(crate) fn probe(&self, leg: Leg) -> &OwnerProbe {
        match leg {
            Leg::Lan => &self.lan,
            Leg::Wan => &self.wan,
        }
    }

    /// Nobody has moved since the mark, and nobody else has noticed anything.
    pub(crate) fn assert_still(&self, mark: &Mark, what: &str) {
        self.assert_nobody_moved(mark, what);
        for leg in Leg::BOTH {
            let owners = self.owners(leg, mark.at);
            assert!(owners.asked > 0, "{what}: {owners:?}");
            assert_eq!((owners.contested, owners.by_owner.len()), (0, 1), "{what}, {leg:?}: {owners:?}");
            assert_answered(&owners, mark.at, HICCUP, what);
        }
        let traffic = self.traffic(mark.at);
        assert_eq!((traffic.lost, traffic.duplicated), (0, 0), "{what}: {traffic:?}");
    }

    pub(crate) fn assert_nobody_moved(&self, mark: &Mark, what: &str) {
        for side in Side::BOTH {
            let moves = self.moves(side, mark);
            assert!(moves.is_empty(), "{what}: {} moved: {moves:?}\n{}", side.label(), self.pair.log_tails());
        }
    }

    /// What a router's status says under these names.
    pub(crate) fn numbers<const N: usize>(&self, side: Side, router: &str, names: [&str; N]) -> [u64; N] {
        let status = self.status(side);
        names.map(|name| status.number(router, name))
    }

    /// A host on the LAN that sends what it likes.
    pub(crate) fn stranger(&self) -> Stranger {
        Stranger::join(&self.lab)
    }
}

/// Nobody was kept waiting for longer than `most` since a moment.
pub(crate) fn assert_answered(owners: &OwnerSummary, since: Moment, most: Duration, what: &str) {
    let answered = owners.longest_unanswered <= most;
    assert!(answered || is_flooded_since(since), "{what}: {owners:?}");
}

fn is_peer_healthy(status: &Status) -> bool {
    let peer = &status.0["peers"][0];
    let paths = peer["paths"].as_array().map_or(&[][..], Vec::as_slice);
    peer["health"] == "healthy" && paths.iter().all(|path| path["health"] == "healthy")
}

/// A host of the LAN that sends what it likes, from its own hardware address or another.
pub(crate) struct Stranger {
    pub(crate) socket: PacketSocket,
    host: Namespace,
}

impl Stranger {
    fn join(lab: &GatewayLab) -> Self {
        let host = Namespace::create(&lab.name, "stranger").unwrap();
        lab.fabric.connect("lan", &host, "stranger", "eth0").unwrap();
        host.ip_batch(&[
            format!("addr add {STRANGER}/24 dev eth0"),
            format!("addr add {STRANGER6}/64 dev eth0 nodad"),
        ])
        .unwrap();
        Stranger { socket: PacketSocket::open(&host, "eth0").unwrap(), host }
    }

    /// Another socket there, for what comes in.
    pub(crate) fn ear(&self) -> PacketSocket {
        PacketSocket::open(&self.host, "eth0").unwrap()
    }

    /// An advert for the LAN's virtual router, right in every respect.
    pub(crate) fn advert(&self, source: impl Into<IpAddr>, priority: u8, interval: u16) -> AdvertSpec {
        let source = source.into();
        let vip: IpAddr = if source.is_ipv4() { LAN_VIP.into() } else { "fe80::1".parse().unwrap() };
        AdvertSpec { interval, ..AdvertSpec::v3(source, self.socket.mac, LAN_VRID, priority, &[vip]) }
    }

    pub(crate) fn send(&self, advert: &AdvertSpec) {
        self.socket.send(&advert.frame()).unwrap();
    }
}

/// The link-local address of a gateway on its LAN.
pub(crate) fn link_local(side: Side) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(side.host_number()))
}

/// `lan` and `wan` each for itself, without their group.
pub(crate) fn ungrouped(config: String) -> String {
    config.replace("group = \"gateway\"\n", "")
}
