//! A line's commands and their words, as a shell makes them of it.
//!
//! **Source of the semantics.** POSIX, Shell Command Language 2.2 and 2.9.2: quotes and backslashes, which are taken off,
//! and `|` between commands. Nothing else of a shell is here: no variables, no patterns, no files.

use std::iter::Peekable;
use std::str::Chars;

/// The words of each command of a line; at least one command.
///
/// # Errors
/// When a quote is not ended, nothing follows a backslash, or nothing stands beside a `|`.
pub(super) fn pipeline(line: &str) -> Result<Vec<Vec<String>>, String> {
    let mut rest = line.chars().peekable();
    let mut commands = vec![Vec::new()];
    loop {
        while rest.next_if(|char| char.is_whitespace()).is_some() {}
        match rest.peek() {
            None => break,
            Some('|') => {
                rest.next();
                commands.push(Vec::new());
            }
            Some(_) => {
                let word = word(&mut rest)?;
                commands.last_mut().expect("there is one").push(word);
            }
        }
    }
    if commands.len() > 1 && commands.iter().any(Vec::is_empty) {
        return Err("a command is missing beside the |".to_owned());
    }
    Ok(commands)
}

fn word(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut word = String::new();
    while let Some(char) = rest.next_if(|char| !char.is_whitespace() && *char != '|') {
        match char {
            '\'' | '"' => quoted(char, rest, &mut word)?,
            '\\' => word.push(rest.next().ok_or("nothing follows the backslash")?),
            char => word.push(char),
        }
    }
    Ok(word)
}

/// What stands up to the quote that ends it; between double quotes, a backslash is one unless it keeps something from
/// having a meaning.
fn quoted(quote: char, rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), String> {
    loop {
        match rest.next() {
            None => return Err(format!("the quote {quote} is not ended")),
            Some(char) if char == quote => return Ok(()),
            Some('\\') if quote == '"' => {
                let kept = rest.next_if(|char| matches!(char, '"' | '\\' | '$' | '`'));
                word.push(kept.unwrap_or('\\'));
            }
            Some(char) => word.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pipeline;

    #[test]
    fn quotes_and_backslashes_are_taken_off() {
        let table: [(&str, Result<&[&str], &str>); 12] = [
            ("", Ok(&[])),
            ("  get \t svc ", Ok(&["get", "svc"])),
            ("-l 'app in (x, y)'", Ok(&["-l", "app in (x, y)"])),
            (
                r#"-o jsonpath="{.a}"'{.b}'c"#,
                Ok(&["-o", "jsonpath={.a}{.b}c"]),
            ),
            (r#"a "" ''"#, Ok(&["a", "", ""])),
            (r#""a \"b\" \\ \n""#, Ok(&[r#"a "b" \ \n"#])),
            (r"'a\.b' a\.b a\ b", Ok(&[r"a\.b", "a.b", "a b"])),
            (r#""it's" 'a"b'"#, Ok(&["it's", "a\"b"])),
            ("für 'ä ö'", Ok(&["für", "ä ö"])),
            ("get 'svc", Err("the quote ' is not ended")),
            (r#"get "svc\""#, Err("the quote \" is not ended")),
            (r"get \", Err("nothing follows the backslash")),
        ];
        for (line, expected) in table {
            let expected = expected.map(|words| vec![owned(words)]);
            assert_eq!(pipeline(line), expected.map_err(str::to_owned), "{line}");
        }
    }

    #[test]
    fn commands_stand_between_bars() {
        let missing = "a command is missing beside the |";
        type Commands = &'static [&'static [&'static str]];
        let table: [(&str, Result<Commands, &str>); 7] = [
            ("a b|c", Ok(&[&["a", "b"], &["c"]])),
            ("a | b -x | c", Ok(&[&["a"], &["b", "-x"], &["c"]])),
            (
                r#"a '|' "b|c" \| | d"#,
                Ok(&[&["a", "|", "b|c", "|"], &["d"]]),
            ),
            ("a |", Err(missing)),
            ("| a", Err(missing)),
            ("a || b", Err(missing)),
            ("|", Err(missing)),
        ];
        for (line, expected) in table {
            let expected =
                expected.map(|commands| commands.iter().map(|words| owned(words)).collect());
            assert_eq!(pipeline(line), expected.map_err(str::to_owned), "{line}");
        }
    }

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }
}
