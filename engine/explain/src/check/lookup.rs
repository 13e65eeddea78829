//! DBG-1, DBG-26, DBG-35: what becomes of the name by which a client calls the Service (DBG-62).
//!
//! The client's resolver and the records are looked at, not the way to the server: whether that answers is another
//! step's. Source of the semantics: DNS-59 … DNS-66.

use std::collections::BTreeSet;

use api::{Kind, ObjectKey, ObjectMeta, Pod};
use dns::{ClusterDns, PodResolver, Question, Rcode, RecordData, RecordType, ResolvConf, Response};

use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::list;
use crate::{Certainty, Finding, Severity};

/// A name that leads nowhere, or elsewhere, or that costs more queries than it needs.
pub(crate) fn of_name(facts: &Facts<'_>) -> Vec<Finding> {
    let (Some(name), Some(client)) = (facts.called, facts.client()) else {
        return Vec::new();
    };
    let Some(tries) = Tries::of(facts, client, name) else {
        return Vec::new();
    };
    let found = match &tries.answered {
        // Why its own name has no address, other steps tell.
        None if tries.vain.contains(&own_name(facts)) => None,
        None => Some(unresolved(facts, client, name, &tries)),
        Some(answer) if is_another(facts, answer) => Some(another(facts, client, name, answer)),
        Some(answer) if answer.is_as_written && tries.count > 1 => Some(dear(client, name, &tries)),
        Some(_) => None,
    };
    found.into_iter().collect()
}

/// The names that a resolver asks for in turn, until one is known.
struct Tries {
    /// How many names were asked for, that which is known among them.
    count: usize,
    /// Those that have no address.
    vain: Vec<String>,
    /// What was said of the last of these.
    rcode: Rcode,
    /// The resolver's `ndots`.
    ndots: usize,
    answered: Option<Answer>,
}

struct Answer {
    /// The name that is known, with its final dot.
    name: String,
    /// Whether that is the name as the client writes it.
    is_as_written: bool,
    /// None of an alias of a name that is not known here.
    addresses: BTreeSet<String>,
}

impl Tries {
    /// `None` where the client asks nobody of this cluster (DBG-36), or nothing is known of its records.
    fn of(facts: &Facts<'_>, client: &Pod, name: &str) -> Option<Self> {
        let control = facts.control?;
        let server = control.dns_address()?;
        let cluster = ClusterDns {
            servers: &[server],
            domain: &facts.api.config().dns_domain,
            node: &ResolvConf::default(),
        };
        let resolver = PodResolver::of(&client.metadata.namespace, &client.spec, &cluster);
        let asks_cluster = |at: &std::net::SocketAddr| at.ip() == server;
        if !resolver.conf.nameservers.iter().any(asks_cluster) {
            return None;
        }
        let mut tries = Self {
            count: 0,
            vain: Vec::new(),
            rcode: Rcode::NxDomain,
            ndots: resolver.conf.ndots(),
            answered: None,
        };
        let as_written = format!("{}.", name.trim_end_matches('.'));
        for candidate in resolver.conf.candidates(name) {
            tries.count += 1;
            let responses = responses(facts, control.zone(), &candidate);
            if responses.iter().all(|response| response.answers.is_empty()) {
                tries.rcode = responses
                    .first()
                    .map_or(Rcode::NxDomain, |response| response.rcode);
                tries.vain.push(candidate.trim_end_matches('.').to_owned());
                continue;
            }
            tries.answered = Some(Answer {
                is_as_written: candidate == as_written,
                name: candidate,
                addresses: addresses(&responses),
            });
            break;
        }
        Some(tries)
    }
}

/// What cluster DNS says of a name, for the families that the Service has.
fn responses(facts: &Facts<'_>, zone: &dns::ClusterZone, name: &str) -> Vec<Response> {
    let families = &facts.service.spec.ip_families;
    let types = [("IPv4", RecordType::A), ("IPv6", RecordType::AAAA)];
    let wanted = types
        .into_iter()
        .filter(|(family, _)| families.is_empty() || families.iter().any(|known| known == family));
    let asked = wanted.map(|(_, record_type)| {
        zone.answer(&Question {
            name: name.trim_end_matches('.').to_owned(),
            record_type,
        })
    });
    asked.collect()
}

