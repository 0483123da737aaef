//! Records of the journal: the engine's transitions and notices under the operator's names.

use super::Timestamp;
use holdfast_engine::{Cause, GroupId, Notice, PeerId, Role, RouterId, Transition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Counts up by one; goes on across restarts.
    pub seq: u64,
    pub at: Timestamp,
    /// Boot clock, nanoseconds.
    pub boot_ns: u64,
    #[serde(flatten)]
    pub event: Event,
}

/// What is handed to the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub at: SystemTime,
    /// Boot clock, nanoseconds.
    pub boot_ns: u64,
    pub event: Event,
}

/// A change of state, or something worth reading without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    Transition(TransitionEvent),
    Notice(NoticeEvent),
}

/// A [`Transition`] under the operator's names. Spans are nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionEvent {
    pub router: String,
    pub from: Role,
    pub to: Role,
    pub cause: Cause,
    /// Age of the last advert that counted, if one was ever heard.
    pub last_advert_age_ns: Option<u64>,
    /// Sender of the advert that decided, or of the last owner heard.
    pub peer: Option<IpAddr>,
    pub peer_priority: Option<u8>,
    /// Active_Down_Interval or other deadline in force.
    pub deadline_ns: Option<u64>,
    /// How late the controller acted on the timer that decided.
    pub lateness_ns: u64,
}

/// A [`Notice`] under the operator's names, or something that happened beside the engine: checks, links, flaps, bypass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "kebab-case")]
pub enum NoticeEvent {
    IntervalDiffers {
        router: String,
        peer: IpAddr,
        interval_ns: u64,
    },
    AddressesDiffer {
        router: String,
        peer: IpAddr,
    },
    OwnerConflict {
        router: String,
        peer: IpAddr,
    },
    EqualPriority {
        router: String,
        peer: IpAddr,
    },
    SegmentSplit {
        group: String,
        silent: String,
        hearing: String,
    },
    Deferred {
        router: String,
        /// Boot clock.
        until_ns: u64,
    },
    FailoverUnanswered {
        router: String,
    },
    AddressFailure {
        router: String,
        error: String,
    },
    AddressRestored {
        router: String,
    },
    Vouched {
        router: String,
        peer: String,
        /// Boot clock.
        until_ns: u64,
    },
    SuspectedForgery {
        router: String,
        source: IpAddr,
        priority: u8,
    },
    PeerUnhealthy {
        peer: String,
    },
    PeerHealthy {
        peer: String,
    },
    AuthenticationFailing {
        peer: String,
    },
    Muzzled {
        peer: String,
    },
    TwoOwners {
        router: String,
        peer: String,
    },
    Unfit {
        router: String,
        reason: Cause,
    },
    Fit {
        router: String,
    },
    CheckFailed {
        check: String,
        detail: String,
    },
    CheckPassed {
        check: String,
    },
    LinkPairsLow {
        detail: String,
    },
    LinkPairsRestored,
    BandwidthLow {
        link: String,
        detail: String,
    },
    FlapLatched {
        detail: String,
    },
    FlapReleased {
        detail: String,
    },
    FlapRecordFault {
        fault: String,
    },
    BypassEngaged {
        pair: String,
    },
    BypassReleased {
        pair: String,
    },
    BypassFault {
        pair: String,
        fault: String,
    },
    Maintenance {
        on: bool,
    },
}

/// The operator's names for the engine's numbers.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub routers: BTreeMap<RouterId, String>,
    pub groups: BTreeMap<GroupId, String>,
    pub peers: BTreeMap<PeerId, String>,
}

impl Names {
    /// Name of a virtual router, or its number where it has gone meanwhile.
    pub fn router(&self, id: RouterId) -> String {
        self.routers.get(&id).cloned().unwrap_or_else(|| format!("#{}", id.0))
    }

    /// Name of a group, or its number where it has gone meanwhile.
    pub fn group(&self, id: GroupId) -> String {
        self.groups.get(&id).cloned().unwrap_or_else(|| format!("#{}", id.0))
    }
}

impl Names {
    /// Name of a peer, or its number where it has gone meanwhile.
    pub fn peer(&self, id: PeerId) -> String {
        self.peers.get(&id).cloned().unwrap_or_else(|| format!("#{}", id.0))
    }
}

impl Event {
    pub fn from_transition(transition: &Transition, names: &Names) -> Self {
        Event::Transition(TransitionEvent {
            router: names.router(transition.router),
            from: transition.from,
            to: transition.to,
            cause: transition.cause,
            last_advert_age_ns: transition.last_advert_age.map(|age| age.as_nanos()),
            peer: transition.peer.map(|(address, _)| address),
            peer_priority: transition.peer.map(|(_, priority)| priority),
            deadline_ns: transition.deadline.map(|deadline| deadline.as_nanos()),
            lateness_ns: transition.lateness.as_nanos(),
        })
    }

