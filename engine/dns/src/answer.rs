//! Answers to questions, made of what names stand for.
//!
//! Source of the semantics: DNS-4 … DNS-18, DNS-24 … DNS-46, and where it says more, CoreDNS: `plugin/kubernetes/handler.go`
//! and `plugin/backend_lookup.go`. A name of the zone keeps the case in which it was asked for (DNS-18).
//!
//! Deviation: the SOA's serial counts changes; CoreDNS puts the Unix time of the last one (DNS-15).

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::find::{Behind, Item, NoSuchName};
use crate::reverse;
use crate::{ClusterZone, Question, Rcode, Record, RecordData, RecordType, Response, Upstream};

/// The version of Kubernetes' DNS specification that is followed, and how long that may be kept (DNS-13).
const SCHEMA: (&str, u32) = ("1.1.0", 28_800);
/// How many aliases are followed (CoreDNS: `A`).
const ALIASES_MAX: usize = 8;
/// How long the SOA may be kept at most (DNS-15).
const SOA_TTL_MAX: u32 = 300;

/// A name within one of the zones that the server answers for.
struct Place<'a> {
    /// The zone, spelled as in the question.
    zone: &'a str,
    /// Left of the zone, in lower case.
    labels: Vec<&'a str>,
    /// Whether it is a zone of addresses.
    is_reverse: bool,
}

/// The records of a positive answer, or none of a name that has none of the type.
#[derive(Default)]
struct Found {
    answers: Vec<Record>,
    additional: Vec<Record>,
}

