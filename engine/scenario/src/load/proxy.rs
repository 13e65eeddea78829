//! `proxy` of a cluster, of a node and of a step: a `KubeProxyConfiguration`, as far as it decides about packets here.
//!
//! Source of the names: kube-proxy 1.36 `pkg/proxy/apis/config/types.go`.

use std::time::Duration;

use base::parse_duration;
use control::{
    DetectLocal, ModeSettings, NodePortAddresses, ProxyConfig, ProxyMode, ProxySettings,
};
use ipnet::IpNet;
use ruleset::ipvs::Scheduler;
use serde_yaml::Value;

use super::cluster::{self, cidr_of};
use super::config_file::or_inline;
use super::manifests::Files;
use super::{Setting, action};
use crate::cursor::{Cursor, Fields, Read, Sink, all};
use crate::proxy_step::{ProxyChange, ProxyStep};
use crate::step::Action;

/// What it may hold without an effect on any packet here.
const IDLE_KEYS: [&str; 13] = [
    "bindAddress",
    "bindAddressHardFail",
    "clientConnection",
    "configSyncPeriod",
    "enableProfiling",
    "featureGates",
    "healthzBindAddress",
    "hostnameOverride",
    "logging",
    "metricsBindAddress",
    "oomScoreAdj",
    "portRange",
    "showHiddenMetricsForVersion",
];

/// Other machines' business, which may say nothing.
const WINDOWS_KEYS: [&str; 2] = ["windowsRunAsService", "winkernel"];

/// What `conntrack` says when it says nothing, besides null and zero: kube-proxy's defaults.
const CONNTRACK_DEFAULTS: [(&str, &str); 4] = [
    ("maxPerCore", "32768"),
    ("min", "131072"),
    ("tcpEstablishedTimeout", "24h"),
    ("tcpCloseWaitTimeout", "1h"),
];

const SUPPORTED: &str = "supported here: clusterCIDR, detectLocalMode, detectLocal, nodePortAddresses, and of iptables \
                         and nftables: masqueradeAll, masqueradeBit, minSyncPeriod, syncPeriod, localhostNodePorts (iptables only), and of ipvs: \
                         scheduler, minSyncPeriod, syncPeriod";

const SYNC_PERIODS: &str = "`syncPeriod` must not be below `minSyncPeriod`";

/// The words of `detectLocalMode`.
#[derive(Clone, Copy)]
enum Mode {
    ClusterCidr,
    NodeCidr,
    BridgeInterface,
    InterfaceNamePrefix,
}

/// Reads `spec.cluster.proxy`, which all nodes share that say nothing of their own.
pub(super) fn of_cluster(at: &Cursor<'_>, files: &mut Files<'_>) -> Read<ProxySettings> {
    or_inline(at, files, shared)
}

fn shared(at: &Cursor<'_>) -> Read<ProxySettings> {
    let mut fields = at.fields()?;
    let mode = fields.may("mode", |at| match at.text()? {
        "" => Ok(()),
        _ => Err(at.refuse_with(
            "`mode` is not said here",
            "say `modes` in spec.cluster: the scenario runs once in each",
        )),
    });
    let settings = settings(fields, at, &ProxySettings::default());
    mode?;
    settings
}

/// Reads one node's; what it leaves out is as in `base`.
pub(super) fn of_node(
    at: &Cursor<'_>,
    base: &ProxySettings,
    files: &mut Files<'_>,
) -> Read<(Option<ProxyMode>, ProxySettings)> {
    or_inline(at, files, |at| own(at, base))
}

fn own(at: &Cursor<'_>, base: &ProxySettings) -> Read<(Option<ProxyMode>, ProxySettings)> {
    let mut fields = at.fields()?;
    let mode = fields.or("mode", None, |at| unless_empty(at, cluster::mode));
    let settings = settings(fields, at, base)?;
    Ok((mode?, settings))
}

