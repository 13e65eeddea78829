//! YAML as Go's libraries write it.
//!
//! **What.** JSON in block style: keys in natural order, lists not indented, a text plain where it reads back as that
//! text, quoted with `"` where it would read back as something else, with `'` where its characters would be syntax, and
//! literal (`|`) where it has several lines. Long texts are folded behind column 80. **Why.** What people copy from
//! kubectl must be what we print, to the byte. **Source of the semantics.** `sigs.k8s.io/yaml`, whose
//! encoder is go-yaml 2.4: S: `encode.go` (`stringv`), `resolve.go`, `sorter.go`, `emitterc.go`.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// Behind this column a long text goes on in the next line.
const WIDTH: usize = 80;
/// A longer key is written as `? key`.
const SIMPLE_KEY_MAX: usize = 128;
const STEP: usize = 2;
/// What YAML 1.1 takes for booleans, null and special numbers.
const WORDS: [&str; 39] = [
    "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n", "N", "no", "No",
    "NO", "false", "False", "FALSE", "off", "Off", "OFF", "", "~", "null", "Null", "NULL", ".nan",
    ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];

/// A value as a document, with a newline at its end.
pub(crate) fn document(value: &Value) -> String {
    let mut writer = Writer::default();
    writer.node(value, 0, Place::Root);
    writer.text.push('\n');
    writer.text
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// Behind `key:`
    Value,
    /// Behind `- `
    Item,
}

#[derive(Default)]
struct Writer {
    text: String,
    column: usize,
}

impl Writer {
    /// Writes a value; `indent` is that of the mapping or list that it would be.
    fn node(&mut self, value: &Value, indent: usize, place: Place) {
        match value {
            Value::Object(fields) if !fields.is_empty() => self.mapping(fields, indent, place),
            Value::Array(items) if !items.is_empty() => self.sequence(items, indent, place),
            Value::String(text) => {
                self.separate(place);
                // A text that goes on does so one step further in than what it stands in.
                let inner = match place {
                    Place::Root => STEP,
                    Place::Value | Place::Item => indent,
                };
                self.scalar(text, inner, true);
            }
            other => {
                self.separate(place);
                self.put(&other.to_string());
            }
        }
    }

    /// `indent` is that of its keys.
    fn mapping(&mut self, fields: &Map<String, Value>, indent: usize, place: Place) {
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_by(|(a, _), (b, _)| natural(a, b));
        for (index, (key, value)) in fields.into_iter().enumerate() {
            if index > 0 || place == Place::Value {
                self.new_line(indent);
            } else {
                self.separate(place);
            }
            let is_simple = key.len() <= SIMPLE_KEY_MAX && !key.contains('\n');
            if !is_simple {
                self.put("? ");
            }
            self.scalar(key, indent + STEP, !is_simple);
            if !is_simple {
                self.new_line(indent);
            }
            self.put(":");
            let inner = match value {
                Value::Array(_) => indent,
                _ => indent + STEP,
            };
            self.node(value, inner, Place::Value);
        }
    }

