//! A message in a line, as `tcpdump -n` prints it.
//!
//! **Source of the semantics.** tcpdump 4.99, `print-domain.c`: the id with the flags, the question of a query, and the
//! counts and answers of a response.

use simple_dns::{OPCODE, Packet, PacketFlag};

use crate::{Rcode, Record, RecordData, RecordType, parse_response};

/// One message without its length; `None` for what is none with one question.
///
/// ```
/// use switchboard_dns::{RecordType, brief, query};
///
/// let bytes = query(7, "web.shop.svc.cluster.local.", RecordType::A).unwrap();
/// assert_eq!(brief(&bytes).unwrap(), "7+ A? web.shop.svc.cluster.local.");
/// ```
#[must_use]
pub fn brief(bytes: &[u8]) -> Option<String> {
    if let Ok((id, _, response)) = parse_response(bytes) {
        let count = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let flags = [
            (response.authoritative, "*"),
            (!response.recursive, "-"),
            (response.truncated, "|"),
        ];
        let flags: String = flags
            .into_iter()
            .filter_map(|(is_set, flag)| is_set.then_some(flag))
            .collect();
        let (answers, authority, additional) = (count(6)?, count(8)?, count(10)?);
        let records: Vec<String> = response.answers.iter().map(record).collect();
        let records = match records.is_empty() {
            true => String::new(),
            false => format!(" {}", records.join(", ")),
        };
        let code = code(response.rcode);
        return Some(format!(
            "{id}{code}{flags} {answers}/{authority}/{additional}{records}"
        ));
    }
    let packet = Packet::parse(bytes).ok()?;
    let [asked] = packet.questions.as_slice() else {
        return None;
    };
    if packet.has_flags(PacketFlag::RESPONSE) || packet.opcode() != OPCODE::StandardQuery {
        return None;
    }
    let recursion = match packet.has_flags(PacketFlag::RECURSION_DESIRED) {
        true => "+",
        false => "",
    };
    let more = packet.opt().map_or("", |_| " [1au]");
    let record_type = RecordType(asked.qtype.into());
    let (id, name) = (packet.id(), &asked.qname);
    Some(format!("{id}{recursion}{more} {record_type}? {name}."))
}

const fn code(rcode: Rcode) -> &'static str {
    match rcode {
        Rcode::NoError => "",
        Rcode::FormErr => " FormErr",
        Rcode::ServFail => " ServFail",
        Rcode::NxDomain => " NXDomain",
        Rcode::NotImp => " NotImp",
        Rcode::Refused => " Refused",
    }
}

fn record(record: &Record) -> String {
    let record_type = record.data.record_type();
    match &record.data {
        RecordData::Srv {
            priority,
            weight,
            port,
            target,
        } => format!("SRV {target}.:{port} {priority} {weight}"),
        RecordData::Soa { .. } | RecordData::Other(_) => record_type.to_string(),
        data => format!("{record_type} {data}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterZone, UDP_MAX, query, serve};

    #[test]
    fn a_question_and_that_there_is_no_such_name() {
        let zone = ClusterZone::new("cluster.local");
        let asked = query(9, "web.shop.svc.cluster.local", RecordType::SRV).unwrap();
        assert_eq!(
            brief(&asked).as_deref(),
            Some("9+ SRV? web.shop.svc.cluster.local.")
        );
        let answer = serve(&zone, &asked, UDP_MAX).unwrap();
        assert_eq!(brief(&answer).as_deref(), Some("9 NXDomain*- 0/1/0"));
        assert_eq!(brief(b"no message"), None);
    }
}
