//! What the scenarios share: configurations in few words, daemons on a segment, and questions from outside.

use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, NodeSpec, Status};
use holdfast_lab::forge::Mac;
use holdfast_lab::netns::Namespace;
use holdfast_lab::owners::{OwnerProbe, OwnerSummary};
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::topology::Segment;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Long enough for anything that happens at all.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Advertisement interval where a scenario is about something else.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// The controller's default lease.
pub(crate) const LEASE: Duration = SECOND;
/// What instruments and two busy cores may add to a bound.
pub(crate) const MARGIN: Duration = Duration::from_millis(50);
pub(crate) const VRID: u8 = 51;
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Name of the only virtual router, where there is only one.
pub(crate) const LAN: &str = "lan";

/// A virtual router in words; begin with [`Router::new`].
#[derive(Clone, Debug)]
pub(crate) struct Router {
    name: String,
    interface: String,
    vrid: u8,
    addresses: Vec<String>,
    priority: u8,
    interval: Duration,
    rest: String,
}

impl Router {
    /// The router `lan` of a segment: VRID 51, 192.0.2.1/24, 100 ms.
    pub(crate) fn new(priority: u8) -> Self {
        Router {
            name: LAN.to_owned(),
            interface: Segment::INTERFACE.to_owned(),
            vrid: VRID,
            addresses: vec![format!("{VIP}/24")],
            priority,
            interval: INTERVAL,
            rest: String::new(),
        }
    }

    pub(crate) fn name(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    pub(crate) fn interface(mut self, interface: &str) -> Self {
        self.interface = interface.to_owned();
        self
    }

    pub(crate) fn vrid(mut self, vrid: u8) -> Self {
        self.vrid = vrid;
        self
    }

    pub(crate) fn addresses(mut self, addresses: &[&str]) -> Self {
        self.addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        self
    }

    pub(crate) fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Adds a line, such as `preempt = false`.
    pub(crate) fn with(mut self, line: &str) -> Self {
        self.rest += line;
        self.rest += "\n";
        self
    }

    pub(crate) fn text(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(|address| format!("\"{address}\"")).collect();
        format!(
            "[[virtual_router]]\nname = \"{}\"\ninterface = \"{}\"\nvrid = {}\naddresses = [{}]\npriority = {}\n\
             advertisement_interval = \"{}ms\"\n{}\n",
            self.name,
            self.interface,
            self.vrid,
            addresses.join(", "),
            self.priority,
            self.interval.as_millis(),
            self.rest,
        )
    }
}

/// Starts a daemon on a host of the segment and waits until it serves.
pub(crate) fn start(segment: &Segment, host: &str, config: &str) -> Daemon {
    Daemon::start(&segment.name, segment.host(host), &NodeSpec { name: host, id: None, config }).unwrap()
}

/// [`start`] for one virtual router.
pub(crate) fn start_router(segment: &Segment, host: &str, router: &Router) -> Daemon {
    start(segment, host, &router.text())
}

/// Two daemons, `a` at priority 200 and `b` at 100, with `a` Active.
pub(crate) fn start_pair(segment: &Segment, change: impl Fn(Router) -> Router) -> (Daemon, Daemon) {
    let a = start_router(segment, "a", &change(Router::new(200)));
    a.wait_state(LAN, "active", SOON).unwrap();
    let b = start_router(segment, "b", &change(Router::new(100)));
    b.wait_status("b hears a", SOON, |status| status.number(LAN, "adverts_received") > 0).unwrap();
    assert_eq!(b.status().unwrap().state(LAN), Some("backup"));
    (a, b)
}

/// Hardware address of an interface.
pub(crate) fn mac(namespace: &Namespace, interface: &str) -> Mac {
    PacketSocket::open(namespace, interface).unwrap().mac
}

/// Asks `host` of the segment's neighbours once per millisecond who owns `address`.
pub(crate) fn ask_owner(segment: &Segment, host: &str, address: impl Into<IpAddr>) -> OwnerProbe {
    OwnerProbe::start(segment.host(host), Segment::INTERFACE, address.into(), MS).unwrap()
}

/// The probe's figures from `begin` until now, its latest questions answered.
pub(crate) fn owners_since(probe: &OwnerProbe, begin: Moment) -> OwnerSummary {
    let end = Moment::now();
    // Questions need their time to be answered; the window then takes them all in.
    std::thread::sleep(60 * MS);
    probe.window(begin, end)
}

/// Watches for `span` and gives the probe's figures of that time.
pub(crate) fn owners_for(probe: &OwnerProbe, span: Duration) -> OwnerSummary {
    let begin = Moment::now();
    std::thread::sleep(span);
    owners_since(probe, begin)
}

/// A move in which the successor's advert ended the other's ownership: never two answers to one request, and none only
/// while the successor's address was being added.
pub(crate) fn assert_moved_cleanly(owners: &OwnerSummary) {
    assert!(owners.asked > 0 && owners.longest_unanswered <= MARGIN, "{owners:?}");
    assert!(owners.contested <= MOST_CONTESTED, "{owners:?}");
}

/// Requests that may have two answers when the better node comes back: those between its address and its advert's
/// arrival, a few at one per millisecond.
const MOST_CONTESTED: usize = 5;

/// The records of a daemon's journal.
pub(crate) fn events(daemon: &Daemon) -> Vec<Value> {
    daemon.events().unwrap()
}

/// `from>to:cause` of every transition of a router, oldest first.
pub(crate) fn transitions(daemon: &Daemon, router: &str) -> Vec<String> {
    let word = |record: &Value, key: &str| record[key].as_str().unwrap_or("?").to_owned();
    events(daemon)
        .iter()
        .filter(|record| record["event"] == "transition" && record["router"] == router)
        .map(|record| format!("{}>{}:{}", word(record, "from"), word(record, "to"), word(record, "cause")))
        .collect()
}

/// How often a notice stands in the journal.
pub(crate) fn notices(daemon: &Daemon, notice: &str) -> usize {
    events(daemon).iter().filter(|record| record["notice"] == notice).count()
}

/// Sum of the transitions of all routers.
pub(crate) fn transition_count(status: &Status) -> u64 {
    let routers = status.0["virtual_routers"].as_array().unwrap();
    routers.iter().map(|router| router["transitions"].as_u64().unwrap()).sum()
}

/// CPU time that a daemon has used so far, user and system.
pub(crate) fn cpu_time(daemon: &Daemon) -> Duration {
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.process().pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Behind the name, utime and stime are the 12th and 13th.
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// What a command in a namespace says, whether it succeeds or not.
pub(crate) fn run(namespace: &Namespace, program: &str, arguments: &str) -> std::process::Output {
    namespace.command(program).args(arguments.split_whitespace()).output().unwrap()
}

/// True if `address` answers one of a few echo requests.
pub(crate) fn pings(namespace: &Namespace, arguments: &str) -> bool {
    run(namespace, "ping", &format!("-n -c 2 -i 0.2 -W 1 {arguments}")).status.success()
}
