//! What the engine wants done. Plain data; one interpreter in the daemon carries it out.

use crate::config::{GroupId, PeerId, RouterId};
use crate::input::ChecksumForm;
use crate::time::{Duration, Instant};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// State of a virtual router (RFC 9568 section 6.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[default]
    Initialize,
    Backup,
    Active,
}

/// Why a transition took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The interface and a source address are there; the router starts (RFC 9568 section 6.4.1).
    Startup,
    /// As startup, for the address owner, which goes to Active at once.
    OwnerStartup,
    /// No advert for Active_Down_Interval.
    AdvertTimeout,
    /// The owner stepped down with priority 0 and Skew_Time has passed.
    PriorityZero,
    /// The timer ran out under a lower-priority owner that we preempt.
    Preemption,
    /// An advert of higher priority was heard while Active.
    HigherPriority,
    /// An advert of equal priority from a greater address was heard while Active.
    TieBreak,
    /// A losing advert arrived after our own had stopped leaving on time, so the sender may rightly own.
    AdvertsOverdue,
    /// The controller's lease ran out before it was extended.
    LeaseLapsed,
    /// The interface went down or disappeared.
    InterfaceDown,
    /// No source address for adverts is left on the interface.
    SourceLost,
    /// Another member of the group moved.
    GroupMember,
    /// A peer that owned the router fell silent on every path.
    PeerUnhealthy,
    /// Adverts were missing, and the owner's data plane vouched for it no longer.
    VouchEnded,
    /// A requirement of this node failed (links, checks) and a successor was heard.
    RequirementFailed,
    /// This node hears nobody on the segment while others hear it, or is heard by nobody while it hears others.
    Unheard,
    /// The operator took the node out for maintenance.
    Maintenance,
    /// The rate stayed below the minimum and a successor was heard.
    LowBandwidth,
    /// Too many flaps: the node stands down.
    FlapLatch,
    /// The operator ordered the bypass.
    BypassCommand,
    /// The operator ordered a failover and a successor was heard.
    FailoverCommand,
    /// The daemon stops.
    Shutdown,
    /// The configuration removed or changed the router.
    Reconfigured,
}

/// One change of state, complete enough to explain itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transition {
    pub router: RouterId,
    pub at: Instant,
    pub from: Role,
    pub to: Role,
    pub cause: Cause,
    /// Age of the last advert that counted, if one was ever heard.
    pub last_advert_age: Option<Duration>,
    /// Sender and priority of the advert that decided, or of the last owner heard.
    pub peer: Option<(IpAddr, u8)>,
    /// Active_Down_Interval or other deadline in force.
    pub deadline: Option<Duration>,
    /// How late the engine was called for the timer that decided.
    pub lateness: Duration,
}

/// What an operator should read although no state changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// The advert names another interval than ours (V-067).
    IntervalDiffers { router: RouterId, peer: IpAddr, interval: Duration },
    /// The advert lists other addresses than ours (V-068).
    AddressesDiffer { router: RouterId, peer: IpAddr },
    /// Another router also claims to own the addresses, with priority 255 (V-069).
    OwnerConflict { router: RouterId, peer: IpAddr },
    /// A peer runs at our own priority (V-070).
    EqualPriority { router: RouterId, peer: IpAddr },
    /// A member of the group timed out while another still hears the owner: held.
    SegmentSplit { group: GroupId, silent: RouterId, hearing: RouterId },
    /// A timer ran out in a stall of our own on a silent interface; judged again at `until`.
    Deferred { router: RouterId, until: Instant },
    /// Adverts of the owner are missing and its data plane vouches for it: held until then at the latest.
    Vouched { router: RouterId, peer: PeerId, until: Instant },
    /// An advert in a peer's name was not borne out by that peer within a check interval: it changed nothing.
    SuspectedForgery { router: RouterId, source: IpAddr, priority: u8 },
    /// A peer is silent on every path.
    PeerUnhealthy { peer: PeerId },
    /// A peer is heard again.
    PeerHealthy { peer: PeerId },
    /// Messages in a peer's name carry wrong MACs and none is right: plain VRRP decides towards it.
    AuthenticationFailing { peer: PeerId },
    /// This host's own packet filter lets no request to the peer out: plain VRRP decides towards it.
    Muzzled { peer: PeerId },
    /// A peer says that it owns what this node owns.
    TwoOwners { router: RouterId, peer: PeerId },
    /// This node is no longer fit to own a router, or is again.
    Fitness { router: RouterId, unfit: Option<Cause> },
    /// A failover was ordered and no successor was heard: still Active.
    FailoverUnanswered { router: RouterId },
    /// Adding the addresses failed.
    AddressFailure { router: RouterId, error: String },
    /// Something else removed an address; it is put back.
    AddressRestored { router: RouterId },
}

/// What the data plane is to know of a router's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicyWrite {
    pub role: Role,
    /// Grant that makes an Active the owner; 0 while not Active. Never repeats, so a revocation is final.
    pub epoch: u64,
    /// Effective priority; 0 while releasing.
    pub priority: u8,
    /// Whether a Backup ignores lower priorities now (`preempt` with its delay over).
    pub preempt: bool,
    /// Form of our adverts, where there is a choice.
    pub checksum: ChecksumForm,
    /// No peer has shown its form yet, or one spoke both: adverts go out in the other form too, now and then, or a peer that reads only
    /// that one would neither yield nor speak up.
    pub form_unknown: bool,
}

/// What the engine wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Write the router's standing into the map. Precedes whatever relies on it.
    WritePolicy { router: RouterId, policy: PolicyWrite },
    /// Send an advert now and then every interval, drift-free (V-085), with the policy's priority.
    StartAdverts { router: RouterId, interval: Duration },
    /// Stop the schedule; nothing more is sent.
    StopAdverts { router: RouterId },
    /// Send one advert now without touching the schedule (V-106); priority 0 releases.
    SendAdvert { router: RouterId, priority: u8 },
    /// Put the addresses on the interface; the outcome returns as an input.
    AddAddresses { router: RouterId },
    /// The owner stepped down: have the addresses ready, so that a takeover costs nothing. Nothing is owned yet; the data
    /// plane's fence keeps them silent, and without a fence nothing is to be done. Ends in `AddAddresses` or
    /// `RemoveAddresses`.
    PrepareAddresses { router: RouterId },
    /// Take the addresses away.
    RemoveAddresses { router: RouterId },
    /// Gratuitous ARP or unsolicited NA for every address.
    Announce { router: RouterId },
    /// Write to the journal.
    Record(Transition),
    /// Tell the operator.
    Notify(Notice),
    /// A graceful stop is complete.
    Stopped,
    /// Everything is given up and stays so: bypass may engage.
    StoodDown,
    /// Whether a peer's adverts count without being borne out.
    TrustPeer { peer: PeerId, plain: bool },
    /// Probe the peer now: its word is needed before the next check.
    ProbeNow { peer: PeerId },
}
