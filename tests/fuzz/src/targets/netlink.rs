//! Interface and address events as the kernel's netlink socket delivers them, and the picture built from them.

use holdfast::effects::interfaces::{Interfaces, LinkEvent};
use holdfast::effects::link_monitor::events;
use holdfast_engine::Family;
use std::net::IpAddr;

/// Smallest message: its header.
const SHORTEST_MESSAGE: usize = 16;

pub(super) fn run(input: &[u8]) {
    let told = events(input);
    assert!(told.len() <= input.len() / SHORTEST_MESSAGE, "more messages than fit the datagram");
    let mut picture = Interfaces::default();
    let mut steps = vec![picture.clone()];
    for event in &told {
        let before = picture.clone();
        assert_eq!(
            picture.apply(event),
            picture != before,
            "an event is news if it changes the picture: {event:?}"
        );
        assert!(!picture.apply(event), "the same event again is no news: {event:?}");
        check(&picture, event);
        steps.push(picture.clone());
    }
    // A fresh dump brings any earlier picture up to date.
    for step in &steps {
        let mut brought = step.clone();
        for event in step.difference(&picture) {
            assert!(brought.apply(&event), "a difference that tells nothing: {event:?}");
        }
        let still: Vec<_> = brought.difference(&picture);
        assert!(still.is_empty(), "a dump left differences: {still:?}");
    }
}

fn check(picture: &Interfaces, event: &LinkEvent) {
    match event {
        LinkEvent::Link(link) => {
            assert_eq!(picture.by_index(link.ifindex).map(|known| &known.link), Some(link));
        }
        LinkEvent::LinkGone { ifindex } => assert!(picture.by_index(*ifindex).is_none()),
        LinkEvent::Address { ifindex, address, added } => {
            let interface = picture.by_index(*ifindex);
            let holds = interface.is_some_and(|known| known.addresses.contains(address));
            assert_eq!(holds, *added && interface.is_some(), "{event:?}");
        }
    }
    for interface in picture.iter() {
        for family in [Family::Ipv4, Family::Ipv6] {
            let source = interface.source(family, &[], false);
            let usable = source
                .is_none_or(|source| interface.holds(source) && source.is_ipv4() == (family == Family::Ipv4));
            assert!(usable, "{source:?}");
            let real: Vec<IpAddr> = source.into_iter().collect();
            assert!(interface.source(family, &real, false).is_none_or(|other| Some(other) != source));
        }
    }
}
