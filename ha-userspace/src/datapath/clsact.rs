//! The egress program on kernels before 6.6: a filter on a clsact qdisc.
//!
//! Such a filter has no pin. It goes with the loaded program that it was attached from; when the process is killed it
//! stays and goes on fencing, and whoever clears up finds it by its name. One daemon at most runs on an interface
//! (the XDP hook has room for one), so name and interface tell it from that of another daemon. The qdisc is never
//! removed: others may have filters on it by now.

use super::attach::chain;
use aya::programs::links::Link;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact,
};
use aya::programs::{SchedClassifier, TcAttachType};
use futures_util::TryStreamExt;
use ha_common::maps::names;
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterBpfOption, TcMessage, TcOption};
use std::io;

/// Before every other filter: one that accepts a frame ends the walk. A filter of another kind can hold a place, so
/// the next ones are tried.
const FIRST_PLACES: std::ops::RangeInclusive<u16> = 1..=8;

/// Adds the qdisc where missing and attaches in front. Says in words what was refused.
pub(super) fn attach(program: &mut SchedClassifier, interface: &str) -> Result<(), String> {
    match qdisc_add_clsact(interface) {
        Err(error) if !exists(&error) => return Err(format!("adding the clsact qdisc: {}", chain(&error))),
        _ => {}
    }
    let mut refusals = Vec::new();
    for priority in FIRST_PLACES {
        let options = TcAttachOptions::Netlink(NlOptions { priority, ..NlOptions::default() });
        match program.attach_with_options(interface, TcAttachType::Egress, options) {
            Ok(_) => {
                if !refusals.is_empty() {
                    tracing::warn!(
                        interface,
                        priority,
                        "tc filters of a lower priority number run before the egress program; what they accept is \
                         neither counted nor fenced"
                    );
                }
                return Ok(());
            }
            Err(error) => refusals.push(format!("priority {priority}: {}", chain(&error))),
        }
    }
    Err(refusals.join("; "))
}

/// A filter's place on the interface's egress hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    priority: u16,
    handle: u32,
}

/// Detaches the egress program of a daemon that is dead. Nothing there is fine, and so is an interface that is gone.
pub(super) fn detach(ifindex: u32) {
    let Ok(interface) = nix::net::if_::if_indextoname(ifindex) else { return };
    let interface = interface.to_string_lossy();
    let detached = find(ifindex).and_then(|places| {
        places.iter().try_for_each(|place| detach_at(&interface, *place))?;
        Ok(places.len())
    });
    match detached {
        Ok(0) => {}
        Ok(_) => tracing::info!(interface = &*interface, "detached the egress program of an earlier daemon"),
        Err(reason) => tracing::warn!(
            interface = &*interface,
            "an egress program of an earlier daemon may be left and stop what this node sends as Active: {reason}; \
             look for {} in `tc filter show dev {interface} egress`",
            names::PROGRAM_EGRESS
        ),
    }
}

fn detach_at(interface: &str, place: Place) -> Result<(), String> {
    let handle = TcHandle::from(place.handle);
    SchedClassifierLink::attached(interface, TcAttachType::Egress, place.priority, handle, None)
        .map_err(|error| chain(&error))?
        .detach()
        .map_err(|error| chain(&error))
}

/// Where our program is attached to egress. `aya` has a search of its own, which fails as soon as the interface has a
/// filter of another kind.
fn find(ifindex: u32) -> Result<Vec<Place>, String> {
    let failed = |error: io::Error| format!("asking for the interface's filters: {error}");
    let index = i32::try_from(ifindex).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(failed)?;
        let connection = tokio::spawn(connection);
        let filters = handle.traffic_filter(index).get().egress().execute();
        let filters: Result<Vec<TcMessage>, _> = filters.try_collect().await;
        connection.abort();
        Ok(filters.map_err(|error| chain(&error))?.iter().filter_map(our_place).collect())
    })
}

/// The place of a filter, if it is the egress program of a Holdfast daemon.
fn our_place(filter: &TcMessage) -> Option<Place> {
    let named = filter.attributes.iter().any(|attribute| match attribute {
        TcAttribute::Options(options) => options.iter().any(is_our_name),
        _ => false,
    });
    // Upper half of the information: the priority; lower half: the protocol.
    named.then(|| Place {
        priority: (filter.header.info >> u16::BITS) as u16,
        handle: filter.header.handle.into(),
    })
}

fn is_our_name(option: &TcOption) -> bool {
    matches!(option, TcOption::Bpf(TcFilterBpfOption::ProgName(name)) if name == names::PROGRAM_EGRESS)
}

/// Whether the qdisc was there before.
fn exists(error: &TcError) -> bool {
    match error {
        TcError::AlreadyAttached => true,
        TcError::NetlinkError(error) => error.raw_os_error() == Some(libc::EEXIST),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(options: Vec<TcOption>) -> TcMessage {
        let mut message = TcMessage::default();
        message.header.info = 3 << u16::BITS | 0x0300;
        message.header.handle = 5.into();
        message.attributes = vec![TcAttribute::Kind("bpf".into()), TcAttribute::Options(options)];
        message
    }

    fn named(name: &str) -> TcOption {
        TcOption::Bpf(TcFilterBpfOption::ProgName(name.into()))
    }

    #[test]
    fn only_our_filter_is_found() {
        let ours = our_place(&filter(vec![named(names::PROGRAM_EGRESS)]));
        assert_eq!(ours, Some(Place { priority: 3, handle: 5 }));
        for other in ["holdfast_tcx2", "holdfast_tc", "cil_to_netdev"] {
            assert_eq!(our_place(&filter(vec![named(other)])), None, "{other}");
        }
        assert_eq!(our_place(&filter(Vec::new())), None, "the head of a chain has no name");
    }
}
