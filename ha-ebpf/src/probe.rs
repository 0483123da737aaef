//! Received probes: from the frame to the verdict.
//!
//! In this order: the path (addresses, VLAN and interface must be those of a configured one), the headers, the key, the MAC,
//! and only then what the message says, so that garbage costs little and changes nothing. Requests are answered in place
//! (`probe_answer`); replies and challenges to our own requests are matched and absorbed; neither is ever answered.

use crate::{
    classify, count,
    cursor::XdpFrame,
    maps::node,
    outcome::Outcome,
    peers::{Admission, Path},
    probe_answer::{self, Kind},
    router::now_ns,
};
use aya_ebpf::bindings::xdp_md;
use ha_common::{
    maps::peers::NodePolicy,
    verdict_reasons::VerdictReason,
    wire::{
        Buffer, ethernet, ipv4, ipv6,
        probe::{self, Message, kind},
        udp,
        vlan::{self, LinkLayer},
    },
};

/// Bytes of a UDP packet that carries a message.
const UDP_LENGTH: usize = udp::HEADER_LENGTH + probe::LENGTH;
/// The bit that tells a group's MAC address, in its first four bytes.
const GROUP_BIT: u32 = 1 << 24;

/// Judges the IPv4 packet to the HA port in the frame and returns the XDP code.
///
/// A function of its own for the reasons that `vrrp::receive_v4` gives.
#[inline(never)]
pub fn receive_v4(ctx: *mut xdp_md) -> u32 {
    receive(ctx, 4).conclude_xdp()
}

/// As [`receive_v4`], for IPv6.
#[inline(never)]
pub fn receive_v6(ctx: *mut xdp_md) -> u32 {
    receive(ctx, 6).conclude_xdp()
}

#[inline(always)]
fn receive(ctx: *mut xdp_md, family: u8) -> Outcome {
    let frame = XdpFrame::of(ctx);
    judge_frame(frame, family).unwrap_or(Outcome::Transit)
}

/// `None` means that the frame ends inside its IP header.
#[inline(always)]
fn judge_frame(frame: XdpFrame, family: u8) -> Option<Outcome> {
    let link = vlan::walk(frame)?;
    let at = link.payload;
    if let Some(path) = path_of(frame, &link, family)? {
        return Some(Outcome::Judged(judge(frame, at, family, &path)));
    }
    // Between other hosts, or not one of ours: the fence has its say, as about any packet.
    let fenced = if family == 6 {
        classify::fenced_v6(frame, link.vlan, at, udp::PROTOCOL)
    } else {
        Some(classify::fenced_v4(frame, link.vlan, ipv4::destination(frame, at)?))
    };
    Some(match fenced {
        None | Some(Outcome::Transit) => Outcome::Judged(VerdictReason::ProbePathUnknown),
        Some(outcome) => outcome,
    })
}

#[inline(always)]
fn path_of(frame: XdpFrame, link: &LinkLayer, family: u8) -> Option<Option<Path>> {
    let at = link.payload;
    let (source, destination) = if family == 6 {
        (ipv6::address(frame, ipv6::source_at(at))?, ipv6::address(frame, ipv6::destination_at(at))?)
    } else {
        (ipv6::mapped(ipv4::source(frame, at)?), ipv6::mapped(ipv4::destination(frame, at)?))
    };
    Some(Path::find(link, destination, source))
}

/// Judges a packet on a configured path, and answers it where the verdict says so.
#[inline(always)]
fn judge(frame: XdpFrame, at: usize, family: u8, path: &Path) -> VerdictReason {
    let Some(node) = node() else {
        return VerdictReason::ProbeHeaderInvalid;
    };
    let Some(message) = well_formed(frame, at, family).filter(|message| is_between(message, node, path))
    else {
        return VerdictReason::ProbeHeaderInvalid;
    };
    let Some(keys) = path.peer.keys(message.key_id) else {
        return VerdictReason::ProbeKeyUnknown;
    };
    let now = now_ns();
    if message.compute_mac(keys.receive) != message.mac {
        path.note_bad_mac(now);
        return VerdictReason::ProbeMacInvalid;
    }
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
    let answer = probe_answer::to(&message, kind, node, &path.peer, now).signed(keys.send);
    if probe_answer::write(frame, at, family, &answer).is_none() {
        return VerdictReason::ProbeHeaderInvalid;
    }
    count::sent(frame.len() as u64);
    reason
}

/// The message in a packet whose headers are as a probe's must be. The UDP checksum is not looked at: the MAC covers what
/// the checksum would, and frames from a local sender come without one.
#[inline(always)]
fn well_formed(frame: XdpFrame, at: usize, family: u8) -> Option<Message> {
    let header = if family == 6 { header_v6(frame, at)? } else { header_v4(frame, at)? };
    let at = at + header;
    let unicast =
        ethernet::destination(frame)?.high & GROUP_BIT == 0 && ethernet::source(frame)?.high & GROUP_BIT == 0;
    if !unicast || udp::length(frame, at)? != UDP_LENGTH {
        return None;
    }
    let region = frame.region::<{ probe::LENGTH }>(at + udp::HEADER_LENGTH)?;
    // SAFETY: inside the packet, as `region` says; any bytes are a message. Loads may be unaligned, as in `cursor`.
    let message = unsafe { *region.cast::<Message>() };
    (message.magic == probe::MAGIC && message.version == probe::VERSION).then_some(message)
}

/// Length of an intact header without options, of a whole packet of the right length from this segment.
#[inline(always)]
fn header_v4(frame: XdpFrame, at: usize) -> Option<usize> {
    const LENGTH: usize = ipv4::MIN_HEADER_LENGTH;
    let right = ipv4::header_length(frame, at)? == LENGTH
        && ipv4::total_length(frame, at)? == LENGTH + UDP_LENGTH
        && ipv4::ttl(frame, at)? == probe::TTL
        && !ipv4::is_fragment(frame, at)?
        && ipv4::is_intact(frame, at, LENGTH)?;
    right.then_some(LENGTH)
}

#[inline(always)]
fn header_v6(frame: XdpFrame, at: usize) -> Option<usize> {
    let right = ipv6::is_version_6(frame, at)?
        && ipv6::payload_length(frame, at)? == UDP_LENGTH
        && ipv6::hop_limit(frame, at)? == probe::TTL;
    right.then_some(ipv6::HEADER_LENGTH)
}

/// Whether a message of a known kind goes from the path's peer to this node.
#[inline(always)]
fn is_between(message: &Message, node: &NodePolicy, path: &Path) -> bool {
    message.cluster == node.cluster
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
            // SAFETY: `state` is a valid map value that only the data plane writes, aligned to eight bytes.
            unsafe {
                count::add(&raw mut (*path.state).requests);
                (*path.state).request_at_ns = now;
            }
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
