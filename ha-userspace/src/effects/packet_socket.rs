//! The sockets adverts and announcements leave by: one AF_PACKET socket for frames, raw IP sockets for unicast peers.
//!
//! Frames go out in `sendmmsg` batches and always through the egress hook: `PACKET_QDISC_BYPASS` is never set, since
//! nothing may get around the fence. Sockets never block; what the kernel does not take is reported and forgotten, and
//! the schedule brings the next one.

use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike, sendmsg, setsockopt, sockopt,
};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::frames::ETHERNET_LENGTH;

/// Most frames in one system call.
const BATCH: usize = 256;
/// Room for a tick of a thousand routers, so that a burst of our own does not run into ENOBUFS.
const SEND_BUFFER: usize = 4 << 20;
/// TC_PRIO_CONTROL: the first band of the default queueing discipline (V-020).
pub(crate) const PRIORITY_CONTROL: libc::c_int = 7;
/// `IPV6_HDRINCL` of linux/in6.h, which libc does not name.
const IPV6_HDRINCL: libc::c_int = 36;

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// A complete frame for an interface.
    Ethernet { ifindex: u32, frame: Vec<u8> },
    /// A complete IP packet for a unicast peer; the kernel resolves the neighbour, and asks again when it forgets.
    Routed { ifindex: u32, destination: IpAddr, packet: Vec<u8> },
}

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// The queue or the buffer is full (ENOBUFS, EAGAIN).
    NoBuffer,
    /// The interface is down or gone (ENETDOWN, ENXIO, ENODEV), or the peer has no route.
    LinkDown,
    /// Any other errno.
    Other(i32),
}

impl SendFailure {
    fn from_errno(errno: i32) -> Self {
        match errno {
            libc::ENOBUFS | libc::EAGAIN | libc::ENOMEM => Self::NoBuffer,
            libc::ENETDOWN | libc::ENXIO | libc::ENODEV | libc::ENETUNREACH | libc::EHOSTUNREACH => {
                Self::LinkDown
            }
            other => Self::Other(other),
        }
    }
}

/// The open sockets. The raw IP sockets are opened when a unicast peer first needs them.
#[derive(Debug)]
pub struct PacketSocket {
    link: OwnedFd,
    ipv4: Option<OwnedFd>,
    ipv6: Option<OwnedFd>,
}

impl PacketSocket {
    /// Opens the frame socket in the network namespace of the calling thread. Needs CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        // Protocol 0: it sends only, so the kernel never queues a frame for it.
        let link = raw_socket(libc::AF_PACKET, 0)?;
        Ok(Self { link, ipv4: None, ipv6: None })
    }

    /// Sends a batch in order and calls `outcome` once per item with its place in the batch.
    pub fn send(&mut self, batch: &[&Outbound], mut outcome: impl FnMut(usize, Result<(), SendFailure>)) {
        let mut place = 0;
        while place < batch.len() {
            match batch[place] {
                Outbound::Routed { ifindex, destination, packet } => {
                    outcome(place, self.send_routed(*ifindex, *destination, packet));
                    place += 1;
                }
                Outbound::Ethernet { .. } => {
                    let run = batch[place..].iter().take(BATCH).take_while(is_frame).count();
                    send_frames(self.link.as_raw_fd(), &batch[place..place + run], |index, result| {
                        outcome(place + index, result);
                    });
                    place += run;
                }
            }
        }
    }

    fn send_routed(&mut self, ifindex: u32, destination: IpAddr, packet: &[u8]) -> Result<(), SendFailure> {
        let sent = match destination {
            IpAddr::V4(address) => {
                let fd = opened(&mut self.ipv4, libc::AF_INET)?;
                let info = libc::in_pktinfo {
                    ipi_ifindex: ifindex as libc::c_int,
                    ipi_spec_dst: libc::in_addr { s_addr: 0 },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let target = SockaddrIn::from(SocketAddrV4::new(address, 0));
                send_with(fd, packet, &ControlMessage::Ipv4PacketInfo(&info), &target)
            }
            IpAddr::V6(address) => {
                let fd = opened(&mut self.ipv6, libc::AF_INET6)?;
                let info = libc::in6_pktinfo {
                    ipi6_ifindex: ifindex,
                    ipi6_addr: libc::in6_addr { s6_addr: [0; 16] },
                };
                let target = SockaddrIn6::from(SocketAddrV6::new(address, 0, 0, ifindex));
                send_with(fd, packet, &ControlMessage::Ipv6PacketInfo(&info), &target)
            }
        };
        sent.map_err(|errno| SendFailure::from_errno(errno as i32))
    }
}

fn is_frame(item: &&&Outbound) -> bool {
    matches!(item, Outbound::Ethernet { .. })
}

