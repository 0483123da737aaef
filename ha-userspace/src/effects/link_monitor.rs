//! Watches interfaces and addresses: a first dump, then the kernel's events, turned into [`LinkEvent`]s.
//!
//! Lives on the effects thread. What tells nothing new is left out. When the kernel's queue overruns, everything is
//! dumped again once the stale rest of the queue is gone, and the difference is told, so the picture is right again
//! however much was lost.

use super::event_socket::{EventRead, EventSocket, decode};
use super::frames::MacAddress;
use super::interfaces::{InterfaceAddress, Interfaces, LinkEvent, LinkState};
use super::netlink::{Netlink, NetlinkError};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// Between attempts at a read that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Where events go.
pub type LinkSink = Box<dyn Fn(LinkEvent) + Send>;

/// The monitor: what it knows is shared with the executor on the same thread.
pub(super) struct LinkMonitor {
    netlink: Netlink,
    known: Rc<RefCell<Interfaces>>,
    sink: LinkSink,
    events: EventSocket,
}

impl LinkMonitor {
    /// Subscribes and then dumps, so that nothing falls in between.
    pub(super) async fn start(
        netlink: Netlink,
        known: Rc<RefCell<Interfaces>>,
        sink: LinkSink,
    ) -> io::Result<Self> {
        let monitor = Self { netlink, known, sink, events: EventSocket::open()? };
        monitor.resynchronise().await.map_err(io::Error::other)?;
        Ok(monitor)
    }

    /// Tells events for as long as the thread lives, and reads those interfaces again whose names come by `rereads`.
    pub(super) async fn run(mut self, mut rereads: UnboundedReceiver<Vec<String>>) {
        loop {
            tokio::select! {
                read = self.events.read() => self.take(read).await,
                Some(mut names) = rereads.recv() => {
                    // Whoever asks does so regularly: only the latest wish counts.
                    while let Ok(later) = rereads.try_recv() {
                        names = later;
                    }
                    self.reread(&names).await;
                }
            }
            // A storm of events must not keep orders waiting.
            tokio::task::yield_now().await;
        }
    }

