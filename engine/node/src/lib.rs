//! The real-node backend: programs compiled tables into a Linux kernel, and reads them back.
//!
//! **What.** [`IptablesTools`] runs `iptables-restore` and its family, [`NftTools`] runs `nft`; [`IptablesSink`] and
//! [`NftablesSink`] are the proxy's [`RuleSink`](proxy::RuleSink) in front of them: they read what is there and write
//! what differs. [`IpvsTools`] and [`IpvsSink`] do so in mode ipvs. [`NftablesSink`] writes by netlink, without a tool, what it can. [`KernelSink`] is the sink of a mode, and
//! [`NodeProxy`] the whole proxy on a real clock. **Why.** This is the only library that starts programs and talks to a
//! kernel, so what they say is understood in one place, as [`ToolError`] and [`NetlinkError`], and everything before it
//! stays a pure function.
//! **Source of the semantics.** iptables-restore(8), iptables-save(8), ip-netns(8), iptables 1.8.9; nft(8), nftables
//! 1.0.6; PROXY-46.
//!
//! ```no_run
//! use ruleset::{Family, xt};
//! use switchboard_node::{IptablesTools, Variant};
//!
//! let text = "*nat\n:WEB - [0:0]\n-A WEB -d 10.96.0.40 -j RETURN\nCOMMIT\n";
//! let tables = xt::parse(text, Family::V4)?;
//! let tools = IptablesTools::new(Variant::Default);
//! tools.check(Family::V4, &xt::restore_text(&tables))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod commit_each;
mod conntrack_tools;
mod error;
mod health_ports;
mod http_message;
mod http_server;
mod iptables_sink;
mod iptables_tools;
mod ipvs;
mod kernel_sink;
mod machine;
mod namespace_lock;
mod netlink;
mod nft_tools;
mod nftables_sink;
mod node_proxy;
mod notice;
mod present;
mod signals;
mod status;
mod wall_clock;

pub use conntrack_tools::{ConntrackTools, DeletedStale};
pub use error::{CommitError, LoadError, ToolError};
pub use iptables_sink::IptablesSink;
pub use iptables_tools::{IptablesTools, Variant};
pub use ipvs::{IpvsLoaded, IpvsSink, IpvsTools};
pub use kernel_sink::{KernelSink, KernelTools};
pub use machine::Programs;
pub use namespace_lock::{LockError, NamespaceLock};
pub use netlink::{NetlinkError, Unencodable, message_bytes};
pub use nft_tools::NftTools;
pub use nftables_sink::{NftLayout, NftablesSink, Transport};
pub use node_proxy::{ListenError, NodeProxy, NodeProxyConfig, Watch};
pub use notice::Notice;
pub use signals::end_signals;
pub use wall_clock::WallClock;
