//! Peers and paths as their maps show them, and what a message may change there.
//!
//! Only messages whose MAC was right get here. Each path keeps a window, the highest sequence of its requests, tagged with
//! the incarnation it belongs to; each peer keeps what it said last by its own clock, whichever path brought it.

use crate::{
    count,
    maps::{PATH_SLOTS, PATH_STATES, PATHS, PEER_STATES, PEERS, attach_ifindex},
    report,
};
use ha_common::{
    maps::peers::{MacKey, PathKey, PathPolicy, PathState, PeerPolicy, PeerState},
    ring_events::peer_event,
    wire::{ipv6, probe::Message},
};

const MICROSECOND_NS: u64 = 1_000;
/// A slot that holds no key: whoever knows it knows nothing.
const NO_KEY: MacKey = [0; 2];

/// A configured peer.
pub struct Peer {
    pub slot: u32,
    pub policy: &'static PeerPolicy,
    pub state: *mut PeerState,
}

/// Both directions' keys of one secret.
pub struct Keys {
    pub receive: MacKey,
    pub send: MacKey,
}

/// A configured path and its peer.
pub struct Path {
    pub slot: u32,
    pub policy: &'static PathPolicy,
    pub state: *mut PathState,
    pub peer: Peer,
}

/// What a path's window says of a message.
pub enum Admission {
    /// Newer than all before it.
    Fresh,
    /// Not newer: heard before, or overtaken.
    Repeated,
    /// Sent on another path of the same peer.
    OtherPath,
}

impl Peer {
    /// The peer in a slot; `None` if it is empty.
    #[inline(always)]
    pub fn at(slot: u32) -> Option<Self> {
        let policy = PEERS.get(slot)?;
        let state = PEER_STATES.get_ptr_mut(slot)?;
        (policy.node != 0).then_some(Peer { slot, policy, state })
    }

    /// The keys that a number on the wire names, if they are in use.
    #[inline(always)]
    pub fn keys(&self, key_id: u16) -> Option<Keys> {
        let PeerPolicy { receive, send, key_ids, .. } = self.policy;
        if key_ids[0] == key_id && receive[0] != NO_KEY {
            return Some(Keys { receive: receive[0], send: send[0] });
        }
        (key_ids[1] == key_id && receive[1] != NO_KEY).then_some(Keys { receive: receive[1], send: send[1] })
    }

    /// Its incarnation as far as it is known; 0 if it is not.
    #[inline(always)]
    pub fn incarnation(&self) -> u64 {
        // SAFETY: `state` is a valid map value.
        unsafe { (*self.state).incarnation }
    }

    /// Notes under which incarnation the peer runs. What an earlier one said is then older than whatever this one says.
    #[inline(always)]
    pub fn run_as(&self, incarnation: u64) {
        // SAFETY: `state` is a valid map value that only the data plane writes.
        let state = unsafe { &mut *self.state };
        if state.incarnation != incarnation {
            state.incarnation = incarnation;
            state.their_clock_ns = 0;
        }
    }

    /// Whether an authenticated message of it is young enough to speak for it.
    #[inline(always)]
    pub fn is_fresh(&self, now_ns: u64) -> bool {
        // SAFETY: `state` is a valid map value.
        let heard_at_ns = unsafe { (*self.state).heard_at_ns };
        heard_at_ns != 0 && now_ns.saturating_sub(heard_at_ns) <= self.policy.fresh_ns
    }
}

impl Path {
    /// The path between two addresses (IPv4 mapped) on this interface.
    #[inline(always)]
    pub fn find(vlan: u32, local: ipv6::Words, remote: ipv6::Words) -> Option<Self> {
        let key = PathKey {
            ifindex: attach_ifindex(),
            vlan,
            local: ipv6::bytes(local),
            remote: ipv6::bytes(remote),
        };
        // SAFETY: the value is one word, which is read at once.
        let slot = unsafe { PATH_SLOTS.get(key) }.copied()?;
        let policy = PATHS.get(slot)?;
        let state = PATH_STATES.get_ptr_mut(slot)?;
        Some(Path { slot, policy, state, peer: Peer::at(policy.peer)? })
    }

    /// Whether an answer that teaches nothing may be sent now: at most one in the peer's `repeat_ns`. Two CPUs may both get
    /// leave; the bound is against storms.
    #[inline(always)]
    pub fn may_answer_again(&self, now_ns: u64) -> bool {
        // SAFETY: `state` is a valid map value that only the data plane writes.
        let state = unsafe { &mut *self.state };
        if now_ns.saturating_sub(state.repeated_at_ns) < self.peer.policy.repeat_ns {
            return false;
        }
        state.repeated_at_ns = now_ns;
        true
    }

