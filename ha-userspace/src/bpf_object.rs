//! The BPF object, embedded in the binary: the appliance needs no toolchain and no second file.

/// ELF object with both programs and the maps, aligned as aya needs it.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HOLDFAST_BPF_OBJECT"));
