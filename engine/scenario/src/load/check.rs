//! `expect:` of every verb.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use control::Outcome;
use regex::Regex;
use serde_json::Value as Json;

use super::cluster::mode_named;
use crate::cursor::{Cursor, Fields, Noted, Read, all};
use crate::expect::{
    Backends, ConnectCheck, EndpointCheck, Expect, Expectation, GetCheck, Hold, Outcomes,
    Percentile, ProbeCheck, ResolveCheck, RulesCheck, StopCheck, TallyCheck, TextCheck, Verdict,
    WriteCheck,
};
use crate::range::Range;
use crate::reference::PodsRef;

/// Items of any list in an expectation.
const LIST_MAX: usize = 10_000;

/// Whether a step can be done again at another instant without changing the cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It only looks.
    Looks,
    /// It writes.
    Writes,
    /// It sends, and that cannot be taken back.
    Acts,
}

/// Reads `expect` of a step: the default and one per mode.
pub(super) fn expect<'a, T>(
    step: &mut Fields<'a>,
    repeat: Repeat,
    mut read: impl FnMut(&mut Fields<'a>) -> Read<T>,
) -> Read<Expect<T>> {
    let Some(at) = step.take("expect") else {
        return Ok(Expect::nothing());
    };
    let mut fields = at.fields()?;
    let by_mode = fields.or("byMode", BTreeMap::new(), |at| {
        let entries = at.entries(|name, at| {
            let mode = mode_named(&at, name);
            let mut fields = at.fields()?;
            let expectation = expectation(&mut fields, repeat, &mut read);
            fields.finish()?;
            Ok((name, (mode?, expectation?)))
        })?;
        Ok(entries.into_values().collect())
    });
    let default = if fields.has("byMode") && fields.len() == 1 {
        Ok(None)
    } else {
        expectation(&mut fields, repeat, &mut read).map(Some)
    };
    fields.finish()?;
    Ok(Expect {
        default: default?,
        by_mode: by_mode?,
    })
}

/// Of `apply`, `create`, `replace` and `delete`.
pub(super) fn write(fields: &mut Fields<'_>) -> Read<WriteCheck> {
    Ok(WriteCheck {
        error: fields.need("error", text_check)?,
    })
}

/// Of `get`.
pub(super) fn get(fields: &mut Fields<'_>) -> Read<GetCheck> {
    let printed = fields.may("output", |at| text_check(at).map(GetCheck::Output));
    let object = fields.may("object", |at| {
        at.fields()?;
        at.json().map(GetCheck::Object)
    });
    let error = fields.may("error", |at| text_check(at).map(GetCheck::Error));
    let mut given = [printed?, object?, error?].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(check), None) => Ok(check),
        _ => Err(fields
            .at()
            .refuse("expected one of `output`, `object` and `error`")),
    }
}

/// Of `resolve`.
pub(super) fn resolve(fields: &mut Fields<'_>) -> Read<ResolveCheck> {
    const RCODES: [(&str, &str); 7] = [
        ("NOERROR", "NOERROR"),
        ("FORMERR", "FORMERR"),
        ("SERVFAIL", "SERVFAIL"),
        ("NXDOMAIN", "NXDOMAIN"),
        ("NOTIMP", "NOTIMP"),
        ("REFUSED", "REFUSED"),
        ("TIMEOUT", "TIMEOUT"),
    ];
    let rcode = fields.or("rcode", Vec::new(), |at| {
        at.one_or_list(LIST_MAX, |item| item.word(&RCODES).map(str::to_owned))
    });
    let answers = fields.may("answers", |at| texts(at));
    let queries = fields.may("queries", Cursor::parsed);
    Ok(ResolveCheck {
        rcode: rcode?,
        answers: answers?,
        queries: queries?,
    })
}

/// Of `connect`; `namespace` is what short references mean.
pub(super) fn connect(fields: &mut Fields<'_>, namespace: &str) -> Read<ConnectCheck> {
    let any_of = fields.may("outcome", |at| {
        at.one_or_list(LIST_MAX, |item| outcome(&item))
    });
    let counts = fields.may("outcomes", |at| {
        at.entries(|name, at| {
            let (outcome, count) = (outcome_named(&at, name), at.parsed());
            Ok((outcome?, count?))
        })
    });
    let backends = fields.may("backends", |at| backends(at, namespace));
    let uniform = fields.may("spread", |at| at.word(&[("uniform", ())]));
    let peer_seen = fields.may("peerSeen", Cursor::address);
    let latency = fields.or("latency", Vec::new(), latency);
    let outcomes = match (any_of?, counts?) {
        (None, None) => None,
        (Some(any_of), None) => Some(Outcomes::AnyOf(any_of)),
        (None, Some(counts)) => Some(Outcomes::Counts(counts)),
        (Some(_), Some(_)) => {
            return Err(fields
                .at()
                .refuse("expect either `outcome` (of all) or `outcomes` (counts)"));
        }
    };
    Ok(ConnectCheck {
        outcomes,
        backends: backends?,
        uniform: uniform?.is_some(),
        peer_seen: peer_seen?,
        latency: latency?,
    })
}

