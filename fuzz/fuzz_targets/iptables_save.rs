//! Any text as rules: an error, or tables that read back equal in both spellings. As a dump: what is printed once
//! prints the same for ever, text that is not understood included.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruleset::Family;
use ruleset::xt::{parse, parse_dump, restore_text, save_text};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // Control characters become blanks when a dump is kept, which may make sense of a text.
    let text_of_dump = text.replace(|c: char| c.is_control() && c != '\n', " ");
    for family in Family::ALL {
        if let Ok(dump) = parse_dump(&text_of_dump, family) {
            let saved = save_text(&dump.tables);
            let again = parse_dump(&saved, family).map(|dump| save_text(&dump.tables));
            assert_eq!(again.as_ref(), Ok(&saved));
        }
        let Ok(tables) = parse(text, family) else {
            continue;
        };
        let saved = save_text(&tables);
        assert_eq!(parse(&saved, family).as_ref(), Ok(&tables), "{saved}");
        // Built-in chains that are empty and accept are left unsaid, so the texts are compared, not the tables.
        let restored = restore_text(&tables);
        let again = parse(&restored, family).map(|tables| restore_text(&tables));
        assert_eq!(again.as_ref(), Ok(&restored));
    }
});
