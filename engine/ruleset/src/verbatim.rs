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
    /// Takes any text. Control characters become spaces, but for line breaks: in nftables these stand within braces,
    /// where they end a comment, or a quote that nothing else ends. Blanks at its ends go; what only Unicode takes for
    /// a blank does not, for readers take it for text.
    #[must_use]
    pub fn new(text: &str, place: TextPlace) -> Self {
        let clean = |c: char| match c.is_control() && c != '\n' {
            true => ' ',
            false => c,
        };
        let text: String = text.chars().map(clean).collect();
        Self(Box::new(Kept {
            text: text.trim_ascii().into(),
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

/// On one line, for messages.
impl fmt::Display for Verbatim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_on_one_line(f, self.text())
    }
}

/// Joins the lines of a text, blanks at their ends left out.
pub(crate) fn write_on_one_line(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    let mut lines = text.lines().map(str::trim);
    out.write_str(lines.next().unwrap_or_default())?;
    lines.try_for_each(|line| write!(out, " {line}"))
}

/// What becomes of rule text that is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is an error with its place: a rule that is left out changes what happens to packets.
    Strict,
    /// It is kept as text, so that only a packet that reaches it is in doubt.
    Dump,
    /// The same, but what sets hold is read beside it, so that whoever looks into them is understood.
    Node,
}
