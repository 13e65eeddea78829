//! `explain`, `matrix` and `await`.

use api::Kind;
use explain::{Verdict, page};

use super::Setting;
use super::action::{host_name, source, target};
use super::check::{Repeat, expect};
use crate::cursor::{Cursor, Fields, Read};
use crate::expect::{ExplainCheck, Findings};
use crate::findings::Asked;
use crate::step::Action;

/// Ids of one expectation.
const IDS_MAX: usize = 100;

/// Reads `explain: service/web`, or `{service: …, from: …, port: 53/UDP, name: web.shop}`.
pub(super) fn explain(
    step: &mut Fields<'_>,
    at: &Cursor<'_>,
    setting: &Setting<'_>,
) -> Read<Action> {
    let asked = match at.value().is_mapping() {
        false => service(at, setting).map(|service| Asked {
            service,
            from: None,
            port: None,
            name: None,
        }),
        true => {
            let mut fields = at.fields()?;
            let named = fields.need("service", |at| service(at, setting));
            let from = fields.may("from", |at| source(at, setting));
            let port = fields.may("port", Cursor::parsed);
            let name = fields.may("name", |at| host_name(at, at.name()?));
            fields.finish()?;
            let (from, port, name) = (from?, port?, name?);
            named.map(|service| Asked {
                service,
                from,
                port,
                name,
            })
        }
    };
    let expect = expect(step, Repeat::Looks, check);
    Ok(Action::Explain {
        asked: asked?,
        expect: expect?,
    })
}

/// Reads `await: fix`: what is waited for is the reader's to name.
pub(super) fn awaited(at: &Cursor<'_>) -> Read<Action> {
    let what = at.name()?.to_owned();
    Ok(Action::Await { what })
}

/// Reads `matrix: {}`: nothing of it can be chosen.
pub(super) fn matrix(at: &Cursor<'_>) -> Read<Action> {
    at.fields()?.finish()?;
    Ok(Action::Matrix)
}

fn service(at: &Cursor<'_>, setting: &Setting<'_>) -> Read<api::ObjectKey> {
    let key = target(at, setting)?;
    match key.kind {
        Kind::Service => Ok(key),
        _ => Err(at.refuse(format!("{key} cannot stand here: expected service/…"))),
    }
}

fn check(fields: &mut Fields<'_>) -> Read<ExplainCheck> {
    let verdict = fields.may("verdict", |at| {
        at.word(&[
            ("healthy", Verdict::Healthy),
            ("broken", Verdict::Broken),
            ("unknown", Verdict::Unknown),
        ])
    });
    let findings = fields.may("findings", |at| {
        if !at.value().is_mapping() {
            return at.list(IDS_MAX, |item| id(&item)).map(Findings::Exactly);
        }
        let mut fields = at.fields()?;
        let ids = fields.need("contains", |at| at.one_or_list(IDS_MAX, |item| id(&item)));
        fields.finish()?;
        ids.map(Findings::Contain)
    });
    Ok(ExplainCheck {
        verdict: verdict?,
        findings: findings?,
    })
}

fn id(at: &Cursor<'_>) -> Read<&'static str> {
    let text = at.text()?;
    let help = "`switchboard explain DBG-21` prints the page of one";
    page(text)
        .map(|page| page.id)
        .ok_or_else(|| at.refuse_with(format!("{text:?} is no failure mode"), help))
}
