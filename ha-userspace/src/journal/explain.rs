//! Transitions and notices in plain words, for `why`, `events` and status. Pure text from records.

use super::{Event, EventRecord, NoticeEvent, Timestamp, TransitionEvent};
use crate::config::units::show_duration;
use holdfast_engine::{Cause, Role};
use std::time::Duration;

/// A role as people write it.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Initialize => "Initialize",
        Role::Backup => "Backup",
        Role::Active => "Active",
    }
}

/// What a cause means, as a clause after "because".
pub fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Startup => "its interface is up and has a source address, so it takes part",
        Cause::OwnerStartup => "this node owns the addresses (priority 255) and its interface is up",
        Cause::AdvertTimeout => "no advert arrived for Active_Down_Interval",
        Cause::PriorityZero => {
            "the owner stepped down with priority 0 and nobody of higher priority followed"
        }
        Cause::Preemption => "the owner has a lower priority than this node, which preempts",
        Cause::HigherPriority => "another router advertised a higher priority",
        Cause::TieBreak => "another router advertised the same priority from a greater address",
        Cause::AdvertsOverdue => {
            "our own adverts were late, so another router that advertises a lower priority may rightly own"
        }
        Cause::LeaseLapsed => "the controller did not run in time and its lease ended",
        Cause::InterfaceDown => "its interface went down or disappeared",
        Cause::SourceLost => "its interface has no source address for adverts any more",
        Cause::GroupMember => "another member of its group moved",
        Cause::FailoverCommand => "the operator ordered a failover and a successor was heard",
        Cause::Shutdown => "the daemon stops",
        Cause::Reconfigured => "the configuration removed or changed it",
        Cause::PeerUnhealthy => "the peer that owned it was silent on every path",
        Cause::VouchEnded => "adverts were missing and the owner's data plane vouched for it no longer",
        Cause::RequirementFailed => {
            "this node failed a requirement (links or checks) and a successor was heard"
        }
        Cause::Unheard => {
            "this node could not be heard on the segment, or could not hear, while a peer could"
        }
        Cause::Maintenance => "the operator put this node into maintenance",
        Cause::LowBandwidth => "the traffic stayed below the minimum bandwidth and a successor was heard",
        Cause::FlapLatch => "ownership flapped more often than allowed and this node stands down",
        Cause::BypassCommand => "the operator ordered the bypass",
    }
}

fn span(nanos: u64) -> String {
    const NANOS_PER_MICRO: u64 = 1_000;
    // Finer than a microsecond is noise to a reader.
    let rounded = if nanos < NANOS_PER_MICRO { nanos } else { nanos - nanos % NANOS_PER_MICRO };
    show_duration(Duration::from_nanos(rounded))
}

/// Sender and priority, such as `192.0.2.3 (priority 200)`.
fn peer(event: &TransitionEvent) -> Option<String> {
    let address = event.peer?;
    Some(match event.peer_priority {
        Some(priority) => format!("{address} (priority {priority})"),
        None => address.to_string(),
    })
}

/// The evidence of a transition on one line; empty where there is none.
pub fn detail(event: &TransitionEvent) -> String {
    let mut parts = Vec::new();
    if let Some(peer) = peer(event) {
        parts.push(format!("peer {peer}"));
    }
    if let Some(age) = event.last_advert_age_ns {
        parts.push(format!("last advert {} ago", span(age)));
    }
    if let Some(deadline) = event.deadline_ns {
        parts.push(format!("deadline {}", span(deadline)));
    }
    if event.lateness_ns > 0 {
        parts.push(format!("acted {} late", span(event.lateness_ns)));
    }
    parts.join(", ")
}

/// An event on one line, without its time.
pub fn line(event: &Event) -> String {
    match event {
        Event::Transition(transition) => {
            let evidence = detail(transition);
            let evidence = if evidence.is_empty() { evidence } else { format!(" ({evidence})") };
            format!(
                "{}: {} -> {}: {}{evidence}",
                transition.router,
                role(transition.from),
                role(transition.to),
                cause(transition.cause)
            )
        }
        Event::Notice(notice) => self::notice(notice),
    }
}

