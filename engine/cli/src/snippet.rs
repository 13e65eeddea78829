//! The lines of a user's file around a problem.
//!
//! Generated files have lines of megabytes; nobody wants to see more of one than what is around the problem. So a
//! snippet holds clipped lines, and says by itself which line and column of the file it shows.

use api::yaml::Problem;
use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// The most characters of a line that are shown.
const LINE_MAX: usize = 160;
/// Lines before and after the problem's.
const AROUND: usize = 1;

/// The clipped lines around a problem.
#[derive(Debug)]
pub(crate) struct Snippet {
    file: String,
    text: String,
    /// Where the problem stands in `text`, in bytes.
    offset: usize,
    /// The line of the file, from 0, that `text` begins with.
    first_line: usize,
    /// The column of the file, from 0, at which the problem stands.
    column: usize,
}

impl Snippet {
    /// Cuts the lines around a problem out of its file; `None` if the file has no such line.
    pub(crate) fn of(problem: &Problem, file_text: &str) -> Option<Self> {
        let line = usize::try_from(problem.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(problem.column).ok()?.saturating_sub(1);
        let first_line = line.saturating_sub(AROUND);
        let lines = file_text.lines().enumerate();
        let (mut text, mut offset) = (String::new(), None);
        for (number, shown) in lines.skip(first_line).take(line - first_line + 1 + AROUND) {
            let from = match number == line && column >= LINE_MAX {
                true => column - LINE_MAX / 2,
                false => 0,
            };
            if number == line {
                let marks = usize::from(from > 0);
                let before = shown.chars().skip(from).take(column - from);
                let within = before.map(char::len_utf8).sum::<usize>();
                offset = Some(text.len() + within + marks * '…'.len_utf8());
            }
            text.push_str(&window(shown, from));
            text.push('\n');
        }
        let offset = offset.filter(|offset| *offset < text.len())?;
        Some(Self {
            file: problem.file.clone(),
            text,
            offset,
            first_line,
            column,
        })
    }

    /// Where the problem stands in the snippet, in bytes.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }
}

impl SourceCode for Snippet {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let found = self.text.read_span(span, lines_before, lines_after)?;
        // Without lines around it is the place of the problem that is asked for.
        let column = match (lines_before, lines_after) {
            (0, 0) => self.column,
            _ => found.column(),
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.file.clone(),
            found.data(),
            *found.span(),
            self.first_line + found.line(),
            column,
            found.line_count(),
        )))
    }
}

/// The start of a text, with a mark where it was cut.
pub(crate) fn clipped(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is shown of a line from a character on, with a mark at each end that was cut.
fn window(line: &str, from: usize) -> String {
    let start = line
        .char_indices()
        .nth(from)
        .map_or(line.len(), |(at, _)| at);
    let mark = if from > 0 { "…" } else { "" };
    format!("{mark}{}", clipped(&line[start..], LINE_MAX))
}
