//! The segment of a test: our host, the peer's, and a plain one that watches adverts and asks who owns the address.

use crate::peer::{Peer, PeerSpec};
use crate::setup::{Product, ROUTER, Setup, VRID};
use holdfast_lab::adverts::{Advert, AdvertCapture};
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, NodeSpec, Status};
use holdfast_lab::forge::{Mac, mac_text};
use holdfast_lab::owners::{OwnerProbe, OwnerSummary};
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::Segment;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Deadline of whatever is awaited.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// How long what has settled is watched.
const SETTLED: Duration = Duration::from_millis(500);
/// Time between two questions for the owner.
const ASKED_EVERY: Duration = Duration::from_millis(2);
/// Time in which a peer that has lost must have stopped to answer, on a busy machine.
const PEER_YIELDS_WITHIN: Duration = Duration::from_millis(300);
/// How long a question may be under way on a busy machine, and so be answered by whoever owns the address later.
const IN_FLIGHT: Duration = Duration::from_millis(20);
/// Latest time for the answer to a question asked while nothing moves.
const LATEST_ANSWER: Duration = Duration::from_secs(1);
/// The part of questions that a busy machine may lose.
const TOLERATED_LOSS: f64 = 0.03;

/// How our side is configured within a [`Setup`].
#[derive(Clone, Debug)]
pub(crate) struct OurSpec {
    pub(crate) priority: u8,
    pub(crate) preempt: bool,
    /// Further lines of the virtual router.
    pub(crate) extra: String,
}

impl OurSpec {
    pub(crate) fn new(priority: u8) -> Self {
        OurSpec { priority, preempt: true, extra: String::new() }
    }

    pub(crate) fn without_preemption(self) -> Self {
        OurSpec { preempt: false, ..self }
    }

    pub(crate) fn with(mut self, line: &str) -> Self {
        self.extra += line;
        self.extra.push('\n');
        self
    }
}

/// The segment and its instruments.
pub(crate) struct Bench {
    pub(crate) setup: Setup,
    pub(crate) segment: Segment,
    pub(crate) adverts: AdvertCapture,
    pub(crate) owners: OwnerProbe,
}

impl Bench {
    /// Builds the segment and starts the instruments.
    pub(crate) fn build(setup: Setup) -> Self {
        let hosts =
            if setup.our_address_is_greater { ["peer", "ours", "host"] } else { ["ours", "peer", "host"] };
        let segment = Segment::build(&hosts).unwrap();
        // Our wire, seen from the switch: unicast adverts pass it too, and it stays when the peer's node is lost.
        let wire = segment.port("ours");
        let adverts = AdvertCapture::start(segment.fabric.namespace(), &wire.name).unwrap();
        let asker = segment.host("host");
        let owners = OwnerProbe::start(asker, Segment::INTERFACE, setup.vip(), ASKED_EVERY).unwrap();
        Bench { setup, segment, adverts, owners }
    }

    /// Starts the daemon and waits until it serves.
    pub(crate) fn start_ours(&self, spec: &OurSpec) -> Daemon {
        let config = self.our_config(spec);
        let node = NodeSpec { name: "ours", id: Some(1), config: &config };
        Daemon::start(&self.segment.name, self.segment.host("ours"), &node).unwrap()
    }

    fn our_config(&self, spec: &OurSpec) -> String {
        let setup = &self.setup;
        let unicast = match setup.unicast {
            true => format!("unicast_peers = [\"{}\"]\n", setup.host_address(&self.segment, "peer")),
            false => String::new(),
        };
        format!(
            "[[virtual_router]]\nname = \"{ROUTER}\"\ninterface = \"{}\"\nvrid = {VRID}\nversion = {}\n\
             addresses = {:?}\npriority = {}\npreempt = {}\nadvertisement_interval = \"{}ms\"\n\
             virtual_mac = {}\n{unicast}{}",
            Segment::INTERFACE,
            setup.version,
            setup.addresses(),
            spec.priority,
            spec.preempt,
            setup.interval.as_millis(),
            setup.our_virtual_mac,
            spec.extra,
        )
    }

    /// Starts the daemon and waits until it is Active.
    pub(crate) fn start_ours_active(&self, spec: &OurSpec) -> Daemon {
        let ours = self.start_ours(spec);
        ours.wait_state(ROUTER, "active", SOON).unwrap();
        ours
    }

