//! The wire format (RFC 1035 section 4, EDNS of RFC 6891), by `simple-dns`.
//!
//! What a server does before it looks a name up is CoreDNS's (`core/dnsserver`) and that of the library below it: one
//! question, of class IN; addresses in an order of their own for each query (plugin `loadbalance`, DNS-2).
//!
//! Deviation: a question for a type that `simple-dns` does not know is FORMERR; CoreDNS would say NODATA.

use base::{Rng, Seed};
use simple_dns::rdata::{A, AAAA, CNAME, NS, OPT, PTR, RData, SOA, SRV, TXT};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, SimpleDnsError, TYPE,
};

use crate::{ClusterZone, Question, Rcode, Record, RecordData, RecordType, Response};

/// Why bytes are no message, or a message has no bytes.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A name that cannot be encoded: a label over 63 bytes, or more than 255 in all.
    #[error("{name:?} cannot be a DNS name")]
    BadName {
        /// The name.
        name: String,
    },
    /// Bytes that are no DNS message.
    #[error("malformed DNS message")]
    Malformed(#[source] SimpleDnsError),
    /// A message without exactly one question.
    #[error("a DNS message with {count} questions instead of one")]
    NotOneQuestion {
        /// How many it has.
        count: usize,
    },
    /// A type that cannot be asked for.
    #[error("record type {0} cannot be asked for")]
    BadType(RecordType),
}

/// Encodes a recursive query for `name` (a final dot is optional).
///
/// # Errors
/// When the name or the type cannot be encoded.
pub fn query(id: u16, name: &str, record_type: RecordType) -> Result<Vec<u8>, WireError> {
    encode_query(id, name, record_type, None)
}

/// Encodes a query of a client that takes answers of so many bytes over UDP, if it says (EDNS).
pub(crate) fn encode_query(
    id: u16,
    name: &str,
    record_type: RecordType,
    udp_size: Option<u16>,
) -> Result<Vec<u8>, WireError> {
    let qtype = QTYPE::try_from(record_type.0).map_err(|_| WireError::BadType(record_type))?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    *packet.opt_mut() = udp_size.map(edns);
    let name = to_name(name)?;
    packet.questions.push(simple_dns::Question::new(
        name,
        qtype,
        CLASS::IN.into(),
        false,
    ));
    packet.build_bytes_vec().map_err(WireError::Malformed)
}

/// The most bytes of an answer over UDP to a client that says nothing of EDNS (RFC 1035 section 4.2.1).
pub const UDP_MAX: usize = 512;
/// The most bytes of an answer over TCP, whose length is 16 bits.
pub const TCP_MAX: usize = 65_535;

/// Answers a query out of a zone. An answer of more than `limit` bytes, or, where that is more, of more than the query
/// says that its sender takes (EDNS), loses records from its end and is marked as truncated. `None` when the bytes are
/// not worth an answer: no header can be read, or they are themselves a response.
#[must_use]
pub fn serve(zone: &ClusterZone, bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    serve_by(bytes, limit, |question| {
        let mut response = zone.answer(question);
        // DNS-2: plugin `loadbalance`.
        shuffle(&mut response.answers, query_id(bytes));
        response
    })
}

/// The same by whoever knows an answer, who is asked if there is a question that servers answer.
pub fn serve_by(
    bytes: &[u8],
    limit: usize,
    answer: impl FnOnce(&Question) -> Response,
) -> Option<Vec<u8>> {
    let id = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    let is_response = bytes.get(2)? & 0x80 != 0;
    if is_response || bytes.len() < 12 {
        return None;
    }
    let Ok(request) = Packet::parse(bytes) else {
        return failure(id, RCODE::FormatError, None, &[]);
    };
    if request.opcode() != simple_dns::OPCODE::StandardQuery {
        return failure(id, RCODE::NotImplemented, None, &[]);
    }
    let [asked] = request.questions.as_slice() else {
        return failure(id, RCODE::FormatError, None, &[]);
    };
    let udp_size = request.opt().map(|opt| opt.udp_packet_size);
    if let Some(udp_size) = udp_size
        && edns_version(bytes).is_some_and(|version| version != 0)
    {
        return bad_version(id, udp_size, &request.questions);
    }
    if asked.qclass != QCLASS::CLASS(CLASS::IN) {
        return failure(id, RCODE::Refused, udp_size, &request.questions);
    }
    let question = Question {
        name: asked.qname.to_string(),
        record_type: RecordType(asked.qtype.into()),
    };
    let response = answer(&question);
    let mut reply = Packet::new_reply(id);
    reply.set_flags(reply_flags(&request, &response));
    *reply.rcode_mut() = to_rcode(response.rcode);
    *reply.opt_mut() = udp_size.map(edns);
    reply.questions.push(asked.clone());
    let limit = limit.max(udp_size.unwrap_or_default().into());
    within(&reply, &response, limit)
}

