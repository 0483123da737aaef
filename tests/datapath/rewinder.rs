//! A program that undoes what a run changed and then runs a program of the plane, so that the cost of an answer can be
//! measured over many runs: the kernel's test-run gives each run the packet that the one before has left.
//!
//! It puts the frame back, and in the peer's and the path's state the few words that make a message new, and tail-calls. It is
//! written in BPF instructions, because it is no part of the product's object.

use std::ffi::c_long;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use ha_common::maps::peers::{PathState, PeerState};

const MAP_CREATE: c_long = 0;
const MAP_UPDATE: c_long = 2;
const PROG_LOAD: c_long = 5;
const PROG_TEST_RUN: c_long = 10;

const ARRAY: u64 = 2;
const PROG_ARRAY: u64 = 3;
const XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const HAS_FRAGS: u32 = 1 << 5;

const LOOKUP: i32 = 1;
const TAIL_CALL: i32 = 12;
const STORE_BYTES: i32 = 190;
/// What the source register of a 64-bit immediate says it is.
const MAP_FD: u8 = 1;
const MAP_VALUE: u8 = 2;

/// A clock of the peer that is known and older than that of any message.
const OLD_CLOCK: i32 = 1;
const FRAME_ROOM: usize = 256;
const LOG_ROOM: usize = 64 * 1024;

/// Slots of the states to rewind, and the maps they lie in.
pub(crate) struct States<'a> {
    pub(crate) peers: BorrowedFd<'a>,
    pub(crate) peer: u32,
    pub(crate) paths: BorrowedFd<'a>,
    pub(crate) path: u32,
}

pub(crate) struct Rewinder {
    program: OwnedFd,
    programs: OwnedFd,
    frame: Vec<u8>,
    _frame_map: OwnedFd,
}

/// The `bpf` system call; `attr` is its argument as 32-bit words.
fn bpf(command: c_long, attr: &mut [u32]) -> RawFd {
    // SAFETY: `attr` is readable and writable over the length that is told, and what it points to outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr) as c_long) };
    assert!(result >= 0, "bpf command {command}: {}", std::io::Error::last_os_error());
    result as RawFd
}

fn owned(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn halves(pointer: *const u8) -> [u32; 2] {
    let address = pointer as u64;
    [address as u32, (address >> 32) as u32]
}

fn create(kind: u64, value_size: usize) -> OwnedFd {
    owned(bpf(MAP_CREATE, &mut [kind as u32, 4, value_size as u32, 1, 0]))
}

fn update(map: &OwnedFd, value: &[u8]) {
    let key = [0u8; 4];
    let ([key_low, key_high], [low, high]) = (halves(key.as_ptr()), halves(value.as_ptr()));
    bpf(MAP_UPDATE, &mut [map.as_raw_fd() as u32, 0, key_low, key_high, low, high, 0, 0]);
}

/// Instructions in the order they run.
#[derive(Default)]
struct Code(Vec<u64>);

impl Code {
    fn push(&mut self, code: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        let registers = u64::from(destination | source << 4) << 8;
        let offset = u64::from(offset as u16) << 16;
        self.0.push(u64::from(code) | registers | offset | u64::from(immediate as u32) << 32);
    }

    /// `destination = source`
    fn copy(&mut self, destination: u8, source: u8) {
        self.push(0xbf, destination, source, 0, 0);
    }

    /// `destination = immediate`
    fn set(&mut self, destination: u8, immediate: i32) {
        self.push(0xb7, destination, 0, 0, immediate);
    }

    /// `destination =` the map, or its first value.
    fn map(&mut self, destination: u8, kind: u8, descriptor: RawFd) {
        self.push(0x18, destination, kind, 0, descriptor);
        self.push(0, 0, 0, 0, 0);
    }

    fn call(&mut self, helper: i32) {
        self.push(0x85, 0, 0, 0, helper);
    }

    /// Sets words of the value in a slot of an array.
    fn set_words(&mut self, array: BorrowedFd<'_>, slot: u32, words: &[(usize, i32)]) {
        self.push(0x62, 10, 0, -4, slot as i32);
        self.map(1, MAP_FD, array.as_raw_fd());
        self.copy(2, 10);
        self.push(0x07, 2, 0, 0, -4);
        self.call(LOOKUP);
        self.push(0x15, 0, 0, words.len() as i16, 0);
        for (offset, value) in words {
            self.push(0x7a, 0, 0, *offset as i16, *value);
        }
    }
}

impl Rewinder {
    pub(crate) fn new(frame: &[u8], states: &States<'_>) -> Self {
        let frame_map = create(ARRAY, FRAME_ROOM);
        let mut room = frame.to_vec();
        room.resize(FRAME_ROOM, 0);
        update(&frame_map, &room);
        let programs = create(PROG_ARRAY, 4);

        let mut code = Code::default();
        code.copy(6, 1);
        code.set(2, 0);
        code.map(3, MAP_VALUE, frame_map.as_raw_fd());
        code.set(4, frame.len() as i32);
        code.call(STORE_BYTES);
        let of_path =
            [(offset_of!(PathState, request_sequence), 0), (offset_of!(PathState, reply_sequence), 0)];
        code.set_words(states.paths, states.path, &of_path);
        let of_peer = [(offset_of!(PeerState, their_clock_ns), OLD_CLOCK)];
        code.set_words(states.peers, states.peer, &of_peer);
        code.copy(1, 6);
        code.map(2, MAP_FD, programs.as_raw_fd());
        code.set(3, 0);
        code.call(TAIL_CALL);
        code.set(0, 0);
        code.push(0x95, 0, 0, 0, 0);
        Self { program: load(&code.0), programs, frame: frame.to_vec(), _frame_map: frame_map }
    }

    /// Time per run of the rewinding and of `program`, as the kernel measures it, in nanoseconds.
    pub(crate) fn time(&self, program: BorrowedFd<'_>, repeat: u32) -> u32 {
        update(&self.programs, &program.as_raw_fd().to_ne_bytes());
        let [low, high] = halves(self.frame.as_ptr());
        let descriptor = self.program.as_raw_fd() as u32;
        let mut attr = [descriptor, 0, self.frame.len() as u32, 0, low, high, 0, 0, repeat, 0];
        bpf(PROG_TEST_RUN, &mut attr);
        attr[9]
    }
}

fn load(code: &[u64]) -> OwnedFd {
    let license = c"Dual MIT/GPL";
    let mut log = vec![0u8; LOG_ROOM];
    let [code_low, code_high] = halves(code.as_ptr().cast());
    let [license_low, license_high] = halves(license.as_ptr().cast());
    let [log_low, log_high] = halves(log.as_mut_ptr());
    let mut attr = [0u32; 18];
    attr[..8].copy_from_slice(&[
        XDP,
        code.len() as u32,
        code_low,
        code_high,
        license_low,
        license_high,
        1,
        LOG_ROOM as u32,
    ]);
    attr[8..12].copy_from_slice(&[log_low, log_high, 0, HAS_FRAGS]);
    attr[17] = ATTACH_XDP;
    owned(bpf(PROG_LOAD, &mut attr))
}
