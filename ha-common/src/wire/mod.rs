//! Wire formats: one decoder, generic over the buffer, for XDP, userspace and the fuzzers.

pub mod vrrp_encode;
