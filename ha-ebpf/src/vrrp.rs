//! Received adverts: from the frame to the verdict.
//!
//! Validation is `ha_common::wire::vrrp`; here a valid advert meets the router's state. While the router is owned, a
//! winner revokes the grant and a loser is answered; otherwise the advert's time is noted. The controller is told of
//! whatever changes something (RFC 9568 section 6.4). An advert that its supposed sender does not bear out (`trust`)
//! changes nothing.

use crate::{
    classify::{PAYLOAD_BOUND, TAGS_BOUND},
    count,
    cursor::{XdpFrame, below},
    maps::{ADVERT_TEMPLATES, NODE_STATE, node},
    outcome::Outcome,
    report, rewrite,
    router::{Router, now_ns},
    trust::{self, Sender},
};
use aya_ebpf::bindings::xdp_md;
use ha_common::{
    maps::{
        peers::MAX_UNITS,
        values::{RouterPolicy, flag, role},
    },
    ring_events::event_flag,
    verdict_reasons::VerdictReason,
    wire::{
        ipv6,
        vrrp::{self, Advert},
    },
};

/// Own intervals after which a Backup can rightly have taken over, so that a losing advert is no longer refuted.
const INTERVALS_UNTIL_SUCCESSION: u64 = 3;
/// First losing advert of an own interval.
const FIRST_TURN: u64 = 1;

/// Judges the IPv4 VRRP packet at `at`, behind `tags` VLAN tags, and returns the XDP code.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn vrrp_v4(ctx: *mut xdp_md, at: usize, vlan: u32, tags: usize) -> u32 {
    receive(ctx, at, vlan, tags, 4).conclude_xdp()
}

/// As [`vrrp_v4`], for IPv6.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn vrrp_v6(ctx: *mut xdp_md, at: usize, vlan: u32, tags: usize) -> u32 {
    receive(ctx, at, vlan, tags, 6).conclude_xdp()
}

#[inline(always)]
fn receive(ctx: *mut xdp_md, at: usize, vlan: u32, tags: usize, family: u8) -> Outcome {
    let frame = XdpFrame::of(ctx);
    let (at, tags) = (below::<PAYLOAD_BOUND>(at), below::<TAGS_BOUND>(tags));
    let vrid = match vrrp::vrid(frame, at, family) {
        Ok(vrid) => vrid,
        Err(reason) => return Outcome::Judged(reason),
    };
    let Some(router) = Router::find(vlan, vrid, family) else {
        return Outcome::Judged(VerdictReason::VridUnknown);
    };
    let reason = match valid_advert(frame, at, family, &router) {
        Ok((advert, sender)) => judge(ctx, &router, &advert, sender, tags),
        Err(reason) => reason,
    };
    count::router_verdict(router.slot, reason);
    Outcome::Judged(reason)
}

#[inline(always)]
fn valid_advert(
    frame: XdpFrame,
    payload: usize,
    family: u8,
    router: &Router,
) -> Result<(Advert, Sender), VerdictReason> {
    let carrier = vrrp::carrier(frame, payload, family)?;
    let mut sender = Sender::UNLISTED;
    let advert = vrrp::validate(frame, &carrier, router.policy, |source| {
        let found = Sender::find(router.slot, source);
        sender = found.unwrap_or(Sender::UNLISTED);
        found.is_some()
    })?;
    Ok((advert, sender))
}

#[inline(always)]
fn judge(ctx: *mut xdp_md, router: &Router, advert: &Advert, sender: Sender, tags: usize) -> VerdictReason {
    if router.policy.role == role::INITIALIZE {
        count_received(router, advert);
        return VerdictReason::AdvertInitialize;
    }
    let now = now_ns();
    if !trust::is_borne_out(router, advert, sender, now) {
        return uncorroborated(ctx, router, advert, sender, tags, now);
    }
    count_received(router, advert);
    count::notes(router.slot, advert);
    if router.is_owned(now) {
        while_owned(ctx, router, advert, tags, now)
    } else {
        while_not_owned(router, advert, now)
    }
}

#[inline(always)]
fn count_received(router: &Router, advert: &Advert) {
    // SAFETY: `state` is a valid map value.
    unsafe {
        count::add(&raw mut (*router.state).adverts_received);
        if advert.priority == 0 {
            count::add(&raw mut (*router.state).priority_zero_received);
        }
    }
}

