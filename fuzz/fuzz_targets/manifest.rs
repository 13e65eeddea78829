//! Any text as a manifest, sent to an API server with every verb: written or refused whole, and no panic.
#![no_main]

use ::api;
use libfuzzer_sys::fuzz_target;

#[path = "../../engine/api/tests/hostile/exercise.rs"]
mod exercise;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        exercise::exercise(text);
    }
});
