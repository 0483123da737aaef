//! The compiled data plane, as `build.rs` left it, aligned for the ELF parser.

/// The BPF object: every program, map and load-time constant named in `ha_common::maps::names`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HOLDFAST_BPF_OBJECT"));
