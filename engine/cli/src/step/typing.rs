//! Lines that a person types at a terminal: with a history of this session, and completed by the tab key.
//!
//! What completes a first word is a command; what completes another one is a name of the cluster, as it is then.

use miette::Report;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

use crate::input;

/// A terminal.
pub(super) struct Terminal(Editor<Words, MemHistory>);

impl Terminal {
    /// The terminal that standard input is.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub(super) fn open() -> Result<Self, Report> {
        let config = rustyline::Config::builder()
            .auto_add_history(true)
            .completion_type(rustyline::CompletionType::List)
            .build();
        let history = MemHistory::with_config(&config);
        let editor = Editor::with_history(config, history).map_err(|why| cannot(&why))?;
        Ok(Self(editor))
    }

    /// The next line, which these words may complete; `None` when no more is typed.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub(super) fn next_line(
        &mut self,
        prompt: &str,
        words: Words,
    ) -> Result<Option<String>, Report> {
        self.0.set_helper(Some(words));
        match self.0.readline(prompt) {
            Ok(line) => Ok(Some(line)),
            // As in a shell, what was begun is given up.
            Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
            Err(ReadlineError::Eof) => Ok(None),
            Err(why) => Err(cannot(&why)),
        }
    }
}

fn cannot(why: &ReadlineError) -> Report {
    input::error(format!("cannot read commands: {why}"), None)
}

/// What completes a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// First words.
    pub(super) commands: Vec<String>,
    /// All others.
    pub(super) names: Vec<String>,
}

impl Words {
    /// Where the last word of a line begins, and what it may become.
    fn complete(&self, line: &str) -> (usize, Vec<String>) {
        let start = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let before = line[..start].split_whitespace();
        let is_command = before.filter(|word| *word != "kubectl").count() == 0;
        let known = if is_command {
            &self.commands
        } else {
            &self.names
        };
        let begun = &line[start..];
        let fitting = known.iter().filter(|word| word.starts_with(begun));
        (start, fitting.cloned().collect())
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(Self::complete(self, &line[..position]))
    }
}

impl Helper for Words {}
impl Highlighter for Words {}
impl Validator for Words {}
impl Hinter for Words {
    type Hint = String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_completed_by_what_begins_like_it() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let known = Words {
            commands: words(&["next", "nft", "on"]),
            names: words(&["node/node-a", "pod/client", "web"]),
        };
        let table: [(&str, usize, &[&str]); 7] = [
            ("", 0, &["next", "nft", "on"]),
            ("n", 0, &["next", "nft"]),
            ("on ", 3, &["node/node-a", "pod/client", "web"]),
            ("on p", 3, &["pod/client"]),
            ("kubectl n", 8, &["next", "nft"]),
            ("curl x we", 7, &["web"]),
            ("für w", 5, &["web"]),
        ];
        for (line, start, expected) in table {
            assert_eq!(known.complete(line), (start, words(expected)), "{line:?}");
        }
    }
}
