//! Layout version of the maps and the compile-time proof that both sides see the same bytes.

use super::{keys, peers, values};
use crate::ring_events::{AdvertEvent, PeerEvent};
use core::mem::{align_of, offset_of, size_of};

/// Version of the map layout; part of the pin path (`bpf_dir/v<LAYOUT_VERSION>`). Any change of a key, a value or a
/// ring record raises it.
pub const LAYOUT_VERSION: u16 = 2;

macro_rules! assert_layout {
    ($($type:ty: size $size:literal, align $align:literal;)*) => {$(
        const _: () = assert!(size_of::<$type>() == $size && align_of::<$type>() == $align);
    )*};
}

assert_layout! {
    keys::RouterKey: size 12, align 4;
    keys::VipKey: size 20, align 4;
    keys::SourceKey: size 20, align 4;
    values::Head: size 4, align 2;
    values::Lease: size 16, align 8;
    values::Settings: size 8, align 4;
    values::LinkPolicy: size 24, align 4;
    values::BypassLink: size 20, align 4;
    values::BypassPair: size 12, align 4;
    values::LinkCounters: size 32, align 8;
    values::RouterPolicy: size 88, align 8;
    values::RouterState: size 136, align 8;
    values::AdvertTemplate: size 1528, align 4;
    AdvertEvent: size 56, align 8;
    PeerEvent: size 40, align 8;
    peers::PathKey: size 40, align 4;
    peers::NodePolicy: size 56, align 8;
    peers::NodeState: size 24, align 8;
    peers::PeerPolicy: size 104, align 8;
    peers::PeerState: size 96, align 8;
    peers::PathPolicy: size 24, align 8;
    peers::PathState: size 96, align 8;
}

/// Sum of the field sizes equals the size: no hidden padding.
macro_rules! assert_no_padding {
    ($type:ty, $last:ident: $last_size:literal) => {
        const _: () = assert!(offset_of!($type, $last) + $last_size == size_of::<$type>());
    };
}

assert_no_padding!(values::BypassLink, partner_slot: 4);
assert_no_padding!(values::BypassPair, on_controller_loss: 4);
assert_no_padding!(values::RouterPolicy, generation: 4);
assert_no_padding!(values::RouterState, uncorroborated_told_ns: 8);
assert_no_padding!(values::AdvertTemplate, reserved: 6);
assert_no_padding!(AdvertEvent, reserved: 4);
