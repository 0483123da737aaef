//! What adverts change: the state map, the ring and the answer, byte for byte.

use super::fixture::{as_answering_owner, as_lapsed_owner, as_owner};
use super::frames::*;
use super::plane::{EPOCH, IFINDEX, Plane, SECOND_NS, V2, V2_VLAN, V4, V6, now_ns};
use ha_common::maps::keys::mapped;
use ha_common::maps::values::{Head, checksum_form, flag};
use ha_common::ring_events::{AdvertEvent, event_flag};
use ha_common::verdict_reasons::VerdictReason;

#[test]
fn a_new_sender_is_reported_and_an_unchanged_one_absorbed() {
    let mut plane = Plane::new();
    let before = now_ns();
    plane.ingress(&advert_v4(T6_PSEUDO));
    let after = now_ns();
    let events = plane.events();
    let at_ns = events[0].at_ns;
    assert!((before..=after).contains(&at_ns), "boot clock: {before} {at_ns} {after}");
    let expected = AdvertEvent {
        at_ns,
        epoch: 0,
        source: mapped(PEER_ADDRESS),
        router: V4,
        ifindex: IFINDEX,
        interval: 4095,
        flags: event_flag::ADDRESSES_DIFFER | event_flag::INTERVAL_DIFFERS,
        priority: 200,
        version: 3,
        checksum: checksum_form::RFC5798,
        address_count: 2,
        head: Head::of::<AdvertEvent>(),
        reserved: 0,
    };
    assert_eq!(events, [expected]);
    let state = plane.state(V4);
    assert_eq!(state.last_advert_ns, at_ns);
    assert_eq!(state.heard_source, mapped(PEER_ADDRESS));
    assert_eq!((state.heard_priority, state.heard_interval), (200, 4095));
    assert_eq!(state.heard_checksum, checksum_form::RFC5798);

    plane.ingress(&advert_v4(T6_PSEUDO));
    assert_eq!(plane.events(), []);
    let state = plane.state(V4);
    assert!(state.last_advert_ns > at_ns, "V-079: the timer is restarted");
    assert_eq!((state.adverts_received, plane.verdict(VerdictReason::AdvertAbsorbed)), (2, 1));
}

#[test]
fn each_change_is_reported_once() {
    let mut plane = Plane::new();
    let senders = [
        advert_v4(T2),
        from_source(advert_v4(T2), [192, 0, 2, 12]),
        from_source(advert_of_priority(120), [192, 0, 2, 12]),
        from_source(with_message_byte(advert_of_priority(120), 5, 50, 12), [192, 0, 2, 12]),
        advert_v4(T6),
        advert_v4(T2),
    ];
    for (position, frame) in senders.iter().enumerate() {
        plane.ingress(frame);
        plane.ingress(frame);
        assert_eq!(plane.events().len(), 1, "change {position}");
    }
}

#[test]
fn v015_the_same_vrid_in_both_families_is_two_routers() {
    for (frame, hears, other) in [(advert_v4(T2), V4, V6), (advert_v6(T4), V6, V4)] {
        let mut plane = Plane::new();
        plane.ingress(&frame);
        let events = plane.events();
        assert_eq!(events.iter().map(|event| event.router).collect::<Vec<_>>(), [hears]);
        assert_eq!((plane.state(hears).adverts_received, plane.state(other).adverts_received), (1, 0));
        assert_eq!(plane.state(other).last_advert_ns, 0);
    }
}

#[test]
fn v071_a_rejected_advert_refreshes_nothing() {
    let mut plane = Plane::new();
    for bad in [with_ttl(advert_v4(T2), 1), with_message_byte(advert_v4(T2), 5, 0, 12)] {
        plane.ingress(&bad);
    }
    let state = plane.state(V4);
    assert_eq!((state.last_advert_ns, state.adverts_received, state.heard_priority), (0, 0, 0));
    assert_eq!(plane.events(), []);
}

#[test]
fn v082_an_ignored_advert_keeps_the_timer_and_is_reported_once() {
    let mut plane = Plane::new();
    plane.ingress(&advert_of_priority(50));
    plane.ingress(&advert_of_priority(50));
    assert_eq!(plane.state(V4).last_advert_ns, 0);
    assert_eq!(plane.events().len(), 1);
    assert_eq!(plane.verdict(VerdictReason::AdvertLowerIgnored), 2);
}

