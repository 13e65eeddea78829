//! Numbers of the kernel's interface.
//!
//! Source: `linux/netlink.h`, `linux/netfilter.h`, `linux/netfilter/nfnetlink.h`, `linux/netfilter/nf_tables.h`,
//! `linux/netfilter/nf_nat.h` of Linux 6.18. The constants of a module are one enumeration there, without its prefix.

/// `NLM_F_REQUEST`
pub(super) const REQUEST: u16 = 1;
/// `NLM_F_ACK`
pub(super) const ACK: u16 = 4;
/// `NLM_F_CREATE`
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`
pub(super) const APPEND: u16 = 0x800;
/// `NLMSG_ERROR`
pub(super) const ERROR: u16 = 2;
/// `NLA_F_NESTED`
pub(super) const NESTED: u16 = 0x8000;

/// `NFNL_SUBSYS_NFTABLES`
pub(super) const SUBSYSTEM: u8 = 10;
/// `NFNL_MSG_BATCH_BEGIN`
pub(super) const BATCH_BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`
pub(super) const BATCH_END: u16 = 0x11;
/// `NFNL_BATCH_GENID`
pub(super) const BATCH_GENERATION: u16 = 1;

/// `NFTA_LIST_ELEM`
pub(super) const LIST_ITEM: u16 = 1;

pub(super) mod family {
    pub(in super::super) const ANY: u8 = 0;
    pub(in super::super) const INET: u8 = 1;
    pub(in super::super) const IPV4: u8 = 2;
    pub(in super::super) const IPV6: u8 = 10;
}

pub(super) mod message {
    pub(in super::super) const NEW_TABLE: u8 = 0;
    pub(in super::super) const DELETE_TABLE: u8 = 2;
    pub(in super::super) const NEW_CHAIN: u8 = 3;
    pub(in super::super) const DELETE_CHAIN: u8 = 5;
    pub(in super::super) const NEW_RULE: u8 = 6;
    pub(in super::super) const DELETE_RULE: u8 = 8;
    pub(in super::super) const NEW_SET: u8 = 9;
    pub(in super::super) const DELETE_SET: u8 = 11;
    pub(in super::super) const NEW_ELEMENTS: u8 = 12;
    pub(in super::super) const DELETE_ELEMENTS: u8 = 14;
    pub(in super::super) const NEW_GENERATION: u8 = 15;
    pub(in super::super) const GET_GENERATION: u8 = 16;
}

/// `NFTA_GEN_ID`
pub(super) const GENERATION_ID: u16 = 1;

pub(super) mod table {
    pub(in super::super) const NAME: u16 = 1;
    pub(in super::super) const FLAGS: u16 = 2;
    pub(in super::super) const USER_DATA: u16 = 6;
}

pub(super) mod chain {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 3;
    pub(in super::super) const HOOK: u16 = 4;
    pub(in super::super) const POLICY: u16 = 5;
    pub(in super::super) const TYPE: u16 = 7;
    pub(in super::super) const USER_DATA: u16 = 12;
    /// `NFTA_HOOK_HOOKNUM`
    pub(in super::super) const HOOK_NUMBER: u16 = 1;
    /// `NFTA_HOOK_PRIORITY`
    pub(in super::super) const HOOK_PRIORITY: u16 = 2;
}

pub(super) mod rule {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const CHAIN: u16 = 2;
    pub(in super::super) const EXPRESSIONS: u16 = 4;
    pub(in super::super) const USER_DATA: u16 = 7;
}

pub(super) mod set {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const KEY_TYPE: u16 = 4;
    pub(in super::super) const KEY_LENGTH: u16 = 5;
    pub(in super::super) const DATA_TYPE: u16 = 6;
    pub(in super::super) const DATA_LENGTH: u16 = 7;
    pub(in super::super) const DESCRIPTION: u16 = 9;
    pub(in super::super) const ID: u16 = 10;
    pub(in super::super) const TIMEOUT: u16 = 11;
    pub(in super::super) const GC_INTERVAL: u16 = 12;
    pub(in super::super) const USER_DATA: u16 = 13;
    /// `NFTA_SET_DESC_SIZE`
    pub(in super::super) const DESCRIPTION_SIZE: u16 = 1;
    /// `NFTA_SET_DESC_CONCAT`
    pub(in super::super) const DESCRIPTION_PARTS: u16 = 2;
    /// `NFTA_SET_FIELD_LEN`
    pub(in super::super) const PART_LENGTH: u16 = 1;
    /// `NFT_DATA_VERDICT`
    pub(in super::super) const VERDICT_TYPE: u32 = 0xffff_ff00;
}

