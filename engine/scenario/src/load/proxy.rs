//! `proxy` of a cluster, of a node and of a step: a `KubeProxyConfiguration`, as far as it decides about packets here.
//!
//! Source of the names: kube-proxy 1.36 `pkg/proxy/apis/config/types.go`.

use control::{
    DetectLocal, ModeSettings, NodePortAddresses, ProxyConfig, ProxyMode, ProxySettings,
};
use ipnet::IpNet;
use ruleset::ipvs::Scheduler;

use super::cluster::{self, cidr_of};
use super::{Setting, action};
use crate::cursor::{Cursor, Fields, Read, Sink, all};
use crate::proxy_step::{ProxyChange, ProxyStep};
use crate::step::Action;

/// What it may hold upstream and not yet here.
const LATER_KEYS: [&str; 16] = [
    "bindAddress",
    "bindAddressHardFail",
    "clientConnection",
    "configFile",
    "configSyncPeriod",
    "conntrack",
    "enableProfiling",
    "featureGates",
    "healthzBindAddress",
    "hostnameOverride",
    "logging",
    "metricsBindAddress",
    "oomScoreAdj",
    "showHiddenMetricsForVersion",
    "windowsRunAsService",
    "winkernel",
];

const SUPPORTED: &str = "supported here: clusterCIDR, detectLocalMode, detectLocal, nodePortAddresses, and of iptables \
                         and nftables: masqueradeAll, masqueradeBit, minSyncPeriod, syncPeriod, localhostNodePorts (iptables only), and of ipvs: \
                         scheduler, minSyncPeriod, syncPeriod";

const SYNC_PERIODS: &str = "`syncPeriod` must be above zero, and not below `minSyncPeriod`";

/// The words of `detectLocalMode`.
#[derive(Clone, Copy)]
enum Mode {
    ClusterCidr,
    NodeCidr,
    BridgeInterface,
    InterfaceNamePrefix,
}

/// Reads `spec.cluster.proxy`, which all nodes share that say nothing of their own.
pub(super) fn of_cluster(at: &Cursor<'_>) -> Read<ProxySettings> {
    let mut fields = at.fields()?;
    let mode = fields.unsupported(
        "mode",
        "say `modes` in spec.cluster: the scenario runs once in each",
    );
    let settings = settings(fields, at, &ProxySettings::default());
    mode?;
    settings
}

/// Reads one node's; what it leaves out is as in `base`.
pub(super) fn of_node(
    at: &Cursor<'_>,
    base: &ProxySettings,
) -> Read<(Option<ProxyMode>, ProxySettings)> {
    let mut fields = at.fields()?;
    let mode = fields.may("mode", cluster::mode);
    let settings = settings(fields, at, base)?;
    if settings.scheduler != base.scheduler {
        return Err(
            at.refuse("`ipvs.scheduler` is the same on all nodes: say it in spec.cluster.proxy")
        );
    }
    Ok((mode?, settings))
}

