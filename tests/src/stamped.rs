//! Sockets that say when the kernel received a packet, not when a busy reader got round to it.

use crate::clock::Moment;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Receive buffer asked for: a second of floods fits.
const RECEIVE_BUFFER: libc::c_int = 8 << 20;

/// One received packet.
pub(crate) struct Received {
    pub(crate) length: usize,
    pub(crate) at: Moment,
    /// For packet sockets: the frame was sent by this host.
    pub(crate) outgoing: bool,
    /// For packet sockets that ask for it: the VLAN tag that the kernel took off, as it stood in the frame.
    pub(crate) tag: Option<[u8; 4]>,
}

/// Sets an integer socket option.
pub(crate) fn set_option(socket: BorrowedFd<'_>, level: i32, option: i32, value: libc::c_int) -> Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is a valid int of the size given.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size) };
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Turns kernel receive stamps on and makes room for bursts.
pub(crate) fn enable(socket: BorrowedFd<'_>) -> Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)
}

/// Waits up to `patience` for a packet; `None` if there was none.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    patience: Duration,
) -> Result<Option<Received>> {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    let ready = unsafe { libc::poll(&raw mut poll, 1, patience.as_millis() as i32) };
    if ready <= 0 {
        return Ok(None);
    }
    let mut control = [0u64; 16];
    // SAFETY: all-zero is a valid sockaddr_ll.
    let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the message points to buffers that outlive the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    if length < 0 {
        let error = Error::last_os_error();
        return match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(None),
            _ if error.raw_os_error() == Some(libc::ENETDOWN) => Ok(None),
            _ => Err(error),
        };
    }
    let outgoing = from.sll_family == libc::AF_PACKET as u16 && from.sll_pkttype == libc::PACKET_OUTGOING;
    let (length, tag) = (length as usize, tag_of(&message));
    Ok(Some(Received { length, at: stamp_of(&message), outgoing, tag }))
}

fn stamp_of(message: &libc::msghdr) -> Moment {
    // SAFETY: SO_TIMESTAMPNS comes with a timespec.
    let stamp = unsafe { note::<libc::timespec>(message, libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) };
    stamp.map_or_else(Moment::now, |stamp| {
        Moment::from_wall_clock(stamp.tv_sec as u64 * 1_000_000_000 + stamp.tv_nsec as u64)
    })
}

fn tag_of(message: &libc::msghdr) -> Option<[u8; 4]> {
    // SAFETY: PACKET_AUXDATA comes with a tpacket_auxdata.
    let data = unsafe { note::<libc::tpacket_auxdata>(message, libc::SOL_PACKET, libc::PACKET_AUXDATA) }?;
    let ([a, b], [c, d]) = (data.tp_vlan_tpid.to_be_bytes(), data.tp_vlan_tci.to_be_bytes());
    (data.tp_status & libc::TP_STATUS_VLAN_VALID != 0).then_some([a, b, c, d])
}

/// What the kernel noted beside a packet under a level and type.
///
/// # Safety
/// Notes of that level and type must be a `T`.
unsafe fn note<T: Copy>(message: &libc::msghdr, level: i32, kind: i32) -> Option<T> {
    // SAFETY: the kernel filled the control buffer; the CMSG functions stay inside it; `T` is the caller's promise.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if (*header).cmsg_level == level && (*header).cmsg_type == kind {
                return Some(libc::CMSG_DATA(header).cast::<T>().read_unaligned());
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    None
}
