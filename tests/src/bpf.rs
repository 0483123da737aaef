//! The `bpf` system call for the lab's own small programs, written in instructions because they are no part of the
//! product: maps of one array, code, loading, live test-runs. Knows nothing of interfaces.

use std::ffi::c_long;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const MAP_CREATE: c_long = 0;
const MAP_LOOKUP: c_long = 1;
const MAP_UPDATE: c_long = 2;
const PROG_LOAD: c_long = 5;
const PROG_TEST_RUN: c_long = 10;

const ARRAY: u32 = 2;
const XDP: u32 = 6;
const LOG_ROOM: usize = 16 * 1024;
/// Frames of a test-run go where the program sends them, by the kernel's real paths.
const LIVE_FRAMES: u32 = 1 << 1;

/// What the source register of a 64-bit immediate says it is.
const MAP_FD: u8 = 1;
const MAP_VALUE: u8 = 2;

/// Helpers of the kernel.
pub(crate) const LOOKUP: i32 = 1;
pub(crate) const STORE_BYTES: i32 = 190;
/// Adds to memory, and gives what was there.
const FETCH: i32 = 1;

/// Endings of an XDP program.
pub(crate) const XDP_DROP: i32 = 1;
pub(crate) const XDP_PASS: i32 = 2;
pub(crate) const XDP_TX: i32 = 3;

/// `attr` is the argument as 32-bit words.
fn bpf(command: c_long, attr: &mut [u32]) -> Result<RawFd> {
    // SAFETY: `attr` is readable and writable over the length that is told, and what it points to outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr) as c_long) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result as RawFd) }
}

fn owned(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn halves(pointer: *const u8) -> [u32; 2] {
    let address = pointer as u64;
    [address as u32, (address >> 32) as u32]
}

/// An array map.
#[derive(Debug)]
pub(crate) struct Array {
    descriptor: OwnedFd,
    value_size: usize,
}

impl Array {
    /// Makes an array of zeros; `value_size` is in bytes, a multiple of eight.
    pub(crate) fn create(value_size: usize, entries: u32) -> Result<Self> {
        let descriptor = owned(bpf(MAP_CREATE, &mut [ARRAY, 4, value_size as u32, entries, 0])?);
        Ok(Array { descriptor, value_size })
    }

    pub(crate) fn set(&self, slot: u32, value: &[u8]) -> Result<()> {
        assert_eq!(value.len(), self.value_size, "a value of the map's size");
        let key = slot.to_ne_bytes();
        let ([key_low, key_high], [low, high]) = (halves(key.as_ptr()), halves(value.as_ptr()));
        let descriptor = self.descriptor.as_raw_fd() as u32;
        bpf(MAP_UPDATE, &mut [descriptor, 0, key_low, key_high, low, high, 0, 0]).map(drop)
    }

    /// The first eight bytes of the first value.
    pub(crate) fn first_word(&self) -> Result<u64> {
        let (key, mut value) = ([0u8; 4], vec![0u8; self.value_size]);
        let ([key_low, key_high], [low, high]) = (halves(key.as_ptr()), halves(value.as_mut_ptr()));
        let descriptor = self.descriptor.as_raw_fd() as u32;
        bpf(MAP_LOOKUP, &mut [descriptor, 0, key_low, key_high, low, high, 0, 0])?;
        Ok(value.first_chunk::<8>().map_or(0, |word| u64::from_ne_bytes(*word)))
    }
}

/// Instructions in the order they run.
#[derive(Default)]
pub(crate) struct Code(Vec<u64>);

impl Code {
    pub(crate) fn push(&mut self, code: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        let registers = u64::from(destination | source << 4) << 8;
        let offset = u64::from(offset as u16) << 16;
        self.0.push(u64::from(code) | registers | offset | u64::from(immediate as u32) << 32);
    }

    /// `destination = source`
    pub(crate) fn copy(&mut self, destination: u8, source: u8) {
        self.push(0xbf, destination, source, 0, 0);
    }

    /// `destination = immediate`
    pub(crate) fn set(&mut self, destination: u8, immediate: i32) {
        self.push(0xb7, destination, 0, 0, immediate);
    }

    /// `destination =` the map, for helpers.
    pub(crate) fn map(&mut self, destination: u8, array: &Array) {
        self.wide(destination, MAP_FD, array);
    }

    /// `destination =` pointer to the map's first value.
    pub(crate) fn first_value(&mut self, destination: u8, array: &Array) {
        self.wide(destination, MAP_VALUE, array);
    }

    fn wide(&mut self, destination: u8, kind: u8, array: &Array) {
        self.push(0x18, destination, kind, 0, array.descriptor.as_raw_fd());
        self.push(0, 0, 0, 0, 0);
    }

    /// `amount = *pointer` and `*pointer += amount`, at once.
    pub(crate) fn fetch_add(&mut self, pointer: u8, amount: u8) {
        self.push(0xdb, pointer, amount, 0, FETCH);
    }

    pub(crate) fn call(&mut self, helper: i32) {
        self.push(0x85, 0, 0, 0, helper);
    }

    /// Ends the program with this code.
    pub(crate) fn end(&mut self, verdict: i32) {
        self.set(0, verdict);
        self.push(0x95, 0, 0, 0, 0);
    }

    /// Loads the instructions as an XDP program; the error carries the verifier's words.
    pub(crate) fn load(&self) -> Result<OwnedFd> {
        let license = c"Dual MIT/GPL";
        let mut log = vec![0u8; LOG_ROOM];
        let [code_low, code_high] = halves(self.0.as_ptr().cast());
        let [license_low, license_high] = halves(license.as_ptr().cast());
        let [log_low, log_high] = halves(log.as_mut_ptr());
        let length = self.0.len() as u32;
        let (level, room) = (1, LOG_ROOM as u32);
        let mut attr =
            [XDP, length, code_low, code_high, license_low, license_high, level, room, log_low, log_high];
        bpf(PROG_LOAD, &mut attr).map(owned).map_err(|error| {
            let said = String::from_utf8_lossy(&log);
            Error::new(error.kind(), format!("{error}: {}", said.trim_end_matches('\0')))
        })
    }
}

/// Runs a program on `repeat` copies of a frame, in batches, as if they had come in on the interface of this index in the
/// thread's namespace. That interface must have XDP on; what the program sends goes out by it.
pub(crate) fn run_live(
    program: &OwnedFd,
    interface: u32,
    frame: &[u8],
    repeat: u32,
    batch: u32,
) -> Result<()> {
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
    let context = [0u32, frame.len() as u32, 0, interface, 0, 0];
    let [frame_low, frame_high] = halves(frame.as_ptr());
    let [context_low, context_high] = halves(context.as_ptr().cast());
    let mut attr = [0u32; 20];
    (attr[0], attr[2], attr[4], attr[5]) =
        (program.as_raw_fd() as u32, frame.len() as u32, frame_low, frame_high);
    (attr[8], attr[10], attr[12], attr[13]) =
        (repeat, size_of_val(&context) as u32, context_low, context_high);
    (attr[16], attr[18]) = (LIVE_FRAMES, batch);
    bpf(PROG_TEST_RUN, &mut attr).map(drop)
}
