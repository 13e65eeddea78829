//! What an answer goes through: `| grep web | head -3`.
//!
//! **Source of the semantics.** POSIX: grep (basic and extended regular expressions), head, tail, wc.
//!
//! Deviation: patterns are those of the `regex` crate: no back-references, and of several matches the first and not the
//! longest alternative is taken, which a line that is kept or dropped as a whole does not show.

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use regex::{Regex, RegexBuilder};

/// One command behind a bar.
#[derive(Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_version_flag = true,
    override_usage = "| a filter",
    max_term_width = 100,
    help_template = "{subcommands}"
)]
pub(super) struct Filter {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Lines that match
    Grep(Grep),
    /// The first lines
    Head(Lines),
    /// The last lines
    Tail(Lines),
    /// How many lines there are: wc -l
    Wc {
        /// Lines
        #[arg(short, long, required = true)]
        lines: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Grep {
    /// Upper and lower case are the same
    #[arg(short, long)]
    ignore_case: bool,
    /// The lines that do not match
    #[arg(short = 'v', long)]
    invert_match: bool,
    /// How many they are
    #[arg(short, long)]
    count: bool,
    /// With their numbers
    #[arg(short = 'n', long)]
    line_number: bool,
    /// Only as whole words
    #[arg(short, long)]
    word_regexp: bool,
    /// An extended regular expression
    #[arg(short = 'E', long)]
    extended_regexp: bool,
    /// A text and no expression
    #[arg(short = 'F', long, conflicts_with = "extended_regexp")]
    fixed_strings: bool,
    /// Lines before each that are shown as well
    #[arg(short = 'B', long, value_name = "LINES", default_value_t = 0)]
    before_context: usize,
    /// Lines after each that are shown as well
    #[arg(short = 'A', long, value_name = "LINES", default_value_t = 0)]
    after_context: usize,
    /// What to look for
    #[arg(value_name = "PATTERN")]
    pattern: String,
}

#[derive(Debug, clap::Args)]
struct Lines {
    /// How many
    #[arg(
        short = 'n',
        long = "lines",
        value_name = "COUNT",
        default_value_t = 10
    )]
    count: usize,
}

impl Filter {
    /// Reads `grep -v web`, `head -3`.
    ///
    /// # Errors
    /// What is supported.
    pub(super) fn parse(words: &[String]) -> Result<Self, String> {
        // `head -3` is `head -n 3`.
        let takes_count = matches!(words.first().map(String::as_str), Some("head" | "tail"));
        let count = |word: &str| {
            let digits = word.strip_prefix('-').filter(|_| takes_count)?;
            let is_count = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_count.then(|| format!("-n{digits}"))
        };
        let words = words
            .iter()
            .map(|word| count(word).unwrap_or_else(|| word.clone()));
        Self::try_parse_from(words).map_err(|error| match error.kind() {
            ErrorKind::InvalidSubcommand => {
                "supported behind a |: grep, head, tail, wc -l".to_owned()
            }
            _ => error.render().to_string(),
        })
    }

    /// What it lets through of a text.
    ///
    /// # Errors
    /// When a pattern is none.
    pub(super) fn through(&self, text: &str) -> Result<String, String> {
        let lines: Vec<&str> = text.lines().collect();
        let kept = match &self.kind {
            Kind::Grep(grep) => return grep.through(&lines),
            Kind::Head(Lines { count }) => &lines[..lines.len().min(*count)],
            Kind::Tail(Lines { count }) => &lines[lines.len().saturating_sub(*count)..],
            Kind::Wc { .. } => return Ok(format!("{}\n", lines.len())),
        };
        Ok(kept.iter().map(|line| format!("{line}\n")).collect())
    }
}

impl Grep {
    fn through(&self, lines: &[&str]) -> Result<String, String> {
        let pattern = self.regex()?;
        let is_match = |line: &str| pattern.is_match(line) != self.invert_match;
        let matches: Vec<usize> = (0..lines.len()).filter(|at| is_match(lines[*at])).collect();
        if self.count {
            return Ok(format!("{}\n", matches.len()));
        }
        let mut text = String::new();
        let mut shown_to = None;
        for at in &matches {
            let from = at.saturating_sub(self.before_context);
            let from = shown_to.map_or(from, |end| from.max(end));
            let to = at.saturating_add(self.after_context).saturating_add(1);
            let to = to.min(lines.len());
            let has_context = self.before_context > 0 || self.after_context > 0;
            if has_context && shown_to.is_some_and(|end| end < from) {
                text.push_str("--\n");
            }
            for (index, line) in lines.iter().enumerate().take(to).skip(from) {
                let is_match = matches.binary_search(&index).is_ok();
                text.push_str(&self.shown(index, line, is_match));
            }
            shown_to = Some(to.max(shown_to.unwrap_or_default()));
        }
        Ok(text)
    }

