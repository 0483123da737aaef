//! What happens to the engine.

use crate::action::Cause;
use crate::config::{EngineConfig, GroupId, InterfaceId, PeerId, RouterId};
use crate::peers::{PeerHealth, PeerReport};
use crate::time::{Duration, Instant};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// Checksum form of a received advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumForm {
    /// VRRPv3 over IPv4, message only (RFC 9568 section 5.2.8).
    Rfc9568,
    /// VRRPv3 over IPv4 with pseudo-header (RFC 5798).
    Rfc5798,
}

/// A valid advert of another router, as the data plane reported it.
///
/// What changes nothing may be absorbed, which means: same sender, priority, interval and form as the last one, of which
/// the engine was told since the router's role and preemption were last written. While Active, a losing advert is
/// always worth telling (bounded like the answers): the hosts have to hear from us again (V-112).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Advert {
    /// When it arrived, stamped in the data plane.
    pub at: Instant,
    pub source: IpAddr,
    pub priority: u8,
    /// Max Advertise Interval it carries.
    pub interval: Duration,
    /// `None` where only one form exists (VRRPv2, IPv6).
    pub checksum: Option<ChecksumForm>,
    /// The data plane has already answered it with our advert.
    pub answered: bool,
    /// It lists other addresses than ours (V-068).
    pub addresses_differ: bool,
    /// Grant in force in the data plane when it was judged; 0 if none.
    pub epoch: u64,
    /// The data plane revoked that grant because of this advert.
    pub revoked: bool,
}

/// How fit this node is to own a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// Added to the configured priority, which stays within 1 to 254. The address owner's is never changed.
    pub offset: i16,
    /// Why a requirement of the router is not met: it then runs at priority 1 and gives way to a ready peer.
    pub unfit: Option<Cause>,
    /// False while flaps hold back a return: a living owner is not preempted.
    pub may_preempt: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Standing { offset: 0, unfit: None, may_preempt: true }
    }
}

/// Everything that can happen to the engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Input {
    /// The configuration, at start and at each reload. Routers that stay keep their state.
    Configured(EngineConfig),
    /// Carrier and administrative state of an interface.
    Interface { interface: InterfaceId, up: bool },
    /// Our source address for a router's adverts: primary IPv4 or link-local IPv6 (V-010, V-011).
    Source { router: RouterId, address: Option<IpAddr> },
    /// A valid advert that changed something.
    Advert { router: RouterId, advert: Advert },
    /// The last advert that the data plane absorbed for a Backup; read from the map before timers are judged.
    Heard { router: RouterId, at: Instant },
    /// The controller overslept its lease: whatever was owned has lapsed at `at`.
    LeaseLapsed { at: Instant },
    /// The controller did not run from `began` to `ended`. On the `silent` interfaces the data plane heard nothing
    /// at all in that time, so silence there may be our own.
    Stalled { began: Instant, ended: Instant, silent: Vec<InterfaceId> },
    /// Outcome of [`crate::Action::AddAddresses`].
    AddressesAdded { router: RouterId, outcome: Result<(), String> },
    /// Somebody else removed an address of a router while it stood; it is to be put back.
    AddressLost { router: RouterId },
    /// An advert in a peer's name that nothing authenticated bore out when it came: the data plane let it change nothing.
    Uncorroborated { router: RouterId, peer: PeerId, advert: Advert },
    /// What a peer said last, over all its paths. Before timers are judged, the latest of each is handed in.
    Peer { peer: PeerId, report: PeerReport },
    /// The verdict of a peer's checks changed. `silent_since`: first missed check of the row that made it unhealthy.
    PeerHealth { peer: PeerId, health: PeerHealth, silent_since: Option<Instant> },
    /// This host lets no request to the peer out, or does again.
    Muzzled { peer: PeerId, muzzled: bool },
    /// Frames of any kind were last received on an interface at `at`.
    Frames { interface: InterfaceId, at: Instant },
    /// How fit this node is to own a router.
    Standing { router: RouterId, standing: Standing },
    /// Release the group, or everything, to a Backup, and leave it there. `cause` is the operator's order or low bandwidth.
    Failover { group: Option<GroupId>, cause: Cause },
    /// Give everything up and stay in Initialize until [`Input::StandUp`]; the outcome is [`crate::Action::StoodDown`].
    StandDown { cause: Cause },
    /// Take part again.
    StandUp,
    /// Graceful stop.
    Shutdown,
}