    async fn take(&self, read: io::Result<EventRead>) {
        match read {
            Ok(EventRead::Events(messages)) => {
                messages.iter().filter_map(to_event).for_each(|event| self.tell(event));
            }
            Ok(EventRead::Lost) => self.recover().await,
            Err(error) => {
                tracing::warn!(%error, "reading interface events failed; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Asks the kernel for single interfaces and tells what no event did. Events that are still queued come after it, so
    /// that the last word is theirs. An interface that cannot be read is asked for again next time.
    async fn reread(&self, names: &[String]) {
        for name in names {
            match self.netlink.link(name).await {
                Ok(message) => self.tell(LinkEvent::Link(to_link(&message))),
                Err(error) if error.errno() == Some(libc::ENODEV) => {
                    let known = self.known.borrow().by_name(name).map(|interface| interface.link.ifindex);
                    if let Some(ifindex) = known {
                        self.tell(LinkEvent::LinkGone { ifindex });
                    }
                }
                Err(error) => tracing::debug!(interface = name, %error, "reading an interface failed"),
            }
        }
    }

    async fn recover(&self) {
        tracing::warn!("the kernel's queue of interface events overran; reading all interfaces again");
        while let Err(error) = self.resynchronise().await {
            tracing::warn!(%error, "reading all interfaces failed; trying again");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn resynchronise(&self) -> Result<(), NetlinkError> {
        let fresh = snapshot(&self.netlink).await?;
        let events = self.known.borrow().difference(&fresh);
        events.into_iter().for_each(|event| self.tell(event));
        Ok(())
    }

    fn tell(&self, event: LinkEvent) {
        if self.known.borrow_mut().apply(&event) {
            (self.sink)(event);
        }
    }
}

/// Reads all interfaces and addresses.
pub(super) async fn snapshot(netlink: &Netlink) -> Result<Interfaces, NetlinkError> {
    let mut interfaces = Interfaces::default();
    for message in netlink.links().await? {
        interfaces.apply(&LinkEvent::Link(to_link(&message)));
    }
    for message in netlink.addresses().await? {
        if let Some((ifindex, address)) = to_address(&message) {
            interfaces.apply(&LinkEvent::Address { ifindex, address, added: true });
        }
    }
    Ok(interfaces)
}

/// What a datagram of the kernel tells, in its order; what tells nothing, or cannot be read, is left out.
pub fn events(datagram: &[u8]) -> Vec<LinkEvent> {
    let mut messages = Vec::new();
    decode(datagram, &mut messages);
    messages.iter().filter_map(to_event).collect()
}

fn to_event(message: &RouteNetlinkMessage) -> Option<LinkEvent> {
    match message {
        // A bridge reports its ports under its own family: leaving a bridge is not the end of an interface.
        RouteNetlinkMessage::NewLink(link) if is_interface(link) => Some(LinkEvent::Link(to_link(link))),
        RouteNetlinkMessage::DelLink(link) if is_interface(link) => {
            Some(LinkEvent::LinkGone { ifindex: link.header.index })
        }
        RouteNetlinkMessage::NewAddress(message) => {
            to_address(message).map(|(ifindex, address)| LinkEvent::Address { ifindex, address, added: true })
        }
        RouteNetlinkMessage::DelAddress(message) => to_address(message)
            .map(|(ifindex, address)| LinkEvent::Address { ifindex, address, added: false }),
        _ => None,
    }
}

fn is_interface(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

fn to_link(message: &LinkMessage) -> LinkState {
    let flags = message.header.flags;
    let mut link = LinkState {
        ifindex: message.header.index,
        name: String::new(),
        up: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        mac: MacAddress::default(),
        mtu: 0,
        kind: None,
        parent: None,
        vlan: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Link(parent) => link.parent = Some(*parent),
            LinkAttribute::Address(bytes) if message.header.link_layer_type == LinkLayerType::Ether => {
                link.mac = bytes.as_slice().try_into().map(MacAddress).unwrap_or_default();
            }
            LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|info| put_info(&mut link, info)),
            _ => {}
        }
    }
    // A veth names its peer there, often of another namespace.
    if link.kind.as_deref() == Some("veth") {
        link.parent = None;
    }
    link
}

fn put_info(link: &mut LinkState, info: &LinkInfo) {
    match info {
        LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
        LinkInfo::Data(InfoData::Vlan(options)) => {
            link.vlan = options.iter().find_map(|option| match option {
                InfoVlan::Id(id) => Some(*id),
                _ => None,
            });
        }
        _ => {}
    }
}

fn to_address(message: &AddressMessage) -> Option<(u32, InterfaceAddress)> {
    let attributes = &message.attributes;
    // On a point-to-point link, "address" is the peer's and "local" ours.
    let local = attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })?;
    let all_flags = attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let has = |flag: AddressFlags, short: AddressHeaderFlags| {
        all_flags.map_or(message.header.flags.contains(short), |flags| flags.contains(flag))
    };
    let unsettled = has(AddressFlags::Tentative, AddressHeaderFlags::Tentative)
        || has(AddressFlags::Dadfailed, AddressHeaderFlags::Dadfailed);
    let optimistic = has(AddressFlags::Optimistic, AddressHeaderFlags::Optimistic);
    Some((
        message.header.index,
        InterfaceAddress {
            address,
            prefix: message.header.prefix_len,
            secondary: address.is_ipv4() && has(AddressFlags::Secondary, AddressHeaderFlags::Secondary),
            tentative: unsettled && !optimistic,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_route::link::InfoKind;

    fn vlan_message() -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 9;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
        message.attributes = vec![
            LinkAttribute::IfName("lan0.7".to_owned()),
            LinkAttribute::Mtu(1496),
            LinkAttribute::Link(4),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vlan),
                LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(7)])),
            ]),
        ];
        message
    }

    #[test]
    fn a_vlan_is_known_with_its_number_and_parent() {
        let expected = LinkState {
            ifindex: 9,
            name: "lan0.7".to_owned(),
            up: true,
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            mtu: 1496,
            kind: Some("vlan".to_owned()),
            parent: Some(4),
            vlan: Some(7),
        };
        assert_eq!(to_event(&RouteNetlinkMessage::NewLink(vlan_message())), Some(LinkEvent::Link(expected)));
    }

    #[test]
    fn up_needs_both_the_administrator_and_the_carrier() {
        for flags in [LinkFlags::Up, LinkFlags::LowerUp, LinkFlags::empty()] {
            let mut message = vlan_message();
            message.header.flags = flags;
            assert!(!to_link(&message).up, "{flags:?}");
        }
    }

    #[test]
    fn what_a_bridge_says_of_its_ports_is_not_heard() {
        let mut message = vlan_message();
        message.header.interface_family = AddressFamily::Bridge;
        assert_eq!(to_event(&RouteNetlinkMessage::DelLink(message.clone())), None);
        message.header.interface_family = AddressFamily::Unspec;
        let gone = to_event(&RouteNetlinkMessage::DelLink(message));
        assert_eq!(gone, Some(LinkEvent::LinkGone { ifindex: 9 }));
    }

    #[test]
    fn duplicate_detection_running_or_failed_makes_an_address_unusable() {
        let mut message = AddressMessage::default();
        message.header.index = 9;
        message.header.prefix_len = 64;
        let local = "fe80::10".parse().unwrap();
        for (flags, tentative) in [
            (AddressFlags::Tentative, true),
            (AddressFlags::Dadfailed, true),
            (AddressFlags::Tentative | AddressFlags::Optimistic, false),
            (AddressFlags::Permanent, false),
        ] {
            message.attributes = vec![AddressAttribute::Address(local), AddressAttribute::Flags(flags)];
            let expected = InterfaceAddress { address: local, prefix: 64, secondary: false, tentative };
            assert_eq!(to_address(&message), Some((9, expected)));
        }
    }
}