    fn shown(&self, index: usize, line: &str, is_match: bool) -> String {
        let mark = if is_match { ':' } else { '-' };
        match self.line_number {
            true => format!("{}{mark}{line}\n", index + 1),
            false => format!("{line}\n"),
        }
    }

    fn regex(&self) -> Result<Regex, String> {
        let pattern = match (self.fixed_strings, self.extended_regexp) {
            (true, _) => regex::escape(&self.pattern),
            (false, true) => self.pattern.clone(),
            (false, false) => extended(&self.pattern),
        };
        let pattern = match self.word_regexp {
            true => format!(r"(?:^|\W)(?:{pattern})(?:\W|$)"),
            false => pattern,
        };
        let mut builder = RegexBuilder::new(&pattern);
        let built = builder.case_insensitive(self.ignore_case).build();
        built.map_err(|why| format!("grep: {why}"))
    }
}

/// A basic regular expression as an extended one: in the one `\(` has the meaning that `(` has in the other.
fn extended(basic: &str) -> String {
    const SWAPPED: &str = "(){}|+?";
    let mut text = String::new();
    let mut rest = basic.chars();
    while let Some(char) = rest.next() {
        match char {
            '\\' => match rest.next() {
                Some(next) if SWAPPED.contains(next) => text.push(next),
                Some(next) => text.extend(['\\', next]),
                None => text.push('\\'),
            },
            char if SWAPPED.contains(char) => text.extend(['\\', char]),
            // At the beginning there is nothing to repeat.
            '*' if text.is_empty() => text.push_str("\\*"),
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Filter;

    const TEXT: &str = "alpha\nbeta (1)\ngamma\nBeta+\ndelta\n";

    fn check(filter: &str, expected: &str) {
        let words: Vec<String> = filter.split(' ').map(str::to_owned).collect();
        let seen = match Filter::parse(&words) {
            Ok(filter) => filter.through(TEXT).unwrap_or_else(|why| why),
            Err(why) => why,
        };
        assert_eq!(seen, expected, "{filter}");
    }

    #[test]
    fn lines_are_kept_and_counted() {
        check("grep eta", "beta (1)\nBeta+\n");
        check("grep -i BETA", "beta (1)\nBeta+\n");
        check("grep -v a$", "beta (1)\nBeta+\n");
        check("grep -c a", "5\n");
        check("grep -n Beta", "4:Beta+\n");
        check("grep nothing", "");
        check("head -2", "alpha\nbeta (1)\n");
        check("head -n 1", "alpha\n");
        check("tail -1", "delta\n");
        check("tail", TEXT);
        check("wc -l", "5\n");
    }

    #[test]
    fn patterns_are_basic_extended_or_none() {
        check("grep (1)", "beta (1)\n");
        check("grep a+", "Beta+\n");
        check("grep -E a+$", "alpha\ngamma\ndelta\n");
        check("grep -- -A", "");
        check("grep Beta+", "Beta+\n");
        check(r"grep alpha\|gamma", "alpha\ngamma\n");
        check("grep -E alpha|gamma", "alpha\ngamma\n");
        check("grep -F a+", "Beta+\n");
        check("grep *", "");
        check("grep -w bet", "");
        check("grep -w delta", "delta\n");
        check("grep -w (1)", "beta (1)\n");
        check("grep -A 18446744073709551615 delta", "delta\n");
    }

    #[test]
    fn lines_around_are_shown_once() {
        check("grep -A1 beta", "beta (1)\ngamma\n");
        check("grep -n -B1 Beta", "3-gamma\n4:Beta+\n");
        check("grep -A1 -E alpha|beta", "alpha\nbeta (1)\ngamma\n");
        check(
            "grep -A1 -E alpha|Beta",
            "alpha\nbeta (1)\n--\nBeta+\ndelta\n",
        );
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        let words = ["grep", "-E", "("].map(str::to_owned);
        let why = Filter::parse(&words).unwrap().through(TEXT).unwrap_err();
        assert!(why.starts_with("grep: regex parse error"), "{why}");
    }
}
