//! The Internet checksum (RFC 1071), summed over 32-bit words as they lie in memory: the ones-complement sum does not
//! depend on the byte order, so no word is swapped.

use super::Buffer;

/// Adds `words` 32-bit words from `offset` on; at most `LIMIT` of them, which the caller has proven to suffice.
///
/// The limit is a constant because the kernel's verifier must see the end of the loop.
#[inline(always)]
pub fn sum_words<const LIMIT: usize, B: Buffer>(buffer: B, offset: usize, words: usize) -> Option<u64> {
    let mut sum = 0;
    for word in 0..LIMIT {
        if word >= words {
            break;
        }
        sum += u64::from(buffer.ne32(offset + 4 * word)?);
    }
    Some(sum)
}

/// Adds `quads` groups of four 32-bit words, otherwise as [`sum_words`].
#[inline(always)]
pub fn sum_quads<const LIMIT: usize, B: Buffer>(buffer: B, offset: usize, quads: usize) -> Option<u64> {
    let mut sum = 0;
    for quad in 0..LIMIT {
        if quad >= quads {
            break;
        }
        let [a, b, c, d] = buffer.words(offset + 16 * quad)?;
        sum += u64::from(a) + u64::from(b) + u64::from(c) + u64::from(d);
    }
    Some(sum)
}

/// Folds a sum of words into 16 bits, without complementing it.
#[inline(always)]
pub const fn fold(mut sum: u64) -> u16 {
    sum = (sum >> 32) + (sum & 0xffff_ffff);
    sum = (sum >> 16 & 0xffff) + (sum & 0xffff) + (sum >> 32);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// Whether a sum that includes the checksum field is that of an intact message.
#[inline(always)]
pub const fn is_intact(sum: u64) -> bool {
    fold(sum) == 0xffff
}

/// A 16-bit number as a term of the sum.
#[inline(always)]
pub const fn term(number: u16) -> u64 {
    number.to_be() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A well-known IPv4 header, checksum b861.
    const HEADER: [u8; 20] =
        [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];

    #[test]
    fn an_intact_header_sums_to_all_ones() {
        let sum = sum_words::<5, _>(HEADER.as_slice(), 0, 5).expect("whole header");
        assert!(is_intact(sum));
        let mut broken = HEADER;
        broken[8] = 0x3f;
        assert!(!is_intact(sum_words::<5, _>(broken.as_slice(), 0, 5).expect("whole header")));
    }

    #[test]
    fn carries_fold_from_any_width() {
        assert_eq!(fold(0), 0);
        assert_eq!(fold(0xffff), 0xffff);
        assert_eq!(fold(0x1_0000), 1);
        assert_eq!(fold(0xffff_ffff_ffff_ffff), 0xffff);
        assert_eq!(fold(0xffff_0000_ffff_0001), 1);
    }

    #[test]
    fn words_past_the_end_are_not_summed() {
        assert_eq!(sum_words::<8, _>(HEADER.as_slice(), 8, 4), None);
        assert_eq!(sum_quads::<2, _>(HEADER.as_slice(), 0, 2), None);
        assert_eq!(sum_quads::<2, _>(HEADER.as_slice(), 0, 1), sum_words::<4, _>(HEADER.as_slice(), 0, 4));
    }
}