    pub(crate) fn start_peer(&self, spec: &PeerSpec) -> Peer<'_> {
        Peer::start(self.setup, &self.segment, spec)
    }

    /// Starts the peer and waits until it is Active.
    pub(crate) fn start_peer_active(&self, spec: &PeerSpec) -> Peer<'_> {
        let peer = self.start_peer(spec);
        eventually_true("the peer is Active", SOON, || peer.is_active()).unwrap();
        peer
    }

    /// Starts the peer beside our Active and waits until it is a Backup that takes our adverts for valid.
    pub(crate) fn start_peer_backup(&self, spec: &PeerSpec, ours: &Daemon) -> Peer<'_> {
        let peer = self.start_peer(spec);
        if self.setup.has_checksum_forms() {
            // We speak RFC 9568 until the peer, which cannot read it, has spoken once.
            ours.wait_status("the peer's checksum form is known", SOON, |status| {
                !status.router(ROUTER)["checksum_heard"].is_null()
            })
            .unwrap();
        }
        eventually_true("the peer is Backup", SOON, || peer.is_backup()).unwrap();
        peer
    }

    /// The peer's node is lost: its processes die, and nothing it left on its interfaces is heard any more.
    pub(crate) fn peer_dies(&self, peer: &mut Peer<'_>) {
        peer.kill9();
        self.segment.fabric.silence(&self.segment.port("peer")).unwrap();
    }

    /// Source of our adverts.
    pub(crate) fn our_address(&self) -> IpAddr {
        self.setup.host_address(&self.segment, "ours")
    }

    /// The first advert of ours since `moment`.
    pub(crate) fn our_advert(&self, moment: Moment) -> Advert {
        let own = self.our_address();
        self.adverts.wait_for("an advert of ours", moment, SOON, |advert| advert.source == own).unwrap()
    }

    /// The first advert of the peer since `moment`.
    pub(crate) fn peer_advert(&self, moment: Moment) -> Advert {
        let own = self.our_address();
        self.adverts.wait_for("an advert of the peer", moment, SOON, |advert| advert.source != own).unwrap()
    }

    /// The last advert of the peer so far.
    pub(crate) fn last_peer_advert(&self) -> Advert {
        let own = self.our_address();
        self.adverts.all().into_iter().rfind(|advert| advert.source != own).unwrap()
    }

    /// The last advert of ours so far.
    pub(crate) fn last_our_advert(&self) -> Advert {
        let own = self.our_address();
        self.adverts.all().into_iter().rfind(|advert| advert.source == own).unwrap()
    }

    /// MAC that answers for the address while we own it.
    pub(crate) fn our_mac(&self) -> Mac {
        if self.setup.our_virtual_mac { self.setup.virtual_mac() } else { self.interface_mac("ours") }
    }

    /// MAC that answers for the address while the peer owns it.
    pub(crate) fn peer_mac(&self) -> Mac {
        if self.setup.peer_virtual_mac { self.setup.virtual_mac() } else { self.interface_mac("peer") }
    }

    fn interface_mac(&self, host: &str) -> Mac {
        PacketSocket::open(self.segment.host(host), Segment::INTERFACE).unwrap().mac
    }

    /// Waits until `owner` alone answers for the address, and watches that it stays so.
    pub(crate) fn settles_on(&self, owner: Mac) {
        const RECENT: Duration = Duration::from_millis(200);
        const ENOUGH: usize = 40;
        let called = Moment::now();
        let recent = || self.owners.window(called.max(Moment::now().before(RECENT)), Moment::now());
        let settled =
            |seen: &OwnerSummary| seen.asked >= ENOUGH && is_only(seen, owner) && seen.unanswered == 0;
        if eventually_true("one owner answers", SOON, || settled(&recent())).is_err() {
            panic!("{} alone should answer for {}: {:?}", mac_text(owner), self.setup.vip(), recent());
        }
        let begin = Moment::now();
        let end = begin + SETTLED;
        end.sleep_until();
        let watched = || self.owners.window(begin, end);
        let held = |seen: &OwnerSummary| {
            let lost = seen.unanswered as f64 / seen.asked.max(1) as f64;
            seen.asked >= ENOUGH && is_only(seen, owner) && lost <= TOLERATED_LOSS
        };
        // A macvlan hands broadcasts to a kernel worker, which may take its time: late answers count.
        if eventually_true("all questions are answered", LATEST_ANSWER, || held(&watched())).is_err() {
            panic!("{} alone should answer for {}: {:?}", mac_text(owner), self.setup.vip(), watched());
        }
    }

    /// Asserts that no question asked since we first spoke as the winner, and the peer had time to hear it, was
    /// answered twice.
    pub(crate) fn peer_has_yielded_since(&self, advert: &Advert) {
        self.never_two(advert.at + PEER_YIELDS_WITHIN);
    }

    /// Asserts that no question asked since the peer's winning advert was answered twice: it is the data plane that
    /// stops to answer, at once.
    pub(crate) fn we_have_yielded_since(&self, advert: &Advert) {
        self.never_two(advert.at + IN_FLIGHT);
    }

    /// Asserts that from `stop` until the successor's first advert we answered every question, and alone until the
    /// successor rose. FRR raises its device, which answers, before it speaks.
    pub(crate) fn we_served_until(&self, stop: Moment, risen: Moment, advert: &Advert) {
        const GAP: Duration = Duration::from_millis(20);
        let seen = self.owners.window(stop, advert.at.before(IN_FLIGHT));
        let ours = seen.by_owner.get(&mac_text(self.our_mac())).copied().unwrap_or(0);
        assert!(seen.asked > 0 && ours + seen.unanswered >= seen.asked, "{seen:?}");
        assert!(seen.longest_unanswered < GAP, "{seen:?}");
        let rises = if self.setup.product == Product::Frr { risen.min(advert.at) } else { advert.at };
        let seen = self.owners.window(stop, rises.before(IN_FLIGHT));
        assert!(seen.contested == 0, "{seen:?}");
    }

    fn never_two(&self, from: Moment) {
        let seen = self.owners.window(from, Moment::now());
        assert!(seen.asked > 0 && seen.contested == 0, "two owners of {}: {seen:?}", self.setup.vip());
    }

    /// Says whether two answer for the address now.
    pub(crate) fn two_answer(&self) -> bool {
        const RECENT: Duration = Duration::from_millis(200);
        self.owners.window(Moment::now().before(RECENT), Moment::now()).contested > 0
    }

    /// Asserts that what the plain host sends to the address arrives at `owner`: caches and switch tables are right.
    pub(crate) fn traffic_reaches(&self, owner: &str) {
        const PORT: u16 = 7007;
        const PATIENCE: Duration = Duration::from_millis(200);
        let target = SocketAddr::new(self.setup.vip(), PORT);
        let receiver = self.segment.host(owner).enter(|| UdpSocket::bind(target)).unwrap().unwrap();
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        let sender = self.host_socket();
        eventually_true("traffic to the address", SOON, || {
            sender.send_to(b"x", target).is_ok() && receiver.recv(&mut [0u8; 8]).is_ok()
        })
        .unwrap_or_else(|error| panic!("{error} at {owner}"));
    }

    fn host_socket(&self) -> UdpSocket {
        let any = if self.setup.ipv6 { "[::]:0" } else { "0.0.0.0:0" };
        self.segment.host("host").enter(|| UdpSocket::bind(any)).unwrap().unwrap()
    }

    /// Makes the plain host resolve the address, so that its cache has an entry that announcements can change.
    pub(crate) fn host_resolves(&self) {
        const DISCARD_PORT: u16 = 9;
        let target = SocketAddr::new(self.setup.vip(), DISCARD_PORT);
        let sender = self.host_socket();
        eventually_true("the host resolves the address", SOON, || {
            sender.send_to(b"x", target).is_ok() && self.host_cache().is_some()
        })
        .unwrap();
    }

    /// Waits until the plain host's cache has `owner`; nothing is sent for it.
    pub(crate) fn host_cache_follows(&self, owner: Mac) {
        let wanted = mac_text(owner);
        if eventually_true("host cache", SOON, || self.host_cache().as_deref() == Some(&wanted)).is_err() {
            panic!("the host's cache should have {wanted}, has {:?}", self.host_cache());
        }
    }

    fn host_cache(&self) -> Option<String> {
        let shown = self.segment.host("host").ip(&format!("neigh show to {}", self.setup.vip())).unwrap();
        shown.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).map(str::to_owned)
    }

    /// Asserts from our status that we have been a Backup of the peer all the time.
    pub(crate) fn we_follow(&self, ours: &Daemon, peer: IpAddr, learned: Duration) -> Status {
        let learned = learned.as_nanos() as u64;
        let status = ours
            .wait_status("the peer is known as Active", SOON, |status| {
                status.router(ROUTER)["active_router"] == peer.to_string()
                    && status.number(ROUTER, "learned_interval_ns") == learned
            })
            .unwrap();
        assert_eq!(status.state(ROUTER), Some("backup"));
        assert!(!status.owned(ROUTER));
        status
    }
}

fn is_only(seen: &OwnerSummary, owner: Mac) -> bool {
    seen.contested == 0 && seen.by_owner.len() == 1 && seen.by_owner.contains_key(&mac_text(owner))
}
