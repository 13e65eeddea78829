//! The command line.
//!
//! Deviation: `--healthz-bind-address` is by default 127.0.0.1:10256, and kube-proxy's is 0.0.0.0:10256. Whoever tries
//! this on a machine need not let others see it; whatever probes a node from outside must be given the address.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use api::Selector;
use base::{SimTime, parse_duration};
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use control::{ProxyMode, is_host_name};
use explain::AskedPort;
use ipnet::IpNet;
use kubectl::FieldPath;
use netfilter::InterfaceName;
use node::Variant;
use scenario::At;

use crate::dump::Link;
use crate::resolve::ResolveArgs;

/// A Kubernetes Service network in one process: where would this packet go?
#[derive(Debug, Parser)]
#[command(name = "switchboard", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Replay scenarios and judge them
    Run(RunArgs),
    /// Print the rules that a node would load at an instant
    Rules(RulesArgs),
    /// Follow one packet, and its answer, hop by hop and rule by rule
    Trace(TraceArgs),
    /// Look a name up as a Pod would, query by query
    Resolve(ResolveArgs),
    /// Print objects at an instant as kubectl would
    Get(GetArgs),
    /// Describe objects at an instant as kubectl would
    Describe(DescribeArgs),
    /// Say what is wrong with a Service, why, and how to fix it
    Explain(ExplainArgs),
    /// Show who reaches which Service, from where, and how
    Matrix(MatrixArgs),
    /// Be a node's proxy: program the kernel of this machine, in this network namespace, as manifests say
    Node(NodeArgs),
    /// Walk through a scenario step by step, and look around in its cluster
    Step(StepArgs),
    /// Print the JSON Schema of scenario files, for editors
    Schema,
    /// Print a script that completes command lines: source <(switchboard completions bash)
    Completions(CompletionsArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Run only in this proxy mode
    #[arg(long, value_parser = parse_mode)]
    pub(crate) mode: Option<ProxyMode>,
    /// Run only the scenario of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<String>,
    /// Use this seed instead of the scenario's
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// What repairs the scenarios that await a repair: manifests, or a Repair
    #[arg(long, value_name = "FILE")]
    pub(crate) with: Option<PathBuf>,
    /// Write what every interface saw, as pcapng files, into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) capture: Option<PathBuf>,
    /// Write what was seen into the expectations that failed; comments and layout stay
    #[arg(long, conflicts_with = "seed")]
    pub(crate) update: bool,
    /// How many runs at the same time [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: RunOutput,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RulesArgs {
    #[command(flatten)]
    pub(crate) instant: InstantArgs,
    /// Whose rules
    #[arg(long, value_name = "NAME")]
    pub(crate) node: String,
    /// Of which address family
    #[arg(long, value_enum, default_value_t)]
    pub(crate) family: FamilyArg,
    /// How to print the result: as the node's tools take it, or as typed tables
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    pub(crate) instant: Option<InstantArgs>,
    /// Who sends: pod/NAME, pod/NAMESPACE/NAME, node/NAME or outside/NAME
    #[arg(long, value_name = "SOURCE", requires = "file")]
    pub(crate) from: Option<String>,
    /// Whereto: name:port, ip:port or an IPv6 address in brackets and :port
    #[arg(long, value_name = "TARGET", requires = "file")]
    pub(crate) to: Option<String>,
    /// The transport protocol
    #[arg(long, value_enum, default_value_t)]
    pub(crate) protocol: ProtocolArg,
    #[command(flatten)]
    pub(crate) dump: DumpArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// A real node's rules instead of a scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct DumpArgs {
    /// What iptables-save (or ip6tables-save, for an IPv6 packet) printed on a node, instead of --in
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub(crate) iptables_save: Option<PathBuf>,
    /// What nft list ruleset printed on a node, instead of --in
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub(crate) nft: Option<PathBuf>,
    /// An address of that node; may be given several times
    #[arg(long, value_name = "IP")]
    pub(crate) address: Vec<IpAddr>,
    /// The packet: tcp:10.0.0.2:40000>10.96.0.10:53
    #[arg(long, value_name = "PACKET")]
    pub(crate) packet: Option<String>,
    /// Which addresses are behind an interface of that node: docker0=172.17.0.0/16; may be given several times. All
    /// others are behind eth0
    #[arg(long, value_name = "NAME=CIDR", value_parser = Link::parse)]
    pub(crate) link: Vec<Link>,
    /// By which interface the packet arrives [default: the one its source is behind]
    #[arg(long, value_name = "NAME", value_parser = parse_interface)]
    pub(crate) in_interface: Option<InterfaceName>,
}

fn parse_interface(text: &str) -> Result<InterfaceName, String> {
    let name = InterfaceName::new(text).filter(|_| !text.is_empty());
    name.ok_or_else(|| "expected the name of an interface, of at most 15 bytes".to_owned())
}

impl DumpArgs {
    /// Whether a dump is given.
    pub(crate) const fn is_given(&self) -> bool {
        self.iptables_save.is_some() || self.nft.is_some()
    }
}