#[test]
fn v083_priority_zero_is_reported_and_keeps_the_timer() {
    let mut plane = Plane::new();
    plane.ingress(&advert_v4(T2));
    let heard = plane.state(V4).last_advert_ns;
    plane.events();
    plane.ingress(&advert_v4(T5));
    assert_eq!(plane.state(V4).last_advert_ns, heard);
    assert_eq!(plane.state(V4).priority_zero_received, 1);
    let events = plane.events();
    assert_eq!((events.len(), events[0].priority), (1, 0));
    plane.ingress(&advert_v4(T2));
    assert_eq!(plane.events().len(), 1, "its return is news");
}

#[test]
fn v103_a_winner_revokes_the_grant_at_once_and_only_that_grant() {
    let mut plane = Plane::new();
    as_answering_owner(&mut plane);
    plane.ingress(&advert_of_priority(200));
    let state = plane.state(V4);
    assert_eq!(state.revoked_epoch, EPOCH);
    assert!(state.revoked_at_ns > 0 && state.last_advert_ns == state.revoked_at_ns);
    let events = plane.events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].flags, events[0].epoch), (event_flag::REVOKED, EPOCH));

    // From here on nothing of it is owned: lower adverts are not answered, the fence is closed.
    plane.ingress(&advert_of_priority(50));
    assert_eq!(plane.verdict(VerdictReason::AdvertAnswered), 0);
    plane.ingress(&arp(1, PEER_ADDRESS, VIP));
    assert_eq!(plane.verdict(VerdictReason::FenceArpIn), 1);

    // A later grant is not hit by that revocation.
    plane.policy(V4, |policy| {
        policy.epoch = EPOCH + 1;
        policy.granted_at_ns = now_ns();
    });
    plane.ingress(&advert_of_priority(50));
    assert_eq!(plane.verdict(VerdictReason::AdvertAnswered), 1);
}

#[test]
fn v105_the_answer_is_the_template_to_the_byte() {
    let mut plane = Plane::new();
    as_answering_owner(&mut plane);
    let run = plane.ingress(&advert_of_priority(50));
    assert_eq!(run.frame, our_advert(), "grown to the template");
    let run = plane.ingress(&with_trailing_bytes(advert_of_priority(50), 100));
    assert_eq!(run.frame, our_advert(), "shrunk to the template");
    let state = plane.state(V4);
    assert_eq!((state.adverts_answered, state.answers_in_window), (2, 2));
    assert_eq!(state.last_advert_ns, 0, "V-106: a loser restarts no timer");
    let events = plane.events();
    assert_eq!(events.len(), 2, "a new sender, and its trailing bytes");
    assert!(events.iter().all(|event| event.flags & event_flag::ANSWERED != 0 && event.epoch == EPOCH));
}

#[test]
fn v105_the_answer_keeps_the_tags() {
    for tags in [&[17][..], &[40, 41]] {
        let mut plane = Plane::new();
        as_answering_owner(&mut plane);
        let vlan = tags.iter().fold(0, |vlan, tag| vlan << 16 | u32::from(*tag));
        plane.router_key(V4, vlan, 4);
        let run = plane.ingress(&tagged(advert_of_priority(50), tags));
        assert_eq!(run.frame, tagged(our_advert(), tags));
    }
}

#[test]
fn v105_long_answers_fit() {
    let mut plane = Plane::new();
    as_answering_owner(&mut plane);
    for template in [advert_of_255_addresses(), advert_of_90_addresses()] {
        plane.template(V4, &template);
        assert_eq!(plane.ingress(&advert_of_priority(50)).frame, template);
    }
}

#[test]
fn v107_answers_are_bounded_per_own_interval() {
    let mut plane = Plane::new();
    as_answering_owner(&mut plane);
    for _ in 0..5 {
        plane.ingress(&advert_of_priority(50));
    }
    assert_eq!(plane.verdict(VerdictReason::AdvertAnswered), 2);
    assert_eq!(plane.verdict(VerdictReason::AdvertAnswerLimited), 3);
    plane.set_state(V4, |state| state.answer_window_began_ns -= SECOND_NS);
    plane.ingress(&advert_of_priority(50));
    assert_eq!(plane.verdict(VerdictReason::AdvertAnswered), 3, "a new window");
}

#[test]
fn v102_a_released_router_is_answered_and_reported() {
    let mut plane = Plane::new();
    as_answering_owner(&mut plane);
    assert_eq!(plane.ingress(&advert_v4(T5)).frame, our_advert());
    let run = plane.ingress(&tagged(advert_v2_of_priority(0), &[V2_VLAN]));
    assert_eq!(run.frame, tagged(our_advert(), &[V2_VLAN]), "VRRPv2 answers this one too");
    let events = plane.events();
    assert_eq!(events.iter().map(|event| event.router).collect::<Vec<_>>(), [V4, V2]);
    assert!(events.iter().all(|event| event.flags == event_flag::ANSWERED && event.priority == 0));
}

