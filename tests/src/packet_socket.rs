//! Raw frames on an interface: capture of all that passes, and injection of anything.

use crate::clock::Moment;
use crate::netns::Namespace;
use crate::{link_ioctl, stamped};
use anyhow::{Context, Result, ensure};
use std::io::Error;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Longest frame the lab looks at.
const FRAME_ROOM: usize = 9216;
/// Where a VLAN tag stands: behind the addresses.
const TAG_AT: usize = 12;

/// An AF_PACKET socket in promiscuous mode. Needs no thread in the namespace once it is open.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    /// Hardware address of the interface.
    pub mac: [u8; 6],
}

/// A captured frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// When the kernel received or sent it.
    pub at: Moment,
    /// From the destination MAC on, without VLAN tags that the kernel took off; see [`PacketSocket::with_tags`].
    pub bytes: Vec<u8>,
    /// Sent by the host whose interface this is.
    pub outgoing: bool,
}

impl PacketSocket {
    /// Opens a socket for all frames of `interface` in `namespace`.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let opened = namespace.enter(|| Self::open_here(interface))?;
        opened.with_context(|| format!("packet socket on {interface} in {}", namespace.name()))
    }

    fn open_here(interface: &str) -> std::io::Result<Self> {
        let index = link_ioctl::index(interface)?;
        let mac = link_ioctl::mac(interface)?;
        let all = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: plain system call without pointers. Protocol 0 receives nothing until it is bound.
        let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if descriptor < 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened and is owned by nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        stamped::enable(socket.as_fd())?;
        // SAFETY: all-zero is a valid sockaddr_ll and a valid packet_mreq.
        let (mut address, mut membership): (libc::sockaddr_ll, libc::packet_mreq) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all;
        address.sll_ifindex = index as i32;
        membership.mr_ifindex = index as i32;
        membership.mr_type = libc::PACKET_MR_PROMISC as u16;
        let address_size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let membership_size = size_of::<libc::packet_mreq>() as libc::socklen_t;
        // SAFETY: both structures are valid for the sizes given.
        let bound = unsafe {
            libc::setsockopt(
                descriptor,
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const membership).cast(),
                membership_size,
            ) == 0
                && libc::bind(descriptor, (&raw const address).cast(), address_size) == 0
        };
        if bound { Ok(PacketSocket { socket, mac }) } else { Err(Error::last_os_error()) }
    }

    /// Gives frames with the VLAN tag that the kernel took off back in its place.
    pub fn with_tags(self) -> Result<Self> {
        stamped::set_option(self.socket.as_fd(), libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
        Ok(self)
    }

    /// Takes in only frames from this hardware address from now on, so that a flood of others costs nothing.
    pub fn only_from(&self, source: [u8; 6]) -> Result<()> {
        const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
        const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        const SOURCE_AT: u32 = 6;
        let [a, b, c, d, e, f] = source;
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let mut steps = [
            step(LOAD_HALF, 0, 0, SOURCE_AT),
            step(JUMP_EQUAL, 0, 3, u32::from(u16::from_be_bytes([a, b]))),
            step(LOAD_WORD, 0, 0, SOURCE_AT + 2),
            step(JUMP_EQUAL, 0, 1, u32::from_be_bytes([c, d, e, f])),
            step(RETURN, 0, 0, FRAME_ROOM as u32),
            step(RETURN, 0, 0, 0),
        ];
        let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
        // SAFETY: the program and its steps are valid for the call, which copies them.
        let attached = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                size_of::<libc::sock_fprog>() as libc::socklen_t,
            )
        };
        ensure!(attached == 0, "filtering a packet socket: {}", Error::last_os_error());
        Ok(())
    }

    /// Sends a complete frame, from the destination MAC on.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        // SAFETY: the buffer is valid for its length.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        ensure!(sent >= 0, "sending a frame of {} bytes: {}", frame.len(), Error::last_os_error());
        Ok(())
    }

    /// Waits up to `patience` for the next frame, in either direction.
    pub fn receive(&self, patience: Duration) -> Result<Option<Frame>> {
        let mut room = [0u8; FRAME_ROOM];
        let received = stamped::receive(self.socket.as_fd(), &mut room, patience)?;
        Ok(received.map(|packet| {
            let mut bytes = room[..packet.length].to_vec();
            if let Some(tag) = packet.tag {
                bytes.splice(TAG_AT..TAG_AT, tag);
            }
            Frame { at: packet.at, bytes, outgoing: packet.outgoing }
        }))
    }

    /// Waits up to `deadline` for an incoming frame that `wanted` accepts.
    pub fn wait_for(&self, deadline: Duration, wanted: impl Fn(&Frame) -> bool) -> Result<Option<Frame>> {
        const SLICE: Duration = Duration::from_millis(20);
        let begin = Moment::now();
        while begin.elapsed() < deadline {
            if let Some(frame) = self.receive(SLICE)?.filter(|frame| !frame.outgoing && wanted(frame)) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }
}
