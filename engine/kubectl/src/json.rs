//! JSON as kubectl writes it: keys in order, and what HTML gives a meaning escaped.
//!
//! **Source of the semantics.** Go's `encoding/json`; S: `cli-runtime/pkg/printers/json.go`.

use std::io;

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// A value indented by four blanks, with a newline at its end.
pub(crate) fn document(value: &Value) -> String {
    written(value, PrettyFormatter::with_indent(b"    ")) + "\n"
}

/// A value on one line.
pub(crate) fn compact(value: &Value) -> String {
    written(value, CompactFormatter)
}

fn written(value: &Value, formatter: impl Formatter) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, GoFormatter(formatter));
    sorted(value)
        .serialize(&mut serializer)
        .expect("a vector takes all that is written");
    String::from_utf8(bytes).expect("JSON is text")
}

/// The same with the keys of all objects in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            let fields = fields.into_iter();
            fields
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}

struct GoFormatter<F>(F);

impl<F: Formatter> Formatter for GoFormatter<F> {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let special = ['<', '>', '&', '\u{2028}', '\u{2029}'];
        for part in fragment.split_inclusive(special) {
            match part
                .chars()
                .next_back()
                .filter(|last| special.contains(last))
            {
                Some(last) => {
                    let plain = &part[..part.len() - last.len_utf8()];
                    write!(writer, "{plain}\\u{:04x}", u32::from(last))?;
                }
                None => writer.write_all(part.as_bytes())?,
            }
        }
        Ok(())
    }

    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_and_html_is_escaped() {
        assert_eq!(
            document(&json!({"b": "<a> & b\n", "a": [{}, 1, []]})),
            "{\n    \"a\": [\n        {},\n        1,\n        []\n    ],\n    \"b\": \"\\u003ca\\u003e \\u0026 b\\n\"\n}\n"
        );
        assert_eq!(
            compact(&json!({"b": "<", "a": [1, {"d": 1, "c": 2}]})),
            r#"{"a":[1,{"c":2,"d":1}],"b":"\u003c"}"#
        );
    }
}
