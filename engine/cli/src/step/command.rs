//! What one can type.

use std::net::IpAddr;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};
use control::ResolveRequest;

use super::filter::Filter;
use super::kubectl::{Change, ExecOrder};
use super::words;
use crate::args::{ObjectsArgs, PrintArgs};

/// A line that was typed.
pub(super) enum Line {
    /// Nothing, or a comment.
    Nothing,
    /// Something to do, and what its answer goes through.
    Order(Order, Vec<Filter>),
    /// It is no command, or asks what commands there are: this is to be said.
    Said(String),
}

/// The grammar of a line.
#[derive(Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_version_flag = true,
    override_usage = "a command, of those that help lists",
    max_term_width = 100,
    help_template = "{subcommands}"
)]
struct Typed {
    #[command(subcommand)]
    order: Order,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// Do the scenario's next step
    Next,
    /// Back to before the last step
    Back,
    /// Go to an instant of the scenario: 12s
    At {
        /// The instant
        #[arg(value_name = "TIME", value_parser = base::parse_duration)]
        time: std::time::Duration,
    },
    /// Where am I: the time, the steps done and those to come
    Where,
    /// Be on a Pod, a node or an outside host: pod/client, node/node-a, outside/laptop
    On {
        /// Where to be
        #[arg(value_name = "PLACE")]
        place: String,
    },
    /// kubectl get
    Get {
        #[command(flatten)]
        objects: ObjectsArgs,
        #[command(flatten)]
        print: PrintArgs,
    },
    /// kubectl describe
    Describe {
        #[command(flatten)]
        objects: ObjectsArgs,
    },
    #[command(flatten)]
    Change(Change),
    /// kubectl exec: curl, wget, nslookup or ping in a Pod
    Exec(ExecOrder),
    /// Any step of the scenario language: do {scale: {target: deployment/web, replicas: 5}}
    Do {
        /// The step
        #[arg(
            required = true,
            value_name = "STEP",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        step: Vec<String>,
    },
    /// Connect to a URL, or to host:port
    Curl {
        /// Say nothing else than the answer, which is so anyway
        #[arg(long, short)]
        silent: bool,
        /// Say what went wrong, which is so anyway
        #[arg(long, short = 'S')]
        show_error: bool,
        /// Seconds to wait
        #[arg(
            long,
            short,
            visible_alias = "connect-timeout",
            value_name = "SECONDS",
            default_value_t = 3
        )]
        max_time: u16,
        /// Whereto
        #[arg(value_name = "URL")]
        url: String,
    },
    /// Connect to a URL as BusyBox does: wget -qO- web
    Wget(WgetOrder),
    /// Send echo requests, one a second
    Ping(PingOrder),
    /// Ask DNS for a name's addresses or other records, or for an address's names
    Nslookup {
        /// Which records: SRV, say [default: A and AAAA; PTR of an address]
        #[arg(
            long = "type",
            value_name = "TYPE",
            value_parser = PossibleValuesParser::new(ResolveRequest::TYPES),
            ignore_case = true
        )]
        record_type: Option<String>,
        /// The name, where a final dot skips the search list; or an address
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// The rules of the node that one is on, IPv4
    IptablesSave {
        /// Of one table only: nat, say
        #[arg(short, long, value_name = "TABLE")]
        table: Option<String>,
    },
    /// The rules of the node that one is on, IPv6
    Ip6tablesSave {
        /// Of one table only: nat, say
        #[arg(short, long, value_name = "TABLE")]
        table: Option<String>,
    },
    /// The rules of the node that one is on: nft list ruleset
    Nft {
        /// list ruleset
        #[arg(value_name = "WORD")]
        words: Vec<String>,
    },
    /// The virtual servers of the node that one is on: ipvsadm -Ln, or -Sn
    Ipvsadm(IpvsadmOrder),
    /// The sets of the node that one is on: ipset list, ipset list NAME, or ipset save
    Ipset {
        /// list, list NAME, or save
        #[arg(value_name = "WORD")]
        words: Vec<String>,
    },
    /// The connections that the node that one is on tracks: conntrack -L
    Conntrack(ConntrackOrder),
    /// The packets that passed here while the last command let time pass
    Tcpdump(TcpdumpOrder),
    /// The way of a packet from here
    Trace {
        /// name:port, ip:port, or an IPv6 address in brackets and :port
        #[arg(value_name = "TARGET")]
        to: String,
        /// A datagram instead of the first packet of a connection
        #[arg(long)]
        udp: bool,
    },
    /// What is wrong with a Service, or with any
    Explain {
        /// service/NAME or service/NAMESPACE/NAME
        #[arg(value_name = "SERVICE")]
        service: Option<String>,
    },
    /// End
    #[command(alias = "exit")]
    Quit,
}

impl Order {
    /// Reads the words of a command.
    ///
    /// # Errors
    /// Why they are none, or what was asked about commands.
    pub(super) fn parse(words: &[String]) -> Result<Self, String> {
        let words: Vec<String> = match words.first().map(String::as_str) {
            Some("nslookup") => words.iter().map(|word| nslookup_option(word)).collect(),
            _ => words.to_vec(),
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let words = match words.strip_prefix(&["kubectl"]) {
            Some(words) => verb_first(words),
            None => words,
        };
        let words = words.as_slice();
        let typed = Typed::try_parse_from(words);
        typed
            .map(|typed| typed.order)
            .map_err(|error| refusal(&error, words))
    }

    /// Whether the scenario's clock may go on.
    pub(super) const fn lets_time_pass(&self) -> bool {
        matches!(
            self,
            Self::Next
                | Self::Back
                | Self::At { .. }
                | Self::Do { .. }
                | Self::Curl { .. }
                | Self::Wget(_)
                | Self::Ping(_)
                | Self::Nslookup { .. }
        )
    }
}

/// `wget`
#[derive(Debug, clap::Args)]
pub(super) struct WgetOrder {
    /// Say nothing else than the answer
    #[arg(short)]
    pub(super) quiet: bool,
    /// Where to write the answer: - is here
    #[arg(short = 'O', value_name = "FILE", allow_hyphen_values = true)]
    pub(super) output: String,
    /// Seconds to wait
    #[arg(
        short = 'T',
        long = "timeout",
        value_name = "SECONDS",
        default_value_t = 3
    )]
    pub(super) seconds: u16,
    /// Whereto
    #[arg(value_name = "URL")]
    pub(super) url: String,
}

