//! A frame as the data plane reads it: addresses from a start to an end, native loads, one bounds check per read.
//!
//! The same bytes as a slice, read the way `ha-ebpf/src/cursor.rs` reads them, so that a decoder that behaves otherwise
//! on one of both is found. It also holds the decoders to what the kernel's verifier grants them: offsets of 16 bits,
//! and work that ends.

use ha_common::wire::Buffer;
use std::cell::Cell;

/// Farthest offset from the packet's start that the verifier accepts (`MAX_PACKET_OFF`).
const FARTHEST_OFFSET: usize = 0xffff;
/// More reads than any decoder needs: an advert of 255 addresses takes some 300.
const MOST_READS: usize = 2_000;
/// Where the packet begins in its page, as after XDP's headroom; what lies around it is never to be read.
const HEADROOM: usize = 256;
const POISON: u8 = 0xa5;

/// The memory around a frame.
pub(crate) struct Page {
    memory: Vec<u8>,
    reads: Cell<usize>,
}

impl Page {
    pub(crate) fn holding(frame: &[u8]) -> Self {
        let mut memory = vec![POISON; HEADROOM];
        memory.extend_from_slice(frame);
        memory.extend([POISON; HEADROOM]);
        Self { memory, reads: Cell::new(0) }
    }

    /// The frame, with its work counted from zero.
    pub(crate) fn frame(&self) -> KernelFrame<'_> {
        self.reads.set(0);
        KernelFrame { page: self, start: HEADROOM, end: self.memory.len() - HEADROOM }
    }
}

/// The frame in a [`Page`].
#[derive(Clone, Copy)]
pub(crate) struct KernelFrame<'a> {
    page: &'a Page,
    start: usize,
    end: usize,
}

impl KernelFrame<'_> {
    fn load<const SIZE: usize>(&self, offset: usize) -> Option<[u8; SIZE]> {
        assert!(offset <= FARTHEST_OFFSET, "offset {offset} is past what the verifier grants");
        let reads = self.page.reads.get() + 1;
        assert!(reads <= MOST_READS, "a decoder reads without end");
        self.page.reads.set(reads);
        let at = self.start + offset;
        if at + SIZE > self.end {
            return None;
        }
        self.page.memory[at..at + SIZE].try_into().ok()
    }
}

impl Buffer for KernelFrame<'_> {
    fn len(&self) -> usize {
        self.end - self.start
    }

    fn u8(&self, offset: usize) -> Option<u8> {
        self.load(offset).map(u8::from_ne_bytes)
    }

    fn be16(&self, offset: usize) -> Option<u16> {
        self.load(offset).map(|bytes| u16::from_be(u16::from_ne_bytes(bytes)))
    }

    fn be32(&self, offset: usize) -> Option<u32> {
        self.load(offset).map(|bytes| u32::from_be(u32::from_ne_bytes(bytes)))
    }

    fn ne32(&self, offset: usize) -> Option<u32> {
        self.load(offset).map(u32::from_ne_bytes)
    }

    fn words(&self, offset: usize) -> Option<[u32; 4]> {
        let bytes = self.load::<16>(offset)?;
        let word = |index: usize| bytes[4 * index..].first_chunk().map(|word| u32::from_ne_bytes(*word));
        Some([word(0)?, word(1)?, word(2)?, word(3)?])
    }
}