pub(super) mod set_flag {
    pub(in super::super) const ANONYMOUS: u32 = 1;
    pub(in super::super) const CONSTANT: u32 = 2;
    pub(in super::super) const INTERVAL: u32 = 4;
    pub(in super::super) const MAP: u32 = 8;
    pub(in super::super) const TIMEOUT: u32 = 0x10;
    pub(in super::super) const EVAL: u32 = 0x20;
    pub(in super::super) const CONCAT: u32 = 0x80;
}

/// `NFTA_SET_ELEM_LIST_…`
pub(super) mod elements {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const SET: u16 = 2;
    pub(in super::super) const ELEMENTS: u16 = 3;
    pub(in super::super) const SET_ID: u16 = 4;
}

pub(super) mod element {
    pub(in super::super) const KEY: u16 = 1;
    pub(in super::super) const DATA: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const TIMEOUT: u16 = 4;
    pub(in super::super) const EXPIRATION: u16 = 5;
    pub(in super::super) const USER_DATA: u16 = 6;
    pub(in super::super) const KEY_END: u16 = 10;
    /// `NFT_SET_ELEM_INTERVAL_END`
    pub(in super::super) const INTERVAL_END: u32 = 1;
}

pub(super) mod data {
    pub(in super::super) const VALUE: u16 = 1;
    pub(in super::super) const VERDICT: u16 = 2;
    /// `NFTA_VERDICT_CODE`
    pub(in super::super) const VERDICT_CODE: u16 = 1;
    /// `NFTA_VERDICT_CHAIN`
    pub(in super::super) const VERDICT_CHAIN: u16 = 2;
}

/// `NF_ACCEPT` and the like, and `enum nft_verdicts`.
pub(super) mod verdict {
    pub(in super::super) const DROP: i32 = 0;
    pub(in super::super) const ACCEPT: i32 = 1;
    pub(in super::super) const CONTINUE: i32 = -1;
    pub(in super::super) const JUMP: i32 = -3;
    pub(in super::super) const GOTO: i32 = -4;
    pub(in super::super) const RETURN: i32 = -5;
}

/// `NFTA_EXPR_…`
pub(super) mod expression {
    pub(in super::super) const NAME: u16 = 1;
    pub(in super::super) const DATA: u16 = 2;
}

/// `NFTA_PAYLOAD_…`, `NFT_PAYLOAD_…_HEADER`
pub(super) mod payload {
    pub(in super::super) const TO: u16 = 1;
    pub(in super::super) const BASE: u16 = 2;
    pub(in super::super) const OFFSET: u16 = 3;
    pub(in super::super) const LENGTH: u16 = 4;
    pub(in super::super) const NETWORK: u32 = 1;
    pub(in super::super) const TRANSPORT: u32 = 2;
}

/// `NFTA_META_…`
pub(super) mod meta {
    pub(in super::super) const TO: u16 = 1;
    pub(in super::super) const KEY: u16 = 2;
    pub(in super::super) const FROM: u16 = 3;
}

/// `enum nft_meta_keys`
pub(super) mod meta_key {
    pub(in super::super) const MARK: u32 = 3;
    pub(in super::super) const IIFNAME: u32 = 6;
    pub(in super::super) const OIFNAME: u32 = 7;
    pub(in super::super) const NFPROTO: u32 = 15;
    pub(in super::super) const L4PROTO: u32 = 16;
    pub(in super::super) const PKTTYPE: u32 = 19;
    pub(in super::super) const PRANDOM: u32 = 24;
}

