//! The wire format (RFC 1035 section 4), by `simple-dns`.

use simple_dns::rdata::{A, AAAA, CNAME, RData, SOA};
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
    let qtype = QTYPE::try_from(record_type.0).map_err(|_| WireError::BadType(record_type))?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
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

/// Answers a query out of a zone, in at most `limit` bytes: an answer that is longer loses records from its end
/// and is marked as truncated. `None` when the bytes are not worth an answer: no header can be
/// read, or they are themselves a response.
#[must_use]
pub fn serve(zone: &ClusterZone, bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let id = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    let is_response = bytes.get(2)? & 0x80 != 0;
    if is_response || bytes.len() < 12 {
        return None;
    }
    let Ok(request) = Packet::parse(bytes) else {
        return failure(id, Rcode::FormErr);
    };
    if request.opcode() != simple_dns::OPCODE::StandardQuery {
        return failure(id, Rcode::NotImp);
    }
    let [asked] = request.questions.as_slice() else {
        return failure(id, Rcode::FormErr);
    };
    if asked.qclass != QCLASS::CLASS(CLASS::IN) {
        return failure(id, Rcode::Refused);
    }
    let question = Question {
        name: asked.qname.to_string(),
        record_type: RecordType(asked.qtype.into()),
    };
    let response = zone.answer(&question);
    let mut reply = Packet::new_reply(id);
    reply.set_flags(request_flags(&request, &response));
    *reply.rcode_mut() = to_rcode(response.rcode);
    reply.questions.push(asked.clone());
    for record in &response.answers {
        reply.answers.push(to_record(record).ok()?);
    }
    for record in &response.authority {
        reply.name_servers.push(to_record(record).ok()?);
    }
    within(reply, limit)
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
    let response = Response {
        rcode: from_rcode(packet.rcode()),
        authoritative: packet.has_flags(PacketFlag::AUTHORITATIVE_ANSWER),
        answers: packet.answers.iter().map(from_record).collect(),
        authority: packet.name_servers.iter().map(from_record).collect(),
    };
    Ok((packet.id(), question, response))
}

/// Encodes a reply, without as many of its last answers as it takes to fit.
fn within(mut reply: Packet<'_>, limit: usize) -> Option<Vec<u8>> {
    /// The least that a record takes: a compressed name and the fixed fields.
    const RECORD_MIN: usize = 12;
    let mut bytes = reply.build_bytes_vec_compressed().ok()?;
    while bytes.len() > limit && !reply.answers.is_empty() {
        let too_many = (bytes.len() - limit).div_ceil(RECORD_MIN + 16).max(1);
        let kept = reply.answers.len().saturating_sub(too_many);
        reply.answers.truncate(kept);
        reply.set_flags(PacketFlag::TRUNCATION);
        bytes = reply.build_bytes_vec_compressed().ok()?;
    }
    Some(bytes)
}

fn failure(id: u16, rcode: Rcode) -> Option<Vec<u8>> {
    let mut reply = Packet::new_reply(id);
    *reply.rcode_mut() = to_rcode(rcode);
    reply.build_bytes_vec().ok()
}

fn request_flags(request: &Packet<'_>, response: &Response) -> PacketFlag {
    let mut flags = PacketFlag::empty();
    if request.has_flags(PacketFlag::RECURSION_DESIRED) {
        flags |= PacketFlag::RECURSION_DESIRED;
    }
    if response.authoritative {
        flags |= PacketFlag::AUTHORITATIVE_ANSWER;
    }
    flags
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
        RecordData::Cname(name) => RData::CNAME(CNAME(to_name(name)?)),
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
        RData::CNAME(cname) => RecordData::Cname(cname.0.to_string()),
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

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let zone = ClusterZone::new("cluster.local");
            let _ = serve(&zone, &bytes, UDP_MAX);
            let _ = parse_response(&bytes);
        }
    }
}
