//! VLAN tags of wire ports. A NIC that takes the outer tag off a received frame keeps it beside the packet, where native
//! XDP does not see it and a redirect loses it. So the ports of a wire leave tags where they are.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
/// `rxvlan` of `ethtool -k`.
const STRIP_TAGS: u32 = 1 << 8;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Lets a NIC take received tags off, or leave them. Returns whether that was a change. An error also if the NIC
/// accepts the order and does not follow it.
pub(super) fn strip_tags(interface: &str, strip: bool) -> Result<bool> {
    let before = ethtool(interface, ETHTOOL_GFLAGS, 0)?;
    if (before & STRIP_TAGS != 0) == strip {
        return Ok(false);
    }
    let wanted = before & !STRIP_TAGS | if strip { STRIP_TAGS } else { 0 };
    ethtool(interface, ETHTOOL_SFLAGS, wanted)?;
    match (ethtool(interface, ETHTOOL_GFLAGS, 0)? & STRIP_TAGS != 0) == strip {
        true => Ok(true),
        false => Err(Error::new(ErrorKind::Unsupported, "the setting is fixed")),
    }
}

fn ethtool(interface: &str, command: u32, data: u32) -> Result<u32> {
    let mut value = EthtoolValue { command, data };
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= libc::IFNAMSIZ {
        return Err(Error::new(ErrorKind::InvalidInput, "the name is too long"));
    }
    request.ifr_name.iter_mut().zip(interface.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: plain system call without pointers.
    let descriptor = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and is owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // SAFETY: the request and the value it points to are valid for the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) } {
        0 => Ok(value.data),
        _ => Err(Error::last_os_error()),
    }
}