fn settings(mut fields: Fields<'_>, at: &Cursor<'_>, base: &ProxySettings) -> Read<ProxySettings> {
    let api_version = fields.may("apiVersion", |at| {
        at.word(&[("kubeproxy.config.k8s.io/v1alpha1", ())])
    });
    let kind = fields.may("kind", |at| at.word(&[("KubeProxyConfiguration", ())]));
    let detection = detection(&mut fields, at, &base.detect_local);
    let node_port_addresses = fields.or("nodePortAddresses", None, node_port_addresses);
    for key in IDLE_KEYS {
        fields.take(key);
    }
    let windows = all(WINDOWS_KEYS.into_iter().map(|key| {
        fields.may(key, |at| match says_nothing(at.value()) {
            true => Ok(()),
            false => Err(at.refuse_with(not_here(key), SUPPORTED)),
        })
    }));
    let conntrack = fields.may("conntrack", conntrack);
    // Where one may stand, it was read before (see `config_file`).
    let another = fields.may("configFile", |at| -> Read<()> {
        Err(at.refuse("a configuration file names no other one"))
    });
    let iptables = fields.may("iptables", |at| {
        let mut fields = at.fields()?;
        let localhost = base.localhost_node_ports;
        let localhost = fields.or("localhostNodePorts", localhost, Cursor::boolean);
        let settings = mode_settings(&mut fields, &base.iptables);
        fields.finish()?;
        Ok((settings?, localhost?))
    });
    let nftables = fields.may("nftables", |at| {
        let mut fields = at.fields()?;
        let settings = mode_settings(&mut fields, &base.nftables);
        fields.finish()?;
        settings
    });
    let ipvs = fields.may("ipvs", |at| ipvs_settings(at, base));
    fields.finish()?;
    api_version?;
    kind?;
    another?;
    windows?;
    conntrack?;
    let (iptables, localhost_node_ports) =
        iptables?.unwrap_or((base.iptables, base.localhost_node_ports));
    let node_port_addresses = node_port_addresses?;
    let (ipvs, scheduler) = ipvs?.unwrap_or((base.ipvs, base.scheduler));
    Ok(ProxySettings {
        detect_local: detection?,
        node_port_addresses: node_port_addresses.or_else(|| base.node_port_addresses.clone()),
        localhost_node_ports,
        iptables,
        nftables: nftables?.unwrap_or(base.nftables),
        // Upstream has these two under `iptables` for both modes.
        ipvs: ModeSettings {
            masquerade_all: iptables.masquerade_all,
            masquerade_bit: iptables.masquerade_bit,
            ..ipvs
        },
        scheduler,
    })
}

/// `detectLocalMode`, and what belongs to each of its words: `clusterCIDR`, `detectLocal` (PROXY-21).
fn detection(fields: &mut Fields<'_>, at: &Cursor<'_>, base: &DetectLocal) -> Read<DetectLocal> {
    let ranges = fields.may("clusterCIDR", cluster_cidr);
    let words = [
        ("ClusterCIDR", Mode::ClusterCidr),
        ("NodeCIDR", Mode::NodeCidr),
        ("BridgeInterface", Mode::BridgeInterface),
        ("InterfaceNamePrefix", Mode::InterfaceNamePrefix),
    ];
    let mode = fields.or("detectLocalMode", None, |at| {
        unless_empty(at, |at| at.word(&words))
    });
    let interfaces = fields.may("detectLocal", |at| {
        let mut fields = at.fields()?;
        let name = |at: &Cursor<'_>| unless_empty(at, |at| at.name().map(str::to_owned));
        let bridge = fields.or("bridgeInterface", None, name);
        let prefix = fields.or("interfaceNamePrefix", None, name);
        fields.finish()?;
        Ok((bridge?, prefix?))
    });
    let (ranges, mode) = (ranges?, mode?);
    let (bridge, prefix) = interfaces?.unwrap_or_default();
    if ranges.is_none() && mode.is_none() && bridge.is_none() && prefix.is_none() {
        return Ok(base.clone());
    }
    let missing = |key| at.refuse(format!("`detectLocalMode` asks for `detectLocal.{key}`"));
    match mode.unwrap_or(Mode::ClusterCidr) {
        Mode::ClusterCidr => Ok(DetectLocal::ClusterCidr(ranges)),
        Mode::NodeCidr => Ok(DetectLocal::NodeCidr),
        Mode::BridgeInterface => bridge
            .map(DetectLocal::BridgeInterface)
            .ok_or_else(|| missing("bridgeInterface")),
        Mode::InterfaceNamePrefix => prefix
            .map(DetectLocal::InterfaceNamePrefix)
            .ok_or_else(|| missing("interfaceNamePrefix")),
    }
}

