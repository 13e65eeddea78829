//! Names and comments that may stand in rule text.
//!
//! They are checked when made, so that no object's name can change the meaning of a rule: whatever is in
//! them, the text around them stays one line of one command.

use std::fmt;

/// Why a text cannot be a chain's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("chain name is empty")]
    Empty,
    /// The kernel keeps 28 bytes and a terminator (`XT_EXTENSION_MAXNAMELEN`).
    #[error("chain name {name:?} has {} bytes; the kernel allows 28", name.len())]
    TooLong {
        /// The name.
        name: String,
    },
    /// Only letters, digits and `-_./:@+%=,` are taken, and a name may not start with `-`.
    #[error("chain name {name:?} has a character that iptables does not take")]
    BadCharacter {
        /// The name.
        name: String,
    },
}

/// A chain's name, at most 28 bytes, held inline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainName {
    bytes: [u8; Self::MAX],
}

impl ChainName {
    const MAX: usize = 28;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it is empty, too long, or has characters that `iptables` would read as something else.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > Self::MAX {
            return Err(NameError::TooLong {
                name: name.to_owned(),
            });
        }
        if !name.bytes().all(is_allowed) || name.starts_with('-') {
            return Err(NameError::BadCharacter {
                name: name.to_owned(),
            });
        }
        let mut bytes = [0; Self::MAX];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Self { bytes })
    }

    /// A name that is known to be right when the program is written.
    ///
    /// # Panics
    /// When it is not; in a constant, the program does not compile.
    #[must_use]
    pub const fn literal(name: &'static str) -> Self {
        let name = name.as_bytes();
        let is_right = !name.is_empty() && name.len() <= Self::MAX && name[0] != b'-';
        assert!(is_right, "a chain name written in the source is valid");
        let mut bytes = [0; Self::MAX];
        let mut at = 0;
        while at < name.len() {
            assert!(
                is_allowed(name[at]),
                "a chain name written in the source is valid"
            );
            bytes[at] = name[at];
            at += 1;
        }
        Self { bytes }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.bytes.iter().position(|b| *b == 0).unwrap_or(Self::MAX);
        std::str::from_utf8(&self.bytes[..len]).expect("only ASCII is taken")
    }
}

const fn is_allowed(byte: u8) -> bool {
    matches!(
        byte,
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'/' | b':' | b'@' | b'+' | b'%' | b'=' | b','
    )
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule's comment: at most 255 bytes, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Comment(Box<str>);

impl Comment {
    const MAX: usize = 255;

    /// Takes any text: control characters become spaces, what is past the kernel's 255 bytes is cut off.
    #[must_use]
    pub fn new(text: &str) -> Self {
        // Most texts are right as they are: a cluster has hundreds of thousands.
        let is_plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_control();
        if text.len() <= Self::MAX && text.bytes().all(is_plain) {
            return Self(text.into());
        }
        let mut clean: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        while clean.len() > Self::MAX {
            clean.pop();
        }
        Self(clean.into_boxed_str())
    }

    /// The comment as text, not quoted.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
