//! Selectors over fields: `metadata.name=web,spec.type!=NodePort`.
//!
//! **Source of the semantics.** API-35; S: `apimachinery/pkg/fields/selector.go`,
//! `pkg/apis/core/v1/conversion.go`, `pkg/registry/core/*/strategy.go`.

use std::str::FromStr;

use super::SelectorError;
use crate::object::{Kind, Object};

/// All terms must hold; without any, everything is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    equal: bool,
    value: String,
}

impl FieldSelector {
    /// Objects of this name only.
    #[must_use]
    pub fn name(name: &str) -> Self {
        let term = Term {
            field: "metadata.name".to_owned(),
            equal: true,
            value: name.to_owned(),
        };
        Self { terms: vec![term] }
    }

    /// Whether nothing is asked, so that everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether every field that is asked for can be asked for in objects of this kind.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check(&self, kind: Kind) -> Result<(), SelectorError> {
        let unknown = self
            .terms
            .iter()
            .find(|term| !supported(kind).any(|field| field == term.field));
        let Some(Term { field, .. }) = unknown else {
            return Ok(());
        };
        Err(SelectorError(if own_fields(kind).is_empty() {
            format!(
                "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            )
        } else {
            format!("field label not supported: {field}")
        }))
    }

    /// Whether the object's fields satisfy every term; a field that cannot be asked for is empty.
    #[must_use]
    pub fn matches(&self, object: &Object) -> bool {
        self.terms
            .iter()
            .all(|term| (field_of(object, &term.field) == term.value) == term.equal)
    }
}

impl FromStr for FieldSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let terms = split_terms(text);
        let terms = terms.into_iter().filter(|term| !term.is_empty());
        let terms = terms.map(|term| {
            read_term(term).ok_or_else(|| {
                SelectorError(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                ))
            })
        });
        Ok(Self {
            terms: terms.collect::<Result<_, _>>()?,
        })
    }
}

/// Splits at commas without a backslash before them.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, sign) in text.char_indices() {
        if sign == ',' && !escaped {
            terms.push(&text[start..at]);
            start = at + 1;
        }
        escaped = sign == '\\' && !escaped;
    }
    terms.push(&text[start..]);
    terms
}

fn read_term(term: &str) -> Option<Term> {
    let at = term.find(['=', '!'])?;
    let (field, rest) = term.split_at(at);
    let (equal, value) = if let Some(value) = rest.strip_prefix("!=") {
        (false, value)
    } else if let Some(value) = rest.strip_prefix("==") {
        (true, value)
    } else {
        (true, rest.strip_prefix('=')?)
    };
    Some(Term {
        field: field.to_owned(),
        equal,
        value: unescaped(value)?,
    })
}

/// `\\`, `\,` and `\=` stand for themselves; a bare `=` or another escape is no value.
fn unescaped(value: &str) -> Option<String> {
    let mut text = String::new();
    let mut signs = value.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => text.push(signs.next().filter(|next| "\\,=".contains(*next))?),
            '=' | ',' => return None,
            sign => text.push(sign),
        }
    }
    Some(text)
}

fn supported(kind: Kind) -> impl Iterator<Item = &'static str> {
    let namespace = kind.is_namespaced().then_some("metadata.namespace");
    ["metadata.name"]
        .into_iter()
        .chain(namespace)
        .chain(own_fields(kind).iter().copied())
}

const fn own_fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Service => &["spec.clusterIP", "spec.type"],
        Kind::Pod => &[
            "spec.hostNetwork",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.nominatedNodeName",
            "status.phase",
            "status.podIP",
            "status.podIPs",
        ],
        Kind::Node => &["spec.unschedulable"],
        Kind::Namespace => &["status.phase"],
        Kind::ReplicaSet => &["status.replicas"],
        Kind::IpAddress => &["spec.parentRef.name", "spec.parentRef.namespace"],
        Kind::Event => &[
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        _ => &[],
    }
}

