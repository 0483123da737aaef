//! Received probes: from the frame to the verdict.
//!
//! In this order: the path (addresses, VLAN and interface must be those of a configured one), the headers, the key, the MAC,
//! and only then what the message says, so that garbage costs little and changes nothing. Requests are answered in place
//! (`probe_answer`); replies and challenges to our own requests are matched and absorbed; neither is ever answered.

use crate::{
    classify::PAYLOAD_BOUND,
    count,
    cursor::{Part, XdpFrame, below},
    maps::node,
    outcome::Outcome,
    peers::{Admission, Path},
    probe_answer::{self, Kind},
    router::now_ns,
};
use aya_ebpf::bindings::xdp_md;
use core::ptr;
use ha_common::{
    maps::peers::{MacKey, NodePolicy},
    verdict_reasons::VerdictReason,
    wire::{
        Buffer,
        ethernet::{self, ADDRESSES_LENGTH},
        ipv4, ipv6,
        probe::{self, Message, kind},
        siphash::SipHash,
        udp,
    },
};

/// Bytes of a UDP packet that carries a message.
pub const UDP_LENGTH: usize = udp::HEADER_LENGTH + probe::LENGTH;
/// Bytes of the IP packet around it.
const LENGTH_V4: usize = ipv4::MIN_HEADER_LENGTH + UDP_LENGTH;
const LENGTH_V6: usize = ipv6::HEADER_LENGTH + UDP_LENGTH;
/// The bit that tells a group's MAC address, in its first four bytes.
const GROUP_BIT: u32 = 1 << 24;

/// What [`probe_v4`] and [`probe_v6`] return for a packet between other hosts, or of none of ours. It is left as it is.
pub const PATH_UNKNOWN: u32 = u32::MAX;

/// Judges the IPv4 packet to the HA port at `at`; the XDP code, or [`PATH_UNKNOWN`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn probe_v4(ctx: *mut xdp_md, at: usize, vlan: u32) -> u32 {
    receive(ctx, at, vlan, 4)
}

/// As [`probe_v4`], for IPv6.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn probe_v6(ctx: *mut xdp_md, at: usize, vlan: u32) -> u32 {
    receive(ctx, at, vlan, 6)
}

#[inline(always)]
fn receive(ctx: *mut xdp_md, at: usize, vlan: u32, family: u8) -> u32 {
    let frame = XdpFrame::of(ctx);
    let at = below::<PAYLOAD_BOUND>(at);
    let Some(path) = path_of(frame, at, vlan, family) else {
        return PATH_UNKNOWN;
    };
    let reason = if family == 6 {
        judge(Packet::<LENGTH_V6>::of(frame, at), header_v6, &path)
    } else {
        judge(Packet::<LENGTH_V4>::of(frame, at), header_v4, &path)
    };
    Outcome::Judged(reason).conclude_xdp()
}

#[inline(always)]
fn path_of(frame: XdpFrame, at: usize, vlan: u32, family: u8) -> Option<Path> {
    let (source, destination) = if family == 6 {
        let header = frame.part::<{ ipv6::HEADER_LENGTH }>(at)?;
        (ipv6::address(header, ipv6::source_at(0))?, ipv6::address(header, ipv6::destination_at(0))?)
    } else {
        let header = frame.part::<{ ipv4::MIN_HEADER_LENGTH }>(at)?;
        (ipv6::mapped(ipv4::source(header, 0)?), ipv6::mapped(ipv4::destination(header, 0)?))
    };
    Path::find(vlan, destination, source)
}

/// A frame that is long enough for a message: what is read and rewritten of it.
pub struct Packet<const LENGTH: usize> {
    pub macs: Part<ADDRESSES_LENGTH>,
    /// From the IP header to the end of the message.
    pub ip: Part<LENGTH>,
    frame_length: u64,
}

impl<const LENGTH: usize> Packet<LENGTH> {
    const UDP: usize = LENGTH - UDP_LENGTH;
    const MESSAGE: usize = LENGTH - probe::LENGTH;

    #[inline(always)]
    fn of(frame: XdpFrame, at: usize) -> Option<Self> {
        let frame_length = frame.len() as u64;
        Some(Self { macs: frame.part(0)?, ip: frame.part(at)?, frame_length })
    }