    /// Whether a request has been heard on this path from the run of the peer that sent `message`.
    #[inline(always)]
    pub fn knows_run_of(&self, message: &Message) -> bool {
        // SAFETY: `state` is a valid map value.
        unsafe { (*self.state).request_incarnation == message.prober_incarnation }
    }

    /// Moves the window over `message`. The first message of a run starts the window anew and says which number the path
    /// has at the far end. A message for which two CPUs compete is fresh for one of them.
    #[inline(always)]
    pub fn admit(&self, message: &Message) -> Admission {
        let their_index = message.path_index() + 1;
        // SAFETY: `state` is a valid map value that only the data plane writes, aligned to eight bytes.
        unsafe {
            let highest = (*self.state).request_sequence;
            if self.knows_run_of(message) {
                if (*self.state).their_index != their_index {
                    return Admission::OtherPath;
                }
                if message.sequence <= highest {
                    return Admission::Repeated;
                }
            }
            if !count::exchange(&raw mut (*self.state).request_sequence, highest, message.sequence) {
                return Admission::Repeated;
            }
            (*self.state).their_index = their_index;
            (*self.state).request_incarnation = message.prober_incarnation;
        }
        Admission::Fresh
    }

    /// Takes over what a fresh message says of its sender, unless a newer one by the sender's own clock has been heard.
    /// The controller is told if that changes what the peer owns or may own, or ends a silence.
    #[inline(always)]
    pub fn learn(&self, message: &Message, their_clock_ns: u64, now_ns: u64) {
        let mut worth_telling = !self.peer.is_fresh(now_ns);
        // SAFETY: `state` is a valid map value that only the data plane writes.
        let state = unsafe { &mut *self.peer.state };
        state.heard_at_ns = now_ns;
        let owned_before = state.owned;
        if their_clock_ns > state.their_clock_ns {
            let has_lease = message.remaining_us != 0;
            let (owned, ready) = if has_lease { (message.owned, message.ready) } else { (0, 0) };
            let first_of_run = state.their_clock_ns == 0;
            worth_telling |=
                first_of_run || owned != owned_before || ready != state.ready || message.flags != state.flags;
            state.their_clock_ns = their_clock_ns;
            state.owned = owned;
            state.ready = ready;
            let remaining_ns = u64::from(message.remaining_us) * MICROSECOND_NS;
            state.lease_until_ns = if has_lease { now_ns + remaining_ns } else { 0 };
            state.digest = message.digest;
            state.health = message.health;
            state.lease_centis = message.lease_centis;
            state.priority = message.priority;
            state.hears = message.hears;
            state.flags = message.flags;
        }
        if worth_telling {
            report::peer(self, peer_event::REPORT, now_ns, (owned_before, state.owned));
        }
    }

    /// Counts a message in the peer's name with a wrong MAC or under no secret of ours, and tells of one per check interval; `bad_mac_at_ns` is the
    /// one that was told.
    #[inline(always)]
    pub fn note_bad_mac(&self, now_ns: u64) {
        // SAFETY: `state` is a valid map value that only the data plane writes, aligned to eight bytes.
        unsafe {
            count::add(&raw mut (*self.peer.state).bad_macs);
            let told_at_ns = (*self.peer.state).bad_mac_at_ns;
            if now_ns.saturating_sub(told_at_ns) < self.peer.policy.interval_ns {
                return;
            }
            (*self.peer.state).bad_mac_at_ns = now_ns;
            let owned = (*self.peer.state).owned;
            report::peer(self, peer_event::BAD_MAC, now_ns, (owned, owned));
        }
    }

    /// Notes the peer's link-local address on this path's segment, and tells if it is another than before.
    #[inline(always)]
    pub fn note_link_local(&self, address: [u8; 16], now_ns: u64) {
        // SAFETY: both are valid map values that only the data plane writes.
        let (state, owned) = unsafe { (&mut *self.state, (*self.peer.state).owned) };
        if u128::from_ne_bytes(state.link_local) == u128::from_ne_bytes(address) {
            return;
        }
        state.link_local = address;
        report::peer(self, peer_event::LINK_LOCAL, now_ns, (owned, owned));
    }
}
