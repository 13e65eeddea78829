//! Any text as an nftables ruleset: an error, or tables that read back equal from both of our spellings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruleset::nft::{list_text, parse, script_text};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(tables) = parse(text) else {
        return;
    };
    for printed in [list_text(&tables), script_text(&tables)] {
        let again = parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(again.canonical(), tables.canonical(), "{printed}");
    }
});
