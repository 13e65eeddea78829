//! Where a value of a YAML text begins and ends, and how another is written in its place.

use std::ops::Range;

use api::yaml::Location;
use serde_json::Value as Json;
use serde_yaml::Value;

/// The place of a line and column in bytes.
pub(super) fn offset(text: &str, place: Location) -> Option<usize> {
    let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let mark = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut begin = mark;
    for _ in 0..line {
        begin += text[begin..].find('\n')? + 1;
    }
    let end = text[begin..]
        .find('\n')
        .map_or(text.len(), |end| begin + end);
    let mut characters = text[begin..end].char_indices().map(|(at, _)| at);
    let within = characters.nth(column).unwrap_or(end - begin);
    Some(begin + within)
}

/// What the value that begins at `start` may be, and what to write in its place: where it ends depends on what it
/// stands in, so the first that leaves the rest of the text as it is is right.
pub(super) fn candidates(text: &str, start: usize, new: &Json) -> Vec<(Range<usize>, String)> {
    let rest = &text[start..];
    let flow = |length: usize| (start..start + length, flow(new));
    match rest.chars().next() {
        Some('[' | '{') => bracketed(rest).into_iter().map(flow).collect(),
        Some('"' | '\'') => quoted(rest).into_iter().map(flow).collect(),
        Some('|' | '>') => block_text(text, start, new).into_iter().collect(),
        _ => {
            let mut found: Vec<_> = plain(rest).into_iter().map(flow).collect();
            let block = block(text, start);
            found.extend(block.map(|length| (start..start + length, lines(text, start, new))));
            found
        }
    }
}

/// A value in one line.
fn flow(value: &Json) -> String {
    match value {
        Json::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(key, value)| format!("{}: {}", word(key), flow(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Json::String(text) => word(text),
        scalar => scalar.to_string(),
    }
}

/// A value in the place of one that has lines of its own: a list has a line for each item again.
fn lines(text: &str, start: usize, value: &Json) -> String {
    let items = value.as_array().filter(|items| !items.is_empty());
    match items {
        Some(items) if text[start..].starts_with("- ") => {
            let items: Vec<String> = items
                .iter()
                .map(|item| format!("- {}", flow(item)))
                .collect();
            let indent = " ".repeat(column(text, start));
            items.join(&format!("\n{indent}"))
        }
        // It may stand below its key, and has to be further in.
        _ => format!("  {}", flow(value)),
    }
}

/// How many bytes of its line stand before `start`.
fn column(text: &str, start: usize) -> usize {
    start - text[..start].rfind('\n').map_or(0, |end| end + 1)
}

/// A text, in quotes unless it reads as itself without.
fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte);
    let reads_alike =
        || matches!(serde_yaml::from_str(text), Ok(Value::String(read)) if read == text);
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    match begins_well && text.bytes().all(is_plain) && reads_alike() {
        true => text.to_owned(),
        false => Json::from(text).to_string(),
    }
}

/// The length of a list or mapping in brackets.
fn bracketed(rest: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    let mut before = ' ';
    while let Some(character) = rest[at..].chars().next() {
        match character {
            // Within a word, a quote is a letter like others.
            '"' | '\'' if " ,[{:\n".contains(before) => {
                at += quoted(&rest[at..])?;
                before = '"';
                continue;
            }
            '#' if before.is_whitespace() => {
                at += rest[at..].find('\n')?;
                continue;
            }
            '[' | '{' => depth += 1,
            ']' | '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        before = character;
        at += character.len_utf8();
    }
    None
}

/// The length of a text in quotes.
fn quoted(rest: &str) -> Option<usize> {
    let quote = rest.chars().next()?;
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote == '"' => {
                characters.next();
            }
            _ if character == quote => {
                let is_doubled = characters.peek().is_some_and(|(_, next)| *next == quote);
                if quote == '"' || !is_doubled {
                    return Some(at + 1);
                }
                characters.next();
            }
            _ => {}
        }
    }
    None
}

/// What a word without quotes may be long: within brackets it ends earlier.
fn plain(rest: &str) -> Vec<usize> {
    let line = rest.find('\n').map_or(rest, |end| &rest[..end]);
    let line = line.find(" #").map_or(line, |end| &line[..end]);
    let inner = line.find([',', ']', '}']).map_or(line, |end| &line[..end]);
    vec![inner.trim_end().len(), line.trim_end().len()]
}