fn settings(mut fields: Fields<'_>, at: &Cursor<'_>, base: &ProxySettings) -> Read<ProxySettings> {
    let api_version = fields.may("apiVersion", |at| {
        at.word(&[("kubeproxy.config.k8s.io/v1alpha1", ())])
    });
    let kind = fields.may("kind", |at| at.word(&[("KubeProxyConfiguration", ())]));
    let detection = detection(&mut fields, at, &base.detect_local);
    let node_port_addresses = fields.may("nodePortAddresses", node_port_addresses);
    let later = all(LATER_KEYS
        .into_iter()
        .map(|key| fields.unsupported(key, SUPPORTED)));
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
    later?;
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
    let says_nothing = ["clusterCIDR", "detectLocalMode", "detectLocal"]
        .iter()
        .all(|key| fields.given(key).is_none());
    let ranges = fields.may("clusterCIDR", cluster_cidr);
    let words = [
        ("ClusterCIDR", Mode::ClusterCidr),
        ("NodeCIDR", Mode::NodeCidr),
        ("BridgeInterface", Mode::BridgeInterface),
        ("InterfaceNamePrefix", Mode::InterfaceNamePrefix),
    ];
    let mode = fields.may("detectLocalMode", |at| at.word(&words));
    let interfaces = fields.may("detectLocal", |at| {
        let mut fields = at.fields()?;
        let name = |at: &Cursor<'_>| at.name().map(str::to_owned);
        let bridge = fields.may("bridgeInterface", name);
        let prefix = fields.may("interfaceNamePrefix", name);
        fields.finish()?;
        Ok((bridge?, prefix?))
    });
    let (ranges, (bridge, prefix)) = (ranges?, interfaces?.unwrap_or_default());
    if says_nothing {
        return Ok(base.clone());
    }
    let missing = |key| at.refuse(format!("`detectLocalMode` asks for `detectLocal.{key}`"));
    match mode?.unwrap_or(Mode::ClusterCidr) {
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

/// Ranges with commas between them. An empty text is no range, as upstream: nobody counts as a Pod then.
fn cluster_cidr(at: &Cursor<'_>) -> Read<Vec<IpNet>> {
    let text = at.text()?.trim();
    let parts = text.split(',').filter(|_| !text.is_empty());
    parts.map(|part| cidr_of(at, part.trim())).collect()
}

/// `ipvs`. What says nothing, as zero timeouts do, is taken too: `kubeadm` writes it out.
fn ipvs_settings(at: &Cursor<'_>, base: &ProxySettings) -> Read<(ModeSettings, Scheduler)> {
    let mut fields = at.fields()?;
    let scheduler = fields.or("scheduler", base.scheduler, scheduler);
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

/// The name of a scheduler that is evaluated; an empty one is the default, as upstream.
fn scheduler(at: &Cursor<'_>) -> Read<Scheduler> {
    const LATER: [Scheduler; 3] = [
        Scheduler::LocalityBased,
        Scheduler::LocalityBasedReplicated,
        Scheduler::MaglevHashing,
    ];
    let name = at.text()?;
    if name.is_empty() {
        return Ok(Scheduler::RoundRobin);
    }
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

/// `minSyncPeriod` and `syncPeriod`; all else is as in the defaults.
fn periods(fields: &mut Fields<'_>, defaults: ModeSettings) -> Read<ModeSettings> {
    // Which of the two is to blame: the other one may stand elsewhere.
    let default_retry = fields.given("syncPeriod").is_none();
    let least = fields.or("minSyncPeriod", defaults.min_sync_period, |at| {
        let least = at.duration()?;
        match default_retry && defaults.sync_period < least {
            true => Err(at.refuse(SYNC_PERIODS)),
            false => Ok(least),
        }
    });
    let retry = fields.or("syncPeriod", defaults.sync_period, |at| {
        let retry = at.duration()?;
        let too_short = retry.is_zero() || least.as_ref().is_ok_and(|least| retry < *least);
        match too_short {
            true => Err(at.refuse(SYNC_PERIODS)),
            false => Ok(retry),
        }
    });
    Ok(ModeSettings {
        min_sync_period: least?,
        sync_period: retry?,
        ..defaults
    })
}

/// `[primary]`, or ranges (PROXY-26); an empty list is the mode's default.
fn node_port_addresses(at: &Cursor<'_>) -> Read<NodePortAddresses> {
    let words = at.list(64, |item| item.name().map(str::to_owned))?;
    if words.len() == 1 && words[0] == "primary" {
        return Ok(NodePortAddresses::Primary);
    }
    let ranges = at.list(64, |item| cidr_of(&item, item.name()?))?;
    Ok(NodePortAddresses::Within(ranges))
}

impl ProxyChange {
    /// What the file says once this is written into it.
    ///
    /// # Errors
    /// When a setting does not go with one that is there already.
    pub(crate) fn onto(&self, config: &ProxyConfig) -> Result<ProxyConfig, Vec<String>> {
        let sink = Sink::default();
        let read = of_node(&Cursor::at(&self.0, &sink), &config.settings);
        let (mode, settings) = read.map_err(|_| sink.into_texts())?;
        Ok(ProxyConfig {
            mode: mode.unwrap_or(config.mode),
            settings,
        })
    }
}

/// Reads the step `proxy`.
pub(super) fn step(at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let node = fields.may("node", |at| action::node(at, setting));
    let set = fields.may("set", |at| {
        let shared = setting.cluster.map(|cluster| cluster.proxy.clone());
        of_node(at, &shared.unwrap_or_default())?;
        Ok(ProxyChange(at.value().clone()))
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