fn field_of(object: &Object, field: &str) -> String {
    let meta = object.meta();
    match (object, field) {
        (_, "metadata.name") => meta.name.clone(),
        (_, "metadata.namespace") => meta.namespace.clone(),
        (Object::Service(service), "spec.clusterIP") => service.spec.cluster_ip.clone(),
        (Object::Service(service), "spec.type") => service.spec.service_type.clone(),
        (Object::Pod(pod), "spec.nodeName") => pod.spec.node_name.clone(),
        (Object::Pod(pod), "spec.hostNetwork") => pod.spec.host_network.to_string(),
        (Object::Pod(pod), "status.phase") => pod.status.phase.clone(),
        (Object::Pod(pod), "status.podIP" | "status.podIPs") => pod.status.pod_ip.clone(),
        (Object::Namespace(namespace), "status.phase") => namespace.status.phase.clone(),
        (Object::Event(event), "reason") => event.reason.clone(),
        (Object::Event(event), "type") => event.event_type.clone(),
        (Object::Event(event), "source") => event.source.component.clone(),
        // The others are printed as they are stored, false and 0 where there is nothing.
        _ => printed(object, field),
    }
}

fn printed(object: &Object, field: &str) -> String {
    let fields = object.to_fields();
    let mut path = field.split('.');
    let first = path.next().and_then(|key| fields.get(key));
    let value = path.fold(first, |value, key| value.and_then(|value| value.get(key)));
    match value {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None if field == "spec.unschedulable" => "false".to_owned(),
        None if field == "status.replicas" => "0".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ObjectMeta, Pod, Service};

    fn service() -> Object {
        let mut service = Service {
            metadata: ObjectMeta::named("default", "web"),
            ..Service::default()
        };
        "10.96.0.9".clone_into(&mut service.spec.cluster_ip);
        "ClusterIP".clone_into(&mut service.spec.service_type);
        service.into()
    }

    fn check(object: &Object, selector: &str, expected: bool) {
        let parsed: FieldSelector = selector.parse().unwrap();
        parsed.check(object.kind()).unwrap();
        assert_eq!(parsed.matches(object), expected, "{selector}");
    }

    #[test]
    fn api_35_fields_of_services() {
        check(&service(), "", true);
        check(&service(), "metadata.name=web", true);
        check(
            &service(),
            "metadata.name==web,metadata.namespace=default",
            true,
        );
        check(
            &service(),
            "spec.clusterIP=10.96.0.9,spec.type!=NodePort",
            true,
        );
        check(&service(), "spec.type!=ClusterIP", false);
        check(&service(), "metadata.name=w\\,b", false);
    }

    #[test]
    fn fields_of_other_kinds() {
        let mut pod = Pod {
            metadata: ObjectMeta::named("a", "p"),
            ..Pod::default()
        };
        "n1".clone_into(&mut pod.spec.node_name);
        "Never".clone_into(&mut pod.spec.restart_policy);
        let pod: Object = pod.into();
        check(&pod, "spec.nodeName=n1,spec.restartPolicy=Never", true);
        check(&pod, "spec.hostNetwork=false", true);
        check(&pod, "spec.schedulerName=", true);
        check(
            &crate::object::Node::default().into(),
            "spec.unschedulable=false",
            true,
        );
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        let refused = |text: &str, kind| {
            let selector: FieldSelector = text.parse().unwrap();
            selector.check(kind).unwrap_err().to_string()
        };
        assert_eq!(
            refused("spec.ports=1", Kind::Service),
            "field label not supported: spec.ports"
        );
        assert_eq!(
            refused("spec.x=1", Kind::Deployment),
            "\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
        for bad in ["a", "a=b=c", "a=\\b", "a<3"] {
            let error = bad.parse::<FieldSelector>().unwrap_err();
            let expected = format!("invalid selector: '{bad}'; can't understand '{bad}'");
            assert_eq!(error.to_string(), expected);
        }
    }
}