/// Reads a value that says nothing if it is empty.
fn unless_empty<T>(at: &Cursor<'_>, read: impl FnOnce(&Cursor<'_>) -> Read<T>) -> Read<Option<T>> {
    match at.text()? {
        "" => Ok(None),
        _ => read(at).map(Some),
    }
}

/// Whether a value is one that nobody wrote: null, empty or zero, all the way down.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => {
            text.is_empty() || parse_duration(text).is_ok_and(|span| span.is_zero())
        }
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(fields) => fields.values().all(says_nothing),
        Value::Tagged(_) => false,
    }
}

/// `conntrack`, whose defaults alone are carried out.
fn conntrack(at: &Cursor<'_>) -> Read<()> {
    let is_default = |key: &str, value: &Value| {
        let default = CONNTRACK_DEFAULTS.iter().find(|(known, _)| *known == key);
        default.is_some_and(|(_, default)| match value {
            Value::String(text) => parse_duration(text) == parse_duration(default),
            Value::Number(number) => number.to_string() == *default,
            _ => false,
        })
    };
    let read =
        at.entries(
            |key, at| match says_nothing(at.value()) || is_default(key, at.value()) {
                true => Ok((key, ())),
                false => Err(at.refuse_with(
                    not_here(&format!("conntrack.{key}")),
                    "leave it out: kube-proxy's default",
                )),
            },
        );
    read.map(|_| ())
}

fn not_here(key: &str) -> String {
    format!("`{key}` is not supported by this version of switchboard")
}

/// Ranges with commas between them. An empty text is no range, as upstream: nobody counts as a Pod then.
fn cluster_cidr(at: &Cursor<'_>) -> Read<Vec<IpNet>> {
    let text = at.text()?.trim();
    let parts = text.split(',').filter(|_| !text.is_empty());
    parts.map(|part| cidr_of(at, part.trim())).collect()
}

/// `ipvs`. What says nothing, as zero timeouts do, is taken too: `kubeadm` writes it out.
fn ipvs_settings(at: &Cursor<'_>, base: &ProxySettings) -> Read<(ModeSettings, Scheduler)> {
    let mut fields = at.fields()?;
    let scheduler = fields.or("scheduler", base.scheduler, |at| {
        Ok(unless_empty(at, scheduler)?.unwrap_or(base.scheduler))
    });
    let periods = periods(&mut fields, base.ipvs);
    let timeouts = ["tcpTimeout", "tcpFinTimeout", "udpTimeout"].map(|key| {
        fields.may(key, |at| match at.duration()?.is_zero() {
            true => Ok(()),
            false => Err(at.refuse(format!(
                "`{key}` is not supported here, but for 0s: the kernel's own"
            ))),
        })
    });
    let arp = fields.may("strictARP", |at| match at.boolean()? {
        true => {
            Err(at.refuse("`strictARP` is not supported here: the network has no ARP".to_owned()))
        }
        false => Ok(()),
    });
    let excluded = fields.may("excludeCIDRs", |at| {
        at.list(1, |item| -> Read<()> {
            Err(item.refuse(
                "`excludeCIDRs` is not supported here: nobody else has virtual servers".to_owned(),
            ))
        })
    });
    fields.finish()?;
    all(timeouts.into_iter())?;
    arp?;
    excluded?;
    Ok((periods?, scheduler?))
}