/// An advert that its supposed sender does not bear out changes nothing. One that loses against us is answered all the same,
/// under the same bound: that reveals nothing and ends an honest dual ownership. Of both the controller is told at most once
/// per check interval of the peer.
#[inline(always)]
fn uncorroborated(
    ctx: *mut xdp_md,
    router: &Router,
    advert: &Advert,
    sender: Sender,
    tags: usize,
    now: u64,
) -> VerdictReason {
    // SAFETY: `state` is a valid map value that only the data plane writes.
    let told = unsafe {
        count::add(&raw mut (*router.state).uncorroborated);
        let since = now.saturating_sub((*router.state).uncorroborated_told_ns);
        let told = since >= sender.report_interval_ns(router);
        if told {
            (*router.state).uncorroborated_told_ns = now;
        }
        told
    };
    let owned = router.is_owned(now);
    let mut reason = VerdictReason::AdvertUncorroborated;
    if owned && loses(router, advert, now) && !is_left_unanswered(advert) {
        if take_turn(router, now) > u64::from(router.policy.answers_per_interval) {
            reason = VerdictReason::AdvertAnswerLimited;
        } else if answer(ctx, router, tags) {
            reason = VerdictReason::AdvertAnswered;
        }
    }
    if told {
        let answered = if reason == VerdictReason::AdvertAnswered { event_flag::ANSWERED } else { 0 };
        let epoch = if owned { router.policy.epoch } else { 0 };
        report::advert(router, advert, now, epoch, event_flag::UNCORROBORATED | answered);
    }
    reason
}

#[inline(always)]
fn while_not_owned(router: &Router, advert: &Advert, now: u64) -> VerdictReason {
    let changed = remember(router, advert);
    if advert.priority == 0 {
        report::advert(router, advert, now, 0, 0);
        return VerdictReason::AdvertReported;
    }
    let preempts = router.policy.flags & flag::PREEMPT != 0;
    let ignored = preempts && advert.priority < router.policy.priority;
    if !ignored {
        restart_down_timer(router, now);
    }
    // A controller that believes itself Active must hear of every advert that says otherwise.
    let told = changed || router.policy.role == role::ACTIVE;
    if told {
        report::advert(router, advert, now, 0, 0);
    }
    match (ignored, told) {
        (true, _) => VerdictReason::AdvertLowerIgnored,
        (false, true) => VerdictReason::AdvertReported,
        (false, false) => VerdictReason::AdvertAbsorbed,
    }
}

#[inline(always)]
fn while_owned(ctx: *mut xdp_md, router: &Router, advert: &Advert, tags: usize, now: u64) -> VerdictReason {
    let releasing_sender = advert.priority == 0;
    let silent = own_adverts_are_stale(router, now);
    if !releasing_sender && (silent || wins(advert, router.policy)) {
        return revoke(router, advert, now);
    }
    let turn = take_turn(router, now);
    // A rival that goes on is told of once per interval: the controller announces again when it is gone (V-112).
    let told = remember(router, advert) || releasing_sender || turn == FIRST_TURN;
    let epoch = router.policy.epoch;
    if is_left_unanswered(advert) {
        if told {
            report::advert(router, advert, now, epoch, 0);
        }
        return VerdictReason::AdvertLowerIgnored;
    }
    if turn > u64::from(router.policy.answers_per_interval) {
        return VerdictReason::AdvertAnswerLimited;
    }
    if !silent && answer(ctx, router, tags) {
        if told {
            report::advert(router, advert, now, epoch, event_flag::ANSWERED);
        }
        return VerdictReason::AdvertAnswered;
    }
    report::advert(router, advert, now, epoch, 0);
    VerdictReason::AdvertReported
}

/// Makes the frame our advert; `false` if there is none to send.
#[inline(always)]
fn answer(ctx: *mut xdp_md, router: &Router, tags: usize) -> bool {
    if let Some(template) = ADVERT_TEMPLATES.get_ptr(router.slot)
        && let Some(bytes) = rewrite::into_answer(ctx, template, tags)
    {
        // SAFETY: `state` is a valid map value.
        unsafe { count::add(&raw mut (*router.state).adverts_answered) };
        count::sent(bytes);
        return true;
    }
    false
}