/// `NFTA_CT_…`, `enum nft_ct_keys`
pub(super) mod ct {
    pub(in super::super) const TO: u16 = 1;
    pub(in super::super) const KEY: u16 = 2;
    pub(in super::super) const FROM: u16 = 4;
    pub(in super::super) const STATE: u32 = 0;
    pub(in super::super) const DIRECTION: u32 = 1;
    pub(in super::super) const STATUS: u32 = 2;
    pub(in super::super) const MARK: u32 = 3;
}

/// `NFTA_FIB_…`
pub(super) mod fib {
    pub(in super::super) const TO: u16 = 1;
    pub(in super::super) const RESULT: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    /// `NFT_FIB_RESULT_ADDRTYPE`
    pub(in super::super) const ADDRESS_TYPE: u32 = 3;
    /// `NFTA_FIB_F_SADDR`
    pub(in super::super) const SADDR: u32 = 1;
    /// `NFTA_FIB_F_DADDR`
    pub(in super::super) const DADDR: u32 = 2;
}

/// `NFTA_NG_…`
pub(super) mod numgen {
    pub(in super::super) const TO: u16 = 1;
    pub(in super::super) const MODULUS: u16 = 2;
    pub(in super::super) const TYPE: u16 = 3;
    pub(in super::super) const OFFSET: u16 = 4;
    pub(in super::super) const INCREMENTAL: u32 = 0;
    pub(in super::super) const RANDOM: u32 = 1;
}

/// `NFTA_BITWISE_…`
pub(super) mod bitwise {
    pub(in super::super) const FROM: u16 = 1;
    pub(in super::super) const TO: u16 = 2;
    pub(in super::super) const LENGTH: u16 = 3;
    pub(in super::super) const MASK: u16 = 4;
    pub(in super::super) const XOR: u16 = 5;
    pub(in super::super) const OPERATION: u16 = 6;
    /// `NFT_BITWISE_MASK_XOR`
    pub(in super::super) const MASK_XOR: u32 = 0;
}

/// `NFTA_CMP_…`, `NFTA_RANGE_…`, `enum nft_cmp_ops`
pub(super) mod compare {
    pub(in super::super) const FROM: u16 = 1;
    pub(in super::super) const OPERATION: u16 = 2;
    pub(in super::super) const DATA: u16 = 3;
    /// `NFTA_RANGE_FROM_DATA`
    pub(in super::super) const FIRST: u16 = 3;
    /// `NFTA_RANGE_TO_DATA`
    pub(in super::super) const LAST: u16 = 4;
    pub(in super::super) const EQUAL: u32 = 0;
    pub(in super::super) const NOT_EQUAL: u32 = 1;
    pub(in super::super) const LESS: u32 = 2;
    pub(in super::super) const LESS_OR_EQUAL: u32 = 3;
    pub(in super::super) const GREATER: u32 = 4;
    pub(in super::super) const GREATER_OR_EQUAL: u32 = 5;
}

/// `NFTA_LOOKUP_…`
pub(super) mod lookup {
    pub(in super::super) const SET: u16 = 1;
    pub(in super::super) const FROM: u16 = 2;
    pub(in super::super) const TO: u16 = 3;
    pub(in super::super) const SET_ID: u16 = 4;
    pub(in super::super) const FLAGS: u16 = 5;
    /// `NFT_LOOKUP_F_INV`
    pub(in super::super) const INVERTED: u32 = 1;
}

/// `NFTA_IMMEDIATE_…`
pub(super) mod immediate {
    pub(in super::super) const TO: u16 = 1;
    pub(in super::super) const DATA: u16 = 2;
}

/// `NFTA_NAT_…`
pub(super) mod nat {
    pub(in super::super) const TYPE: u16 = 1;
    pub(in super::super) const FAMILY: u16 = 2;
    pub(in super::super) const ADDRESS: u16 = 3;
    pub(in super::super) const PORT: u16 = 5;
    pub(in super::super) const FLAGS: u16 = 7;
    pub(in super::super) const SOURCE: u32 = 0;
    pub(in super::super) const DESTINATION: u32 = 1;
    /// `NFTA_MASQ_FLAGS`
    pub(in super::super) const MASQUERADE_FLAGS: u16 = 1;
    /// `NFTA_REDIR_REG_PROTO_MIN`
    pub(in super::super) const REDIRECT_PORT: u16 = 1;
    /// `NFTA_REDIR_FLAGS`
    pub(in super::super) const REDIRECT_FLAGS: u16 = 3;
}

