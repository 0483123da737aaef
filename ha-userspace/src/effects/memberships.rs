//! Keeps interfaces listening to the VRRP groups, so that NICs and snooping switches deliver them to the data plane.
//!
//! A membership is a UDP socket that joined the group and never receives; it ends with the socket. Adverts themselves
//! are read in XDP.

use super::frames::{IPV4_GROUP, IPV6_GROUP};
use holdfast_engine::Family;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};

/// An open membership.
#[derive(Debug)]
pub(super) struct Membership {
    _socket: OwnedFd,
}

impl Membership {
    /// Joins the family's VRRP group on an interface. One socket each, since the kernel limits memberships per socket,
    /// and never bound, so that no port is open.
    pub(super) fn join(family: Family, ifindex: u32) -> io::Result<Self> {
        let domain = match family {
            Family::Ipv4 => AddressFamily::Inet,
            Family::Ipv6 => AddressFamily::Inet6,
        };
        let socket = socket(domain, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        match family {
            Family::Ipv4 => {
                join_ipv4(&socket, ifindex)?;
                Ok(Self { _socket: socket })
            }
            Family::Ipv6 => {
                let socket = UdpSocket::from(socket);
                socket.join_multicast_v6(&IPV6_GROUP, ifindex)?;
                Ok(Self { _socket: socket.into() })
            }
        }
    }
}

fn join_ipv4(socket: &OwnedFd, ifindex: u32) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: u32::from_ne_bytes(IPV4_GROUP.octets()) },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: ifindex as i32,
    };
    let length = size_of::<libc::ip_mreqn>() as libc::socklen_t;
    // SAFETY: `request` lives for the whole call and `length` is its size.
    let joined = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_ADD_MEMBERSHIP,
            (&raw const request).cast::<libc::c_void>(),
            length,
        )
    };
    if joined == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
