//! A Pod's quality-of-service class (S: `pkg/apis/core/helper/qos/qos.go`).
//!
//! Deviation: quantities are compared as they are written (`1` is not `1000m`), and those of the Pod as a whole are
//! not looked at.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::object::{Container, PodSpec, Rest};

static BEST_EFFORT: LazyLock<Rest> = LazyLock::new(|| status("BestEffort"));
static BURSTABLE: LazyLock<Rest> = LazyLock::new(|| status("Burstable"));
static GUARANTEED: LazyLock<Rest> = LazyLock::new(|| status("Guaranteed"));

/// The part of the status that names the class.
pub(super) fn class(spec: &PodSpec) -> &'static Rest {
    let mut containers = spec.init_containers.iter().chain(&spec.containers);
    if !containers.clone().any(asks) {
        &BEST_EFFORT
    } else if containers.all(is_bounded) {
        &GUARANTEED
    } else {
        &BURSTABLE
    }
}

/// Whether it asks for processors or memory at all.
fn asks(container: &Container) -> bool {
    let mut pairs = ["requests", "limits"]
        .into_iter()
        .flat_map(|list| [(list, "cpu"), (list, "memory")]);
    pairs.any(|(list, resource)| quantity(container, list, resource).is_some())
}

/// Whether it gets exactly what it may use at most.
fn is_bounded(container: &Container) -> bool {
    ["cpu", "memory"].into_iter().all(|resource| {
        let limit = quantity(container, "limits", resource);
        limit.is_some() && limit == quantity(container, "requests", resource)
    })
}

/// A quantity as text; zero is none.
fn quantity(container: &Container, list: &str, resource: &str) -> Option<String> {
    let value = container.rest.get("resources")?.get(list)?.get(resource)?;
    let text = match value {
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    (text != "0").then_some(text)
}

fn status(class: &str) -> Rest {
    Rest::new(Map::from_iter([("qosClass".to_owned(), class.into())]))
}