/// `NF_NAT_RANGE_…`
pub(super) mod nat_flag {
    pub(in super::super) const PORT: u32 = 2;
    pub(in super::super) const RANDOM: u32 = 4;
    pub(in super::super) const PERSISTENT: u32 = 8;
    pub(in super::super) const FULLY_RANDOM: u32 = 16;
}

/// `NFTA_REJECT_…`, `enum nft_reject_types`
pub(super) mod reject {
    pub(in super::super) const TYPE: u16 = 1;
    pub(in super::super) const CODE: u16 = 2;
    pub(in super::super) const ICMP: u32 = 0;
    pub(in super::super) const ICMPX: u32 = 2;
}

/// `NFTA_DYNSET_…`, `enum nft_dynset_ops`
pub(super) mod dynset {
    pub(in super::super) const SET: u16 = 1;
    pub(in super::super) const OPERATION: u16 = 3;
    pub(in super::super) const KEY: u16 = 4;
    pub(in super::super) const DATA: u16 = 5;
    pub(in super::super) const TIMEOUT: u16 = 6;
    pub(in super::super) const ADD: u32 = 0;
    pub(in super::super) const UPDATE: u32 = 1;
    pub(in super::super) const DELETE: u32 = 2;
}

/// `NFTA_COUNTER_…`
pub(super) mod counter {
    pub(in super::super) const BYTES: u16 = 1;
    pub(in super::super) const PACKETS: u16 = 2;
}

/// `NFTA_LOG_PREFIX`
pub(super) const LOG_PREFIX: u16 = 2;

/// What nft keeps with tables, chains, rules, sets and elements: `libnftnl/udata.h`, and `enum expr_types`,
/// `enum proto_desc_id` of nft.
pub(super) mod user_data {
    /// `NFT_USERDATA_MAXLEN`
    pub(in super::super) const LENGTH_MAX: usize = 256;
    /// Of a table, chain, rule or element.
    pub(in super::super) const COMMENT: u8 = 0;
    /// Of an element.
    pub(in super::super) const ELEMENT_FLAGS: u8 = 1;
    /// `NFTNL_SET_ELEM_F_INTERVAL_OPEN`
    pub(in super::super) const IS_OPEN: u32 = 1;
    pub(in super::super) const KEY_BYTE_ORDER: u8 = 0;
    pub(in super::super) const DATA_BYTE_ORDER: u8 = 1;
    pub(in super::super) const MERGE_ELEMENTS: u8 = 2;
    pub(in super::super) const KEY_TYPEOF: u8 = 3;
    pub(in super::super) const DATA_TYPEOF: u8 = 4;
    pub(in super::super) const DATA_INTERVAL: u8 = 6;
    pub(in super::super) const SET_COMMENT: u8 = 7;
    /// Of a `typeof`: which sort of expression, and its own description.
    pub(in super::super) const EXPRESSION: u8 = 0;
    pub(in super::super) const EXPRESSION_DATA: u8 = 1;
    pub(in super::super) const PAYLOAD: u32 = 7;
    pub(in super::super) const META: u32 = 9;
    pub(in super::super) const CT: u32 = 12;
    pub(in super::super) const CONCAT: u32 = 13;
    pub(in super::super) const NUMGEN: u32 = 23;
    pub(in super::super) const FIB: u32 = 26;
    pub(in super::super) const PROTOCOL_ICMP: u32 = 4;
    pub(in super::super) const PROTOCOL_TH: u32 = 11;
    pub(in super::super) const PROTOCOL_IP: u32 = 12;
    pub(in super::super) const PROTOCOL_IP6: u32 = 13;
    pub(in super::super) const PROTOCOL_ICMPV6: u32 = 14;
}