/// A VRRPv2 router answers a release and nothing else (V-058).
#[inline(always)]
fn is_left_unanswered(advert: &Advert) -> bool {
    advert.version == 2 && advert.priority != 0
}

/// Whether an advert changes nothing about our ownership, and our own adverts are recent enough to say so.
#[inline(always)]
fn loses(router: &Router, advert: &Advert, now: u64) -> bool {
    !own_adverts_are_stale(router, now) && (advert.priority == 0 || !wins(advert, router.policy))
}

/// RFC 9568 section 6.4.3: higher priority, or equal priority and the greater source address, unsigned.
#[inline(always)]
fn wins(advert: &Advert, policy: &RouterPolicy) -> bool {
    if policy.priority == 0 || advert.priority > policy.priority {
        return true;
    }
    let theirs = u128::from_be_bytes(ipv6::bytes(advert.source));
    advert.priority == policy.priority && theirs > u128::from_be_bytes(policy.source)
}

/// No Backup can rightly have fired while this is false.
#[inline(always)]
fn own_adverts_are_stale(router: &Router, now: u64) -> bool {
    // SAFETY: `state` is a valid map value.
    let last_sent_ns = unsafe { (*router.state).last_sent_ns };
    let since = last_sent_ns.max(router.policy.granted_at_ns);
    now.saturating_sub(since) > INTERVALS_UNTIL_SUCCESSION * router.policy.interval_ns
}

#[inline(always)]
fn revoke(router: &Router, advert: &Advert, now: u64) -> VerdictReason {
    let epoch = router.policy.epoch;
    // SAFETY: `state` is a valid map value that only the data plane writes.
    unsafe {
        (*router.state).revoked_epoch = epoch;
        (*router.state).revoked_at_ns = now;
    }
    disclaim_unit(router);
    restart_down_timer(router, now);
    remember(router, advert);
    report::advert(router, advert, now, epoch, event_flag::REVOKED);
    VerdictReason::AdvertRevoked
}

/// Takes the router's unit out of what probes are answered with, until the controller's next grant. Without this the answers
/// would claim it until the controller has run.
#[inline(always)]
fn disclaim_unit(router: &Router) {
    let unit = u32::from(router.policy.unit);
    let (Some(node), Some(state)) = (node(), NODE_STATE.get_ptr_mut(0)) else {
        return;
    };
    if unit >= MAX_UNITS {
        return;
    }
    // SAFETY: a valid map value that only the data plane writes, aligned to eight bytes.
    unsafe {
        if (*state).grant != node.grant {
            (*state).revoked = 0;
            (*state).grant = node.grant;
        }
        count::set_bits(&raw mut (*state).revoked, 1 << unit);
    }
}

#[inline(always)]
fn restart_down_timer(router: &Router, now: u64) {
    // SAFETY: `state` is a valid map value that only the data plane writes.
    unsafe { (*router.state).last_advert_ns = now };
}

/// Notes what was heard; returns whether it differs from what was heard before.
#[inline(always)]
fn remember(router: &Router, advert: &Advert) -> bool {
    let source = ipv6::bytes(advert.source);
    // SAFETY: `state` is a valid map value that only the data plane writes.
    let state = unsafe { &mut *router.state };
    let changed = u128::from_ne_bytes(state.heard_source) != u128::from_ne_bytes(source)
        || state.heard_priority != advert.priority
        || state.heard_interval != advert.interval
        || state.heard_checksum != advert.checksum
        || state.heard_flags != advert.flags
        || state.heard_generation != router.policy.generation;
    if changed {
        state.heard_source = source;
        state.heard_priority = advert.priority;
        state.heard_interval = advert.interval;
        state.heard_checksum = advert.checksum;
        state.heard_flags = advert.flags;
        state.heard_generation = router.policy.generation;
    }
    changed
}

/// V-107: counts the losing adverts of this own interval, this one included. Two CPUs may get the same number; the
/// bound is against storms.
#[inline(always)]
fn take_turn(router: &Router, now: u64) -> u64 {
    // SAFETY: `state` is a valid map value that only the data plane writes.
    let state = unsafe { &mut *router.state };
    if now.saturating_sub(state.answer_window_began_ns) >= router.policy.interval_ns {
        state.answer_window_began_ns = now;
        state.answers_in_window = 0;
    }
    state.answers_in_window = state.answers_in_window.saturating_add(1);
    state.answers_in_window
}