/// Of `stop`; `namespace` is what short references mean.
pub(super) fn stop(fields: &mut Fields<'_>, namespace: &str) -> Read<StopCheck> {
    let nested = |at: &Cursor<'_>| {
        let mut fields = at.fields()?;
        let check = tally(&mut fields);
        fields.finish()?;
        check
    };
    let all = tally(fields);
    let new = fields.or("new", TallyCheck::default(), nested);
    let established = fields.or("established", TallyCheck::default(), nested);
    let backends = fields.may("backends", |at| backends(at, namespace));
    let latency = fields.or("latency", Vec::new(), latency);
    Ok(StopCheck {
        all: all?,
        new: new?,
        established: established?,
        backends: backends?,
        latency: latency?,
    })
}

fn tally(fields: &mut Fields<'_>) -> Read<TallyCheck> {
    let failed = fields.may("failed", Cursor::parsed);
    let outcomes =
        Outcome::ALL.map(|outcome| (outcome, fields.may(outcome.as_str(), Cursor::parsed)));
    let outcomes = outcomes
        .into_iter()
        .map(|(outcome, range)| Ok(range?.map(|range| (outcome, range))));
    let outcomes = outcomes.collect::<Read<Vec<_>>>();
    Ok(TallyCheck {
        failed: failed?,
        outcomes: outcomes?.into_iter().flatten().collect(),
    })
}

fn latency(at: &Cursor<'_>) -> Read<Vec<(Percentile, Range<Duration>)>> {
    let mut fields = at.fields()?;
    let ranks = Percentile::ALL.map(|(key, rank)| (rank, fields.may(key, Cursor::parsed)));
    fields.finish()?;
    let ranks = ranks
        .into_iter()
        .map(|(rank, range)| Ok(range?.map(|range| (rank, range))));
    let ranks = ranks.collect::<Read<Vec<_>>>()?;
    Ok(ranks.into_iter().flatten().collect())
}

/// Of `probe`.
pub(super) fn probe(fields: &mut Fields<'_>) -> Read<ProbeCheck> {
    let backends = fields.may("backends", |at| at.list(LIST_MAX, |item| socket(&item)));
    let snat = fields.may("snat", Cursor::boolean);
    let endpoints = fields.may("endpoints", |at| at.list(LIST_MAX, |item| endpoint(&item)));
    let verdicts = fields.may("verdict", |at| {
        at.one_or_list(LIST_MAX, |item| item.word(&Verdict::ALL))
    });
    let answered = fields.may("answered", Cursor::boolean);
    let check = ProbeCheck {
        backends: backends?,
        snat: snat?,
        endpoints: endpoints?,
        verdicts: verdicts?,
        answered: answered?,
    };
    if check.verdicts.is_some() && (check.backends.is_some() || check.endpoints.is_some()) {
        return Err(fields
            .at()
            .refuse("a packet that is sent to an endpoint has no `verdict`: expect one of both"));
    }
    Ok(check)
}

/// Of `rules`.
pub(super) fn rules(fields: &mut Fields<'_>) -> Read<RulesCheck> {
    let contains = fields.or("contains", Vec::new(), |at| parts(at));
    let absent = fields.or("absent", Vec::new(), |at| parts(at));
    Ok(RulesCheck {
        contains: contains?,
        absent: absent?,
    })
}

/// Reads `address:port`.
pub(super) fn socket(at: &Cursor<'_>) -> Read<SocketAddr> {
    let text = at.text()?;
    text.parse().map_err(|_| {
        let expected = "expected an address with a port, such as 10.244.1.2:8080 or [fd00::2]:8080";
        at.refuse(format!("{text:?}: {expected}"))
    })
}

fn expectation<'a, T>(
    fields: &mut Fields<'a>,
    repeat: Repeat,
    read: &mut impl FnMut(&mut Fields<'a>) -> Read<T>,
) -> Read<Expectation<T>> {
    let hold = hold(fields, repeat);
    let says_nothing = fields
        .keys()
        .all(|key| matches!(key, "within" | "throughout" | "byMode"));
    if says_nothing {
        return Err(fields.at().refuse("this expects nothing"));
    }
    let check = read(fields);
    let mut given = fields.at().json()?;
    if let Json::Object(given) = &mut given {
        given.shift_remove("byMode");
    }
    Ok(Expectation {
        check: check?,
        hold: hold?,
        given,
    })
}

