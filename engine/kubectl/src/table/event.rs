//! Events.

use api::Event;
use base::SimTime;
use serde_json::Value;

use super::{Column, Shown, shown, wide};
use crate::fields::text;
use crate::time::age;

pub(super) const COLUMNS: &[Column] = &[
    shown("LAST SEEN"),
    shown("TYPE"),
    shown("REASON"),
    shown("OBJECT"),
    wide("SUBOBJECT"),
    wide("SOURCE"),
    shown("MESSAGE"),
    wide("FIRST SEEN"),
    wide("COUNT"),
    Column {
        header: "NAME",
        shown: Shown::AsNameIfWide,
    },
];

pub(super) fn cells(event: &Event, now: SimTime) -> Vec<String> {
    let object = &event.involved_object;
    let kind = object.kind.to_ascii_lowercase();
    let target = match object.name.as_str() {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        last_seen(event, now),
        event.event_type.clone(),
        event.reason.clone(),
        target,
        object.field_path.clone(),
        source(event),
        event.message.trim().to_owned(),
        first_seen(event, now),
        count(event).to_string(),
        event.metadata.name.clone(),
    ]
}

/// How long ago it was seen first.
pub(crate) fn first_seen(event: &Event, now: SimTime) -> String {
    let newer = event.rest.get("eventTime").and_then(Value::as_str);
    age(event.first_timestamp.as_deref().or(newer), now)
}

/// How long ago it was seen last.
pub(crate) fn last_seen(event: &Event, now: SimTime) -> String {
    let series = event.rest.get("series");
    match series.map(|series| text(series, "/lastObservedTime")) {
        Some(last) => age(Some(last), now),
        None => match &event.last_timestamp {
            Some(last) => age(Some(last), now),
            None => first_seen(event, now),
        },
    }
}

/// How often it was seen.
pub(crate) fn count(event: &Event) -> i64 {
    let series = event.rest.get("series");
    let series = series.and_then(|series| series.get("count")?.as_i64());
    series.unwrap_or_else(|| i64::from(event.count.unwrap_or(0).max(1)))
}

fn source(event: &Event) -> String {
    let (component, host) = match event.source.component.is_empty() {
        true => (&event.reporting_component, &event.reporting_instance),
        false => (&event.source.component, &event.source.host),
    };
    match host.is_empty() {
        true => component.clone(),
        false => format!("{component}, {host}"),
    }
}
