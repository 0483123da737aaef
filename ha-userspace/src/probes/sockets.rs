//! The sockets probes leave by: one per path, bound to its interface, its local address and the HA port.
//!
//! They only send. The data plane absorbs what peers send to the same port; whatever gets as far as such a socket is thrown
//! away by a filter. Nothing blocks, and everything passes the egress program.

use super::paths::Place;
use crate::effects::packet_socket::{PRIORITY_CONTROL, set_integer};
use ha_common::wire::probe::{Message, TTL};
use holdfast_engine::{PathIndex, PeerId};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, bind, sendto, setsockopt, sockopt};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// As small as the kernel makes it.
const RECEIVE_BUFFER: usize = 1;
/// DSCP CS6, network control.
const TRAFFIC_CLASS: libc::c_int = 0xc0;
/// Classic BPF: take nothing of any datagram.
const DROP_ALL: libc::sock_filter =
    libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };

/// Why a probe did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeFailure {
    /// No interface faces the peer now.
    NoPlace,
    /// The kernel refused to send, or to open the socket.
    Refused(Errno),
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlace => formatter.write_str("no interface has an address in the peer's subnet"),
            Self::Refused(errno) => write!(formatter, "{}", io::Error::from_raw_os_error(*errno as i32)),
        }
    }
}

/// Where a message goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route<'a> {
    pub(super) peer: PeerId,
    pub(super) path: PathIndex,
    pub(super) place: &'a Place,
    pub(super) remote: IpAddr,
    pub(super) port: u16,
}

/// What carries messages; tests have a wire of their own.
pub(super) trait Wire {
    fn send(&mut self, route: &Route<'_>, message: &Message) -> Result<(), ProbeFailure>;

    /// Forgets every path that `keep` does not name.
    fn retain(&mut self, keep: &dyn Fn(PeerId, PathIndex) -> bool);
}

/// The sockets of all paths, opened when they are first needed and again after an error or a change.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: HashMap<(PeerId, PathIndex), PathSocket>,
}

#[derive(Debug)]
struct PathSocket {
    socket: OwnedFd,
    ifindex: u32,
    source: SocketAddr,
    destination: SocketAddr,
    to: SockaddrStorage,
}

impl Wire for Sockets {
    fn send(&mut self, route: &Route<'_>, message: &Message) -> Result<(), ProbeFailure> {
        let key = (route.peer, route.path);
        let sent = self.socket(key, route).and_then(|open| open.send(bytemuck::bytes_of(message)));
        sent.map_err(|errno| {
            // A full queue passes; after anything else a fresh socket is the surest way back.
            if !is_full(errno) {
                self.open.remove(&key);
            }
            ProbeFailure::Refused(errno)
        })
    }

    fn retain(&mut self, keep: &dyn Fn(PeerId, PathIndex) -> bool) {
        self.open.retain(|(peer, path), _| keep(*peer, *path));
    }
}

impl Sockets {
    fn socket(&mut self, key: (PeerId, PathIndex), route: &Route<'_>) -> nix::Result<&PathSocket> {
        let ifindex = route.place.ifindex;
        let source = socket_address(route.place.local, route.port, ifindex);
        let destination = socket_address(route.remote, route.port, ifindex);
        let stale = self.open.get(&key).is_none_or(|open| {
            (open.ifindex, open.source, open.destination) != (ifindex, source, destination)
        });
        if stale {
            // First, so that the address is free.
            self.open.remove(&key);
            let socket = open_socket(ifindex, source).map_err(|error| errno_of(&error))?;
            let to = SockaddrStorage::from(destination);
            self.open.insert(key, PathSocket { socket, ifindex, source, destination, to });
        }
        self.open.get(&key).ok_or(Errno::EBADF)
    }
}

impl PathSocket {
    fn send(&self, bytes: &[u8]) -> nix::Result<()> {
        let once = || sendto(self.socket.as_raw_fd(), bytes, &self.to, MsgFlags::MSG_DONTWAIT).map(|_| ());
        match once() {
            // It may speak of an earlier message, by ICMP, and is then over.
            Err(errno) if !is_full(errno) => once(),
            outcome => outcome,
        }
    }
}

/// Whether a queue or buffer of this host was full.
fn is_full(errno: Errno) -> bool {
    matches!(errno, Errno::ENOBUFS | Errno::EAGAIN | Errno::ENOMEM)
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// With the interface as scope where the address has none of its own.
fn socket_address(address: IpAddr, port: u16, ifindex: u32) -> SocketAddr {
    match address {
        IpAddr::V4(address) => SocketAddrV4::new(address, port).into(),
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            SocketAddrV6::new(address, port, 0, ifindex).into()
        }
        IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, 0).into(),
    }
}

fn open_socket(ifindex: u32, source: SocketAddr) -> io::Result<OwnedFd> {
    let family = if source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain integers; the result is checked before use.
    let fd = unsafe { libc::socket(family, kind, libc::IPPROTO_UDP) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and is owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // Before it is bound, so that nothing gets in.
    drop_everything(&socket)?;
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    let ttl = libc::c_int::from(TTL);
    // PROBE: never fragmented, and no ICMP message from anybody makes it shorter. RECVERR: without it the kernel keeps to
    // itself that a queue or the egress program dropped a datagram.
    let options = match source {
        SocketAddr::V4(_) => [
            (libc::IPPROTO_IP, libc::IP_TTL, ttl),
            (libc::IPPROTO_IP, libc::IP_TOS, TRAFFIC_CLASS),
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
            (libc::IPPROTO_IP, libc::IP_RECVERR, 1),
        ],
        SocketAddr::V6(_) => [
            (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, ttl),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, TRAFFIC_CLASS),
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
            (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
        ],
    };
    for (level, option, value) in options {
        set_integer(&socket, level, option, value)?;
    }
    if source.is_ipv6() {
        set_integer(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    // After the traffic class, which would set it too.
    set_integer(&socket, libc::SOL_SOCKET, libc::SO_PRIORITY, PRIORITY_CONTROL)?;
    // Paths to several peers leave by one address.
    set_integer(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    set_integer(&socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, ifindex as libc::c_int)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(source))?;
    Ok(socket)
}

fn drop_everything(socket: &OwnedFd) -> io::Result<()> {
    let mut filter = [DROP_ALL];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let length = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: `program` and the instructions it points to live for the whole call, which copies them; `length` is its size.
    let attached = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast::<libc::c_void>(),
            length,
        )
    };
    if attached == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_link_local_addresses_get_a_scope() {
        let text = |address: &str| socket_address(address.parse().unwrap(), 8612, 7).to_string();
        assert_eq!(text("192.0.2.1"), "192.0.2.1:8612");
        assert_eq!(text("fe80::1"), "[fe80::1%7]:8612");
        assert_eq!(text("2001:db8::1"), "[2001:db8::1]:8612");
    }

    #[test]
    fn failures_say_why() {
        assert_eq!(
            ProbeFailure::Refused(Errno::ENETUNREACH).to_string(),
            "Network is unreachable (os error 101)"
        );
        assert!(ProbeFailure::NoPlace.to_string().contains("interface"));
    }
}