fn hold(fields: &mut Fields<'_>, repeat: Repeat) -> Read<Hold> {
    let not_repeated = match repeat {
        Repeat::Looks => None,
        Repeat::Writes => {
            Some("a step that writes is not repeated: this belongs to a `get` after it")
        }
        Repeat::Acts => Some("what this step does is not repeated: `connect` and `get` look again"),
    };
    if let Some(message) = not_repeated {
        let keys = ["within", "throughout"];
        all(keys
            .map(|key| fields.misplaced(key, message, None))
            .into_iter())?;
        return Ok(Hold::Now);
    }
    let within = fields.take("within");
    let throughout = fields.take("throughout");
    let span = |at: &Option<Cursor<'_>>| at.as_ref().map(Cursor::duration).transpose();
    match (span(&within)?, span(&throughout)?) {
        (None, None) => Ok(Hold::Now),
        (Some(span), None) => Ok(Hold::Within(span)),
        (None, Some(span)) => Ok(Hold::Throughout(span)),
        (Some(_), Some(_)) => Err(fields
            .at()
            .refuse("expect something either `within` or `throughout` a while")),
    }
}

/// A text that is to be met exactly, or `{contains: …}` or `{matches: …}`.
fn text_check(at: &Cursor<'_>) -> Read<TextCheck> {
    if !at.value().is_mapping() {
        return Ok(TextCheck::Exactly(at.text()?.to_owned()));
    }
    let mut fields = at.fields()?;
    let contains = fields.may("contains", |at| parts(at).map(TextCheck::Contains));
    let matches = fields.may("matches", |at| {
        let text = at.name()?;
        let refuse = |error: regex::Error| {
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default();
            let why = why.trim_start_matches("error: ");
            at.refuse(format!("{text:?} is no regular expression: {why}"))
        };
        Regex::new(text).map(TextCheck::Matches).map_err(refuse)
    });
    fields.finish()?;
    match (contains?, matches?) {
        (Some(check), None) | (None, Some(check)) => Ok(check),
        _ => Err(at.refuse("expected one of `contains` and `matches`")),
    }
}

/// Parts of a text: one, or some. Every text has the empty one, and all of none.
fn parts(at: &Cursor<'_>) -> Read<Vec<String>> {
    at.one_or_list(LIST_MAX, |item| Ok(item.name()?.to_owned()))
}

/// One text, or a list of texts, perhaps empty.
fn texts(at: &Cursor<'_>) -> Read<Vec<String>> {
    match at.value().is_sequence() {
        true => at.list(LIST_MAX, |item| Ok(item.text()?.to_owned())),
        false => Ok(vec![at.name()?.to_owned()]),
    }
}

fn outcome(at: &Cursor<'_>) -> Read<Outcome> {
    at.word(&Outcome::ALL.map(|outcome| (outcome.as_str(), outcome)))
}

fn outcome_named(at: &Cursor<'_>, name: &str) -> Read<Outcome> {
    let found = Outcome::ALL
        .into_iter()
        .find(|outcome| outcome.as_str() == name);
    found.ok_or_else(|| -> Noted {
        let known = Outcome::ALL.map(Outcome::as_str);
        let help = crate::cursor::did_you_mean(name, known);
        at.refuse_key(format!("{name:?} is not one of {}", known.join(", ")), help)
    })
}

fn backends(at: &Cursor<'_>, namespace: &str) -> Read<Backends> {
    let mut fields = at.fields()?;
    let mut pods = |key| {
        fields.may(key, |at| {
            at.list(LIST_MAX, |item| {
                PodsRef::parse(item.text()?, namespace).map_err(|error| item.refuse(error))
            })
        })
    };
    let (exactly, within) = (pods("exactly"), pods("within"));
    let count = fields.may("count", Cursor::parsed);
    fields.finish()?;
    match (exactly?, within?, count?) {
        (Some(pods), None, None) => Ok(Backends::Exactly(pods)),
        (None, Some(pods), None) => Ok(Backends::Within(pods)),
        (None, None, Some(count)) => Ok(Backends::Count(count)),
        _ => Err(at.refuse("expected one of `exactly`, `within` and `count`")),
    }
}

fn endpoint(at: &Cursor<'_>) -> Read<EndpointCheck> {
    let mut fields = at.fields()?;
    let to = fields.need("to", socket);
    let snat = fields.may("snat", Cursor::boolean);
    let share = fields.may("p", Cursor::parsed);
    fields.finish()?;
    Ok(EndpointCheck {
        to: to?,
        snat: snat?,
        share: share?,
    })
}
