//! The macvlan that carries a router's addresses and its virtual MAC (`virtual_mac = true`).
//!
//! Mode `private`: the macvlans of one interface must not hear each other, or one router's broadcasts would be answered
//! by another; hosts and peers are outside, and reach it in every mode. It is created down and is up only while Active:
//! a macvlan that is down is not in its parent's MAC table, so frames to the virtual MAC are dropped there (V-130), and
//! no address of it answers (V-127, V-128). Addresses are added after it is set up and removed before it is set down, in
//! one pipeline: adding them beforehand would gain microseconds and make them local to this host while Backup (V-129).
//!
//! Settings that make the rows of conformance section 7 right:
//! - parent `arp_ignore` 1: the parent does not answer for what stands on the macvlan (V-122, V-127);
//! - parent `arp_announce` 2: ARP requests for replies from the virtual address carry the parent's own (V-122, V-124);
//! - macvlan `arp_ignore` 1: it does not answer for the parent's addresses;
//! - macvlan `rp_filter` off, or loose where `all` is not off: requests arrive here though the route is the parent's;
//! - macvlan `addr_gen_mode` none, no router advertisements (V-016), and no IPv6 at all under an IPv4 router;
//! - macvlan IPv6 `forwarding`: the kernel's own neighbour adverts then carry the Router flag (V-123).

use super::frames::MacAddress;
use super::netlink::{Netlink, NetlinkError};
use super::sysctl;
use holdfast_engine::Family;
use rtnetlink::packet_route::link::{LinkMessage, MacVlanMode};
use rtnetlink::{LinkMacVlan, LinkUnspec};
use std::io;
use thiserror::Error;

/// Longest interface name, without its terminating zero.
const NAME_LENGTH: usize = libc::IFNAMSIZ - 1;

/// Why a macvlan could not be made.
#[derive(Debug, Error)]
pub enum MacvlanError {
    #[error(
        "cannot create the macvlan {name} with the virtual MAC: {source}; the interface must be Ethernet and no macvlan \
         of its own, and the kernel must have the macvlan module"
    )]
    Create { name: String, source: NetlinkError },
    #[error("an interface named {name} exists and is not ours: rename or remove it")]
    NameTaken { name: String },
    #[error("cannot set {path} for the macvlan: {source}")]
    Setting { path: String, source: io::Error },
    #[error("the macvlan {name} vanished: {source}")]
    Gone { name: String, source: io::Error },
}

/// Name of a router's macvlan on the interface with this index, unique on the host.
pub fn name(family: Family, vrid: u8, parent: u32) -> String {
    let number = match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 6,
    };
    let usual = format!("vrrp{number}-{vrid}-{parent}");
    if usual.len() <= NAME_LENGTH { usual } else { format!("v{number}-{vrid}-{parent}") }
}

/// Creates the macvlan, down and silent, and returns its index. One that a dead daemon left is replaced: it has the same
/// name and the same MAC.
pub(super) async fn create(
    netlink: &Netlink,
    name: &str,
    parent: u32,
    family: Family,
    vrid: u8,
) -> Result<u32, MacvlanError> {
    let mac = MacAddress::of_virtual_router(family, vrid);
    let failed = |source| MacvlanError::Create { name: name.to_owned(), source };
    let request = || LinkMacVlan::new(name, parent, MacVlanMode::Private).address(mac.0.to_vec()).build();
    match netlink.add_link(request()).done().await {
        Err(error) if error.errno() == Some(libc::EEXIST) => {
            remove_left_behind(netlink, name, mac).await?;
            netlink.add_link(request()).done().await.map_err(failed)?;
        }
        outcome => outcome.map_err(failed)?,
    }
    silence(name, family)?;
    index(name).map_err(|source| MacvlanError::Gone { name: name.to_owned(), source })
}

async fn remove_left_behind(netlink: &Netlink, name: &str, mac: MacAddress) -> Result<(), MacvlanError> {
    let failed = |source| MacvlanError::Create { name: name.to_owned(), source };
    let interfaces = super::link_monitor::snapshot(netlink).await.map_err(failed)?;
    let Some(interface) = interfaces.by_name(name) else { return Ok(()) };
    if interface.link.kind.as_deref() != Some("macvlan") || interface.link.mac != mac {
        return Err(MacvlanError::NameTaken { name: name.to_owned() });
    }
    netlink.remove_link(by_index(interface.link.ifindex)).done().await.map_err(failed)
}

fn index(name: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

/// Settings before the device is ever up. They vanish with it, so nothing is recorded.
fn silence(name: &str, family: Family) -> Result<(), MacvlanError> {
    let reverse_path = match sysctl::read("ipv4/conf/all/rp_filter") {
        Ok(all) if all == "0" => "0",
        // The stricter of `all` and the device's would apply; "loose" counts as the greater of the two.
        _ => "2",
    };
    let ipv4 = [
        ("arp_ignore", "1"),
        ("arp_announce", "2"),
        ("rp_filter", reverse_path),
        ("promote_secondaries", "1"),
    ];
    for (setting, value) in ipv4 {
        set(&format!("ipv4/conf/{name}/{setting}"), value, false)?;
    }
    let ipv6: &[(&str, &str)] = match family {
        Family::Ipv4 => &[("disable_ipv6", "1")],
        Family::Ipv6 => &[
            ("disable_ipv6", "0"),
            ("addr_gen_mode", "1"),
            ("accept_ra", "0"),
            ("autoconf", "0"),
            ("accept_dad", "0"),
            ("forwarding", "1"),
        ],
    };
    for (setting, value) in ipv6 {
        // A kernel without IPv6 has no such file, and an IPv4 router no need of it.
        set(&format!("ipv6/conf/{name}/{setting}"), value, family == Family::Ipv4)?;
    }
    Ok(())
}

fn set(path: &str, value: &str, optional: bool) -> Result<(), MacvlanError> {
    match sysctl::write(path, value) {
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|source| MacvlanError::Setting { path: path.to_owned(), source }),
    }
}

/// Settings of the parent, as (path, value): needed while any macvlan of an IPv4 router sits on it.
pub(super) fn parent_settings(parent: &str) -> Vec<(String, &'static str)> {
    let mut settings = vec![(format!("ipv4/conf/{parent}/arp_announce"), "2")];
    let ignore = format!("ipv4/conf/{parent}/arp_ignore");
    // Values above 1 are stricter still: leave them.
    if sysctl::read(&ignore).is_ok_and(|value| value == "0") {
        settings.push((ignore, "1"));
    }
    settings
}

/// The request that sets a device up.
pub(super) fn up(ifindex: u32) -> LinkMessage {
    LinkUnspec::new_with_index(ifindex).up().build()
}

/// The request that sets a device down.
pub(super) fn down(ifindex: u32) -> LinkMessage {
    LinkUnspec::new_with_index(ifindex).down().build()
}

/// Names a device in a request to remove it.
pub(super) fn by_index(ifindex: u32) -> LinkMessage {
    LinkUnspec::new_with_index(ifindex).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        assert_eq!(name(Family::Ipv4, 51, 12), "vrrp4-51-12");
        assert_eq!(name(Family::Ipv6, 255, 99_999), "vrrp6-255-99999");
        let long = name(Family::Ipv4, 255, 12_345_678);
        assert_eq!(long, "v4-255-12345678");
        assert!(long.len() <= NAME_LENGTH);
    }
}
