//! A line's words, as a shell makes them of it.
//!
//! **Source of the semantics.** POSIX, Shell Command Language 2.2: quotes and backslashes, which are taken off. Nothing
//! else of a shell is here: no variables, no patterns.

use std::iter::Peekable;
use std::str::Chars;

/// The words of a line.
///
/// # Errors
/// When a quote is not ended, or nothing follows a backslash.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut rest = line.chars().peekable();
    let mut words = Vec::new();
    loop {
        while rest.next_if(|char| char.is_whitespace()).is_some() {}
        if rest.peek().is_none() {
            return Ok(words);
        }
        words.push(word(&mut rest)?);
    }
}

fn word(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut word = String::new();
    while let Some(char) = rest.next_if(|char| !char.is_whitespace()) {
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
    use super::words;

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
            let expected = expected.map(|words| words.iter().map(ToString::to_string).collect());
            assert_eq!(words(line), expected.map_err(str::to_owned), "{line}");
        }
    }
}