#[test]
fn without_a_template_userspace_answers_under_the_same_bound() {
    let mut plane = Plane::new();
    as_owner(&mut plane);
    for _ in 0..4 {
        plane.ingress(&advert_of_priority(50));
    }
    let flags: Vec<u16> = plane.events().iter().map(|event| event.flags).collect();
    assert_eq!(flags, [0, 0]);
    assert_eq!(plane.verdict(VerdictReason::AdvertAnswerLimited), 2);
}

#[test]
fn v101_past_the_lease_nothing_is_answered_and_every_advert_is_told() {
    let mut plane = Plane::new();
    as_answering_owner(&mut plane);
    as_lapsed_owner(&mut plane);
    for _ in 0..3 {
        plane.ingress(&advert_of_priority(50));
        plane.ingress(&advert_of_priority(150));
    }
    assert_eq!(plane.verdict(VerdictReason::AdvertAnswered), 0);
    assert_eq!(plane.state(V4).revoked_epoch, 0, "nothing is owned that could be revoked");
    let events = plane.events();
    assert_eq!(events.len(), 6);
    assert!(events.iter().all(|event| event.epoch == 0));
}

#[test]
fn scheduled_adverts_are_noted_on_their_way_out() {
    let mut plane = Plane::new();
    as_owner(&mut plane);
    let before = now_ns();
    plane.egress(&our_advert());
    plane.egress(&our_advert_v6());
    let state = plane.state(V4);
    assert!(state.last_sent_ns >= before);
    assert_eq!((state.adverts_sent, state.priority_zero_sent), (1, 0));
    assert_eq!(plane.state(V6).adverts_sent, 1);

    let releasing = with_message_byte(our_advert(), 2, 0, 12);
    plane.egress(&releasing);
    let after = plane.state(V4);
    assert_eq!((after.adverts_sent, after.priority_zero_sent), (2, 1));
    assert_eq!(after.last_sent_ns, state.last_sent_ns, "a release defends nothing");
}

#[test]
fn a_stopped_advert_is_not_noted() {
    let mut plane = Plane::new();
    plane.egress(&our_advert());
    let state = plane.state(V4);
    assert_eq!((state.last_sent_ns, state.adverts_sent), (0, 0));
}

#[test]
fn fresh_own_adverts_keep_the_grant_stale_ones_lose_it() {
    let mut plane = Plane::new();
    as_answering_owner(&mut plane);
    plane.policy(V4, |policy| policy.granted_at_ns = now_ns() - 100 * SECOND_NS);
    plane.egress(&our_advert());
    plane.ingress(&advert_of_priority(50));
    assert_eq!(plane.state(V4).revoked_epoch, 0);
    plane.set_state(V4, |state| state.last_sent_ns -= 4 * SECOND_NS);
    plane.ingress(&advert_v4(T5));
    assert_eq!(plane.state(V4).revoked_epoch, 0, "priority 0 takes nothing");
    plane.ingress(&advert_of_priority(50));
    assert_eq!(plane.state(V4).revoked_epoch, EPOCH);
}

#[test]
fn v110_preempt_mode_is_not_consulted_while_active() {
    let mut plane = Plane::new();
    as_answering_owner(&mut plane);
    plane.policy(V4, |policy| policy.flags &= !flag::PREEMPT);
    plane.ingress(&advert_of_priority(101));
    assert_eq!(plane.state(V4).revoked_epoch, EPOCH);
}

#[test]
fn v075_each_frame_is_counted_once() {
    let mut plane = Plane::new();
    let frames = [advert_v4(T2), udp_v4(STRANGER), arp(1, PEER_ADDRESS, VIP), with_ttl(advert_v4(T2), 3)];
    for frame in &frames {
        plane.ingress(frame);
    }
    assert_eq!(plane.traffic().rx_packets, 4);
    assert_eq!(plane.verdicts().iter().sum::<u64>(), 3);
}

#[test]
fn a_frame_in_several_buffers_is_counted_whole() {
    let mut plane = Plane::new();
    let payload = vec![0; 8900];
    let v4 = ipv4(STRANGER, STRANGER, 17, &payload);
    let v6 = tagged(ipv6(STRANGER_V6, STRANGER_V6, 17, &payload), &[9]);
    for frame in [&v4, &v6] {
        assert_eq!(plane.ingress(frame).frame.len(), frame.len());
    }
    let traffic = plane.traffic();
    assert_eq!((traffic.rx_packets, traffic.rx_bytes), (2, (v4.len() + v6.len()) as u64));
}
