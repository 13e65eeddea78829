//! What fuzzing found, replayed: every file parses or is refused, and what parses comes back as it was.

use std::fs;
use std::path::Path;

use switchboard_ruleset::Family;
use switchboard_ruleset::nft;
use switchboard_ruleset::xt::{parse, parse_dump, restore_text, save_text};

#[test]
fn finds_stay_fixed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let mut replayed = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        // Control characters become blanks when a dump is kept, which may make sense of a text.
        let text_of_dump = text.replace(|c: char| c.is_control() && c != '\n', " ");
        if let Ok(dump) = nft::parse_dump(&text_of_dump) {
            let listed = nft::list_text(&dump.tables);
            let again = nft::parse_dump(&listed).map(|dump| nft::list_text(&dump.tables));
            assert_eq!(again.as_ref(), Ok(&listed), "{}", path.display());
        }
        for family in Family::ALL {
            if let Ok(dump) = parse_dump(&text_of_dump, family) {
                let saved = save_text(&dump.tables);
                let again = parse_dump(&saved, family).map(|dump| save_text(&dump.tables));
                assert_eq!(again.as_ref(), Ok(&saved), "{}", path.display());
            }
            if let Ok(tables) = parse(&text, family) {
                for printed in [restore_text(&tables), save_text(&tables)] {
                    assert_eq!(
                        parse(&printed, family).as_ref(),
                        Ok(&tables),
                        "{}",
                        path.display()
                    );
                }
            }
        }
        replayed += 1;
    }
    assert!(replayed > 0);
}
