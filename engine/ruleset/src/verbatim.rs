//! Rule text that is kept as it was written.

use std::fmt;

use crate::TextPlace;

/// A part of a rule that is kept as text, and where it stood. Two are equal when they say the same: the place does
/// not count.
#[derive(Clone, Debug)]
pub struct Verbatim(Box<Kept>);

#[derive(Clone, Debug)]
struct Kept {
    text: Box<str>,
    place: TextPlace,
}

impl Verbatim {
    /// Takes any text: control characters, line breaks among them, become spaces, so that it stays part of one rule.
    #[must_use]
    pub fn new(text: &str, place: TextPlace) -> Self {
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let text: String = text.trim().chars().map(clean).collect();
        Self(Box::new(Kept {
            text: text.into(),
            place,
        }))
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Where what names it began.
    #[must_use]
    pub const fn place(&self) -> TextPlace {
        self.0.place
    }

    /// Both texts, at the place of the first.
    #[must_use]
    pub(crate) fn followed_by(&self, other: &Self) -> Self {
        let text = format!("{} {}", self.text(), other.text());
        Self::new(&text, self.place())
    }
}

impl PartialEq for Verbatim {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Verbatim {}

impl fmt::Display for Verbatim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What becomes of rule text that is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is an error with its place: a rule that is left out changes what happens to packets.
    Strict,
    /// It is kept as text, so that only a packet that reaches it is in doubt.
    Dump,
}