    /// The message; any bytes are one. Read anew each time: kept for later, it would take much of the stack.
    #[inline(always)]
    fn message(&self) -> Option<Message> {
        // SAFETY: inside the packet, as `Part` says; loads may be unaligned, as in `cursor`.
        self.ip.pointer::<Message>(Self::MESSAGE).map(|message| unsafe { ptr::read_volatile(message) })
    }

    /// The MAC that the message should have. It is taken from the packet word by word, so that no field need be kept meanwhile.
    #[inline(always)]
    fn mac(&self, key: MacKey) -> Option<u64> {
        let mut hash = SipHash::new(key);
        for word in 0..probe::SIGNED_WORDS {
            let at = self.ip.pointer::<u64>(Self::MESSAGE + word * size_of::<u64>())?;
            // SAFETY: as in `message`; volatile, so that the word is not kept for later.
            hash = hash.word(unsafe { ptr::read_volatile(at) });
        }
        Some(hash.finish(0, 0))
    }
}

/// Judges a packet on a configured path, and answers it where the verdict says so.
#[inline(always)]
fn judge<const LENGTH: usize>(
    packet: Option<Packet<LENGTH>>,
    has_right_header: fn(Part<LENGTH>) -> Option<bool>,
    path: &Path,
) -> VerdictReason {
    let (Some(node), Some(packet)) = (node(), packet) else {
        return VerdictReason::ProbeHeaderInvalid;
    };
    if has_right_header(packet.ip) != Some(true) || is_for_one_host(&packet) != Some(true) {
        return VerdictReason::ProbeHeaderInvalid;
    }
    let Some(head) = packet.message().filter(|head| is_between(head, node, path)) else {
        return VerdictReason::ProbeHeaderInvalid;
    };
    let now = now_ns();
    // The number on the wire follows from the secret: a peer with another secret is known by it.
    let Some(keys) = path.peer.keys(head.key_id) else {
        path.note_bad_mac(now);
        return VerdictReason::ProbeKeyUnknown;
    };
    let mac = packet.mac(keys.receive);
    let Some(message) = packet.message().filter(|message| mac == Some(message.mac)) else {
        path.note_bad_mac(now);
        return VerdictReason::ProbeMacInvalid;
    };
    let reason = match message.kind {
        kind::REQUEST => judge_request(&message, node, path, now),
        kind::ADDRESS => judge_address(&message, path, now),
        _ => judge_reply(&message, node, path, now),
    };
    let kind = match reason {
        VerdictReason::ProbeAnswered | VerdictReason::ProbeRepeated => Kind::Reply,
        VerdictReason::ProbeChallenged => Kind::Challenge,
        _ => return reason,
    };
    let Some(message) = packet.message() else {
        return VerdictReason::ProbeHeaderInvalid;
    };
    let answer = probe_answer::to(&message, kind, node, &path.peer, now);
    if probe_answer::write(&packet, &answer, keys.send).is_none() {
        return VerdictReason::ProbeHeaderInvalid;
    }
    count::sent(packet.frame_length);
    reason
}

/// Whether both MAC addresses are of one host each, and the UDP packet has the length of a message. The UDP checksum is not
/// looked at: the MAC covers what the checksum would, and frames from a local sender come without one.
#[inline(always)]
fn is_for_one_host<const LENGTH: usize>(packet: &Packet<LENGTH>) -> Option<bool> {
    let unicast = ethernet::destination(packet.macs)?.high & GROUP_BIT == 0
        && ethernet::source(packet.macs)?.high & GROUP_BIT == 0;
    Some(unicast && udp::length(packet.ip, Packet::<LENGTH>::UDP)? == UDP_LENGTH)
}

/// Whether this is an intact header without options, of a whole packet of the right length from this segment.
#[inline(always)]
fn header_v4(ip: Part<LENGTH_V4>) -> Option<bool> {
    Some(
        ipv4::header_length(ip, 0)? == ipv4::MIN_HEADER_LENGTH
            && ipv4::total_length(ip, 0)? == LENGTH_V4
            && ipv4::ttl(ip, 0)? == probe::TTL
            && !ipv4::is_fragment(ip, 0)?
            && ipv4::is_intact(ip, 0, ipv4::MIN_HEADER_LENGTH)?,
    )
}

/// As [`header_v4`].
#[inline(always)]
fn header_v6(ip: Part<LENGTH_V6>) -> Option<bool> {
    Some(
        ipv6::is_version_6(ip, 0)?
            && ipv6::payload_length(ip, 0)? == UDP_LENGTH
            && ipv6::hop_limit(ip, 0)? == probe::TTL,
    )
}

