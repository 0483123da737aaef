//! Interface questions by ioctl, so that the lab needs neither sysfs (which shows another namespace) nor ethtool.
//! All functions speak about the namespace the calling thread is in.

use std::ffi::CString;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_SGRO: u32 = 0x2c;
const ETHTOOL_GFLAGS: u32 = 0x25;
const FLAG_RX_VLAN: u32 = 1 << 8;

#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Interface index by name.
pub(crate) fn index(interface: &str) -> Result<u32> {
    let name = CString::new(interface)?;
    // SAFETY: `name` is a terminated string.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(Error::last_os_error()),
        index => Ok(index),
    }
}

/// Hardware address of an interface.
pub(crate) fn mac(interface: &str) -> Result<[u8; 6]> {
    let mut request = request_for(interface)?;
    call(libc::SIOCGIFHWADDR as libc::c_ulong, &mut request)?;
    // SAFETY: the kernel filled the hardware address on success.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr.sa_data };
    let mut mac = [0u8; 6];
    mac.iter_mut().zip(address).for_each(|(to, from)| *to = from as u8);
    Ok(mac)
}

/// Turns transmit checksum offload off, so that frames on the wire carry complete checksums.
pub(crate) fn disable_checksum_offload(interface: &str) -> Result<()> {
    ethtool(interface, ETHTOOL_STXCSUM, 0).map(drop)
}

/// Turns generic receive offload on. A veth then takes in what its peer is sent by XDP redirect, at any frame size.
pub(crate) fn enable_receive_offload(interface: &str) -> Result<()> {
    ethtool(interface, ETHTOOL_SGRO, 1).map(drop)
}

/// Whether the interface takes VLAN tags off what it receives.
pub(crate) fn strips_tags(interface: &str) -> Result<bool> {
    Ok(ethtool(interface, ETHTOOL_GFLAGS, 0)? & FLAG_RX_VLAN != 0)
}

fn ethtool(interface: &str, command: u32, data: u32) -> Result<u32> {
    let mut value = EthtoolValue { command, data };
    let mut request = request_for(interface)?;
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    call(SIOCETHTOOL, &mut request)?;
    Ok(value.data)
}

fn request_for(interface: &str) -> Result<libc::ifreq> {
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= libc::IFNAMSIZ {
        return Err(Error::new(std::io::ErrorKind::InvalidInput, format!("{interface}: name too long")));
    }
    request.ifr_name.iter_mut().zip(interface.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
    Ok(request)
}

fn call(number: libc::c_ulong, request: &mut libc::ifreq) -> Result<()> {
    // SAFETY: plain system call without pointers.
    let descriptor = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and is owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // SAFETY: `request` is a valid ifreq, and what it points to outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw mut *request) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}
