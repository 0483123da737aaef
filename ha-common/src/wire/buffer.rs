//! Bounds-checked reads at any offset: slices here, packet memory in the data plane.

use super::checksum;

/// Bytes that may end anywhere. Every read says `None` past the end.
pub trait Buffer: Copy {
    /// Readable bytes; in the data plane the linear part of the frame.
    fn len(&self) -> usize;
    fn u8(&self, offset: usize) -> Option<u8>;
    /// Big-endian, as most fields are.
    fn be16(&self, offset: usize) -> Option<u16>;
    /// Big-endian, as most fields are.
    fn be32(&self, offset: usize) -> Option<u32>;
    /// As it lies in memory: for checksums, address sums and copies.
    fn ne32(&self, offset: usize) -> Option<u32>;

    /// Four words as they lie in memory, by one bounds check.
    fn words(&self, offset: usize) -> Option<[u32; 4]>;

    /// [`checksum::sum_words`], which the data plane does in a function of its own.
    #[inline(always)]
    fn sum_words<const LIMIT: usize>(self, offset: usize, words: usize) -> Option<u64> {
        checksum::sum_words::<LIMIT, _>(self, offset, words)
    }

    /// [`checksum::sum_quads`], likewise.
    #[inline(always)]
    fn sum_quads<const LIMIT: usize>(self, offset: usize, quads: usize) -> Option<u64> {
        checksum::sum_quads::<LIMIT, _>(self, offset, quads)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

impl Buffer for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn u8(&self, offset: usize) -> Option<u8> {
        self.get(offset).copied()
    }

    fn be16(&self, offset: usize) -> Option<u16> {
        array(self, offset).map(u16::from_be_bytes)
    }

    fn be32(&self, offset: usize) -> Option<u32> {
        array(self, offset).map(u32::from_be_bytes)
    }

    fn ne32(&self, offset: usize) -> Option<u32> {
        array(self, offset).map(u32::from_ne_bytes)
    }

    fn words(&self, offset: usize) -> Option<[u32; 4]> {
        let word = |index: usize| self.ne32(offset.checked_add(4 * index)?);
        Some([word(0)?, word(1)?, word(2)?, word(3)?])
    }
}

#[cfg(test)]
mod tests {
    use super::Buffer;

    #[test]
    fn reads_stop_at_the_end() {
        let bytes: &[u8] = &[1, 2, 3, 4, 5];
        assert_eq!(bytes.u8(4), Some(5));
        assert_eq!(bytes.u8(5), None);
        assert_eq!(bytes.be16(3), Some(0x0405));
        assert_eq!(bytes.be16(4), None);
        assert_eq!(bytes.be32(1), Some(0x0203_0405));
        assert_eq!(bytes.be32(2), None);
        assert_eq!(bytes.ne32(1), Some(u32::from_ne_bytes([2, 3, 4, 5])));
        assert_eq!(bytes.be32(usize::MAX), None);
        assert_eq!(bytes.words(0), None);
        assert_eq!([0xff; 16].as_slice().words(0), Some([u32::MAX; 4]));
    }
}
