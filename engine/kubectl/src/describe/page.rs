//! A description as it is being written: lines of tab-separated cells, indented by levels.
//!
//! **Source of the semantics.** S: `kubectl/pkg/describe/describe.go`, `PrefixWriter`, `print…Multiline`.

use std::fmt::{Arguments, Write as _};

use api::{LAST_APPLIED, ObjectMeta, StringMap};

use crate::tabs::Tabs;

/// A longer annotation has lines of its own, which are cut off.
const ANNOTATION_MAX: usize = 140;

#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// The page of a namespaced object begins with its name, namespace, labels and annotations.
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        let mut page = Self::default();
        page.field(0, "Name", &meta.name);
        page.field(0, "Namespace", &meta.namespace);
        page.labels_and_annotations(meta);
        page
    }

    /// `Name:  web`
    pub(super) fn field(&mut self, level: usize, name: &str, value: &str) {
        self.line(level, format_args!("{name}:\t{value}"));
    }

    /// The same with another value where it is empty.
    pub(super) fn field_or(&mut self, level: usize, name: &str, value: &str, empty: &str) {
        let value = if value.is_empty() { empty } else { value };
        self.field(level, name, value);
    }

    /// The same, if there is a value.
    pub(super) fn field_if(&mut self, level: usize, name: &str, value: &str) {
        if !value.is_empty() {
            self.field(level, name, value);
        }
    }

    pub(super) fn line(&mut self, level: usize, line: Arguments<'_>) {
        self.0.extend(std::iter::repeat_n("  ", level));
        writeln!(self.0, "{line}").expect("a text takes all that is written");
    }

    /// A name, and values below each other behind it.
    pub(super) fn lines(&mut self, name: &str, values: &[String]) {
        match values.split_first() {
            None => self.field(0, name, "<none>"),
            Some((first, rest)) => {
                self.field(0, name, first);
                for value in rest {
                    self.line(0, format_args!("\t{value}"));
                }
            }
        }
    }

    pub(super) fn labels_and_annotations(&mut self, meta: &ObjectMeta) {
        self.pairs("Labels", &meta.labels);
        self.annotations(&meta.annotations);
    }

    pub(super) fn pairs(&mut self, name: &str, pairs: &StringMap) {
        let pairs = pairs.iter().map(|(key, value)| format!("{key}={value}"));
        self.lines(name, &pairs.collect::<Vec<_>>());
    }

    /// All but what kubectl itself keeps there.
    fn annotations(&mut self, annotations: &StringMap) {
        let shown = annotations.iter().filter(|(key, _)| *key != LAST_APPLIED);
        let mut lines = Vec::new();
        for (key, value) in shown {
            let value = value.strip_suffix('\n').unwrap_or(value);
            if key.len() + value.len() + 2 <= ANNOTATION_MAX && !value.contains('\n') {
                lines.push(format!("{key}: {value}"));
                continue;
            }
            lines.push(format!("{key}:"));
            let parts = value.split('\n');
            lines.extend(parts.map(|part| format!("  {}", shortened(part, ANNOTATION_MAX - 2))));
        }
        self.lines("Annotations", &lines);
    }

    pub(super) fn finish(self) -> String {
        Tabs::DESCRIPTION.align(&self.0)
    }
}

fn shortened(text: &str, length: usize) -> String {
    if text.len() <= length {
        return text.to_owned();
    }
    let mut end = length;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_annotations_have_lines_of_their_own() {
        let mut meta = ObjectMeta::named("default", "web");
        let annotations = [
            ("a", "x\ny\n".to_owned()),
            ("b", "z".repeat(200)),
            (LAST_APPLIED, "{}\n".to_owned()),
        ];
        meta.annotations = annotations
            .map(|(key, value)| (key.to_owned(), value))
            .into();
        let expected = format!(
            "Name:         web\nNamespace:    default\nLabels:       <none>\nAnnotations:  a:\n                x\n                y\n              b:\n                {}...\n",
            "z".repeat(138)
        );
        assert_eq!(Page::of(&meta).finish(), expected);
    }
}