fn send_with<S: SockaddrLike>(
    fd: RawFd,
    packet: &[u8],
    control: &ControlMessage<'_>,
    target: &S,
) -> nix::Result<()> {
    let data = [IoSlice::new(packet)];
    sendmsg(fd, &data, std::slice::from_ref(control), MsgFlags::MSG_DONTWAIT, Some(target)).map(|_| ())
}

fn opened(slot: &mut Option<OwnedFd>, family: libc::c_int) -> Result<RawFd, SendFailure> {
    if let Some(socket) = slot {
        return Ok(socket.as_raw_fd());
    }
    let failed = |error: io::Error| SendFailure::from_errno(error.raw_os_error().unwrap_or(libc::EIO));
    let socket = raw_socket(family, libc::IPPROTO_RAW).map_err(failed)?;
    let (level, option) = match family {
        libc::AF_INET => (libc::IPPROTO_IP, libc::IP_HDRINCL),
        _ => (libc::IPPROTO_IPV6, IPV6_HDRINCL),
    };
    set_integer(&socket, level, option, 1).map_err(failed)?;
    Ok(slot.insert(socket).as_raw_fd())
}

fn raw_socket(family: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain integers; the result is checked before use.
    let fd = unsafe { libc::socket(family, kind, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and is owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set_integer(&socket, libc::SOL_SOCKET, libc::SO_PRIORITY, PRIORITY_CONTROL)?;
    // Beyond wmem_max this needs CAP_NET_ADMIN; without it the default buffer serves all but the largest set-ups.
    let _ = setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER);
    Ok(socket)
}

pub(crate) fn set_integer(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` lives for the whole call and `length` is its size.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast::<libc::c_void>(), length)
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends frames with as few system calls as the kernel allows. A frame that is refused is reported and stepped over.
fn send_frames(fd: RawFd, batch: &[&Outbound], mut outcome: impl FnMut(usize, Result<(), SendFailure>)) {
    let frames: Vec<(u32, &[u8])> = batch
        .iter()
        .filter_map(|item| match item {
            Outbound::Ethernet { ifindex, frame } => Some((*ifindex, frame.as_slice())),
            Outbound::Routed { .. } => None,
        })
        .collect();
    let mut names: Vec<libc::sockaddr_ll> =
        frames.iter().map(|frame| link_address(frame.0, frame.1)).collect();
    let mut data: Vec<libc::iovec> = frames.iter().map(|frame| to_iovec(frame.1)).collect();
    let mut messages: Vec<libc::mmsghdr> =
        names.iter_mut().zip(&mut data).map(|(name, iovec)| message(name, iovec)).collect();
    let mut place = 0;
    while place < messages.len() {
        let left = &mut messages[place..];
        // SAFETY: each header points to one element of `names` and one of `data`, which point to `batch`; all outlive
        // the call and none is moved since the headers were built. `left.len()` headers are there, at most BATCH.
        let sent =
            unsafe { libc::sendmmsg(fd, left.as_mut_ptr(), left.len() as libc::c_uint, libc::MSG_DONTWAIT) };
        if sent > 0 {
            (place..place + sent as usize).for_each(|index| outcome(index, Ok(())));
            place += sent as usize;
            continue;
        }
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        if errno != libc::EINTR {
            outcome(place, Err(SendFailure::from_errno(errno)));
            place += 1;
        }
    }
}

fn link_address(ifindex: u32, frame: &[u8]) -> libc::sockaddr_ll {
    // SAFETY: every field is an integer or an array of integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = ifindex as i32;
    address.sll_halen = 6;
    if let Some(header) = frame.first_chunk::<ETHERNET_LENGTH>() {
        address.sll_protocol = u16::from_ne_bytes([header[12], header[13]]);
        address.sll_addr[..6].copy_from_slice(&header[..6]);
    }
    address
}

fn to_iovec(frame: &[u8]) -> libc::iovec {
    // The kernel only reads through it.
    libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() }
}

fn message(name: &mut libc::sockaddr_ll, data: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: integers and null pointers only.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_name = (&raw mut *name).cast();
    message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    message.msg_hdr.msg_iov = data;
    message.msg_hdr.msg_iovlen = 1;
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_kinds() {
        assert_eq!(SendFailure::from_errno(libc::ENOBUFS), SendFailure::NoBuffer);
        assert_eq!(SendFailure::from_errno(libc::ENETDOWN), SendFailure::LinkDown);
        assert_eq!(SendFailure::from_errno(libc::EMSGSIZE), SendFailure::Other(libc::EMSGSIZE));
    }

    #[test]
    fn a_link_address_carries_protocol_and_destination_as_on_the_wire() {
        let frame = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x06];
        let address = link_address(9, &frame);
        assert_eq!(address.sll_ifindex, 9);
        assert_eq!(address.sll_protocol.to_ne_bytes(), [0x08, 0x06]);
        assert_eq!(address.sll_addr[..6], [1, 2, 3, 4, 5, 6]);
    }
}
