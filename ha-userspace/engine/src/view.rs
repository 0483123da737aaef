//! What status shows of a virtual router. A copy; reading it changes nothing.

use crate::action::{Role, Transition};
use crate::config::{GroupId, RouterId};
use crate::input::ChecksumForm;
use crate::time::{Duration, Instant};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// A virtual router at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterView {
    pub router: RouterId,
    pub group: Option<GroupId>,
    pub role: Role,
    /// As configured.
    pub priority: u8,
    /// As on the wire: 0 while releasing.
    pub effective_priority: u8,
    pub active_since: Option<Instant>,
    /// Active_Adver_Interval: our own until another is heard.
    pub learned_interval: Duration,
    /// Address and priority of the owner as far as it is known; ourselves while Active.
    pub active_router: Option<(IpAddr, u8)>,
    /// End of Active_Down_Timer in Backup, of the wait for a successor while releasing.
    pub deadline: Option<Instant>,
    /// A Backup whose timer has run out and whose group holds it.
    pub held: bool,
    /// Adverts are missing and a peer vouches for the owner until then.
    pub vouched_until: Option<Instant>,
    /// Why this node is not fit to own it.
    pub unfit: Option<crate::action::Cause>,
    /// This node could own it now.
    pub ready: bool,
    /// Last advert that counted.
    pub last_advert: Option<Instant>,
    pub last_transition: Option<Transition>,
    /// Active at priority 0, waiting for its successor.
    pub releasing: bool,
    /// An ordered failover is in force: the successor is not preempted.
    pub preemption_suspended: bool,
    /// Entries into Active (V-152).
    pub transitions: u64,
    /// Form of our adverts; of meaning for VRRPv3 over IPv4 only.
    pub checksum_sent: ChecksumForm,
    pub checksum_heard: Option<ChecksumForm>,
}
