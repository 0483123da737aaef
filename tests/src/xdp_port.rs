//! Tiny XDP programs for the bridge's ends of veth pairs.
//!
//! A veth delivers what its peer sends by XDP_TX only where it has an XDP program itself, so every port carries one
//! that passes. Exchanged for one that drops, it silences the host behind the port without touching its carrier.
//! Attached by netlink, not by a link, so that it stays as long as the interface. Speaks about the calling thread's
//! namespace.

use crate::link_ioctl;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What a port does with frames from its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortVerdict {
    Drop = 1,
    Pass = 2,
    /// Sends everything back, in place of the programs whose answers the fabric must deliver.
    #[cfg(test)]
    Reflect = 3,
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TYPE_XDP: u32 = 6;
const MOVE_TO_R0: u64 = 0xb7;
const EXIT: u64 = 0x95;

/// The beginning of `union bpf_attr` for BPF_PROG_LOAD.
#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
}

fn load(verdict: PortVerdict) -> Result<OwnedFd> {
    let instructions = [MOVE_TO_R0 | (verdict as u64) << 32, EXIT];
    let attributes = LoadAttributes {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
        ..LoadAttributes::default()
    };
    let size = size_of::<LoadAttributes>();
    // SAFETY: the attributes and what they point to are valid for the call.
    let descriptor = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size) };
    if descriptor < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and is owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
const NESTED: u16 = 1 << 15;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Puts the program on the port in native mode, in place of the one before.
pub(crate) fn attach(interface: &str, verdict: PortVerdict) -> Result<()> {
    attach_program(interface, &load(verdict)?)
}

/// As [`attach`], for a program of the caller's.
pub(crate) fn attach_program(interface: &str, program: &OwnedFd) -> Result<()> {
    let index = link_ioctl::index(interface)?;
    let mut message = Vec::with_capacity(64);
    message.extend([0u8; 4]); // length, filled in below
    message.extend(libc::RTM_SETLINK.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
    message.extend([0u8; 8]); // sequence number, port
    message.extend([libc::AF_UNSPEC as u8, 0, 0, 0]);
    message.extend(index.to_ne_bytes());
    message.extend([0u8; 8]); // flags, change mask
    const ATTRIBUTE: u16 = 8;
    message.extend((4 + 2 * ATTRIBUTE).to_ne_bytes());
    message.extend((IFLA_XDP | NESTED).to_ne_bytes());
    message.extend(ATTRIBUTE.to_ne_bytes());
    message.extend(IFLA_XDP_FD.to_ne_bytes());
    message.extend(program.as_raw_fd().to_ne_bytes());
    message.extend(ATTRIBUTE.to_ne_bytes());
    message.extend(IFLA_XDP_FLAGS.to_ne_bytes());
    message.extend(XDP_FLAGS_DRV_MODE.to_ne_bytes());
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    request(&message)
}

/// Sends one rtnetlink request and reads its acknowledgement.
fn request(message: &[u8]) -> Result<()> {
    // SAFETY: plain system call without pointers.
    let descriptor =
        unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if descriptor < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and is owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let mut answer = [0u8; 1024];
    // SAFETY: both buffers are valid for the lengths given.
    let received = unsafe {
        if libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) < 0 {
            return Err(Error::last_os_error());
        }
        libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0)
    };
    const HEADER: usize = 16;
    if received < (HEADER + 4) as isize {
        return Err(Error::last_os_error());
    }
    let code =
        i32::from_ne_bytes([answer[HEADER], answer[HEADER + 1], answer[HEADER + 2], answer[HEADER + 3]]);
    if code == 0 { Ok(()) } else { Err(Error::from_raw_os_error(-code)) }
}