/// The length of a list or mapping without brackets that begins at `start`.
fn block(text: &str, start: usize) -> Option<usize> {
    let column = column(text, start);
    let is_list = text[start..].starts_with("- ");
    let mut end = None;
    let mut at = start;
    for (number, line) in text[start..].split_inclusive('\n').enumerate() {
        let content = line.trim_start_matches(' ');
        let is_blank = content.trim().is_empty() || content.starts_with('#');
        let indent = line.len() - content.len();
        let goes_on = number == 0
            || indent > column
            || indent == column && is_list == content.starts_with("- ");
        if !is_blank && !goes_on {
            break;
        }
        if !is_blank {
            end = Some(at + line.trim_end().len() - start);
        }
        at += line.len();
    }
    end
}

/// A text in lines of its own (`|`): its lines are replaced and keep their indentation.
fn block_text(text: &str, start: usize, new: &Json) -> Option<(Range<usize>, String)> {
    let begin = start + text[start..].find('\n')? + 1;
    let mut indent = None;
    let (mut at, mut end) = (begin, begin);
    for line in text[begin..].split_inclusive('\n') {
        let content = line.trim_start_matches(' ');
        at += line.len();
        if content.trim().is_empty() {
            continue;
        }
        let width = line.len() - content.len();
        if width < *indent.get_or_insert(width) {
            break;
        }
        end = at;
    }
    let indent = " ".repeat(indent?);
    let lines = new.as_str()?.trim_end().lines();
    let lines = lines.map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("{indent}{line}\n"),
    });
    Some((begin..end, lines.collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The texts that are tried for a value that begins at `^`, which is taken out.
    fn check(text: &str, new: &Json, expected: &str) {
        let start = text.find('^').expect("a mark");
        let text = text.replacen('^', "", 1);
        let tried = candidates(&text, start, new)
            .into_iter()
            .map(|(range, new)| {
                let mut text = text.clone();
                text.replace_range(range, &new);
                text
            });
        let tried: Vec<String> = tried.collect();
        assert!(tried.iter().any(|one| one == expected), "{tried:?}");
    }

    #[test]
    fn words_and_lists() {
        check(
            "{rcode: ^NXDOMAIN, queries: 1}",
            &json!("NOERROR"),
            "{rcode: NOERROR, queries: 1}",
        );
        check(
            "rcode: ^NXDOMAIN # why\n",
            &json!("NOERROR"),
            "rcode: NOERROR # why\n",
        );
        check("a: ^x y, z\nb: 1\n", &json!("true"), "a: \"true\"\nb: 1\n");
        check(
            "{a: ^[x, 'it''s ]', {b: \"]\\\"\"}], c: 1}",
            &json!([]),
            "{a: [], c: 1}",
        );
        check(
            "a: ^[x, # ]\n  y]\nb: 1",
            &json!(["fd00::1"]),
            "a: [\"fd00::1\"]\nb: 1",
        );
        check(
            "- b:\n  ^- x\n  # of x\n  - y\n  c: 1\n",
            &json!(["v", "w"]),
            "- b:\n  - v\n  - w\n  c: 1\n",
        );
        check("- b:\n  ^- x\n  - y\n", &json!([]), "- b:\n    []\n");
        check(
            "a:\n  ^b: 1\n  c: 2\nd: 3\n",
            &json!(null),
            "a:\n    null\nd: 3\n",
        );
        check("a: ^'x''y' # z", &json!(3), "a: 3 # z");
    }

    #[test]
    fn texts_of_several_lines() {
        check(
            "a: ^|\n    one\n\n      two\n  # a remark\nb: 1\n",
            &json!("1\n\n  2\n"),
            "a: |\n    1\n\n      2\n  # a remark\nb: 1\n",
        );
    }

    #[test]
    fn offsets_count_characters() {
        let place = |line, column| Location { line, column };
        assert_eq!(offset("a\n→b\n", place(2, 2)), Some(5));
        assert_eq!(offset("a\n", place(4, 1)), None);
    }
}