/// Which objects.
#[derive(Debug, clap::Args)]
pub(crate) struct ObjectsArgs {
    /// svc | svc,pods | all | svc NAME… | svc/NAME…
    #[arg(required = true, value_name = "RESOURCE")]
    pub(crate) words: Vec<String>,
    /// In which namespace [default: the scenario's]
    #[arg(long, short, value_name = "NS", conflicts_with = "all_namespaces")]
    pub(crate) namespace: Option<String>,
    /// In all namespaces
    #[arg(long, short = 'A')]
    pub(crate) all_namespaces: bool,
    /// Only those with these labels: app=web,tier!=front
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub(crate) selector: Option<Selector>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,
    #[command(flatten)]
    pub(crate) instant: InstantArgs,
    #[command(flatten)]
    pub(crate) print: PrintArgs,
}

/// How objects are printed.
#[derive(Debug, clap::Args)]
pub(crate) struct PrintArgs {
    /// wide | yaml | json | name | jsonpath={.path} | custom-columns=HEADER:.path,… [default: a table]
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) output: Option<kubectl::Output>,
    /// With a column of labels
    #[arg(long)]
    pub(crate) show_labels: bool,
    /// Without headers
    #[arg(long)]
    pub(crate) no_headers: bool,
    /// Sorted by a field: .metadata.creationTimestamp
    #[arg(long, value_name = "PATH")]
    pub(crate) sort_by: Option<FieldPath>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DescribeArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,
    #[command(flatten)]
    pub(crate) instant: InstantArgs,
}

// The page of a failure mode needs no cluster.
#[derive(Debug, clap::Args)]
#[command(mut_arg("file", |file| file.required(false)))]
pub(crate) struct ExplainArgs {
    /// Which Service: service/NAME or service/NAMESPACE/NAME; or the number of a failure mode, such as DBG-21, to read
    /// its page [default: every Service]
    #[arg(value_name = "SERVICE|DBG-N")]
    pub(crate) subject: Option<String>,
    #[command(flatten)]
    pub(crate) instant: Option<InstantArgs>,
    /// Who cannot reach it: pod/NAME, pod/NAMESPACE/NAME, node/NAME or outside/NAME
    #[arg(long, value_name = "SOURCE", requires = "file")]
    pub(crate) from: Option<String>,
    /// At which port of it: 80, or 53/UDP
    #[arg(long, value_name = "PORT", requires = "file", requires = "subject")]
    pub(crate) port: Option<AskedPort>,
    /// By which name it is called there: web.shop.svc.cluster.local
    #[arg(long, value_name = "NAME", requires = "from", requires = "subject", value_parser = parse_name)]
    pub(crate) name: Option<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MatrixArgs {
    #[command(flatten)]
    pub(crate) instant: InstantArgs,
    /// Show only what is otherwise in this mode
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    pub(crate) diff: Option<ProxyMode>,
    /// Show only what is otherwise at this instant: a time or the name of a step
    #[arg(long, value_name = "TIME|STEP", value_parser = parse_at)]
    pub(crate) diff_at: Option<At>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Services, EndpointSlices and Nodes: a file, or a folder of files
    #[arg(long, value_name = "PATH", required_unless_present = "cleanup", requires_all = ["node_name", "mode"])]
    pub(crate) manifests: Option<PathBuf>,
    /// Which node this is
    #[arg(long, value_name = "NAME", requires = "manifests")]
    pub(crate) node_name: Option<String>,
    /// In which proxy mode
    #[arg(long, value_parser = parse_mode, requires = "manifests")]
    pub(crate) mode: Option<ProxyMode>,
    /// An address of the node; may be given several times [default: those of its Node object]
    #[arg(long, value_name = "IP")]
    pub(crate) address: Vec<IpAddr>,
    /// A range of ClusterIPs, of each family one at most [default: 10.96.0.0/12]
    #[arg(long, value_name = "CIDR")]
    pub(crate) service_cidr: Vec<IpNet>,
    /// The range of Pods' addresses, of each family one at most: others than Pods are masqueraded
    #[arg(long, value_name = "CIDR")]
    pub(crate) cluster_cidr: Vec<IpNet>,
    /// Which of the programs called iptables
    #[arg(long, value_enum, default_value_t)]
    pub(crate) iptables: VariantArg,
    #[command(flatten)]
    pub(crate) proxy: ProxyArgs,
}

/// How a proxy runs that goes on.
#[derive(Debug, clap::Args)]
pub(crate) struct ProxyArgs {
    /// How often to look whether the manifests have changed
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_period)]
    pub(crate) poll: Duration,
    /// The least time from one sync to the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(crate) min_sync_period: Duration,
    /// How long after a failed sync to try again. Changes that wait for twice as long make the proxy unhealthy
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_period)]
    pub(crate) sync_period: Duration,
    /// The first sync so long after the last full one compares everything with the kernel and repairs it; in iptables
    /// mode not in clusters of more than 1,000 endpoints. Without a change there is a sync so long after the last one. In
    /// mode ipvs it is --sync-period, if that is less
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_period)]
    pub(crate) full_sync_period: Duration,
    /// Where /healthz and /livez are answered; '' for nowhere. kube-proxy's default is 0.0.0.0:10256
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:10256", value_parser = BindAddress::parse)]
    pub(crate) healthz_bind_address: BindAddress,
    /// Where /metrics and /proxyMode are answered; '' for nowhere
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:10249", value_parser = BindAddress::parse)]
    pub(crate) metrics_bind_address: BindAddress,
}

