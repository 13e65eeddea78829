//! nf_tables without a tool between.
//!
//! **What.** [`encode`] makes one batch of nfnetlink messages out of a transaction, [`Socket`] has a kernel do it.
//! **Why.** `nft` reads what is there before it changes a single element, and its own part of a load costs more than the
//! kernel's. What it would send is sent here, byte for byte but for the order of attributes and for what the kernel does not
//! look into, so what is written in either way reads the same.
//! **Source of the semantics.** `net/netfilter/nfnetlink.c` and `nf_tables_api.c` of Linux 6.18; `nft --debug=mnl` and
//! `--debug=netlink` of nftables 1.0.6.
//!
//! A transaction is encoded as a whole or not at all: what this does not know is [`Unencodable`], and the text goes to `nft`
//! then.

mod batch;
mod element;
mod expression;
mod packed;
mod rule;
mod set;
mod socket;
mod uapi;
mod user_data;
mod value;
mod writer;

pub(crate) use batch::encode;
pub use batch::{Unencodable, message_bytes};
pub use socket::NetlinkError;
pub(crate) use socket::{Generation, Socket};

/// What has no form here yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unknown(&'static str);

type Encoded<T = ()> = Result<T, Unknown>;

/// A message's type among those of all of nfnetlink.
const fn kind(message: u8) -> u16 {
    u16::from_be_bytes([uapi::SUBSYSTEM, message])
}
