//! `switchboard node`: a node's proxy, which programs a real kernel with what the compiler makes of manifests.
//!
//! Deviation: no kernel setting is changed but those that only IPVS has. So node ports do not answer at 127.0.0.1, for which kube-proxy sets
//! `route_localnet` (PROXY-27), and forwarding must be on already.

mod ipvs;
mod manifests;
mod watch;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use control::{NodeRules, ProxyMode, ProxySettings};
use ipnet::IpNet;
use miette::Report;
use node::{
    ConntrackTools, IptablesSink, IptablesTools, IpvsSink, IpvsTools, KernelSink, KernelTools,
    LoadError, LockError, NamespaceLock, NftTools, NftablesSink, NodeProxy, NodeProxyConfig,
    Notice, ToolError,
};
use proxy::{AgentSettings, StaleUdp};
use rules::{
    Capabilities, ClusterSizes, ClusterView, Compiler, LocalDetection, NodeFacts, SHARED_CHAIN,
};
use ruleset::Family;
use ruleset::nft::{NftTables, NftTransaction};
use ruleset::xt::{XtTables, XtTransaction};

use crate::args::{NodeArgs, Task};
use crate::{Exit, input, output};

use manifests::Cluster;
use watch::ManifestWatch;

/// The range that clusters made by kubeadm have.
const SERVICE_CIDR: &str = "10.96.0.0/12";

/// Does one task on this machine.
pub(crate) fn run(args: &NodeArgs) -> Result<Exit, Report> {
    one_of_each_family("--service-cidr", &args.service_cidr)?;
    one_of_each_family("--cluster-cidr", &args.cluster_cidr)?;
    let _lock = match args.task.get() {
        Task::DryRun => None,
        Task::Run | Task::Once | Task::Cleanup => Some(lock()?),
    };
    let kernel = Kernel::of(args);
    let text = match (args.task.get(), &args.manifests, &args.node_name, args.mode) {
        (Task::Cleanup, ..) => kernel.clean_up()?,
        (task, Some(manifests), Some(name), Some(mode)) => {
            let cluster = Cluster::read(manifests, service_cidrs(args))?;
            let facts = facts(args, name, mode, &cluster)?;
            if task == Task::Run {
                let watch = ManifestWatch::new(args, manifests.clone(), mode, cluster, facts);
                return proxy(args, mode, watch);
            }
            for warning in warnings(&cluster, &facts) {
                output::complain(&format!("Warning: {warning}"));
            }
            let view = cluster.view();
            match task {
                Task::Once => kernel.load(mode, view, &facts)?,
                _ => kernel.show(mode, view, &facts)?,
            }
        }
        _ => unreachable!("clap asks for all three"),
    };
    output::print(&text)?;
    Ok(Exit::Passed)
}

fn lock() -> Result<NamespaceLock, Report> {
    NamespaceLock::take().map_err(|error| {
        let help = match error {
            LockError::Held => Some("end it, or do this in another network namespace"),
            LockError::Io(_) => None,
        };
        input::error(error.to_string(), help)
    })
}

/// Goes on until it is told to end.
fn proxy(args: &NodeArgs, mode: ProxyMode, watch: ManifestWatch<'_>) -> Result<Exit, Report> {
    let end = node::end_signals().map_err(|error| input::error(error.to_string(), None))?;
    let tools = KernelTools {
        iptables: IptablesTools::new(args.iptables.into()),
        nft: NftTools::new(),
        ipvs: IpvsTools::new(),
    };
    let sink = KernelSink::new(mode, tools);
    let sink = sink.map_err(|error| refused(&error.into()))?;
    let timing = &args.proxy;
    let config = NodeProxyConfig {
        mode,
        settings: AgentSettings {
            min_sync_period: timing.min_sync_period,
            sync_period: timing.sync_period,
            full_sync_period: match mode {
                // Each sync reads all that is there, as kube-proxy's does in this mode.
                ProxyMode::Ipvs => timing.full_sync_period.min(timing.sync_period),
                _ => timing.full_sync_period,
            },
            spares_large_clusters: mode == ProxyMode::Iptables,
        },
        poll_period: timing.poll,
        healthz_address: timing.healthz_bind_address.0,
        metrics_address: timing.metrics_bind_address.0,
        service_cidrs: service_cidrs(args).into(),
    };
    let tell = |notice: Notice| {
        let word = if notice.is_warning() { "Warning: " } else { "" };
        output::complain(&format!("{word}{notice}"));
    };
    let proxy = NodeProxy::new(config, watch, sink, ConntrackTools::new(), tell);
    proxy.run(&end).map_err(|error| {
        let message = format!("{error}: {}", error.source);
        input::error(message, Some("choose another address, or '' for none"))
    })?;
    Ok(Exit::Passed)
}

