//! Connections that are held and traffic in the background: `open`, `send`, `close`, `traffic`, `stop`.

use std::collections::BTreeMap;
use std::time::Duration;

use control::{Reuse, Target};
use ruleset::Protocol;

use super::Setting;
use super::action::source;
use super::check::{self, Repeat, expect};
use crate::background::Background;
use crate::cursor::{Cursor, Fields, Read};
use crate::step::{Action, Dial, TrafficStart};

/// How long a client waits unless the step says so.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Sources of one traffic.
const SOURCES_MAX: usize = 1_000;
/// What simulated hosts speak.
pub(super) const TRANSPORTS: [(&str, Protocol); 2] =
    [("TCP", Protocol::TCP), ("UDP", Protocol::UDP)];
const REUSE: [(&str, Reuse); 2] = [("none", Reuse::None), ("keepalive", Reuse::Keepalive)];

/// Reads how to dial, once: `to`, `protocol`, `timeout` and `send`.
pub(super) fn dial(fields: &mut Fields<'_>) -> Read<Dial> {
    let to = fields.need("to", Cursor::parsed::<Target>);
    let protocol = fields.or("protocol", Protocol::TCP, |at| match at.text()? {
        "SCTP" => Err(at.refuse_with(
            "connections over SCTP are not supported by this version of switchboard",
            "supported here: TCP and UDP; `probe` takes SCTP too",
        )),
        _ => at.word(&TRANSPORTS),
    });
    let timeout = fields.or("timeout", TIMEOUT, timeout);
    let payload = fields.or("send", Vec::new(), |at| Ok(at.text()?.as_bytes().to_vec()));
    Ok(Dial {
        to: to?,
        protocol: protocol?,
        count: 1,
        timeout: timeout?,
        payload: payload?,
    })
}

pub(super) fn open(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let id = fields.need("id", name);
    let from = fields.need("from", |at| source(at, setting));
    let one_line = one_line(&fields);
    let dial = dial(&mut fields);
    fields.finish()?;
    let expect = expect(step, Repeat::Acts, |fields| {
        check::connect(fields, setting.namespace)
    });
    one_line?;
    Ok(Action::Open {
        id: id?,
        from: from?,
        dial: dial?,
        expect: expect?,
    })
}

pub(super) fn send(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let on = fields.need("on", name);
    let one_line = one_line(&fields);
    let payload = fields.or("send", Vec::new(), |at| Ok(at.text()?.as_bytes().to_vec()));
    let timeout = fields.or("timeout", TIMEOUT, timeout);
    fields.finish()?;
    let expect = expect(step, Repeat::Acts, |fields| {
        check::connect(fields, setting.namespace)
    });
    one_line?;
    Ok(Action::Send {
        on: on?,
        payload: payload?,
        timeout: timeout?,
        expect: expect?,
    })
}

pub(super) fn close(step: &mut Fields<'_>, at: &Cursor<'_>) -> Read<Action> {
    if let Some(at) = step.take("expect") {
        return Err(at.refuse_key(
            "a `close` expects nothing",
            Some("give the `send` before it the expectation".to_owned()),
        ));
    }
    Ok(Action::Close { id: name(at)? })
}

pub(super) fn traffic(
    step: &mut Fields<'_>,
    at: &Cursor<'_>,
    setting: &Setting<'_>,
) -> Read<Action> {
    if let Some(at) = step.take("expect") {
        return Err(at.refuse_key(
            "`traffic` goes on while later steps run",
            Some("its `stop` has the expectation".to_owned()),
        ));
    }
    let mut fields = at.fields()?;
    let id = fields.need("id", name);
    let from = fields.need("from", |at| {
        at.one_or_list(SOURCES_MAX, |item| source(&item, setting))
    });
    let one_line = one_line(&fields);
    let dial = dial(&mut fields);
    let rate = fields.need("rate", Cursor::parsed);
    let span = fields.may("for", |at| match at.duration()? {
        Duration::ZERO => Err(at.refuse("traffic for no time at all is none")),
        span => Ok(span),
    });
    let reuse = fields.or("reuse", Reuse::None, |at| at.word(&REUSE));
    fields.finish()?;
    one_line?;
    Ok(Action::Traffic(Box::new(TrafficStart {
        id: id?,
        from: from?,
        dial: dial?,
        rate: rate?,
        span: span?,
        reuse: reuse?,
    })))
}

pub(super) fn stop(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let id = name(at);
    let expect = expect(step, Repeat::Acts, |fields| {
        check::stop(fields, setting.namespace)
    });
    Ok(Action::Stop {
        id: id?,
        expect: expect?,
    })
}

/// Which names stand for connections and traffic, step after step.
#[derive(Default)]
pub(super) struct Ids(BTreeMap<String, Stage>);

/// What has become of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Closed,
    Running,
    Stopped,
}

impl Ids {
    /// What is open and what runs. A name that was used and let go of is free again.
    pub(super) fn of(background: &Background) -> Self {
        let open = background.held.keys().map(|id| (id.clone(), Stage::Open));
        let running = background.running.iter();
        let running = running.map(|id| (id.clone(), Stage::Running));
        Self(open.chain(running).collect())
    }

    /// Complains of a name that is used twice, or that means nothing. Whether a step runs at all in a mode is another
    /// question, which is answered when its name is used.
    pub(super) fn check(&mut self, at: &Cursor<'_>, action: &Action) -> Read<()> {
        let (id, needed, next) = match action {
            Action::Open { id, .. } => (id, None, Stage::Open),
            Action::Traffic(start) => (&start.id, None, Stage::Running),
            Action::Send { on, .. } => (on, Some(Stage::Open), Stage::Open),
            Action::Close { id } => (id, Some(Stage::Open), Stage::Closed),
            Action::Stop { id, .. } => (id, Some(Stage::Running), Stage::Stopped),
            _ => return Ok(()),
        };
        let stage = self.0.get(id).copied();
        if stage != needed {
            let message = match (stage, needed) {
                (_, None) => format!("the id {id:?} is used already: another one is needed"),
                (None, Some(Stage::Open)) => format!("no step before this one opens {id:?}"),
                (None, Some(_)) => format!("no traffic before this step is called {id:?}"),
                (Some(stage), _) => format!("{id:?} {}", stage.as_str()),
            };
            return Err(at.refuse(message));
        }
        self.0.insert(id.clone(), next);
        Ok(())
    }
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "is a connection: `close` ends it",
            Self::Closed => "was closed by an earlier step",
            Self::Running => "is traffic: `stop` ends it",
            Self::Stopped => "was stopped by an earlier step",
        }
    }
}

fn name(at: &Cursor<'_>) -> Read<String> {
    at.name().map(str::to_owned)
}

fn timeout(at: &Cursor<'_>) -> Read<Duration> {
    match at.duration()? {
        Duration::ZERO => Err(at.refuse("a client that waits no time at all gets no answer")),
        timeout => Ok(timeout),
    }
}

/// On a connection that is kept, a line is a request.
fn one_line(fields: &Fields<'_>) -> Read<()> {
    let text = fields
        .at()
        .value()
        .get("send")
        .and_then(|send| send.as_str());
    match text.is_some_and(|text| text.contains('\n')) {
        true => Err(fields
            .at()
            .refuse("`send` has more than one line, and each is a request on this connection")),
        false => Ok(()),
    }
}
