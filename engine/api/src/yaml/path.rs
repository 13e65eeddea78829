//! Field paths: `spec.ports[0].name`.

use std::fmt;

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// A field of a mapping.
    Key(String),
    /// An item of a sequence, from 0.
    Index(usize),
}

/// Where in a document a value stands; the empty path is the document itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Segment>);

impl Path {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of a field of the mapping at this path.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.then(Segment::Key(key.into()))
    }

    /// The path of an item of the sequence at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Segment::Index(index))
    }

    /// The steps from the root.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Reads what `Display` prints; a key in square brackets that is no number is a key
    /// (`metadata.annotations[a/b]`).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some((inner, tail)) =
                rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))
            {
                let index = inner.parse().map(Segment::Index);
                segments.push(index.unwrap_or_else(|_| Segment::Key(inner.to_owned())));
                rest = tail;
            } else {
                rest = rest.strip_prefix('.').unwrap_or(rest);
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                // A bracket that is never closed belongs to the key.
                let end = if end == 0 { rest.len() } else { end };
                segments.push(Segment::Key(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        Self(segments)
    }

    fn then(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }
}

impl FromIterator<Segment> for Path {
    fn from_iter<T: IntoIterator<Item = Segment>>(segments: T) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if place == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_as_kubernetes_writes_paths() {
        let path = Path::root().key("spec").key("ports").index(0).key("name");
        assert_eq!(path.to_string(), "spec.ports[0].name");
        assert_eq!(Path::parse("spec.ports[0].name"), path);
        assert_eq!(Path::parse(""), Path::root());
        assert_eq!(
            Path::parse("metadata.annotations[a.b/c]"),
            Path::root().key("metadata").key("annotations").key("a.b/c")
        );
        for odd in ["[", "a[", "a..b", ".", "]", "a[0"] {
            let _ = Path::parse(odd);
        }
    }
}