/// A notice on one line.
pub fn notice(notice: &NoticeEvent) -> String {
    match notice {
        NoticeEvent::IntervalDiffers { router, peer, interval_ns } => format!(
            "{router}: {peer} advertises every {}, we do not; a Backup follows the owner's interval",
            span(*interval_ns)
        ),
        NoticeEvent::AddressesDiffer { router, peer } => {
            format!("{router}: {peer} advertises other addresses than ours; compare the two configurations")
        }
        NoticeEvent::OwnerConflict { router, peer } => {
            format!("{router}: {peer} also claims to own the addresses (priority 255); only one node can")
        }
        NoticeEvent::EqualPriority { router, peer } => {
            format!("{router}: {peer} runs at our priority; the greater address wins. Give each node its own")
        }
        NoticeEvent::SegmentSplit { group, silent, hearing } => format!(
            "{silent}: the owner is silent here and heard on {hearing}; group {group} holds. Check that segment"
        ),
        NoticeEvent::Deferred { router, .. } => format!(
            "{router}: a timer ran out while this controller was stalled; the verdict waits until adverts could arrive"
        ),
        NoticeEvent::FailoverUnanswered { router } => {
            format!("{router}: a failover was ordered and no successor was heard; still Active")
        }
        NoticeEvent::AddressFailure { router, error } => {
            format!("{router}: adding the addresses failed: {error}")
        }
        NoticeEvent::AddressRestored { router } => {
            format!("{router}: something else removed an address; it was put back")
        }
        NoticeEvent::Vouched { router, peer, .. } => format!(
            "{router}: adverts are missing, but the data plane of {peer} says that it owns; waiting as long as it may"
        ),
        NoticeEvent::SuspectedForgery { router, source, priority } => format!(
            "{router}: an advert from {source} with priority {priority} was not borne out by that peer; suspected forgery, \
             nothing was changed"
        ),
        NoticeEvent::AuthenticationFailing { peer } => format!(
            "peer {peer}: only messages with wrong MACs come in its name; plain VRRP decides towards it. Compare \
             ha.secret_files on both nodes"
        ),
        NoticeEvent::Muzzled { peer } => format!(
            "peer {peer}: a packet filter of this host lets no probe to it out; plain VRRP decides towards it. Let UDP from \
             and to ha.port out"
        ),
        NoticeEvent::TwoOwners { router, peer } => {
            format!("{router}: {peer} says that it owns it too; check the segment between the two")
        }
        NoticeEvent::Unfit { router, reason } => {
            format!("{router}: not fit to own it, runs at priority 1: {}", fitness(*reason))
        }
        NoticeEvent::Fit { router } => format!("{router}: fit to own it again"),
        _ => node_notice(notice),
    }
}

/// What keeps a node from owning, as a clause.
pub fn fitness(reason: Cause) -> &'static str {
    match reason {
        Cause::Unheard => "it is not heard, or does not hear, on the segment",
        Cause::Maintenance => "maintenance",
        Cause::FlapLatch => "flaps have latched it",
        _ => "a requirement is not met (links or checks)",
    }
}

/// A notice about the node rather than a virtual router.
fn node_notice(notice: &NoticeEvent) -> String {
    match notice {
        NoticeEvent::PeerUnhealthy { peer } => format!("peer {peer}: silent on every path"),
        NoticeEvent::PeerHealthy { peer } => format!("peer {peer}: heard again"),
        NoticeEvent::CheckFailed { check, detail } => format!("check {check} fails: {detail}"),
        NoticeEvent::CheckPassed { check } => format!("check {check} passes"),
        NoticeEvent::LinkPairsLow { detail } => format!("too few active link pairs: {detail}"),
        NoticeEvent::LinkPairsRestored => "enough link pairs are active again".to_owned(),
        NoticeEvent::BandwidthLow { link, detail } => format!("{link}: low bandwidth: {detail}"),
        NoticeEvent::FlapLatched { detail } => format!("flaps have latched this node: {detail}"),
        NoticeEvent::FlapReleased { detail } => format!("the flap latch is released: {detail}"),
        NoticeEvent::FlapRecordFault { fault } => format!("the record of flaps: {fault}"),
        NoticeEvent::BypassEngaged { pair } => format!("bypass of {pair} is engaged"),
        NoticeEvent::BypassReleased { pair } => format!("bypass of {pair} is released"),
        NoticeEvent::BypassFault { pair, fault } => format!("bypass of {pair}: {fault}"),
        NoticeEvent::Maintenance { on: true } => "maintenance is on: this node gives way".to_owned(),
        NoticeEvent::Maintenance { on: false } => "maintenance is off".to_owned(),
        // Every other notice concerns a virtual router and has been worded by the caller.
        other => format!("{other:?}"),
    }
}

