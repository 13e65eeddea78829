//! Tables: one row per object, the columns those of its kind.
//!
//! **Source of the semantics.** API-93 … API-95; S: `pkg/printers/internalversion/printers.go` (which columns, and what
//! is in them), `cli-runtime/pkg/printers/tableprinter.go` (how they are shown).

mod endpoints;
mod event;
mod inert;
mod network;
mod node;
mod pod;
mod service;
mod workload;

use api::{Kind, Object};
use base::SimTime;

use crate::selector::pairs;
use crate::tabs::Tabs;
use crate::time::age;

pub(crate) use endpoints::socket;
pub(crate) use event::{
    count as event_count, first_seen as event_first_seen, last_seen as event_last_seen,
};
pub(crate) use node::roles;

/// A column of a kind's table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    header: &'static str,
    shown: Shown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// It holds the object's name, which its kind may stand before.
    AsName,
    Always,
    /// It holds the object's name, and is shown with `-o wide`.
    AsNameIfWide,
    IfWide,
}

/// The column of the object's name.
const NAME: Column = Column {
    header: "NAME",
    shown: Shown::AsName,
};
const AGE: Column = shown("AGE");

const fn shown(header: &'static str) -> Column {
    Column {
        header,
        shown: Shown::Always,
    }
}

const fn wide(header: &'static str) -> Column {
    Column {
        header,
        shown: Shown::IfWide,
    }
}

/// How a table is to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) now: SimTime,
    pub(crate) is_wide: bool,
    /// Whether kinds stand before names.
    pub(crate) with_kind: bool,
    pub(crate) with_namespace: bool,
    pub(crate) with_labels: bool,
    pub(crate) with_headers: bool,
}

impl Look {
    fn shows(&self, column: &Column) -> bool {
        self.is_wide || matches!(column.shown, Shown::AsName | Shown::Always)
    }

    fn age(&self, object: &Object) -> String {
        age(object.meta().creation_timestamp.as_deref(), self.now)
    }
}

/// The table of some objects of a kind.
pub(crate) fn text(kind: Kind, objects: &[Object], look: &Look) -> String {
    let columns = columns(kind);
    let mut lines = String::new();
    if look.with_headers {
        let headers = columns.iter().filter(|column| look.shows(column));
        let headers = headers.map(|column| column.header.to_owned());
        line(
            &mut lines,
            look.with_namespace.then(|| "NAMESPACE".to_owned()),
            headers,
            look.with_labels.then(|| "LABELS".to_owned()),
        );
    }
    for object in objects {
        let cells = columns.iter().zip(cells(object, look));
        let cells =
            cells
                .filter(|(column, _)| look.shows(column))
                .map(|(column, cell)| match column.shown {
                    Shown::AsName | Shown::AsNameIfWide if look.with_kind => {
                        format!("{}/{cell}", kind.singular())
                    }
                    _ => cell,
                });
        line(
            &mut lines,
            look.with_namespace.then(|| object.meta().namespace.clone()),
            cells,
            look.with_labels.then(|| pairs(&object.meta().labels)),
        );
    }
    Tabs::TABLE.align(&lines)
}

fn line(
    lines: &mut String,
    namespace: Option<String>,
    cells: impl Iterator<Item = String>,
    labels: Option<String>,
) {
    let cells = namespace.into_iter().chain(cells).chain(labels);
    let cells: Vec<String> = cells.map(one_line).collect();
    lines.push_str(&cells.join("\t"));
    lines.push('\n');
}

/// A cell ends with its first line.
fn one_line(cell: String) -> String {
    match cell.find(['\n', '\r', '\u{c}']) {
        Some(end) => format!("{}...", &cell[..end]),
        None => cell,
    }
}

fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Namespace => network::NAMESPACE,
        Kind::Node => node::COLUMNS,
        Kind::Pod => pod::COLUMNS,
        Kind::Service => service::COLUMNS,
        Kind::EndpointSlice => endpoints::SLICE,
        Kind::Endpoints => endpoints::COLUMNS,
        Kind::ServiceCidr => network::SERVICE_CIDR,
        Kind::IpAddress => network::IP_ADDRESS,
        Kind::Deployment => workload::DEPLOYMENT,
        Kind::ReplicaSet => workload::REPLICA_SET,
        Kind::StatefulSet => workload::STATEFUL_SET,
        Kind::DaemonSet => workload::DAEMON_SET,
        Kind::NetworkPolicy => network::NETWORK_POLICY,
        Kind::Event => event::COLUMNS,
        Kind::Other(_) => inert::columns(kind),
    }
}

/// What stands in the columns, in their order.
fn cells(object: &Object, look: &Look) -> Vec<String> {
    match object {
        Object::Namespace(namespace) => network::namespace(namespace, look.age(object)),
        Object::Node(node) => node::cells(node, look.age(object)),
        Object::Pod(pod) => pod::cells(pod, look.now),
        Object::Service(service) => service::cells(service, look.age(object), look.is_wide),
        Object::EndpointSlice(slice) => endpoints::slice(slice, look.age(object)),
        Object::Endpoints(endpoints) => endpoints::cells(endpoints, look.age(object)),
        Object::ServiceCidr(cidr) => network::service_cidr(cidr, look.age(object)),
        Object::IpAddress(address) => network::ip_address(address),
        Object::Deployment(deployment) => workload::deployment(deployment, look.age(object)),
        Object::ReplicaSet(set) => workload::replica_set(set, look.age(object)),
        Object::StatefulSet(set) => workload::stateful_set(set, look.age(object)),
        Object::DaemonSet(set) => workload::daemon_set(set, look.age(object)),
        Object::NetworkPolicy(policy) => network::policy(policy, look.age(object)),
        Object::Event(event) => event::cells(event, look.now),
        Object::Other(_) => inert::cells(object, look.now),
    }
}

/// The first three of a list, and how many more there are (API-94, API-95).
pub(crate) fn clipped(items: impl Iterator<Item = String>) -> String {
    const SHOWN_MAX: usize = 3;
    let items: Vec<String> = items.collect();
    let shown = &items[..items.len().min(SHOWN_MAX)];
    match items.len() - shown.len() {
        0 => shown.join(","),
        more => format!("{} + {more} more...", shown.join(",")),
    }
}
