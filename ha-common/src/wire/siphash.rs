//! SipHash-2-4 over whole 64-bit words (Aumasson and Bernstein 2012), for the data plane and userspace alike.

const ROUNDS_PER_WORD: usize = 2;
const FINAL_ROUNDS: usize = 4;
const INITIAL: [u64; 4] =
    [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];
const FINAL_MARK: u64 = 0xff;

/// The running state of a hash.
#[derive(Clone, Copy)]
pub struct SipHash {
    v: [u64; 4],
    words: u64,
}

impl SipHash {
    #[inline(always)]
    pub const fn new(key: [u64; 2]) -> Self {
        let v = [INITIAL[0] ^ key[0], INITIAL[1] ^ key[1], INITIAL[2] ^ key[0], INITIAL[3] ^ key[1]];
        Self { v, words: 0 }
    }

    /// Takes in eight bytes, read as a little-endian word.
    #[inline(always)]
    pub const fn word(mut self, word: u64) -> Self {
        self.v[3] ^= word;
        let mut round = 0;
        while round < ROUNDS_PER_WORD {
            self = self.round();
            round += 1;
        }
        self.v[0] ^= word;
        self.words += 1;
        self
    }

    /// The hash of the words taken in; `tail` holds up to seven further bytes in its low end.
    #[inline(always)]
    pub const fn finish(self, tail: u64, tail_length: u64) -> u64 {
        let length = self.words * 8 + tail_length;
        let mut state = self.word((length << 56) | tail);
        state.v[2] ^= FINAL_MARK;
        let mut round = 0;
        while round < FINAL_ROUNDS {
            state = state.round();
            round += 1;
        }
        state.v[0] ^ state.v[1] ^ state.v[2] ^ state.v[3]
    }

    #[inline(always)]
    const fn round(self) -> Self {
        let [mut v0, mut v1, mut v2, mut v3] = self.v;
        v0 = v0.wrapping_add(v1);
        v1 = v1.rotate_left(13) ^ v0;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v3);
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.wrapping_add(v3);
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.wrapping_add(v1);
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        Self { v: [v0, v1, v2, v3], words: self.words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published_key() -> [u64; 2] {
        [u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7]), u64::from_le_bytes([8, 9, 10, 11, 12, 13, 14, 15])]
    }

    /// The paper's own vector: key 00..0f, message 00..0e.
    #[test]
    fn the_published_vector() {
        let word = u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7]);
        let tail = u64::from_le_bytes([8, 9, 10, 11, 12, 13, 14, 0]);
        let hash = SipHash::new(published_key()).word(word).finish(tail, 7);
        assert_eq!(hash, 0xa129_ca61_49be_45e5);
    }

    /// Against the standard library's SipHasher13's sibling: the reference vector of the empty message.
    #[test]
    fn the_empty_message() {
        assert_eq!(SipHash::new(published_key()).finish(0, 0), 0x726f_db47_dd0e_0e31);
    }
}
