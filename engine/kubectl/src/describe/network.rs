//! ServiceCIDRs and IPAddresses.

use api::{IpAddress, Kind, ServiceCidr};
use serde_json::Value;

use super::View;
use super::event::About;
use super::page::Page;
use crate::time::date;

pub(super) fn service_cidr(cidr: &ServiceCidr, view: &View<'_>) -> String {
    let mut page = Page::default();
    page.field(0, "Name", &cidr.metadata.name);
    page.labels_and_annotations(&cidr.metadata);
    page.field(0, "CIDRs", &cidr.spec.cidrs.join(", "));
    if !cidr.status.conditions.is_empty() {
        page.line(0, format_args!("Status:"));
        page.line(0, format_args!("Conditions:"));
        page.line(
            1,
            format_args!("Type\tStatus\tLastTransitionTime\tReason\tMessage"),
        );
        page.line(
            1,
            format_args!("----\t------\t------------------\t------\t-------"),
        );
    }
    for condition in &cidr.status.conditions {
        let (kind, status) = (&condition.condition_type, &condition.status);
        let since = date(condition.last_transition_time.as_deref());
        let [reason, message] = ["reason", "message"].map(|field| {
            let text = condition.rest.get(field).and_then(Value::as_str);
            text.unwrap_or_default()
        });
        page.line(
            1,
            format_args!("{kind}\t{status}\t{since}\t{reason}\t{message}"),
        );
    }
    page.events(&About::new(Kind::ServiceCidr, &cidr.metadata), view);
    page.finish()
}

pub(super) fn ip_address(address: &IpAddress, view: &View<'_>) -> String {
    let mut page = Page::default();
    page.field(0, "Name", &address.metadata.name);
    page.labels_and_annotations(&address.metadata);
    if let Some(parent) = &address.spec.parent_ref {
        page.line(0, format_args!("Parent Reference:"));
        page.field(1, "Group", &parent.group);
        page.field(1, "Resource", &parent.resource);
        page.field(1, "Namespace", &parent.namespace);
        page.field(1, "Name", &parent.name);
    }
    page.events(&About::new(Kind::IpAddress, &address.metadata), view);
    page.finish()
}
