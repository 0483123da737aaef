//! Wire formats: one decoder, generic over the buffer, for XDP, userspace and the fuzzers.
//!
//! A decoder gets a [`Buffer`] and an offset and returns values. `None` means that the buffer ends before the field.
//! Nothing here allocates, loops without a bound, or decides about a frame, with one exception: [`vrrp::validate`]
//! says under which reason an advert is discarded, because that order is the same wherever adverts are read.

pub mod arp;
pub mod buffer;
pub mod checksum;
pub mod ethernet;
pub mod ipv4;
pub mod ipv6;
pub mod ndisc;
pub mod probe;
pub mod siphash;
pub mod udp;
pub mod vlan;
pub mod vrrp;
pub mod vrrp_encode;

pub use buffer::Buffer;

#[cfg(test)]
mod vrrp_tests;