/// A transition explained in sentences, one each, as of `now`; empty where the record is no transition.
pub fn why(record: &EventRecord, now: Timestamp) -> Vec<String> {
    let Some(event) = record.event.transition() else { return Vec::new() };
    let mut sentences = vec![
        format!(
            "{} went from {} to {} at {} ({} ago).",
            event.router,
            role(event.from),
            role(event.to),
            record.at,
            age(record.at.until(now)),
        ),
        format!("Cause: {} ({}).", cause(event.cause), cause_name(event.cause)),
    ];
    sentences.extend(heard(event));
    sentences.push(if event.lateness_ns == 0 {
        "The controller was not late for this decision.".to_owned()
    } else {
        format!("The controller was {} late for this decision.", span(event.lateness_ns))
    });
    sentences
}

/// What was heard last, held against the deadline.
fn heard(event: &TransitionEvent) -> Vec<String> {
    let from = peer(event).map(|peer| format!(" from {peer}")).unwrap_or_default();
    let heard = match event.last_advert_age_ns {
        Some(age) => format!("The last advert that counted came{from} {} before that", span(age)),
        None if from.is_empty() => "No advert of another router had been heard".to_owned(),
        None => format!("It was decided by what came{from}"),
    };
    let deadline = event.deadline_ns.map(|deadline| format!("; the deadline was {}", span(deadline)));
    vec![format!("{heard}{}.", deadline.unwrap_or_default())]
}

/// The cause as scripts see it.
pub fn cause_name(cause: Cause) -> String {
    match serde_json::to_value(cause) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{cause:?}"),
    }
}

/// A rate with one decimal: `12.3Mbps`.
pub fn rate(bits_per_second: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "Tbps"), (1_000_000_000, "Gbps"), (1_000_000, "Mbps"), (1_000, "kbps")];
    UNITS.iter().find(|(size, _)| bits_per_second >= *size).map_or_else(
        || format!("{bits_per_second}bps"),
        |(size, unit)| format!("{}.{}{unit}", bits_per_second / size, bits_per_second % size / (size / 10)),
    )
}