fn addresses(responses: &[Response]) -> BTreeSet<String> {
    let answers = responses.iter().flat_map(|response| &response.answers);
    answers
        .filter_map(|record| match &record.data {
            RecordData::A(address) => Some(address.to_string()),
            RecordData::Aaaa(address) => Some(address.to_string()),
            _ => None,
        })
        .collect()
}

/// Whether none of the addresses is the Service's. An alias or a headless Service has none of its own to compare with,
/// an alias of a name of the world leads to none that is known.
fn is_another(facts: &Facts<'_>, answer: &Answer) -> bool {
    let mut own = facts.service.addresses().peekable();
    own.peek().is_some()
        && !answer.addresses.is_empty()
        && !own.any(|address| answer.addresses.contains(&address.to_string()))
}

/// `web.shop.svc.cluster.local`
fn own_name(facts: &Facts<'_>) -> String {
    let domain = &facts.api.config().dns_domain;
    let name = &facts.service.metadata.name;
    format!("{name}.{}.svc.{domain}", facts.namespace)
}

fn key(client: &Pod) -> ObjectKey {
    let ObjectMeta {
        namespace, name, ..
    } = &client.metadata;
    ObjectKey::new(Kind::Pod, namespace, name)
}

fn unresolved(facts: &Facts<'_>, client: &Pod, name: &str, tries: &Tries) -> Finding {
    let known = format!("{}.{}", facts.service.metadata.name, facts.namespace);
    let said = match tries.rcode {
        Rcode::NoError => "NOERROR, without an address",
        rcode => rcode.as_str(),
    };
    Finding {
        id: "DBG-1",
        severity: Severity::Fault,
        sees: format!("{} cannot resolve {name} ({said})", key(client)),
        why: format!(
            "its resolver asks for {} in turn, and cluster DNS knows an address of none",
            list(&tries.vain)
        ),
        fix: format!("call it {known}"),
        ..finding(client, name)
    }
}

fn another(facts: &Facts<'_>, client: &Pod, name: &str, answer: &Answer) -> Finding {
    let addresses: Vec<&String> = answer.addresses.iter().collect();
    Finding {
        id: "DBG-26",
        severity: Severity::Fault,
        sees: format!(
            "From {} the name {name} reaches something else",
            key(client)
        ),
        why: format!(
            "its resolver takes it for {} ({}), which is not {}",
            answer.name.trim_end_matches('.'),
            list(&addresses),
            facts.name()
        ),
        fix: format!(
            "call it {}.{}",
            facts.service.metadata.name, facts.namespace
        ),
        ..finding(client, name)
    }
}

/// DBG-35: the name as it is written comes last.
fn dear(client: &Pod, name: &str, tries: &Tries) -> Finding {
    let dots = name.matches('.').count();
    Finding {
        id: "DBG-35",
        severity: Severity::Pitfall,
        sees: format!(
            "Each lookup of {name} from {} takes {} queries for every record type, {} of them in vain",
            key(client),
            tries.count,
            tries.count - 1
        ),
        why: format!(
            "ndots is {}, and a name with fewer dots (this one has {dots}) is first tried with each search domain: {}",
            tries.ndots,
            list(&tries.vain)
        ),
        fix: format!(
            "write {}. with its final dot, or set ndots to {dots} or less in the Pod's spec.dnsConfig.options",
            name.trim_end_matches('.')
        ),
        ..finding(client, name)
    }
}

/// What all of them have in common.
fn finding(client: &Pod, name: &str) -> Finding {
    let (namespace, pod) = (&client.metadata.namespace, &client.metadata.name);
    Finding {
        id: "DBG-1",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: key(client),
        field: Some("spec.dnsConfig".to_owned()),
        sees: String::new(),
        why: String::new(),
        fix: String::new(),
        confirm: vec![
            Check::run(format!(
                "kubectl exec {pod} -n {namespace} -- cat /etc/resolv.conf"
            )),
            Check::run(format!(
                "kubectl exec {pod} -n {namespace} -- nslookup -debug {name}"
            )),
        ],
    }
}