    /// `indent` is that of its dashes.
    fn sequence(&mut self, items: &[Value], indent: usize, place: Place) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || place == Place::Value {
                self.new_line(indent);
            } else {
                self.separate(place);
            }
            self.put("-");
            self.node(item, indent + STEP, Place::Item);
        }
    }

    fn scalar(&mut self, text: &str, indent: usize, is_value: bool) {
        match style(text, is_value) {
            Style::Plain => self.folded(text, indent, is_value, None),
            Style::Single => self.folded(text, indent, is_value, Some('\'')),
            Style::Double => self.double(text, indent, is_value),
            Style::Literal => self.literal(text, indent),
        }
    }

    /// Plain or between single quotes. A line may end at a single blank behind the width.
    fn folded(&mut self, text: &str, indent: usize, may_fold: bool, quote: Option<char>) {
        let chars: Vec<char> = text.chars().collect();
        if let Some(quote) = quote {
            self.put_char(quote);
        }
        let mut spaces = false;
        for (index, &char) in chars.iter().enumerate() {
            let next = chars.get(index + 1);
            let inside = quote.is_none() || index > 0 && next.is_some();
            if char == ' '
                && may_fold
                && !spaces
                && self.column > WIDTH
                && inside
                && next != Some(&' ')
            {
                self.new_line(indent);
            } else {
                if Some(char) == quote {
                    self.put_char(char);
                }
                self.put_char(char);
            }
            spaces = char == ' ';
        }
        if let Some(quote) = quote {
            self.put_char(quote);
        }
    }

    fn double(&mut self, text: &str, indent: usize, may_fold: bool) {
        let chars: Vec<char> = text.chars().collect();
        self.put("\"");
        let mut spaces = false;
        for (index, &char) in chars.iter().enumerate() {
            let next = chars.get(index + 1);
            if char == ' ' {
                if may_fold && !spaces && self.column > WIDTH && index > 0 && next.is_some() {
                    self.new_line(indent);
                    if next == Some(&' ') {
                        self.put("\\");
                    }
                } else {
                    self.put(" ");
                }
                spaces = true;
                continue;
            }
            spaces = false;
            match escape(char) {
                Some(escaped) => self.put(&escaped),
                None => self.put_char(char),
            }
        }
        self.put("\"");
    }

    /// Lines as they are, behind `|`.
    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put(&STEP.to_string());
        }
        let content = text.strip_suffix('\n');
        match content {
            None => self.put("-"),
            Some(content) if content.is_empty() || content.ends_with('\n') => self.put("+"),
            Some(_) => {}
        }
        for line in content.unwrap_or(text).split('\n') {
            if line.is_empty() {
                self.text.push('\n');
                self.column = 0;
            } else {
                self.new_line(indent);
                self.put(line);
            }
        }
    }

    fn separate(&mut self, place: Place) {
        if place != Place::Root {
            self.put(" ");
        }
    }

    fn new_line(&mut self, indent: usize) {
        self.text.push('\n');
        self.column = 0;
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    fn put(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    fn put_char(&mut self, char: char) {
        self.text.push(char);
        self.column += 1;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// How a text is written.
fn style(text: &str, is_value: bool) -> Style {
    let shape = Shape::of(text);
    if text.contains('\n') {
        return match shape.block && is_value {
            true => Style::Literal,
            false => Style::Double,
        };
    }
    match () {
        () if reads_as_other(text) => Style::Double,
        () if shape.plain => Style::Plain,
        () if shape.single => Style::Single,
        () => Style::Double,
    }
}

/// Which styles a text's characters allow.
struct Shape {
    plain: bool,
    single: bool,
    block: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let is_blank = |index: usize| matches!(chars.get(index), None | Some(' ' | '\t'));
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut break_space, mut space_break) = (false, false, false);
        let mut before = None;
        for (index, &char) in chars.iter().enumerate() {
            let followed = is_blank(index + 1);
            indicators |= match (index, char) {
                (
                    0,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"'
                    | '%' | '@' | '`',
                ) => true,
                (0, '?' | '-') | (_, ':') => followed,
                (_, '#') => matches!(before, Some(' ' | '\t' | '\n')),
                _ => false,
            };
            special |= !is_printable(char);
            break_space |= char == ' ' && before == Some('\n');
            space_break |= char == '\n' && before == Some(' ');
            before = Some(char);
        }
        let trailing_space = text.ends_with(' ');
        let edges = text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']);
        let opaque = space_break || special;
        Self {
            plain: !(indicators || edges || break_space || opaque || text.contains('\n')),
            single: !(break_space || opaque),
            block: !(trailing_space || opaque || text.is_empty()),
        }
    }
}

/// U+2028 and U+2029 end a line for YAML 1.1, so they are never left as they are.
fn is_printable(char: char) -> bool {
    match char {
        '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        '\n' | ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'.. => true,
        _ => false,
    }
}

/// How a character is written between double quotes if it cannot stand for itself.
fn escape(char: char) -> Option<String> {
    let name = match char {
        '\0' => "0",
        '\x07' => "a",
        '\x08' => "b",
        '\t' => "t",
        '\n' => "n",
        '\x0b' => "v",
        '\x0c' => "f",
        '\r' => "r",
        '\x1b' => "e",
        '"' => "\"",
        '\\' => "\\",
        '\u{85}' => "N",
        '\u{a0}' => "_",
        '\u{2028}' => "L",
        '\u{2029}' => "P",
        char if is_printable(char) => return None,
        char => {
            let code = u32::from(char);
            return Some(match code {
                ..0x100 => format!("\\x{code:02X}"),
                0x100..0x1_0000 => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            });
        }
    };
    Some(format!("\\{name}"))
}

/// Whether a plain text would be read as a boolean, null, a number or a time.
fn reads_as_other(text: &str) -> bool {
    WORDS.contains(&text)
        || is_integer(text)
        || is_float(text)
        || is_base_60(text)
        || is_timestamp(text)
}

/// Go's `ParseInt` with base 0, underscores left out.
fn is_integer(text: &str) -> bool {
    let plain = text.replace('_', "");
    let digits = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first)) {
        return false;
    }
    let of_base = |digits: &str, base: u32| {
        digits.chars().all(|digit| digit.is_digit(base))
            && u64::from_str_radix(digits, base).is_ok()
    };
    match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => of_base(&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => of_base(&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => of_base(&digits[2..], 2),
        [b'0', _, ..] => of_base(&digits[1..], 8),
        _ => of_base(digits, 10),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, underscores left out.
fn is_float(text: &str) -> bool {
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return false;
    }
    let plain = text.replace('_', "");
    let number = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let (mantissa, exponent) = number
        .split_once(['e', 'E'])
        .map_or((number, None), |(mantissa, exponent)| {
            (mantissa, Some(exponent))
        });
    let are_digits = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digit = !whole.is_empty() || !fraction.is_empty();
    let exponent_holds = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && are_digits(digits)
    });
    has_digit && are_digits(whole) && are_digits(fraction) && exponent_holds
}