/// An address to listen at, if any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BindAddress(pub(crate) Option<SocketAddr>);

impl BindAddress {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(Self(None)),
            text => match text.parse() {
                Ok(address) => Ok(Self(Some(address))),
                Err(_) => {
                    Err("expected an IP address and a port, such as 0.0.0.0:10256".to_owned())
                }
            },
        }
    }
}

/// A duration above zero.
fn parse_period(text: &str) -> Result<Duration, String> {
    let period = parse_duration(text).map_err(|error| error.to_string())?;
    match period.is_zero() {
        true => Err("must be above zero".to_owned()),
        false => Ok(period),
    }
}

/// One of them at most: without any, a proxy goes on until it gets SIGTERM or SIGINT, and leaves the rules in place.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct TaskArgs {
    /// Print what --once would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Make the kernel's rules those of the manifests, and end
    #[arg(long)]
    once: bool,
    /// Take away what a proxy has written by nftables, and by the programs that --iptables names; the chain KUBE-FIREWALL,
    /// which is the kubelet's as well, stays
    #[arg(long, conflicts_with = "manifests")]
    cleanup: bool,
}

/// What `switchboard node` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Run,
    DryRun,
    Once,
    Cleanup,
}

impl TaskArgs {
    pub(crate) const fn get(&self) -> Task {
        match (self.dry_run, self.once, self.cleanup) {
            (true, ..) => Task::DryRun,
            (_, true, _) => Task::Once,
            (.., true) => Task::Cleanup,
            _ => Task::Run,
        }
    }
}

/// One of the two programs that call themselves iptables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum VariantArg {
    /// The one that the system has chosen
    #[default]
    Default,
    /// On top of nf_tables
    Nft,
    /// On top of ip_tables
    Legacy,
}

impl From<VariantArg> for Variant {
    fn from(variant: VariantArg) -> Self {
        match variant {
            VariantArg::Default => Self::Default,
            VariantArg::Nft => Self::Nft,
            VariantArg::Legacy => Self::Legacy,
        }
    }
}

/// A scenario and an instant of it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct InstantArgs {
    /// A scenario; or manifests, in a file, a folder or standard input (-): then of a cluster of default settings
    #[arg(long = "in", value_name = "FILE|DIR|-")]
    pub(crate) file: PathBuf,
    /// Which scenario of the file
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<String>,
    /// In which proxy mode [default: the scenario's first]
    #[arg(long, value_parser = parse_mode)]
    pub(crate) mode: Option<ProxyMode>,
    /// A time (12s) or the name of a step: right before the next step begins [default: the end of the run]
    #[arg(long, value_name = "TIME|STEP", value_parser = parse_at)]
    pub(crate) at: Option<At>,
    /// What repairs the scenario that awaits a repair: manifests, or a Repair
    #[arg(long, value_name = "FILE")]
    pub(crate) with: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Of which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StepArgs {
    /// A scenario; or manifests, in a file or a folder
    #[arg(value_name = "FILE|DIR")]
    pub(crate) file: PathBuf,
    /// Which scenario of the file
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<String>,
    /// In which proxy mode [default: the scenario's first]
    #[arg(long, value_parser = parse_mode)]
    pub(crate) mode: Option<ProxyMode>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Human,
    /// For programs
    Json,
}

/// How the result of `run` is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunOutput {
    /// For people
    #[default]
    Human,
    /// For programs
    Json,
    /// For continuous integration: XML
    Junit,
}

/// An address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FamilyArg {
    /// What iptables-restore takes
    #[default]
    Ipv4,
    /// What ip6tables-restore takes
    Ipv6,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolArg {
    /// The first packet of a connection
    #[default]
    Tcp,
    /// One datagram
    Udp,
    /// The first packet of an association; its answer is shown as if somebody listened
    Sctp,
}

fn parse_mode(text: &str) -> Result<ProxyMode, String> {
    let known = ProxyMode::ALL
        .into_iter()
        .find(|mode| mode.as_str() == text);
    let names: Vec<&str> = ProxyMode::ALL.into_iter().map(ProxyMode::as_str).collect();
    known.ok_or_else(|| format!("supported by this version: {}", names.join(", ")))
}

/// A time, if it reads as one; else a step's name.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a fallible parser")]
fn parse_at(text: &str) -> Result<At, String> {
    Ok(match parse_duration(text) {
        Ok(span) => At::Time(SimTime::ZERO + span),
        Err(_) => At::Step(text.to_owned()),
    })
}

fn parse_name(text: &str) -> Result<String, String> {
    match is_host_name(text) {
        true => Ok(text.to_owned()),
        false => Err("it is no host name".to_owned()),
    }
}