    pub fn from_notice(notice: &Notice, names: &Names) -> Self {
        Event::Notice(match notice {
            Notice::IntervalDiffers { router, peer, interval } => NoticeEvent::IntervalDiffers {
                router: names.router(*router),
                peer: *peer,
                interval_ns: interval.as_nanos(),
            },
            Notice::AddressesDiffer { router, peer } => {
                NoticeEvent::AddressesDiffer { router: names.router(*router), peer: *peer }
            }
            Notice::OwnerConflict { router, peer } => {
                NoticeEvent::OwnerConflict { router: names.router(*router), peer: *peer }
            }
            Notice::EqualPriority { router, peer } => {
                NoticeEvent::EqualPriority { router: names.router(*router), peer: *peer }
            }
            Notice::SegmentSplit { group, silent, hearing } => NoticeEvent::SegmentSplit {
                group: names.group(*group),
                silent: names.router(*silent),
                hearing: names.router(*hearing),
            },
            Notice::Deferred { router, until } => {
                NoticeEvent::Deferred { router: names.router(*router), until_ns: until.as_nanos() }
            }
            Notice::FailoverUnanswered { router } => {
                NoticeEvent::FailoverUnanswered { router: names.router(*router) }
            }
            Notice::AddressFailure { router, error } => {
                NoticeEvent::AddressFailure { router: names.router(*router), error: error.clone() }
            }
            Notice::AddressRestored { router } => {
                NoticeEvent::AddressRestored { router: names.router(*router) }
            }
            Notice::Vouched { router, peer, until } => NoticeEvent::Vouched {
                router: names.router(*router),
                peer: names.peer(*peer),
                until_ns: until.as_nanos(),
            },
            Notice::SuspectedForgery { router, source, priority } => NoticeEvent::SuspectedForgery {
                router: names.router(*router),
                source: *source,
                priority: *priority,
            },
            Notice::PeerUnhealthy { peer } => NoticeEvent::PeerUnhealthy { peer: names.peer(*peer) },
            Notice::PeerHealthy { peer } => NoticeEvent::PeerHealthy { peer: names.peer(*peer) },
            Notice::Muzzled { peer } => NoticeEvent::Muzzled { peer: names.peer(*peer) },
            Notice::AuthenticationFailing { peer } => {
                NoticeEvent::AuthenticationFailing { peer: names.peer(*peer) }
            }
            Notice::TwoOwners { router, peer } => {
                NoticeEvent::TwoOwners { router: names.router(*router), peer: names.peer(*peer) }
            }
            Notice::Fitness { router, unfit: Some(reason) } => {
                NoticeEvent::Unfit { router: names.router(*router), reason: *reason }
            }
            Notice::Fitness { router, unfit: None } => NoticeEvent::Fit { router: names.router(*router) },
        })
    }

    /// The transition inside, if it is one.
    pub fn transition(&self) -> Option<&TransitionEvent> {
        match self {
            Event::Transition(transition) => Some(transition),
            Event::Notice(_) => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! One of everything, for the tests of whoever shows or stores events.
    use super::*;
    use holdfast_engine::{Duration, Instant};
    use std::net::Ipv4Addr;

    pub(crate) const CAUSES: [Cause; 23] = [
        Cause::Startup,
        Cause::OwnerStartup,
        Cause::AdvertTimeout,
        Cause::PriorityZero,
        Cause::Preemption,
        Cause::HigherPriority,
        Cause::TieBreak,
        Cause::AdvertsOverdue,
        Cause::LeaseLapsed,
        Cause::InterfaceDown,
        Cause::SourceLost,
        Cause::GroupMember,
        Cause::FailoverCommand,
        Cause::Shutdown,
        Cause::Reconfigured,
        Cause::PeerUnhealthy,
        Cause::VouchEnded,
        Cause::RequirementFailed,
        Cause::Unheard,
        Cause::Maintenance,
        Cause::LowBandwidth,
        Cause::FlapLatch,
        Cause::BypassCommand,
    ];

    pub(crate) fn names() -> Names {
        Names {
            routers: BTreeMap::from([(RouterId(0), "lan".to_owned()), (RouterId(1), "wan".to_owned())]),
            groups: BTreeMap::from([(GroupId(0), "gateway".to_owned())]),
            peers: BTreeMap::from([(PeerId(0), "gw-b".to_owned())]),
        }
    }

    pub(crate) fn transition(cause: Cause) -> Transition {
        Transition {
            router: RouterId(0),
            at: Instant::from_nanos(7_000_000_000),
            from: Role::Backup,
            to: Role::Active,
            cause,
            last_advert_age: Some(Duration::from_nanos(3_609_500_000)),
            peer: Some((IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3)), 200)),
            deadline: Some(Duration::from_nanos(3_609_375_000)),
            lateness: Duration::from_nanos(125_000),
        }
    }