/// `12:30`, which YAML 1.1 took for a number of base 60.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let first = parts.next().unwrap_or_default();
    let starts = first.starts_with(|digit: char| digit.is_ascii_digit());
    let is_first = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else {
        return false;
    };
    let is_minute = |part: &&str| match part.as_bytes() {
        [unit] | [b'0'..=b'5', unit] => unit.is_ascii_digit(),
        _ => false,
    };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    starts
        && is_first(first)
        && middle.iter().all(is_minute)
        && is_minute(&last)
        && is_first(fraction)
}

/// `2026-1-2`, or with a time: `2026-01-02T03:04:05.6Z`, `2026-01-02 03:04:05`.
fn is_timestamp(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((text.as_bytes()[at], &text[at + 1..]))),
        None => (text, None),
    };
    let date: Vec<&str> = date.split('-').collect();
    let in_range = |text: &str, low: u32, high: u32| {
        (1..=2).contains(&text.len())
            && text.bytes().all(|digit| digit.is_ascii_digit())
            && text
                .parse()
                .is_ok_and(|value: u32| (low..=high).contains(&value))
    };
    let [year, month, day] = date[..] else {
        return false;
    };
    let is_year = year.len() == 4 && year.bytes().all(|digit| digit.is_ascii_digit());
    if !is_year || !in_range(month, 1, 12) || !in_range(day, 1, 31) {
        return false;
    }
    let Some((separator, time)) = time else {
        return true;
    };
    let clock = match separator {
        b' ' => Some(time),
        _ => time
            .strip_suffix('Z')
            .or_else(|| time.rfind(['+', '-']).map(|at| &time[..at])),
    };
    let Some(clock) = clock else {
        return false;
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let parts: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = parts[..] else {
        return false;
    };
    in_range(hour, 0, 23)
        && in_range(minute, 0, 59)
        && in_range(second, 0, 59)
        && fraction.bytes().all(|digit| digit.is_ascii_digit())
}

/// Keys in natural order: numbers inside by their value, letters behind everything else.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = (0..a.len().min(b.len())).find(|at| a[*at] != b[*at]) else {
        return a.len().cmp(&b.len());
    };
    match (a[at].is_alphabetic(), b[at].is_alphabetic()) {
        (true, true) => return a[at].cmp(&b[at]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let digits = |text: &[char]| -> String {
        let run = text[at..].iter().take_while(|char| char.is_ascii_digit());
        run.collect()
    };
    let (left, right) = (digits(&a), digits(&b));
    // Zeros count where they follow other digits of the same number.
    let mut before = a[..at]
        .iter()
        .rev()
        .take_while(|char| char.is_ascii_digit());
    let leads = (a[at] == '0' || b[at] == '0') && before.any(|digit| *digit != '0');
    let value = |digits: &str| -> (usize, String) {
        let text = if leads {
            format!("1{digits}")
        } else {
            digits.to_owned()
        };
        let text = text.trim_start_matches('0').to_owned();
        (text.len(), text)
    };
    value(&left)
        .cmp(&value(&right))
        .then(left.len().cmp(&right.len()))
        .then(a[at].cmp(&b[at]))
}

#[cfg(test)]
mod tests;