/// Whether a message of a known kind goes from the path's peer to this node.
#[inline(always)]
fn is_between(message: &Message, node: &NodePolicy, path: &Path) -> bool {
    message.magic == probe::MAGIC
        && message.version == probe::VERSION
        && message.cluster == node.cluster
        && message.to == node.node
        && message.from == path.peer.policy.node
        && message.kind >= kind::REQUEST
        && message.kind <= kind::ADDRESS
}

/// A request that names our present run is fresh if its path's window says so. One that names another proves nothing: it is
/// challenged to say it again, whatever else it says, and teaches nothing.
#[inline(always)]
fn judge_request(message: &Message, node: &NodePolicy, path: &Path, now: u64) -> VerdictReason {
    if message.responder_incarnation == 0 || message.responder_incarnation != node.incarnation {
        if !path.may_answer_again(now) {
            return VerdictReason::ProbeRepeatLimited;
        }
        // SAFETY: `state` is a valid map value, aligned to eight bytes.
        unsafe { count::add(&raw mut (*path.peer.state).challenges) };
        return VerdictReason::ProbeChallenged;
    }
    if message.prober_incarnation < path.peer.incarnation() {
        return VerdictReason::ProbeOldIncarnation;
    }
    match path.admit(message) {
        Admission::OtherPath => VerdictReason::ProbePathMismatch,
        Admission::Repeated if path.may_answer_again(now) => VerdictReason::ProbeRepeated,
        Admission::Repeated => VerdictReason::ProbeRepeatLimited,
        Admission::Fresh => {
            // SAFETY: `state` is a valid map value that only the data plane writes.
            let state = unsafe { &mut *path.state };
            state.requests += 1;
            state.request_at_ns = now;
            path.peer.run_as(message.prober_incarnation);
            path.learn(message, message.t1_ns, now);
            VerdictReason::ProbeAnswered
        }
    }
}

/// A reply or challenge counts if it answers a request of this run on this path, in time, and no later one has been answered.
///
/// A challenge does not use up its sequence: it proves under which incarnation the peer runs and nothing about the path, and
/// as the request is not sent again, a repeated challenge only says the same once more.
#[inline(always)]
fn judge_reply(message: &Message, node: &NodePolicy, path: &Path, now: u64) -> VerdictReason {
    // SAFETY: `state` is a valid map value that only the data plane writes.
    let state = unsafe { &mut *path.state };
    let matched = message.prober_incarnation == node.incarnation
        && message.path_index() == path.policy.index
        && message.t1_ns <= now
        && now - message.t1_ns <= path.policy.reply_deadline_ns
        && message.sequence > state.reply_sequence;
    if !matched {
        return VerdictReason::ProbeReplyUnmatched;
    }
    path.peer.run_as(message.responder_incarnation);
    if message.kind == kind::REPLY {
        state.reply_sequence = message.sequence;
        state.reply_at_ns = now;
        state.rtt_ns = now - message.t1_ns;
        state.replies += 1;
        path.learn(message, message.t2_ns, now);
    }
    VerdictReason::ProbeReplyAbsorbed
}

/// The message has no room for our incarnation, so it must follow, in the window of its path, a request of the same run that
/// named ours.
#[inline(always)]
fn judge_address(message: &Message, path: &Path, now: u64) -> VerdictReason {
    // SAFETY: both words together are the sixteen bytes of the address, in the order they have on the wire.
    let address =
        unsafe { core::mem::transmute::<[u64; 2], [u8; 16]>([message.t1_ns, message.responder_incarnation]) };
    // SAFETY: both types are sixteen plain bytes.
    let words = unsafe { core::mem::transmute::<[u8; 16], ipv6::Words>(address) };
    if u128::from_ne_bytes(address) != 0 && !ipv6::is_link_local(&words) {
        return VerdictReason::ProbeHeaderInvalid;
    }
    if message.prober_incarnation != path.peer.incarnation() || !path.knows_run_of(message) {
        return VerdictReason::ProbeOldIncarnation;
    }
    match path.admit(message) {
        Admission::OtherPath => VerdictReason::ProbePathMismatch,
        Admission::Repeated => VerdictReason::ProbeRepeatLimited,
        Admission::Fresh => {
            path.note_link_local(address, now);
            VerdictReason::ProbeAddress
        }
    }
}
