//! `kind = "interface"`: the interface is administratively up, has carrier and is operational, as the kernel says by
//! rtnetlink.
//!
//! Never by sysfs, which may show another network namespace, and never by the old ioctls, which load modules for names
//! that do not exist. Each look opens a socket of its own, so there is no connection to lose.

use super::examiner::Outcome;
use futures_util::StreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, State};
use std::pin::pin;
use tokio::time::{Instant, timeout_at};

/// Asks the kernel, by `deadline`.
pub(super) async fn look(interface: &str, deadline: Instant) -> Outcome {
    match timeout_at(deadline, ask(interface)).await {
        Ok(Ok(link)) => judge(interface, &link),
        Ok(Err(reason)) => Outcome::bad(reason),
        Err(_) => Outcome::timed_out(format!("the kernel did not tell the state of {interface} in time")),
    }
}

async fn ask(interface: &str) -> Result<LinkMessage, String> {
    let failed = |error: String| format!("the state of {interface} cannot be read: {error}");
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| failed(error.to_string()))?;
    let mut answers = pin!(handle.link().get().match_name(interface.to_owned()).execute());
    // Whoever drives the connection ends with this future.
    let first = tokio::select! {
        answer = answers.next() => answer,
        () = connection => None,
    };
    match first {
        Some(Ok(link)) => Ok(link),
        Some(Err(rtnetlink::Error::NetlinkError(error))) if error.raw_code().abs() == libc::ENODEV => {
            Err(format!("there is no interface {interface} in this network namespace"))
        }
        Some(Err(error)) => Err(failed(error.to_string())),
        None => Err(failed("no answer".to_owned())),
    }
}

fn judge(interface: &str, link: &LinkMessage) -> Outcome {
    let flags = link.header.flags;
    let operational = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::OperState(state) => Some(*state),
        _ => None,
    });
    if !flags.contains(LinkFlags::Up) {
        return Outcome::bad(format!("{interface} is administratively down"));
    }
    if !flags.contains(LinkFlags::LowerUp) {
        return Outcome::bad(format!("{interface} has no carrier"));
    }
    match operational {
        // Devices that keep no operational state say unknown.
        None | Some(State::Up | State::Unknown) => Outcome::good(format!("{interface} is up with carrier")),
        Some(State::Dormant) => Outcome::bad(format!("{interface} is dormant: it waits for authentication")),
        Some(state) => {
            Outcome::bad(format!("{interface} has carrier, but its operational state is {state:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(flags: LinkFlags, operational: Option<State>) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.flags = flags;
        link.attributes.extend(operational.map(LinkAttribute::OperState));
        link
    }

    #[test]
    fn up_carrier_and_operational_state_all_count() {
        let both = LinkFlags::Up | LinkFlags::LowerUp;
        assert!(judge("lan0", &link(both, Some(State::Up))).good);
        assert!(
            judge("lan0", &link(both, Some(State::Unknown))).good && judge("lan0", &link(both, None)).good
        );
        let bad = |flags, state| {
            let outcome = judge("lan0", &link(flags, Some(state)));
            assert!(!outcome.good);
            outcome.detail
        };
        assert_eq!(bad(LinkFlags::LowerUp, State::Down), "lan0 is administratively down");
        assert_eq!(bad(LinkFlags::Up, State::Down), "lan0 has no carrier");
        assert!(bad(both, State::Dormant).contains("dormant"));
        assert!(bad(both, State::LowerLayerDown).contains("LowerLayerDown"));
    }
}