/// Of several ranges of a family a proxy would take the first.
fn one_of_each_family(argument: &str, ranges: &[IpNet]) -> Result<(), Report> {
    for family in Family::ALL {
        let of_family = ranges.iter().filter(|net| Family::of(net.addr()) == family);
        if of_family.count() > 1 {
            let message = format!("{argument}: several {family} ranges are given");
            let help = "one of each address family is supported";
            return Err(input::error(message, Some(help)));
        }
    }
    Ok(())
}

fn service_cidrs(args: &NodeArgs) -> Vec<IpNet> {
    match args.service_cidr.as_slice() {
        [] => vec![SERVICE_CIDR.parse().expect("it is a range")],
        given => given.to_vec(),
    }
}

/// What the node knows about itself: by its Node object, or by what the arguments say.
fn facts(
    args: &NodeArgs,
    name: &str,
    mode: ProxyMode,
    cluster: &Cluster,
) -> Result<NodeFacts, Report> {
    let node = cluster.node(name);
    let stated = node.into_iter().flat_map(|node| &node.status.addresses);
    let stated = stated.filter(|address| address.address_type == "InternalIP");
    let stated = stated.filter_map(|address| address.address.parse().ok());
    let mut addresses: Vec<IpAddr> = match args.address.as_slice() {
        [] => stated.collect(),
        given => given.to_vec(),
    };
    if addresses.is_empty() {
        let message = format!("the addresses of node {name} are not known");
        let help = format!(
            "give them with --address, or add a Node named {name} with status.addresses of type InternalIP"
        );
        return Err(input::error(message, Some(&help)));
    }
    if mode == ProxyMode::Ipvs {
        let own = IpvsTools::new().own_addresses();
        let own = own.map_err(|error| refused(&error.into()))?.into_iter();
        let further: Vec<IpAddr> = own.filter(|one| !addresses.contains(one)).collect();
        addresses.extend(further);
    }
    let settings = ProxySettings::default();
    Ok(NodeFacts {
        name: name.into(),
        zone: node.and_then(|node| node.zone()).map(Into::into),
        addresses,
        local_detection: match args.cluster_cidr.as_slice() {
            [] => LocalDetection::None,
            ranges => LocalDetection::ClusterCidr(ranges.to_vec()),
        },
        masquerade_all: settings.of(mode).masquerade_all,
        node_port_addresses: settings.node_ports_at(mode),
        localhost_node_ports: false,
        masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
    })
}

/// What is probably not meant.
fn warnings(cluster: &Cluster, facts: &NodeFacts) -> Vec<String> {
    let mut all = cluster.warnings.clone();
    let view = cluster.view();
    // Nobody makes slices for them here.
    let services = view.services.existing();
    let alone = services.filter(|(_, _, slices)| slices.is_empty());
    all.extend(alone.map(|(service, ..)| {
        format!(
            "Service {service} has no EndpointSlice among the manifests: connections to it are refused"
        )
    }));
    if facts.local_detection == LocalDetection::None {
        all.push(
            "without --cluster-cidr nobody outside of the cluster is told from Pods, so answers to them may get lost"
                .to_owned(),
        );
    }
    all
}

/// The kernel of this machine, by all the tools that program it.
struct Kernel {
    tools: IptablesTools,
    iptables: IptablesSink,
    nftables: NftablesSink,
    ipvs: IpvsSink,
}

