//! What fuzzing found, replayed: every file parses or is refused, and what parses comes back as it was.

use std::fs;
use std::path::Path;

use switchboard_ruleset::Family;
use switchboard_ruleset::xt::{parse, restore_text, save_text};

#[test]
fn finds_stay_fixed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let mut replayed = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for family in Family::ALL {
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
