//! libFuzzer over the target that `REDRIVE_FUZZ_TARGET` names; `cargo xtask fuzz` sets it.
#![no_main]
#![expect(
    unsafe_code,
    reason = "libFuzzer calls the input function by its unmangled name"
)]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use redrive_fuzz::TARGETS;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("REDRIVE_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.name == name);
    target.expect("REDRIVE_FUZZ_TARGET names a target").run
});

fuzz_target!(|input: &[u8]| TARGET(input));