    pub(crate) fn notices() -> Vec<Notice> {
        let router = RouterId(0);
        let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));
        vec![
            Notice::IntervalDiffers { router, peer, interval: Duration::from_millis(100) },
            Notice::AddressesDiffer { router, peer },
            Notice::OwnerConflict { router, peer },
            Notice::EqualPriority { router, peer },
            Notice::SegmentSplit { group: GroupId(0), silent: router, hearing: RouterId(1) },
            Notice::Deferred { router, until: Instant::from_nanos(9_000_000_000) },
            Notice::FailoverUnanswered { router },
            Notice::AddressFailure { router, error: "Operation not permitted".to_owned() },
            Notice::AddressRestored { router },
            Notice::Vouched { router, peer: PeerId(0), until: Instant::from_nanos(9_000_000_000) },
            Notice::SuspectedForgery { router, source: peer, priority: 255 },
            Notice::PeerUnhealthy { peer: PeerId(0) },
            Notice::PeerHealthy { peer: PeerId(0) },
            Notice::AuthenticationFailing { peer: PeerId(0) },
            Notice::Muzzled { peer: PeerId(0) },
            Notice::TwoOwners { router, peer: PeerId(0) },
            Notice::Fitness { router, unfit: Some(Cause::RequirementFailed) },
            Notice::Fitness { router, unfit: None },
        ]
    }

    /// What happens beside the engine.
    pub(crate) fn occurrences() -> Vec<NoticeEvent> {
        let (pair, detail) = ("edge".to_owned(), "3 of 2".to_owned());
        vec![
            NoticeEvent::CheckFailed { check: "dns".to_owned(), detail: "timed out".to_owned() },
            NoticeEvent::CheckPassed { check: "dns".to_owned() },
            NoticeEvent::LinkPairsLow { detail: detail.clone() },
            NoticeEvent::LinkPairsRestored,
            NoticeEvent::BandwidthLow { link: "lan0".to_owned(), detail: detail.clone() },
            NoticeEvent::FlapLatched { detail: detail.clone() },
            NoticeEvent::FlapReleased { detail },
            NoticeEvent::FlapRecordFault { fault: "damaged".to_owned() },
            NoticeEvent::BypassEngaged { pair: pair.clone() },
            NoticeEvent::BypassReleased { pair: pair.clone() },
            NoticeEvent::BypassFault { pair, fault: "reads released".to_owned() },
            NoticeEvent::Maintenance { on: true },
            NoticeEvent::Maintenance { on: false },
        ]
    }

    pub(crate) fn record(seq: u64, event: Event) -> EventRecord {
        let at = Timestamp::from(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000));
        EventRecord { seq, at, boot_ns: 7_000_000_000, event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_reads_as_flat_json() {
        let event = Event::from_transition(&samples::transition(Cause::AdvertTimeout), &samples::names());
        let json = serde_json::to_value(samples::record(4, event)).unwrap();
        let expected = serde_json::json!({
            "seq": 4, "at": "2023-11-14T22:13:20.000Z", "boot_ns": 7_000_000_000_u64, "event": "transition",
            "router": "lan", "from": "backup", "to": "active", "cause": "advert-timeout",
            "last_advert_age_ns": 3_609_500_000_u64, "peer": "192.0.2.3", "peer_priority": 200,
            "deadline_ns": 3_609_375_000_u64, "lateness_ns": 125_000,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn every_event_reads_back() {
        let names = samples::names();
        let transitions =
            samples::CAUSES.iter().map(|cause| Event::from_transition(&samples::transition(*cause), &names));
        let notices = samples::notices();
        let notices = notices.iter().map(|notice| Event::from_notice(notice, &names));
        let beside = samples::occurrences().into_iter().map(Event::Notice);
        for event in transitions.chain(notices).chain(beside) {
            let record = samples::record(1, event);
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<EventRecord>(&json).unwrap(), record, "{json}");
        }
    }

    #[test]
    fn a_router_that_has_gone_keeps_its_number() {
        assert_eq!(samples::names().router(RouterId(9)), "#9");
        assert_eq!(samples::names().group(GroupId(0)), "gateway");
    }
}
