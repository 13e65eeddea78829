//! The steps of a diagnosis: one file for each thing that can be wrong.

mod affinity;
mod chosen;
mod client;
mod client_port;
mod dns;
mod external_name;
mod families;
mod former;
mod headless;
mod links;
mod listening;
mod load_balancer;
mod lookup;
mod missing;
mod node_ports;
mod orphans;
mod owners;
mod readiness;
mod refusal;
mod rollout;
mod selector;
mod slices;
mod source_ranges;
mod target_port;
mod topology;
mod traffic_policy;
mod virtual_endpoints;

pub(crate) use external_name::external_name;
pub(crate) use lookup::of_name;
pub(crate) use missing::missing;
pub(crate) use refusal::refused;

use crate::Finding;
use crate::facts::Facts;
use crate::freshness;

/// What is looked at in one step.
type Step = fn(&Facts<'_>) -> Vec<Finding>;

/// In the order of DBG-61: the hop that a connection comes to first stands first, DNS on a branch of its own last
/// (DBG-62).
const STEPS: [Step; 28] = [
    headless::by_accident,
    client_port::unknown_port,
    selector::none_selected,
    owners::mixed,
    readiness::not_ready,
    families::missing_family,
    families::missing_slices,
    target_port::unnamed,
    listening::nobody,
    slices::without_selector,
    slices::of_two_managers,
    orphans::left_behind,
    virtual_endpoints::chained,
    slices::shared_address,
    traffic_policy::internal,
    traffic_policy::external,
    topology::hints,
    rollout::still_chosen,
    |facts| freshness::stale_nodes(facts.control, facts.key, facts.client_node()),
    links::broken,
    client::from_elsewhere,
    load_balancer::pending,
    source_ranges::excluded,
    node_ports::unanswered,
    affinity::sticky,
    former::addresses,
    dns::broken,
    of_name,
];

/// Everything that is found.
pub(crate) fn all(facts: &Facts<'_>) -> Vec<Finding> {
    STEPS.iter().flat_map(|step| step(facts)).collect()
}