/// The id of a query; 0 of what is too short for one.
fn query_id(bytes: &[u8]) -> u16 {
    match bytes {
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

/// Mixes the addresses of an answer, differently for each query. Other records stay where they are.
fn shuffle(answers: &mut [Record], id: u16) {
    let is_address =
        |record: &Record| matches!(record.data.record_type(), RecordType::A | RecordType::AAAA);
    let start = answers.iter().position(is_address).unwrap_or(answers.len());
    let addresses = &mut answers[start..];
    let mut dice: Rng = Seed::new(id.into()).split("loadbalance");
    for left in (2..=addresses.len()).rev() {
        let chosen = dice.below(left as u64);
        addresses.swap(
            left - 1,
            usize::try_from(chosen).expect("below their number"),
        );
    }
}

/// Decodes a response: its id, the question it repeats, and the answer.
///
/// # Errors
/// When the bytes are no response to one question.
pub fn parse_response(bytes: &[u8]) -> Result<(u16, Question, Response), WireError> {
    let packet = Packet::parse(bytes).map_err(WireError::Malformed)?;
    if !packet.has_flags(PacketFlag::RESPONSE) {
        return Err(WireError::Malformed(SimpleDnsError::InvalidHeaderData));
    }
    let [asked] = packet.questions.as_slice() else {
        return Err(WireError::NotOneQuestion {
            count: packet.questions.len(),
        });
    };
    let question = Question {
        name: asked.qname.to_string(),
        record_type: RecordType(asked.qtype.into()),
    };
    let records = |section: &[ResourceRecord<'_>]| section.iter().map(from_record).collect();
    let response = Response {
        rcode: from_rcode(packet.rcode()),
        authoritative: packet.has_flags(PacketFlag::AUTHORITATIVE_ANSWER),
        recursive: packet.has_flags(PacketFlag::RECURSION_AVAILABLE),
        truncated: packet.has_flags(PacketFlag::TRUNCATION),
        answers: records(&packet.answers),
        authority: records(&packet.name_servers),
        additional: records(&packet.additional_records),
    };
    Ok((packet.id(), question, response))
}

/// Encodes a reply with as many of the first records as fit. That any is missing is said: nobody can tell which ones
/// the client needs.
fn within(head: &Packet<'_>, response: &Response, limit: usize) -> Option<Vec<u8>> {
    let sections = [&response.answers, &response.authority, &response.additional];
    let records: Result<Vec<Vec<_>>, _> = sections
        .into_iter()
        .map(|section| section.iter().map(to_record).collect())
        .collect();
    let records = records.ok()?;
    let all: usize = records.iter().map(Vec::len).sum();
    let with = |kept: usize| {
        let mut reply = head.clone();
        let mut left = kept;
        let targets = [
            &mut reply.answers,
            &mut reply.name_servers,
            &mut reply.additional_records,
        ];
        for (target, section) in targets.into_iter().zip(&records) {
            let count = left.min(section.len());
            target.extend_from_slice(&section[..count]);
            left -= count;
        }
        if kept < all {
            reply.set_flags(PacketFlag::TRUNCATION);
        }
        reply.build_bytes_vec_compressed().ok()
    };
    let fits = |kept: usize| with(kept).is_some_and(|bytes| bytes.len() <= limit);
    if fits(all) {
        return with(all);
    }
    // Every record more makes it longer.
    let (mut fitting, mut too_many) = (0, all);
    while too_many - fitting > 1 {
        let middle = fitting.midpoint(too_many);
        match fits(middle) {
            true => fitting = middle,
            false => too_many = middle,
        }
    }
    with(fitting)
}

/// An answer without an answer: to these questions, as far as they could be read.
fn failure(
    id: u16,
    rcode: RCODE,
    udp_size: Option<u16>,
    questions: &[simple_dns::Question<'_>],
) -> Option<Vec<u8>> {
    let mut reply = Packet::new_reply(id);
    reply.questions.extend_from_slice(questions);
    *reply.rcode_mut() = rcode;
    *reply.opt_mut() = udp_size.map(edns);
    reply.build_bytes_vec().ok()
}

/// The version of EDNS in a query of one question and the OPT record behind it (RFC 6891 section 6.1.3); `simple-dns` takes
/// the flags for it.
fn edns_version(query: &[u8]) -> Option<u8> {
    /// Type OPT behind the root's name.
    const OPT_HEAD: [u8; 3] = [0, 0, 41];
    let mut rest = query.get(12..)?;
    while let [length @ 1..=63, after @ ..] = rest {
        rest = after.get(usize::from(*length)..)?;
    }
    // The root's label, type and class of the question, and the record with its class and the upper bits of a code.
    let record = rest.get(5..)?.strip_prefix(&OPT_HEAD)?;
    record.get(3).copied()
}

/// BADVERS: a version of EDNS that is not spoken here. The upper bits of the code begin the lifetime of the OPT record,
/// which comes last (RFC 6891 section 6.1.3); `simple-dns` writes them to its end.
fn bad_version(id: u16, udp_size: u16, questions: &[simple_dns::Question<'_>]) -> Option<Vec<u8>> {
    let mut bytes = failure(id, RCODE::NoError, Some(udp_size), questions)?;
    let lifetime = bytes.len().checked_sub(6)?;
    bytes[lifetime] = 1;
    Some(bytes)
}

/// What says how many bytes are taken over UDP.
const fn edns<'a>(udp_packet_size: u16) -> OPT<'a> {
    OPT {
        opt_codes: Vec::new(),
        udp_packet_size,
        version: 0,
    }
}

fn reply_flags(request: &Packet<'_>, response: &Response) -> PacketFlag {
    let flags = [
        (
            PacketFlag::RECURSION_DESIRED,
            request.has_flags(PacketFlag::RECURSION_DESIRED),
        ),
        (PacketFlag::AUTHORITATIVE_ANSWER, response.authoritative),
        (PacketFlag::RECURSION_AVAILABLE, response.recursive),
    ];
    let set = flags.into_iter().filter(|(_, is_set)| *is_set);
    set.fold(PacketFlag::empty(), |flags, (flag, _)| flags | flag)
}

/// Whether a name has a wire format.
pub(crate) fn is_encodable(name: &str) -> bool {
    to_name(name).is_ok()
}

fn to_name(name: &str) -> Result<Name<'_>, WireError> {
    let refuse = || WireError::BadName {
        name: name.to_owned(),
    };
    let bare = name.strip_suffix('.').unwrap_or(name);
    // The library takes empty labels; on the wire they would end the name early.
    if bare.split('.').any(str::is_empty) && !bare.is_empty() {
        return Err(refuse());
    }
    Name::new(bare).map_err(|_| refuse())
}

fn to_record(record: &Record) -> Result<ResourceRecord<'_>, WireError> {
    let data = match &record.data {
        RecordData::A(address) => RData::A(A {
            address: u32::from(*address),
        }),
        RecordData::Aaaa(address) => RData::AAAA(AAAA {
            address: u128::from(*address),
        }),
        RecordData::Ns(name) => RData::NS(NS(to_name(name)?)),
        RecordData::Cname(name) => RData::CNAME(CNAME(to_name(name)?)),
        RecordData::Ptr(name) => RData::PTR(PTR(to_name(name)?)),
        RecordData::Txt(text) => {
            RData::TXT(TXT::new().with_string(text).map_err(WireError::Malformed)?)
        }
        RecordData::Srv {
            priority,
            weight,
            port,
            target,
        } => RData::SRV(SRV {
            priority: *priority,
            weight: *weight,
            port: *port,
            target: to_name(target)?,
        }),
        RecordData::Soa {
            mname,
            rname,
            serial,
            minimum,
        } => RData::SOA(SOA {
            mname: to_name(mname)?,
            rname: to_name(rname)?,
            serial: *serial,
            refresh: 7200,
            retry: 1800,
            expire: 86400,
            minimum: *minimum,
        }),
        RecordData::Other(record_type) => return Err(WireError::BadType(*record_type)),
    };
    Ok(ResourceRecord::new(
        to_name(&record.name)?,
        CLASS::IN,
        record.ttl,
        data,
    ))
}

fn from_record(record: &ResourceRecord<'_>) -> Record {
    let data = match &record.rdata {
        RData::A(a) => RecordData::A(a.address.into()),
        RData::AAAA(aaaa) => RecordData::Aaaa(aaaa.address.into()),
        RData::NS(ns) => RecordData::Ns(ns.0.to_string()),
        RData::CNAME(cname) => RecordData::Cname(cname.0.to_string()),
        RData::PTR(ptr) => RecordData::Ptr(ptr.0.to_string()),
        RData::TXT(txt) => RecordData::Txt(text_of(txt)),
        RData::SRV(srv) => RecordData::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_string(),
        },
        RData::SOA(soa) => RecordData::Soa {
            mname: soa.mname.to_string(),
            rname: soa.rname.to_string(),
            serial: soa.serial,
            minimum: soa.minimum,
        },
        other => RecordData::Other(RecordType(TYPE::into(other.type_code()))),
    };
    Record {
        name: record.name.to_string(),
        ttl: record.ttl,
        data,
    }
}

/// All strings of a TXT record as one.
fn text_of(txt: &TXT<'_>) -> String {
    txt.clone().try_into().unwrap_or_default()
}

const fn to_rcode(rcode: Rcode) -> RCODE {
    match rcode {
        Rcode::NoError => RCODE::NoError,
        Rcode::FormErr => RCODE::FormatError,
        Rcode::ServFail => RCODE::ServerFailure,
        Rcode::NxDomain => RCODE::NameError,
        Rcode::NotImp => RCODE::NotImplemented,
        Rcode::Refused => RCODE::Refused,
    }
}

const fn from_rcode(rcode: RCODE) -> Rcode {
    match rcode {
        RCODE::NoError => Rcode::NoError,
        RCODE::FormatError => Rcode::FormErr,
        RCODE::NameError => Rcode::NxDomain,
        RCODE::NotImplemented => Rcode::NotImp,
        RCODE::Refused => Rcode::Refused,
        _ => Rcode::ServFail,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_comes_back_as_it_was_asked() {
        let zone = ClusterZone::new("cluster.local");
        let bytes = query(7, "WEB.shop.svc.cluster.local.", RecordType::AAAA).unwrap();
        let (id, question, response) =
            parse_response(&serve(&zone, &bytes, UDP_MAX).unwrap()).unwrap();
        assert_eq!(id, 7);
        assert_eq!(question.name, "WEB.shop.svc.cluster.local");
        assert_eq!(question.record_type, RecordType::AAAA);
        assert_eq!(response.rcode, Rcode::NxDomain);
        assert_eq!(response.authority[0].data.record_type(), RecordType::SOA);
    }

    #[test]
    fn names_that_cannot_be_encoded_are_refused() {
        for name in [&"x".repeat(64), "a..b", ".a"] {
            assert!(query(1, name, RecordType::A).is_err(), "{name}");
        }
    }

    #[test]
    fn a_response_is_not_answered() {
        let zone = ClusterZone::new("cluster.local");
        let bytes = query(7, "web", RecordType::A).unwrap();
        let reply = serve(&zone, &bytes, UDP_MAX).unwrap();
        assert_eq!(serve(&zone, &reply, UDP_MAX), None);
    }

    #[test]
    fn bytes_behind_a_query_are_no_edns() {
        let zone = ClusterZone::new("cluster.local");
        let mut bytes = query(7, ".", RecordType::A).unwrap();
        bytes.extend([0, 0, 41, 2, 0, 0, 1, 0, 0, 0, 0]);
        let reply = serve(&zone, &bytes, UDP_MAX).unwrap();
        assert_eq!(reply[10..12], [0, 0], "no record is counted");
        parse_response(&reply).unwrap();
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let zone = ClusterZone::new("cluster.local");
            let _ = serve(&zone, &bytes, UDP_MAX);
            let _ = parse_response(&bytes);
        }
    }
}
