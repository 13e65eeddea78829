//! Any text as an nftables ruleset: an error, or tables that read back equal from both of our spellings. As a dump:
//! what is printed once prints the same for ever, text that is not understood included.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruleset::nft::{list_text, parse, parse_dump, script_text};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // Control characters become blanks when a dump is kept, which may make sense of a text.
    let text_of_dump = text.replace(|c: char| c.is_control() && c != '\n', " ");
    if let Ok(dump) = parse_dump(&text_of_dump) {
        let listed = list_text(&dump.tables);
        let again = parse_dump(&listed).map(|dump| list_text(&dump.tables));
        assert_eq!(again.as_ref(), Ok(&listed));
    }
    let Ok(tables) = parse(text) else {
        return;
    };
    for printed in [list_text(&tables), script_text(&tables)] {
        let again = parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(again.canonical(), tables.canonical(), "{printed}");
    }
});
