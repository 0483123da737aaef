//! The fuzzer's entry: libFuzzer calls the target that `HOLDFAST_FUZZ_TARGET` names. `cargo xtask fuzz` starts it.
#![no_main]

use holdfast_fuzz::{TARGET_VARIABLE, Target, target};
use std::sync::LazyLock;

static CHOSEN: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var(TARGET_VARIABLE).unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("{TARGET_VARIABLE}=\"{name}\" names no target"))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (CHOSEN.run)(data));