/// `ping`
#[derive(Debug, clap::Args)]
pub(super) struct PingOrder {
    /// How many requests
    #[arg(short, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) count: u16,
    /// Seconds to wait after the last one
    #[arg(short = 'W', value_name = "SECONDS", default_value_t = 10)]
    pub(super) wait: u16,
    /// Whom to ask: a name or an address
    #[arg(value_name = "DESTINATION")]
    pub(super) target: String,
}

/// `ipvsadm`
#[derive(Debug, clap::Args)]
pub(super) struct IpvsadmOrder {
    /// List them as a table, which is what it does anyway
    #[arg(short = 'L', short_alias = 'l', long, conflicts_with = "save")]
    list: bool,
    /// Print them as ipvsadm -R takes them
    #[arg(short = 'S', long)]
    pub(super) save: bool,
    /// Numbers instead of names, which is what it prints anyway
    #[arg(short, long)]
    numeric: bool,
}

/// `conntrack`
#[derive(Debug, clap::Args)]
pub(super) struct ConntrackOrder {
    /// List them
    #[arg(short = 'L', long = "dump")]
    pub(super) list: bool,
    /// Only those of a protocol
    #[arg(short, long = "proto", value_name = "PROTOCOL")]
    pub(super) protocol: Option<String>,
    /// Only those from an address
    #[arg(
        short,
        long = "src",
        visible_alias = "orig-src",
        value_name = "ADDRESS"
    )]
    pub(super) source: Option<IpAddr>,
    /// Only those to an address
    #[arg(
        short,
        long = "dst",
        visible_alias = "orig-dst",
        value_name = "ADDRESS"
    )]
    pub(super) destination: Option<IpAddr>,
    /// Only those of a family: ipv4 or ipv6
    #[arg(short, long, value_name = "FAMILY")]
    pub(super) family: Option<String>,
}

/// `tcpdump`
#[derive(Debug, clap::Args)]
pub(super) struct TcpdumpOrder {
    /// Which interface; any takes all of them
    #[arg(short, long, value_name = "INTERFACE", default_value = "eth0")]
    pub(super) interface: String,
    /// How many packets at most
    #[arg(short, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) count: Option<u16>,
    /// Numbers instead of names, which is what it prints anyway
    #[arg(short, action = ArgAction::Count)]
    numeric: u8,
    /// Which packets, such as tcp port 80 and host 10.0.0.1
    #[arg(value_name = "EXPRESSION")]
    pub(super) filter: Vec<String>,
}

impl Line {
    /// Reads a line as a shell would, but a step of the scenario language as it is: its quotes are YAML's. `kubectl` before
    /// kubectl's own commands may be written.
    pub(super) fn parse(line: &str) -> Self {
        if line.is_empty() || line.starts_with('#') {
            return Self::Nothing;
        }
        let is_step = line.split_whitespace().next() == Some("do");
        let commands = match is_step {
            true => Ok(vec![line.split_whitespace().map(str::to_owned).collect()]),
            false => words::pipeline(line),
        };
        let commands: Vec<Vec<String>> = match commands {
            Ok(commands) => commands,
            Err(why) => return Self::Said(format!("error: {why}")),
        };
        let (first, rest) = commands.split_first().expect("there is one");
        let filters = rest.iter().map(|words| Filter::parse(words));
        match (Order::parse(first), filters.collect()) {
            (Ok(order), Ok(filters)) => Self::Order(order, filters),
            (Err(why), _) | (_, Err(why)) => Self::Said(why),
        }
    }
}

/// The names of all commands.
pub(super) fn names() -> Vec<String> {
    let typed = Typed::command();
    let orders = typed.get_subcommands();
    orders.map(|order| order.get_name().to_owned()).collect()
}

/// kubectl takes its namespace before the verb as well.
fn verb_first<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let count = match words {
        ["-n" | "--namespace", _, ..] => 2,
        [option, ..] if option.starts_with("--namespace=") || option.starts_with("-n") => 1,
        _ => 0,
    };
    let (before, after) = words.split_at(count);
    let (verb, rest) = after.split_at(after.len().min(1));
    [verb, before, rest].concat()
}

/// nslookup has one dash before its long options, and several names for one.
fn nslookup_option(word: &str) -> String {
    const NAMES: [&str; 5] = ["-type=", "-t=", "-querytype=", "-query=", "-q="];
    let value = NAMES.iter().find_map(|name| word.strip_prefix(name));
    value.map_or_else(|| word.to_owned(), |value| format!("--type={value}"))
}

/// Why a line is none. Who gave a command what it does not take is told what it does.
fn refusal(error: &clap::Error, words: &[&str]) -> String {
    let text = error.render().to_string();
    let mut typed = Typed::command();
    let verb = words
        .first()
        .and_then(|verb| typed.find_subcommand_mut(verb));
    match (error.kind(), verb) {
        (ErrorKind::UnknownArgument, Some(verb)) => {
            let why = text.lines().next().unwrap_or_default();
            format!("{why}\n\n{}", verb.render_help())
        }
        _ => text,
    }
}
