//! The status object of the outside contract. Field names are the contract's: scripts hold on to them.
//!
//! Instants are RFC 3339 texts, spans are integers of nanoseconds with the suffix `_ns`. Filled by the driver.

pub mod fitness;

use self::fitness::{BandwidthStatus, CheckStatus, LinkPairStatus};
use crate::config::validated::{BypassDriver, Mode, Topology};
use crate::journal::{Event, EventRecord, Timestamp, explain};
use holdfast_engine::{Cause, ChecksumForm, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Version of the object; raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// Counts by the name of a verdict reason; reasons that never occurred are left out.
pub type ReasonCounts = BTreeMap<String, u64>;

/// `holdfast status --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub schema: u32,
    pub node: NodeStatus,
    pub controller: ControllerStatus,
    pub virtual_routers: Vec<VirtualRouterStatus>,
    pub peers: Vec<PeerStatus>,
    pub links: Vec<LinkStatus>,
    pub link_pairs: Vec<LinkPairStatus>,
    #[serde(default)]
    pub checks: Vec<CheckStatus>,
    #[serde(default)]
    pub bandwidth: Vec<BandwidthStatus>,
    pub flaps: FlapStatus,
    pub bypass: BypassStatus,
    pub data_plane: DataPlaneStatus,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub name: String,
    pub id: Option<u16>,
    /// As in `ha.mode`.
    pub mode: String,
    pub primary: bool,
    /// Out of service by the operator's order.
    #[serde(default)]
    pub maintenance: bool,
    pub started_at: Timestamp,
    pub version: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControllerStatus {
    pub lease_ns: u64,
    pub lease_remaining_ns: u64,
    pub loop_lateness_max_ns: u64,
    /// Journal entries that could not be written to disk.
    #[serde(default)]
    pub journal_failures: u64,
}

/// Address family as status writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FamilyName {
    Ipv4,
    Ipv6,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VirtualRouterStatus {
    pub name: String,
    pub group: Option<String>,
    pub interface: String,
    pub vrid: u8,
    /// 2 or 3.
    pub version: u8,
    pub family: FamilyName,
    /// With prefix length: `192.0.2.1/24`.
    pub addresses: Vec<String>,
    pub state: Role,
    /// The data plane would answer for the addresses now.
    pub owned: bool,
    /// The data plane stops what belongs to the addresses now.
    pub fenced: bool,
    /// Adverts in a peer's name that nothing authenticated bore out.
    #[serde(default)]
    pub uncorroborated: u64,
    /// End of a hold by vouching.
    pub held_until: Option<Timestamp>,
    pub priority: u8,
    pub effective_priority: u8,
    /// Why this node is not fit to own it and runs at priority 1.
    #[serde(default)]
    pub unfit: Option<Cause>,
    pub active_since: Option<Timestamp>,
    pub last_transition: Option<TransitionStatus>,
    /// Address of the Active as far as known; our own where that is us.
    pub active_router: Option<IpAddr>,
    pub last_advert_age_ns: Option<u64>,
    pub learned_interval_ns: Option<u64>,
    /// `None` where only one form exists (VRRPv2, IPv6).
    pub checksum_sent: Option<ChecksumForm>,
    pub checksum_heard: Option<ChecksumForm>,
    pub adverts_sent: u64,
    pub adverts_received: u64,
    pub adverts_answered_in_xdp: u64,
    #[serde(default)]
    pub priority_zero_sent: u64,
    #[serde(default)]
    pub priority_zero_received: u64,
    /// Times this node became Active.
    pub transitions: u64,
    pub discards: ReasonCounts,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionStatus {
    pub at: Timestamp,
    pub from: Role,
    pub to: Role,
    pub cause: Cause,
    pub detail: String,
}

impl TransitionStatus {
    /// The transition inside a record, if it is one.
    pub fn from_record(record: &EventRecord) -> Option<Self> {
        Self::from_event(record.at, &record.event)
    }

    /// The transition inside an event, if it is one.
    pub fn from_event(at: Timestamp, event: &Event) -> Option<Self> {
        let event = event.transition()?;
        Some(Self { at, from: event.from, to: event.to, cause: event.cause, detail: explain::detail(event) })
    }
}

/// Health of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Healthy,
    Unhealthy,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    pub name: String,
    pub id: u16,
    pub health: Health,
    pub paths: Vec<PathStatus>,
    /// Active if it owns anything; `None` unless its word is fresh.
    pub role: Option<Role>,
    /// Since its controller last extended its lease, as far as it was told.
    pub controller_heartbeat_age_ns: Option<u64>,
    /// Since its last authenticated message.
    #[serde(default)]
    pub heard_age_ns: Option<u64>,
    #[serde(default)]
    pub lease_remaining_ns: u64,
    /// Groups, and virtual routers without one, that it owns and could own.
    #[serde(default)]
    pub owns: Vec<String>,
    #[serde(default)]
    pub ready_for: Vec<String>,
    /// False: its adverts count without its word, because it has not proven its key or only wrong MACs come.
    #[serde(default)]
    pub authenticated: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathStatus {
    pub address: IpAddr,
    /// `None` while no interface faces the peer.
    #[serde(default)]
    pub interface: Option<String>,
    #[serde(default = "Health::unknown")]
    pub health: Health,
    /// Of the last answered check.
    pub rtt_ns: Option<u64>,
    #[serde(default)]
    pub rtt_smoothed_ns: Option<u64>,
    #[serde(default)]
    pub rtt_min_ns: Option<u64>,
    #[serde(default)]
    pub rtt_max_ns: Option<u64>,
    pub sent: u64,
    pub answered: u64,
    pub lost: u64,
    /// Unanswered checks that were our own fault.
    #[serde(default)]
    pub void: u64,
    #[serde(default)]
    pub sent_late: u64,
    /// Why a probe last did not leave.
    #[serde(default)]
    pub last_failure: Option<String>,
    /// Fresh requests of the peer on this path.
    #[serde(default)]
    pub requests_heard: u64,
}

impl PathStatus {
    /// A path of which nothing is known.
    pub fn unprobed(address: IpAddr) -> Self {
        Self {
            address,
            interface: None,
            health: Health::Unknown,
            rtt_ns: None,
            rtt_smoothed_ns: None,
            rtt_min_ns: None,
            rtt_max_ns: None,
            sent: 0,
            answered: 0,
            lost: 0,
            void: 0,
            sent_late: 0,
            last_failure: None,
            requests_heard: 0,
        }
    }
}

impl Health {
    fn unknown() -> Self {
        Health::Unknown
    }
}

/// How the XDP program sits on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachMode {
    Native,
    Generic,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    pub name: String,
    /// `None` while the interface does not exist.
    pub ifindex: Option<u32>,
    pub carrier: bool,
    /// `None` while no program is attached.
    pub mode: Option<AttachMode>,
    pub rx_bps: u64,
    pub tx_bps: u64,
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlapStatus {
    pub count: u32,
    pub window_ns: u64,
    pub maximum_allowed: u32,
    pub latched: bool,
    /// Why it latched.
    #[serde(default)]
    pub reason: Option<String>,
    /// So long from now nobody is preempted.
    #[serde(default)]
    pub hold_remaining_ns: u64,
    /// Until the latch ends by itself; `None` while only the operator ends it.
    #[serde(default)]
    pub release_in_ns: Option<u64>,
    /// Until the oldest flap leaves the window.
    #[serde(default)]
    pub next_expiry_in_ns: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BypassStatus {
    pub driver: String,
    /// `inline` or `parallel`; `None` without a driver.
    #[serde(default)]
    pub topology: Option<String>,
    pub engaged: bool,
    /// Names of the pairs that are to be engaged.
    #[serde(default)]
    pub wanted: Vec<String>,
    /// Names of the pairs that read engaged.
    pub pairs: Vec<String>,
    #[serde(default)]
    pub faults: Vec<BypassFaultStatus>,
    #[serde(default)]
    pub watchdog: Option<WatchdogStatus>,
}

/// What is wrong with the bypass of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassFaultStatus {
    pub pair: String,
    pub fault: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchdogStatus {
    pub timeout_ns: u64,
    pub pet_interval_ns: u64,
    /// Since the data plane last proved a round trip; it is petted by that.
    pub proof_age_ns: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataPlaneStatus {
    /// Name of the ingress program.
    pub program: String,
    /// It is attached on every configured interface.
    pub attached: bool,
    pub verdicts: ReasonCounts,
}

/// `ha.mode` as status writes it.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Standalone => "standalone",
        Mode::ActivePassive => "active-passive",
    }
}

/// `bypass.driver` as status writes it.
pub fn driver_name(driver: &BypassDriver) -> &'static str {
    match driver {
        BypassDriver::None => "none",
        BypassDriver::Xdp => "xdp",
        BypassDriver::Sysfs(_) => "sysfs",
        BypassDriver::Gpio(_) => "gpio",
        BypassDriver::Command(_) => "command",
    }
}

/// `bypass.topology` as status writes it, where there is a driver.
pub fn topology_name(driver: &BypassDriver, topology: Topology) -> Option<&'static str> {
    match (driver, topology) {
        (BypassDriver::None, _) => None,
        (_, Topology::Inline) => Some("inline"),
        (_, Topology::Parallel) => Some("parallel"),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! One status with something in every field.
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::{Duration, SystemTime};

    pub(crate) fn at(seconds: u64) -> Timestamp {
        Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds))
    }

    fn router() -> VirtualRouterStatus {
        VirtualRouterStatus {
            name: "lan".to_owned(),
            group: Some("gateway".to_owned()),
            interface: "lan0".to_owned(),
            vrid: 51,
            version: 3,
            family: FamilyName::Ipv4,
            addresses: vec!["192.0.2.1/24".to_owned()],
            state: Role::Active,
            owned: true,
            fenced: false,
            uncorroborated: 0,
            held_until: None,
            priority: 200,
            effective_priority: 200,
            unfit: None,
            active_since: Some(at(10)),
            last_transition: Some(TransitionStatus {
                at: at(10),
                from: Role::Backup,
                to: Role::Active,
                cause: Cause::AdvertTimeout,
                detail: "last advert 3.6s ago".to_owned(),
            }),
            active_router: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))),
            last_advert_age_ns: Some(5_000_000_000),
            learned_interval_ns: Some(1_000_000_000),
            checksum_sent: Some(ChecksumForm::Rfc9568),
            checksum_heard: None,
            adverts_sent: 100,
            adverts_received: 7,
            adverts_answered_in_xdp: 1,
            priority_zero_sent: 0,
            priority_zero_received: 2,
            transitions: 1,
            discards: ReasonCounts::from([("ttl-invalid".to_owned(), 3)]),
        }
    }

    fn link() -> LinkStatus {
        LinkStatus {
            name: "lan0".to_owned(),
            ifindex: Some(4),
            carrier: true,
            mode: Some(AttachMode::Native),
            rx_bps: 12_345_678,
            tx_bps: 999,
            rx_packets: 10,
            rx_bytes: 1_000,
            tx_packets: 20,
            tx_bytes: 2_000,
        }
    }

    pub(crate) fn status() -> Status {
        Status {
            schema: SCHEMA,
            node: NodeStatus {
                name: "gw-a".to_owned(),
                id: Some(1),
                mode: mode_name(Mode::ActivePassive).to_owned(),
                primary: true,
                maintenance: false,
                started_at: at(0),
                version: "0.1.0".to_owned(),
            },
            controller: ControllerStatus {
                lease_ns: 1_000_000_000,
                lease_remaining_ns: 912_345_678,
                loop_lateness_max_ns: 3_100_000,
                journal_failures: 0,
            },
            virtual_routers: vec![router()],
            peers: vec![PeerStatus {
                name: "gw-b".to_owned(),
                id: 2,
                health: Health::Healthy,
                paths: vec![PathStatus {
                    interface: Some("lan0".to_owned()),
                    health: Health::Healthy,
                    rtt_ns: Some(38_000),
                    sent: 120,
                    answered: 118,
                    lost: 2,
                    ..PathStatus::unprobed(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3)))
                }],
                role: Some(Role::Backup),
                controller_heartbeat_age_ns: Some(40_000_000),
                heard_age_ns: Some(12_000_000),
                lease_remaining_ns: 960_000_000,
                owns: Vec::new(),
                ready_for: vec!["gateway".to_owned()],
                authenticated: true,
            }],
            links: vec![link()],
            link_pairs: vec![fitness::samples::pair()],
            checks: vec![fitness::samples::check()],
            bandwidth: vec![fitness::samples::guard()],
            flaps: FlapStatus {
                count: 0,
                window_ns: 600_000_000_000,
                maximum_allowed: 3,
                latched: false,
                reason: None,
                hold_remaining_ns: 0,
                release_in_ns: None,
                next_expiry_in_ns: None,
            },
            bypass: BypassStatus {
                driver: "command".to_owned(),
                topology: Some("inline".to_owned()),
                engaged: false,
                wanted: Vec::new(),
                pairs: Vec::new(),
                faults: Vec::new(),
                watchdog: Some(WatchdogStatus {
                    timeout_ns: 3_000_000_000,
                    pet_interval_ns: 1_000_000_000,
                    proof_age_ns: Some(40_000_000),
                }),
            },
            data_plane: DataPlaneStatus {
                program: "holdfast_xdp".to_owned(),
                attached: true,
                verdicts: ReasonCounts::from([("advert-absorbed".to_owned(), 42)]),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(value: &serde_json::Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// The contract's names, sorted as `serde_json` hands them out.
    fn expect(value: &serde_json::Value, names: &str) {
        let mut names: Vec<_> = names.split(' ').collect();
        names.sort_unstable();
        assert_eq!(keys(value), names);
    }

    #[test]
    fn the_object_has_the_contracts_fields() {
        let json = serde_json::to_value(samples::status()).unwrap();
        expect(
            &json,
            "schema node controller virtual_routers peers links link_pairs checks bandwidth flaps bypass data_plane",
        );
        expect(&json["node"], "name id mode primary maintenance started_at version");
        expect(&json["controller"], "lease_ns lease_remaining_ns loop_lateness_max_ns journal_failures");
        expect(
            &json["virtual_routers"][0],
            "name group interface vrid version family addresses state owned fenced held_until priority uncorroborated \
             effective_priority unfit active_since last_transition active_router last_advert_age_ns learned_interval_ns \
             checksum_sent checksum_heard adverts_sent adverts_received adverts_answered_in_xdp \
             priority_zero_sent priority_zero_received transitions discards",
        );
        expect(&json["virtual_routers"][0]["last_transition"], "at from to cause detail");
        expect(
            &json["peers"][0],
            "name id health paths role controller_heartbeat_age_ns heard_age_ns lease_remaining_ns owns ready_for \
             authenticated",
        );
        expect(
            &json["peers"][0]["paths"][0],
            "address interface health rtt_ns rtt_smoothed_ns rtt_min_ns rtt_max_ns sent answered lost void sent_late \
             last_failure requests_heard",
        );
        expect(
            &json["links"][0],
            "name ifindex carrier mode rx_bps tx_bps rx_packets rx_bytes tx_packets tx_bytes",
        );
        expect(&json["link_pairs"][0], "name active inside outside passing fault");
        expect(&json["link_pairs"][0]["inside"], "interface state");
        expect(&json["checks"][0], "name kind scope state detail since runs timeouts weight");
        expect(
            &json["bandwidth"][0],
            "link minimum_bps interval_ns armed rate_bps demand_bps below_since failures",
        );
        expect(
            &json["flaps"],
            "count window_ns maximum_allowed latched reason hold_remaining_ns release_in_ns next_expiry_in_ns",
        );
        expect(&json["bypass"], "driver topology engaged wanted pairs faults watchdog");
        expect(&json["bypass"]["watchdog"], "timeout_ns pet_interval_ns proof_age_ns");
        expect(&json["data_plane"], "program attached verdicts");
    }

    #[test]
    fn values_are_written_as_the_contract_says() {
        let json = serde_json::to_value(samples::status()).unwrap();
        let router = &json["virtual_routers"][0];
        assert_eq!(json["schema"], 1);
        assert_eq!(json["node"]["started_at"], "2023-11-14T22:13:20.000Z");
        assert_eq!(router["state"], "active");
        assert_eq!(router["held_until"], serde_json::Value::Null);
        assert_eq!(router["last_transition"]["cause"], "advert-timeout");
        assert_eq!(router["checksum_sent"], "rfc9568");
        assert_eq!(router["family"], "ipv4");
        assert_eq!(json["links"][0]["mode"], "native");
        assert_eq!(json["peers"][0]["health"], "healthy");
        assert_eq!(json["checks"][0]["state"], "passing");
        assert_eq!(json["link_pairs"][0]["inside"]["state"], "up");
    }
}
