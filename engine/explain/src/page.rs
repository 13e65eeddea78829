//! The pages of failure modes: what `explain DBG-21` prints, and the book's index of pitfalls.
//!
//! They are data: `pages.md` beside this crate's sources, a section for each.

/// The page of one failure mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// `DBG-21`
    pub id: &'static str,
    /// What goes wrong, in a few words.
    pub title: &'static str,
    /// The page below its title, in Markdown.
    pub text: &'static str,
}

const PAGES: &str = include_str!("../pages.md");
/// What a page begins with.
const HEADING: &str = "\n## ";

/// Words of the API server's refusals, and the failure mode that each tells of. The first that fits counts.
const REFUSALS: [(&str, &str); 8] = [
    ("must contain at least one letter", "DBG-59"),
    ("ports[0].name: Required value", "DBG-33"),
    ("provided port is already allocated", "DBG-47"),
    ("provided port is not in the valid range", "DBG-47"),
    ("range is full", "DBG-46"),
    ("provided IP is already allocated", "DBG-45"),
    (
        "the provided network does not match the current range",
        "DBG-45",
    ),
    ("may not change once set", "DBG-45"),
];

/// All pages, in order of their numbers.
pub fn pages() -> impl Iterator<Item = Page> {
    let sections = PAGES.split(HEADING).skip(1);
    sections.map(|section| {
        let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
        let (id, title) = heading.split_once(": ").unwrap_or((heading, ""));
        let text = text.trim();
        Page { id, title, text }
    })
}

/// The page of an id, in any letter case.
#[must_use]
pub fn page(id: &str) -> Option<Page> {
    pages().find(|page| page.id.eq_ignore_ascii_case(id))
}

/// The page that explains why the API server refused an object, by its words.
#[must_use]
pub fn page_of_refusal(message: &str) -> Option<Page> {
    let known = REFUSALS.iter().find(|(words, _)| message.contains(words));
    known.and_then(|(_, id)| page(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_mode_has_a_page() {
        let numbers: Vec<String> = pages().map(|page| page.id.to_owned()).collect();
        let wanted = (1..=9)
            .chain(21..=60)
            .chain(74..=75)
            .map(|number| format!("DBG-{number}"));
        assert_eq!(numbers, wanted.collect::<Vec<_>>());
    }

    #[test]
    fn a_page_says_what_is_seen_why_and_what_helps() {
        for page in pages() {
            assert!(!page.title.is_empty(), "{}", page.id);
            for part in ["**Seen:**", "**Why:**", "**Help:**"] {
                assert_eq!(page.text.matches(part).count(), 1, "{} {part}", page.id);
            }
        }
    }

    #[test]
    fn refusals_lead_to_pages() {
        let id = |message| page_of_refusal(message).map(|page| page.id);
        assert_eq!(
            id(
                "spec.ports[0].targetPort: Invalid value: \"8080\": must contain at least one letter (a-z)"
            ),
            Some("DBG-59")
        );
        assert_eq!(
            id(
                "spec.clusterIPs: Invalid value: [\"10.96.0.1\"]: failed to allocate IP 10.96.0.1: provided IP is already allocated"
            ),
            Some("DBG-45")
        );
        assert_eq!(id("something else"), None);
        assert!(REFUSALS.iter().all(|(_, id)| page(id).is_some()));
    }
}
