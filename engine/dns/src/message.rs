//! Questions and answers, apart from their wire format.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A record type, by its number (RFC 1035 section 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordType(pub u16);

impl RecordType {
    /// IPv4 address.
    pub const A: Self = Self(1);
    /// Name server.
    pub const NS: Self = Self(2);
    /// Alias.
    pub const CNAME: Self = Self(5);
    /// Start of authority.
    pub const SOA: Self = Self(6);
    /// Name of an address.
    pub const PTR: Self = Self(12);
    /// Mail exchange.
    pub const MX: Self = Self(15);
    /// Text.
    pub const TXT: Self = Self(16);
    /// IPv6 address.
    pub const AAAA: Self = Self(28);
    /// Service location.
    pub const SRV: Self = Self(33);
    /// What has changed in a zone.
    pub const IXFR: Self = Self(251);
    /// A whole zone.
    pub const AXFR: Self = Self(252);
    /// Whatever there is.
    pub const ANY: Self = Self(255);

    const NAMES: [(Self, &str); 12] = [
        (Self::A, "A"),
        (Self::NS, "NS"),
        (Self::CNAME, "CNAME"),
        (Self::SOA, "SOA"),
        (Self::PTR, "PTR"),
        (Self::MX, "MX"),
        (Self::TXT, "TXT"),
        (Self::AAAA, "AAAA"),
        (Self::SRV, "SRV"),
        (Self::IXFR, "IXFR"),
        (Self::AXFR, "AXFR"),
        (Self::ANY, "ANY"),
    ];

    /// Reads a name such as `AAAA`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text))
            .map(|(t, _)| *t)
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(known, _)| known == self) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// A response code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcode {
    /// The name exists (perhaps without records of the type asked: NODATA).
    NoError,
    /// The question could not be read.
    FormErr,
    /// The server could not answer.
    ServFail,
    /// There is no such name.
    NxDomain,
    /// The server does not answer this kind of question.
    NotImp,
    /// The server will not answer.
    Refused,
}

impl Rcode {
    /// As dig spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
        }
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One question. The name keeps the case in which it was asked; it has no final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Fully qualified, without the final dot.
    pub name: String,
    /// The type asked for.
    pub record_type: RecordType,
}

/// One record of an answer. Names have no final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Owner.
    pub name: String,
    /// Seconds.
    pub ttl: u32,
    /// Type and data.
    pub data: RecordData,
}

/// The data of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// IPv4 address.
    A(Ipv4Addr),
    /// IPv6 address.
    Aaaa(Ipv6Addr),
    /// Name server.
    Ns(String),
    /// Alias.
    Cname(String),
    /// Name of an address.
    Ptr(String),
    /// Text.
    Txt(String),
    /// Service location.
    Srv {
        /// Lower ones come first.
        priority: u16,
        /// Share among those of one priority.
        weight: u16,
        /// Where the service listens.
        port: u16,
        /// The host's name.
        target: String,
    },
    /// Start of authority; the other fields of a cluster's zone are fixed (DNS-15).
    Soa {
        /// Primary server.
        mname: String,
        /// Mailbox of the responsible.
        rname: String,
        /// Version of the zone.
        serial: u32,
        /// Seconds a negative answer may be kept.
        minimum: u32,
    },
    /// Anything else that a response carried: its type.
    Other(RecordType),
}

impl RecordData {
    /// The type it is of.
    #[must_use]
    pub const fn record_type(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::AAAA,
            Self::Ns(_) => RecordType::NS,
            Self::Cname(_) => RecordType::CNAME,
            Self::Ptr(_) => RecordType::PTR,
            Self::Txt(_) => RecordType::TXT,
            Self::Srv { .. } => RecordType::SRV,
            Self::Soa { .. } => RecordType::SOA,
            Self::Other(record_type) => *record_type,
        }
    }
}

impl fmt::Display for RecordData {
    /// Presentation form, as dig prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => address.fmt(f),
            Self::Aaaa(address) => address.fmt(f),
            Self::Ns(name) | Self::Cname(name) | Self::Ptr(name) => write!(f, "{name}."),
            Self::Txt(text) => write!(f, "\"{text}\""),
            Self::Srv {
                priority,
                weight,
                port,
                target,
            } => write!(f, "{priority} {weight} {port} {target}."),
            Self::Soa {
                mname,
                rname,
                serial,
                minimum,
            } => {
                write!(f, "{mname}. {rname}. {serial} 7200 1800 86400 {minimum}")
            }
            Self::Other(record_type) => write!(f, "({record_type} record)"),
        }
    }
}

/// An answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub rcode: Rcode,
    /// Whether the server is the authority (AA).
    pub authoritative: bool,
    /// Whether the server asks others for what it does not know itself (RA).
    pub recursive: bool,
    /// Whether records were left out because they did not fit (TC).
    pub truncated: bool,
    /// The records asked for.
    pub answers: Vec<Record>,
    /// The SOA of a negative answer (DNS-42).
    pub authority: Vec<Record>,
    /// Addresses of the names in the answers (DNS-27).
    pub additional: Vec<Record>,
}

impl Response {
    /// An answer without any record, by a server that is no authority.
    #[must_use]
    pub const fn bare(rcode: Rcode) -> Self {
        Self {
            rcode,
            authoritative: false,
            recursive: false,
            truncated: false,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
        }
    }
}