impl Kernel {
    fn of(args: &NodeArgs) -> Self {
        let tools = IptablesTools::new(args.iptables.into());
        let capabilities = Capabilities::default();
        Self {
            iptables: IptablesSink::new(tools.clone(), capabilities),
            nftables: NftablesSink::new(NftTools::new(), capabilities),
            ipvs: IpvsSink::new(IpvsTools::new(), tools.clone(), capabilities),
            tools,
        }
    }

    /// The rules that the kernel is to have.
    fn compile(
        &self,
        mode: ProxyMode,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> Result<NodeRules, Report> {
        let random_fully = match mode {
            ProxyMode::Iptables | ProxyMode::Ipvs => {
                let has = self.tools.has_random_fully();
                has.map_err(|error| refused(&error.into()))?
            }
            ProxyMode::Nftables | ProxyMode::Flat => true,
        };
        let mut compiler = Compiler::new(Capabilities {
            nfacct: false,
            random_fully,
        });
        let sizes = ClusterSizes::of(view);
        let rules = NodeRules::compile(mode, &mut compiler, None, view, facts, sizes);
        Ok(rules)
    }

    /// Programs the kernel; says what that took. What a proxy in the other mode has left goes when the new rules stand.
    fn load(
        &self,
        mode: ProxyMode,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> Result<String, Report> {
        let mut text = summary(mode, view, facts);
        match self.compile(mode, view, facts)? {
            NodeRules::Iptables(compiled) => {
                load_each(&compiled.tables, facts, &mut text, |tables| {
                    let done = self.iptables.load(tables)?;
                    Ok(tell_iptables(tables.family, &done))
                })?;
                text += &self.leave_nftables()?;
                text += &self.succeed_ipvs()?;
            }
            NodeRules::Nftables(compiled) => {
                let done = self.nftables.load(&compiled.tables);
                tell_nftables(&mut text, &done.map_err(|error| refused(&error))?);
                text += &self.leave_iptables()?;
                text += &self.succeed_ipvs()?;
            }
            NodeRules::Ipvs(compiled) => {
                self.load_ipvs(&compiled, facts, &mut text)?;
                text += &self.leave_nftables()?;
            }
        }
        Self::forget_stale(view, &mut text);
        Ok(text)
    }

    /// What [`Self::load`] would have the tools do, as text that they take.
    fn show(
        &self,
        mode: ProxyMode,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> Result<String, Report> {
        let mut text = format!("# {}", summary(mode, view, facts));
        match self.compile(mode, view, facts)? {
            NodeRules::Iptables(compiled) => {
                for tables in compiled.tables.values() {
                    text += &self.show_iptables(tables)?;
                }
                text += &self.show_nftables(&NftTables::new())?;
                text += &self.show_succeed_ipvs()?;
            }
            NodeRules::Nftables(compiled) => {
                text += &self.show_nftables(&compiled.tables)?;
                for family in Family::ALL {
                    text += &self.show_iptables(&XtTables::new(family))?;
                }
                text += &self.show_succeed_ipvs()?;
            }
            rules @ NodeRules::Ipvs(_) => {
                text += &self.show_ipvs(&rules)?;
                text += &self.show_nftables(&NftTables::new())?;
            }
        }
        Ok(text)
    }

    fn show_iptables(&self, tables: &XtTables) -> Result<String, Report> {
        let change = match self.iptables.plan(tables) {
            Err(error) if error.is_missing() => return Ok(format!("# {error}\n")),
            change => change.map_err(|error| refused(&error))?,
        };
        let tool = self.tools.restorer(tables.family);
        let texts = change.units.iter().map(|unit| {
            let text = unit.restore_text(tables.family);
            format!("# for {tool} --noflush\n{text}")
        });
        Ok(texts.collect())
    }

    fn show_nftables(&self, tables: &NftTables) -> Result<String, Report> {
        let change = match self.nftables.plan(tables) {
            Err(error) if error.is_missing() => return Ok(format!("# {error}\n")),
            change => change.map_err(|error| refused(&error))?,
        };
        Ok(match change.is_empty() {
            true => String::new(),
            false => format!("# for nft -f -\n{}", change.script()),
        })
    }

    /// Takes the rules of all modes away.
    fn clean_up(&self) -> Result<String, Report> {
        let text = self.leave_nftables()? + &self.leave_iptables()? + &self.leave_ipvs()?;
        Ok(match text.is_empty() {
            true => "there was nothing of a proxy\n".to_owned(),
            false => text,
        })
    }

    fn leave_iptables(&self) -> Result<String, Report> {
        let left = self.iptables.leave().map_err(|error| refused(&error))?;
        let told = left.iter();
        Ok(told
            .map(|family| {
                format!(
                    "{family} iptables: what a proxy had there is gone, but for {SHARED_CHAIN}, which is the kubelet's as \
                     well\n"
                )
            })
            .collect())
    }

    fn leave_nftables(&self) -> Result<String, Report> {
        let left = self.nftables.leave().map_err(|error| refused(&error))?;
        Ok(match left {
            true => "nftables: what a proxy had there is gone\n".to_owned(),
            false => String::new(),
        })
    }

    /// UDP connections whose endpoints are gone. Whoever has no `conntrack` is told; the rules stand.
    fn forget_stale(view: &ClusterView, text: &mut String) {
        let stale = StaleUdp::between(&ClusterView::default(), view);
        let Some(stale) = stale.filter(|stale| !stale.is_empty()) else {
            return;
        };
        let tools = ConntrackTools::new();
        let deleted = Family::ALL.map(|family| tools.delete_stale(&stale, family));
        let count: usize = deleted.iter().map(|done| done.count).sum();
        if count > 0 {
            *text += &format!("{count} stale UDP connections are deleted\n");
        }
        if let Some(error) = deleted.into_iter().find_map(|done| done.error) {
            let notice = Notice::ConntrackFailed(error);
            output::complain(&format!("Warning: {notice}"));
        }
    }
}

fn summary(mode: ProxyMode, view: &ClusterView, facts: &NodeFacts) -> String {
    let services = view.services.count();
    let word = if services == 1 { "Service" } else { "Services" };
    format!("node {}, mode {mode}: {services} {word}\n", facts.name)
}

/// One family does not wait for the other. One that the kernel lacks is left out if the node has no address of it.
fn load_each<T>(
    tables: &BTreeMap<Family, T>,
    facts: &NodeFacts,
    text: &mut String,
    load: impl Fn(&T) -> Result<String, LoadError>,
) -> Result<(), Report> {
    let mut failed = None;
    for (family, tables) in tables {
        match load(tables) {
            Ok(told) => *text += &told,
            Err(error) if error.can_be_left_out(facts, *family) => {
                *text += &format!("{family}: left out, for it is not there ({error})\n");
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let Some(error) = failed else {
        return Ok(());
    };
    output::print(text)?;
    Err(refused(&error))
}

fn tell_iptables(family: Family, done: &XtTransaction) -> String {
    let commands = done.units.iter().map(|unit| unit.commands.len()).sum();
    tell_steps(family, commands, done.units.len())
}

fn tell_steps(family: Family, changes: usize, steps: usize) -> String {
    match changes {
        0 => format!("{family}: nothing to change\n"),
        some => format!("{family}: {some} changes in {steps} steps\n"),
    }
}

fn tell_nftables(text: &mut String, done: &NftTransaction) {
    let told = match done.operations().len() {
        0 => writeln!(text, "nothing to change"),
        some => writeln!(text, "{some} changes in one step"),
    };
    told.expect("a String takes everything");
}

fn refused(error: &LoadError) -> Report {
    let help = match error {
        LoadError::Tool(ToolError::Permission { .. }) => {
            Some("run it as root, in the network namespace that it is for")
        }
        LoadError::Tool(ToolError::NotFound { .. }) => {
            Some("install iptables or nftables, or choose the other --mode")
        }
        _ => None,
    };
    let remedy = match error {
        LoadError::Tool(error) => error.remedy(),
        _ => None,
    };
    input::error(error.to_string(), remedy.or(help))
}