/// An age in its two largest units: `2h 5m`, `3m 12s`, `9s`.
pub fn age(age: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = age.as_secs();
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        if rest >= size {
            parts.push(format!("{}{unit}", rest / size));
            rest %= size;
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::super::event::samples;
    use super::*;
    use std::collections::BTreeSet;

    fn record(cause: Cause) -> EventRecord {
        samples::record(1, Event::from_transition(&samples::transition(cause), &samples::names()))
    }

    #[test]
    fn every_cause_has_words_of_its_own() {
        let expected = [
            ("startup", "its interface is up and has a source address, so it takes part"),
            ("owner-startup", "this node owns the addresses (priority 255) and its interface is up"),
            ("advert-timeout", "no advert arrived for Active_Down_Interval"),
            (
                "priority-zero",
                "the owner stepped down with priority 0 and nobody of higher priority followed",
            ),
            ("preemption", "the owner has a lower priority than this node, which preempts"),
            ("higher-priority", "another router advertised a higher priority"),
            ("tie-break", "another router advertised the same priority from a greater address"),
            (
                "adverts-overdue",
                "our own adverts were late, so another router that advertises a lower priority may rightly own",
            ),
            ("lease-lapsed", "the controller did not run in time and its lease ended"),
            ("interface-down", "its interface went down or disappeared"),
            ("source-lost", "its interface has no source address for adverts any more"),
            ("group-member", "another member of its group moved"),
            ("failover-command", "the operator ordered a failover and a successor was heard"),
            ("shutdown", "the daemon stops"),
            ("reconfigured", "the configuration removed or changed it"),
            ("peer-unhealthy", "the peer that owned it was silent on every path"),
            ("vouch-ended", "adverts were missing and the owner's data plane vouched for it no longer"),
            (
                "requirement-failed",
                "this node failed a requirement (links or checks) and a successor was heard",
            ),
            ("unheard", "this node could not be heard on the segment, or could not hear, while a peer could"),
            ("maintenance", "the operator put this node into maintenance"),
            ("low-bandwidth", "the traffic stayed below the minimum bandwidth and a successor was heard"),
            ("flap-latch", "ownership flapped more often than allowed and this node stands down"),
            ("bypass-command", "the operator ordered the bypass"),
        ];
        for (sample, (name, words)) in samples::CAUSES.into_iter().zip(expected) {
            assert_eq!((cause_name(sample).as_str(), cause(sample)), (name, words));
            assert!(line(&record(sample).event).contains(words));
        }
        assert_eq!(expected.iter().map(|(_, words)| words).collect::<BTreeSet<_>>().len(), expected.len());
    }

    #[test]
    fn every_notice_has_a_line() {
        let lines: Vec<_> = samples::notices()
            .iter()
            .map(|notice| line(&Event::from_notice(notice, &samples::names())))
            .collect();
        assert_eq!(
            lines,
            [
                "lan: 192.0.2.3 advertises every 100ms, we do not; a Backup follows the owner's interval",
                "lan: 192.0.2.3 advertises other addresses than ours; compare the two configurations",
                "lan: 192.0.2.3 also claims to own the addresses (priority 255); only one node can",
                "lan: 192.0.2.3 runs at our priority; the greater address wins. Give each node its own",
                "lan: the owner is silent here and heard on wan; group gateway holds. Check that segment",
                "lan: a timer ran out while this controller was stalled; the verdict waits until adverts could arrive",
                "lan: a failover was ordered and no successor was heard; still Active",
                "lan: adding the addresses failed: Operation not permitted",
                "lan: something else removed an address; it was put back",
                "lan: adverts are missing, but the data plane of gw-b says that it owns; waiting as long as it may",
                "lan: an advert from 192.0.2.3 with priority 255 was not borne out by that peer; suspected forgery, nothing \
                 was changed",
                "peer gw-b: silent on every path",
                "peer gw-b: heard again",
                "peer gw-b: only messages with wrong MACs come in its name; plain VRRP decides towards it. Compare \
                 ha.secret_files on both nodes",
                "peer gw-b: a packet filter of this host lets no probe to it out; plain VRRP decides towards it. Let UDP from \
                 and to ha.port out",
                "lan: gw-b says that it owns it too; check the segment between the two",
                "lan: not fit to own it, runs at priority 1: a requirement is not met (links or checks)",
                "lan: fit to own it again",
            ]
        );
    }

    #[test]
    fn what_happens_beside_the_engine_has_words_of_its_own() {
        let lines: BTreeSet<String> = samples::occurrences().iter().map(notice).collect();
        assert_eq!(lines.len(), samples::occurrences().len());
        for line in lines {
            assert!(!line.contains('{') && line.contains(' '), "{line}");
        }
    }

    #[test]
    fn a_transition_is_one_line() {
        assert_eq!(
            line(&record(Cause::AdvertTimeout).event),
            "lan: Backup -> Active: no advert arrived for Active_Down_Interval (peer 192.0.2.3 (priority 200), last \
             advert 3.6095s ago, deadline 3.609375s, acted 125us late)"
        );
    }

    #[test]
    fn why_is_told_in_sentences() {
        let record = record(Cause::AdvertTimeout);
        let now =
            Timestamp::from(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 3_725));
        assert_eq!(
            why(&record, now),
            [
                "lan went from Backup to Active at 2023-11-14T22:13:20.000Z (1h 2m ago).",
                "Cause: no advert arrived for Active_Down_Interval (advert-timeout).",
                "The last advert that counted came from 192.0.2.3 (priority 200) 3.6095s before that; the deadline was \
                 3.609375s.",
                "The controller was 125us late for this decision.",
            ]
        );
    }

    #[test]
    fn without_evidence_none_is_claimed() {
        let mut record = record(Cause::Startup);
        let Event::Transition(event) = &mut record.event else { panic!("a transition") };
        *event = TransitionEvent {
            last_advert_age_ns: None,
            peer: None,
            peer_priority: None,
            deadline_ns: None,
            lateness_ns: 0,
            ..event.clone()
        };
        assert_eq!(
            why(&record, record.at)[2..],
            ["No advert of another router had been heard.", "The controller was not late for this decision."]
        );
        assert!(line(&record.event).ends_with("so it takes part"));
    }

    #[test]
    fn rates_have_one_decimal() {
        for (bps, text) in [(0, "0bps"), (999, "999bps"), (1_000, "1.0kbps"), (12_345_678, "12.3Mbps")] {
            assert_eq!(rate(bps), text);
        }
    }

    #[test]
    fn ages_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0s"),
            (9, "9s"),
            (192, "3m 12s"),
            (7_500, "2h 5m"),
            (3_600, "1h"),
            (90_061, "1d 1h"),
            (86_405, "1d"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }
}
