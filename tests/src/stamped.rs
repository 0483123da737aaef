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
    Ok(Some(Received { length: length as usize, at: stamp_of(&message), outgoing }))
}

fn stamp_of(message: &libc::msghdr) -> Moment {
    // SAFETY: the kernel filled the control buffer; the CMSG functions stay inside it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_TIMESTAMPNS {
                let stamp = libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned();
                return Moment::from_wall_clock(stamp.tv_sec as u64 * 1_000_000_000 + stamp.tv_nsec as u64);
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    Moment::now()
}
