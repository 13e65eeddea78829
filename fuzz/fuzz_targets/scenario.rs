//! Any text as a scenario file: scenarios or problems, never a panic, and every problem has a place.
#![no_main]

use api::yaml::Source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let source = Source::new("fuzz.yaml", text);
    let mut read = |path: &str| Err(format!("no such file: {path}"));
    if let Err(problems) = scenario::load(&source, &mut read) {
        assert!(!problems.as_slice().is_empty(), "a refusal says why");
        for problem in problems.as_slice() {
            assert!(problem.line > 0 && problem.column > 0, "{problem}");
        }
    }
});
