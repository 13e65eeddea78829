//! Names and comments that may stand in nft text.
//!
//! They are checked when made, so that no object's name can change the meaning of a script.
//!
//! Source: `src/scanner.l` (`string`, `quotedstring`) of nftables 1.0.6; `NFT_NAME_MAXLEN` and
//! `NFTNL_UDATA_COMMENT_MAXLEN` of the kernel and libnftnl.

use std::fmt;
use std::sync::Arc;

/// Why a text cannot be the name of a table, chain, set or map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentError {
    /// Nothing there.
    #[error("name is empty")]
    Empty,
    /// The kernel keeps 255 bytes and a terminator.
    #[error("name {name:?} has {} bytes; the kernel allows 255", name.len())]
    TooLong {
        /// The name.
        name: String,
    },
    /// A letter, `_` or `.` comes first, then these, digits, `/` and `-`. nft cannot quote a name.
    #[error("name {name:?} has a character that nft does not take")]
    BadCharacter {
        /// The name.
        name: String,
    },
    /// The scanner reads a keyword instead.
    #[error("name {name:?} is a word of the language")]
    Reserved {
        /// The name.
        name: String,
    },
}

/// The name of a table, chain, set or map: at most 255 bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(Arc<str>);

impl Ident {
    const MAX: usize = 255;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it is empty, too long, or something that nft would read as something else.
    pub fn new(name: &str) -> Result<Self, IdentError> {
        let owned = || name.to_owned();
        let Some(first) = name.chars().next() else {
            return Err(IdentError::Empty);
        };
        if name.len() > Self::MAX {
            return Err(IdentError::TooLong { name: owned() });
        }
        let starts = first.is_ascii_alphabetic() || "_.".contains(first);
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_./-".contains(&c);
        if !starts || !name.bytes().all(allowed) {
            return Err(IdentError::BadCharacter { name: owned() });
        }
        if RESERVED.binary_search(&name).is_ok() {
            return Err(IdentError::Reserved { name: owned() });
        }
        Ok(Self(name.into()))
    }

    /// A name that is known to be right when the program is written.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn literal(name: &'static str) -> Self {
        Self::new(name).expect("a name written in the source is valid")
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A comment: at most 128 bytes, no `"` (nft cannot escape one), no control characters. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Comment(Arc<str>);

impl Comment {
    const MAX: usize = 128;

    /// Takes any text: `"` becomes `'`, control characters become spaces, what is past 128 bytes is cut off.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let clean = |c: char| match c {
            '"' => '\'',
            c if c.is_control() => ' ',
            c => c,
        };
        let mut kept: String = text.chars().map(clean).collect();
        while kept.len() > Self::MAX {
            kept.pop();
        }
        Self(kept.into())
    }

    /// The comment as text, not quoted.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Words that `nft add table` does not take as a name because the scanner knows them (`src/scanner.l`), sorted.
const RESERVED: [&str; 151] = [
    "accept",
    "add",
    "ah",
    "all",
    "and",
    "arp",
    "auto-merge",
    "bridge",
    "cgroup",
    "chain",
    "comment",
    "comp",
    "constant",
    "continue",
    "counter",
    "cpu",
    "create",
    "ct",
    "day",
    "dccp",
    "define",
    "delete",
    "describe",
    "device",
    "devices",
    "dnat",
    "drop",
    "dst",
    "dup",
    "dynamic",
    "ecn",
    "element",
    "elements",
    "eq",
    "esp",
    "ether",
    "exists",
    "expires",
    "export",
    "exthdr",
    "fib",
    "flags",
    "flow",
    "flowtable",
    "flush",
    "frag",
    "fwd",
    "gc-interval",
    "ge",
    "goto",
    "gt",
    "handle",
    "hbh",
    "hook",
    "hour",
    "ibriport",
    "ibrname",
    "icmp",
    "icmpv6",
    "igmp",
    "iif",
    "iifgroup",
    "iifname",
    "iiftype",
    "import",
    "include",
    "index",
    "inet",
    "insert",
    "interval",
    "ip",
    "ip6",
    "ipsec",
    "jhash",
    "jump",
    "le",
    "limit",
    "list",
    "log",
    "lshift",
    "lt",
    "map",
    "mark",
    "masquerade",
    "meta",
    "meter",
    "mh",
    "missing",
    "monitor",
    "ne",
    "netdev",
    "nftrace",
    "not",
    "notrack",
    "numgen",
    "obriport",
    "obrname",
    "oif",
    "oifgroup",
    "oifname",
    "oiftype",
    "or",
    "osf",
    "pkttype",
    "policy",
    "position",
    "priority",
    "queue",
    "quota",
    "random",
    "redefine",
    "redirect",
    "reject",
    "rename",
    "replace",
    "reset",
    "return",
    "rshift",
    "rt",
    "rt0",
    "rt2",
    "rtclassid",
    "rule",
    "ruleset",
    "sctp",
    "secmark",
    "set",
    "size",
    "skgid",
    "skuid",
    "snat",
    "socket",
    "srh",
    "symhash",
    "synproxy",
    "table",
    "tcp",
    "th",
    "time",
    "timeout",
    "tproxy",
    "type",
    "typeof",
    "udp",
    "udplite",
    "undefine",
    "update",
    "vlan",
    "vmap",
    "xor",
    "xt",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_names_of_kube_proxy_and_refuses_what_nft_would() {
        let long = "a".repeat(255);
        for name in [
            "kube-proxy",
            "service-ULMVA6XW-ns1/svc1/tcp/p80",
            "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80",
            "_x",
            &long,
        ] {
            assert_eq!(Ident::new(name).unwrap().as_str(), name);
        }
        for name in [
            "",
            "1x",
            "-x",
            "a b",
            "a;b",
            "a\"",
            "accept",
            "é",
            "a:b",
            &"a".repeat(256),
        ] {
            Ident::new(name).expect_err(name);
        }
    }

    #[test]
    fn reserved_words_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn comments_are_mended() {
        assert_eq!(Comment::new("a \"b\"\nc").as_str(), "a 'b' c");
        assert_eq!(Comment::new(&"é".repeat(100)).as_str().len(), 128);
    }
}
