//! Checks, link pairs and bandwidth guards as text.

use super::{labelled, span};
use crate::checks::CheckState;
use crate::control::status::fitness::{BandwidthStatus, CheckStatus, LinkPairStatus, PortStatus};
use crate::journal::{Timestamp, explain};
use holdfast_engine::PortState;

/// One line per check, under a heading; nothing without checks.
pub(super) fn checks(text: &mut String, checks: &[CheckStatus], now: Timestamp) {
    if checks.is_empty() {
        return;
    }
    text.push_str("\nchecks\n");
    for check in checks {
        let state = match check.state {
            CheckState::Unknown => "unknown",
            CheckState::Passing => "passing",
            CheckState::Failing => "FAILING",
        };
        let since = check.since.map(|since| format!(" for {}", explain::age(since.until(now))));
        let effect = match check.weight {
            0 => "requirement".to_owned(),
            weight => format!("weight {weight:+}"),
        };
        let timeouts = match check.timeouts {
            0 => String::new(),
            timeouts => format!(", {timeouts} timed out"),
        };
        let detail = if check.detail.is_empty() { String::new() } else { format!(": {}", check.detail) };
        let line = format!(
            "{state}{}, {effect} of {}, {} runs{timeouts}{detail}",
            since.unwrap_or_default(),
            check.scope,
            check.runs
        );
        labelled(text, &check.name, &line);
    }
}

pub(super) fn pair(text: &mut String, pair: &LinkPairStatus) {
    let active = if pair.active { "active" } else { "DOWN" };
    let fault = pair.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
    let ports = [&pair.inside, &pair.outside].map(port);
    labelled(text, "pair", &format!("{} {active} ({}){fault}", pair.name, ports.join(", ")));
}

fn port(port: &PortStatus) -> String {
    let state = match port.state {
        Some(PortState::Up) => "up",
        Some(PortState::Down) => "DOWN",
        Some(PortState::Missing) => "MISSING",
        None => "not read yet",
    };
    format!("{} {state}", port.interface)
}

/// One line per guard, under a heading; nothing without guards.
pub(super) fn bandwidth(text: &mut String, guards: &[BandwidthStatus], now: Timestamp) {
    if guards.is_empty() {
        return;
    }
    text.push_str("\nbandwidth\n");
    for guard in guards {
        let armed = if guard.armed { "armed" } else { "not armed" };
        let rate = |bps: Option<u64>| bps.map_or_else(|| "unknown".to_owned(), explain::rate);
        let below = match guard.below_since {
            Some(since) => format!(", BELOW for {}", explain::age(since.until(now))),
            None => String::new(),
        };
        let failures = match guard.failures {
            0 => String::new(),
            failures => format!(", failed {failures} times"),
        };
        let line = format!(
            "{} of {} wanted, at least {} over {}, {armed}{below}{failures}",
            rate(guard.rate_bps),
            rate(guard.demand_bps),
            explain::rate(guard.minimum_bps),
            span(guard.interval_ns)
        );
        labelled(text, &guard.link, &line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status::fitness::samples;
    use crate::control::status::samples::at;

    #[test]
    fn what_fails_stands_out() {
        let mut check = samples::check();
        check.state = CheckState::Failing;
        check.weight = 0;
        let mut text = String::new();
        checks(&mut text, &[check], at(70));
        let expected = "\nchecks\n  upstream    FAILING for 1m, requirement of group gateway, 120 runs, 1 timed\n              \
                        out: ended with status 0\n";
        assert_eq!(text, expected);
        let mut broken = samples::pair();
        broken.active = false;
        broken.outside.state = Some(PortState::Down);
        broken.fault = Some("wan0 is down".to_owned());
        text.clear();
        pair(&mut text, &broken);
        assert_eq!(text, "  pair        edge DOWN (lan0 up, wan0 DOWN): wan0 is down\n");
        let mut guard = samples::guard();
        guard.below_since = Some(at(0));
        guard.failures = 2;
        guard.demand_bps = None;
        text.clear();
        bandwidth(&mut text, &[guard], at(5));
        let expected = "\nbandwidth\n  wan0        12.3Mbps of unknown wanted, at least 10.0Mbps over 10s, armed,\n              \
                        BELOW for 5s, failed 2 times\n";
        assert_eq!(text, expected);
    }
}