impl ClusterZone {
    /// Answers a question.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Response {
        let lower = question.name.to_ascii_lowercase();
        let Some(place) = self.place(&question.name, &lower) else {
            return self.ask_upstream(question);
        };
        let record_type = question.record_type;
        if matches!(record_type, RecordType::AXFR | RecordType::IXFR) {
            return Response::bare(Rcode::Refused);
        }
        match self.look_up(question, &place) {
            // DNS-43: addresses that are not the cluster's may be somebody else's.
            Err(NoSuchName) if place.is_reverse && self.options.fallthrough => {
                self.ask_upstream(question)
            }
            Err(NoSuchName) => self.negative(Rcode::NxDomain, place.zone),
            Ok(found) if found.answers.is_empty() => self.negative(Rcode::NoError, place.zone),
            Ok(found) => Response {
                authoritative: true,
                answers: found.answers,
                additional: found.additional,
                ..Response::bare(Rcode::NoError)
            },
        }
    }

    /// The zone that a name is in; `None` for a name of nobody here.
    fn place<'a>(&self, name: &'a str, lower: &'a str) -> Option<Place<'a>> {
        let reverse = reverse::ZONES.into_iter().map(|zone| (zone, true));
        let reverse = reverse.filter(|_| self.options.reverse);
        let zones = std::iter::once((self.domain.as_str(), false)).chain(reverse);
        zones.into_iter().find_map(|(zone, is_reverse)| {
            let left = lower.strip_suffix(zone)?;
            let labels = match left.strip_suffix('.') {
                Some(labels) => labels.split('.').collect(),
                None if left.is_empty() => Vec::new(),
                None => return None,
            };
            Some(Place {
                zone: &name[left.len()..],
                labels,
                is_reverse,
            })
        })
    }

    fn look_up(&self, question: &Question, place: &Place<'_>) -> Result<Found, NoSuchName> {
        let name = &question.name;
        let is_apex = place.labels.is_empty();
        match question.record_type {
            RecordType::A | RecordType::AAAA => self.addresses(question, place),
            RecordType::SRV => Ok(self.services(name, place.zone, &self.items(place)?)),
            RecordType::PTR => self.pointers(name, place),
            RecordType::CNAME => Ok(self.alias(name, &self.items(place)?)),
            // Of these two, names are not looked up (CoreDNS): every one exists.
            RecordType::TXT if place.labels == ["dns-version"] => Ok(Found::of(vec![Record {
                ttl: SCHEMA.1,
                ..self.record(name, RecordData::Txt(SCHEMA.0.to_owned()))
            }])),
            RecordType::SOA if is_apex => Ok(Found::of(vec![self.soa(place.zone)])),
            RecordType::TXT | RecordType::SOA => Ok(Found::default()),
            RecordType::NS if is_apex => Ok(self.name_servers(name, place.zone)),
            _ => self.items(place).map(|_| Found::default()),
        }
    }

    /// What a name stands for, the server's own one included (DNS-14).
    fn items(&self, place: &Place<'_>) -> Result<Vec<Item>, NoSuchName> {
        match place.labels.as_slice() {
            [] => Ok(Vec::new()),
            _ if place.is_reverse => Err(NoSuchName),
            ["ns", "dns"] => Ok(Vec::new()),
            labels => self.find(labels),
        }
    }

    /// A and AAAA, through aliases (DNS-11).
    fn addresses(&self, question: &Question, place: &Place<'_>) -> Result<Found, NoSuchName> {
        let items = match place.labels.as_slice() {
            ["ns", "dns"] if !place.is_reverse => self.servers(),
            _ => self.items(place)?,
        };
        let mut followed = Vec::new();
        let records = self.chase(&question.name, question.record_type, &items, &mut followed);
        Ok(Found::of(records))
    }

    /// The records of the wanted type of what a name stands for. An alias within the zone counts only if it leads to
    /// such a record; one to elsewhere comes with what the upstream server knows of it.
    fn chase(
        &self,
        owner: &str,
        wanted: RecordType,
        items: &[Item],
        followed: &mut Vec<String>,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        let mut told = BTreeSet::new();
        for item in items {
            match &item.host {
                Behind::Address(address) => {
                    let data = address_data(*address);
                    if data.record_type() == wanted && told.insert(*address) {
                        records.push(self.record(owner, data));
                    }
                }
                Behind::Alias(target) => {
                    let lower = target.to_ascii_lowercase();
                    let is_loop = followed.contains(&lower) || owner.eq_ignore_ascii_case(target);
                    if is_loop || followed.len() >= ALIASES_MAX {
                        continue;
                    }
                    let alias = self.record(owner, RecordData::Cname(target.clone()));
                    match self.place(target, &lower).filter(|place| !place.is_reverse) {
                        None => {
                            records.push(alias);
                            records
                                .extend(self.upstream_records(target, wanted).unwrap_or_default());
                        }
                        Some(place) => {
                            followed.push(lower.clone());
                            let next = self.items(&place).unwrap_or_default();
                            let next = self.chase(target, wanted, &next, followed);
                            if !next.is_empty() {
                                records.push(alias);
                                records.extend(next);
                            }
                        }
                    }
                }
            }
        }
        records
    }

    /// DNS-25: everyone has the same share, counted before what is said twice is left out.
    fn services(&self, owner: &str, zone: &str, items: &[Item]) -> Found {
        let mut found = Found::default();
        let addressed: Vec<(&Item, IpAddr)> = items
            .iter()
            .filter_map(|item| match item.host {
                Behind::Address(address) => Some((item, address)),
                // DNS-27: aliases have no SRV.
                Behind::Alias(_) => None,
            })
            .collect();
        let share = 100 / addressed.len().max(1);
        let weight = u16::try_from(share.max(1)).expect("at most 100");
        let mut told = BTreeSet::new();
        for (item, address) in addressed {
            let Some(port) = item.port else { continue };
            let target = format!("{}.{zone}", item.name);
            if told.insert((target.clone(), Some(port), None)) {
                let data = RecordData::Srv {
                    priority: 0,
                    weight,
                    port,
                    target: target.clone(),
                };
                found.answers.push(self.record(owner, data));
            }
            if told.insert((target.clone(), None, Some(address))) {
                found
                    .additional
                    .push(self.record(&target, address_data(address)));
            }
        }
        found
    }

    fn pointers(&self, owner: &str, place: &Place<'_>) -> Result<Found, NoSuchName> {
        let zone = place.zone.to_ascii_lowercase();
        let address = place
            .is_reverse
            .then(|| reverse::address_of(&place.labels, &zone))
            .flatten();
        let Some(address) = address else {
            return self.items(place).map(|_| Found::default());
        };
        let names = self.names_of(address);
        if names.is_empty() {
            return Err(NoSuchName);
        }
        let full = |name| RecordData::Ptr(format!("{name}.{}", self.domain));
        let records = names.into_iter().map(|name| self.record(owner, full(name)));
        Ok(Found::of(records.collect()))
    }

    fn alias(&self, owner: &str, items: &[Item]) -> Found {
        match items.first().map(|item| &item.host) {
            Some(Behind::Alias(target)) => {
                Found::of(vec![self.record(owner, RecordData::Cname(target.clone()))])
            }
            _ => Found::default(),
        }
    }

    /// DNS-14. Deviation: without the Service of cluster DNS the name is `ns.dns` and has no address; CoreDNS would
    /// give its own.
    fn name_servers(&self, owner: &str, zone: &str) -> Found {
        let mut found = Found::default();
        for item in self.servers() {
            let Behind::Address(address) = item.host else {
                continue;
            };
            let name = format!("{}.{zone}", item.name);
            let (record, glue) = (
                self.record(owner, RecordData::Ns(name.clone())),
                self.record(&name, address_data(address)),
            );
            for (records, record) in [(&mut found.answers, record), (&mut found.additional, glue)] {
                if !records.contains(&record) {
                    records.push(record);
                }
            }
        }
        if found.answers.is_empty() {
            let data = RecordData::Ns(format!("ns.dns.{zone}"));
            found.answers.push(self.record(owner, data));
        }
        found
    }

    /// What the upstream server says.
    fn ask_upstream(&self, question: &Question) -> Response {
        if self.upstream == Upstream::Nobody {
            return Response::bare(Rcode::ServFail);
        }
        let found = self.upstream_records(&question.name, question.record_type);
        let rcode = match found {
            Some(_) => Rcode::NoError,
            None => Rcode::NxDomain,
        };
        Response {
            recursive: true,
            answers: found.unwrap_or_default(),
            ..Response::bare(rcode)
        }
    }

    /// The upstream server's records of a type; `None` for a name that it does not know.
    fn upstream_records(&self, name: &str, wanted: RecordType) -> Option<Vec<Record>> {
        let Upstream::Hosts(hosts) = &self.upstream else {
            return None;
        };
        let addresses = hosts.get(&name.to_ascii_lowercase())?.iter();
        let data = addresses.map(|address| address_data(*address));
        let wanted = data.filter(|data| data.record_type() == wanted);
        Some(wanted.map(|data| self.record(name, data)).collect())
    }

    fn negative(&self, rcode: Rcode, zone: &str) -> Response {
        Response {
            authoritative: true,
            authority: vec![self.soa(zone)],
            ..Response::bare(rcode)
        }
    }

    fn soa(&self, zone: &str) -> Record {
        let data = RecordData::Soa {
            mname: format!("ns.dns.{zone}"),
            rname: format!("hostmaster.{zone}"),
            serial: self.serial,
            minimum: self.options.ttl,
        };
        Record {
            ttl: self.options.ttl.min(SOA_TTL_MAX),
            ..self.record(zone, data)
        }
    }

    fn record(&self, owner: &str, data: RecordData) -> Record {
        Record {
            name: owner.to_owned(),
            ttl: self.options.ttl,
            data,
        }
    }
}

impl Found {
    fn of(answers: Vec<Record>) -> Self {
        Self {
            answers,
            additional: Vec::new(),
        }
    }
}

fn address_data(address: IpAddr) -> RecordData {
    match address.to_canonical() {
        IpAddr::V4(address) => RecordData::A(address),
        IpAddr::V6(address) => RecordData::Aaaa(address),
    }
}