/// The name of a scheduler that is evaluated.
fn scheduler(at: &Cursor<'_>) -> Read<Scheduler> {
    const LATER: [Scheduler; 3] = [
        Scheduler::LocalityBased,
        Scheduler::LocalityBasedReplicated,
        Scheduler::MaglevHashing,
    ];
    let name = at.text()?;
    let found = Scheduler::parse(name).filter(|scheduler| !LATER.contains(scheduler));
    let supported = Scheduler::NAMES
        .iter()
        .filter(|(one, _)| !LATER.contains(one));
    let supported: Vec<&str> = supported.map(|(_, name)| *name).collect();
    found.ok_or_else(|| {
        let message = format!("scheduler {name:?} is not supported by this version of switchboard");
        at.refuse_with(message, format!("supported: {}", supported.join(", ")))
    })
}

fn mode_settings(fields: &mut Fields<'_>, defaults: &ModeSettings) -> Read<ModeSettings> {
    let masquerade_all = fields.or("masqueradeAll", defaults.masquerade_all, Cursor::boolean);
    let bit = fields.or("masqueradeBit", defaults.masquerade_bit, |at| {
        let bit = at.integer(0..=31)?;
        Ok(u8::try_from(bit).expect("at most 31"))
    });
    let periods = periods(fields, *defaults);
    Ok(ModeSettings {
        masquerade_all: masquerade_all?,
        masquerade_bit: bit?,
        ..periods?
    })
}

/// `minSyncPeriod` and `syncPeriod`, of which zero says nothing; all else is as in the defaults.
fn periods(fields: &mut Fields<'_>, defaults: ModeSettings) -> Read<ModeSettings> {
    let [least, retry] = ["minSyncPeriod", "syncPeriod"].map(|key| {
        fields.or(key, None, |at| {
            let period = Some(at.duration()?).filter(|period| !period.is_zero());
            Ok(period.map(|period| (period, at.clone())))
        })
    });
    let (least, retry) = (least?, retry?);
    let of = |stated: &Option<(Duration, Cursor<'_>)>, default| match stated {
        Some((period, _)) => *period,
        None => default,
    };
    let settings = ModeSettings {
        min_sync_period: of(&least, defaults.min_sync_period),
        sync_period: of(&retry, defaults.sync_period),
        ..defaults
    };
    match retry.or(least) {
        Some((_, at)) if settings.sync_period < settings.min_sync_period => {
            Err(at.refuse(SYNC_PERIODS))
        }
        _ => Ok(settings),
    }
}

/// `[primary]`, or ranges (PROXY-26); an empty list says nothing.
fn node_port_addresses(at: &Cursor<'_>) -> Read<Option<NodePortAddresses>> {
    let words = at.list(64, |item| item.name().map(str::to_owned))?;
    match &words[..] {
        [] => return Ok(None),
        [word] if word == "primary" => return Ok(Some(NodePortAddresses::Primary)),
        _ => {}
    }
    let ranges = at.list(64, |item| cidr_of(&item, item.name()?))?;
    Ok(Some(NodePortAddresses::Within(ranges)))
}

impl ProxyChange {
    /// What the file says once this is written into it.
    ///
    /// # Errors
    /// When a setting does not go with one that is there already.
    pub(crate) fn onto(&self, config: &ProxyConfig) -> Result<ProxyConfig, Vec<String>> {
        let sink = Sink::default();
        let read = own(&Cursor::at(&self.0, &sink), &config.settings);
        let (mode, settings) = read.map_err(|_| sink.into_texts())?;
        Ok(ProxyConfig {
            mode: mode.unwrap_or(config.mode),
            settings,
        })
    }
}

/// Reads the step `proxy`.
pub(super) fn step(at: &Cursor<'_>, setting: &Setting<'_>, files: &mut Files<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let node = fields.may("node", |at| action::node(at, setting));
    let set = fields.may("set", |at| {
        let shared = setting.cluster.map(|cluster| cluster.proxy.clone());
        let shared = shared.unwrap_or_default();
        or_inline(at, files, |at| {
            own(at, &shared)?;
            Ok(ProxyChange(at.value().clone()))
        })
    });
    let restart = fields.or("restart", false, Cursor::boolean);
    fields.finish()?;
    let (node, set, restart) = (node?, set?, restart?);
    if set.is_none() && !restart {
        return Err(at.refuse_with(
            "this changes nothing",
            "say what to `set`, or `restart: true`",
        ));
    }
    Ok(Action::Proxy(ProxyStep { node, set, restart }))
}
