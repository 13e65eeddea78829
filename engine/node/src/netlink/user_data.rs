//! What nft keeps with its objects for itself: comments, and how a set's types were declared.
//!
//! Source: `libnftnl/src/udata.c`, `mnl_nft_set_add` and the `…_build_udata` of each expression in nftables 1.0.6. The kernel
//! keeps it and does not look into it; `nft list` prints by it.

use ruleset::nft::{Comment, DataType, SetOptions};

use super::uapi::{self, meta_key, user_data};
use super::writer::Writer;
use super::{Encoded, Unknown};

/// Entries of a type, a length and a value each.
#[derive(Clone, Debug, Default)]
pub(super) struct UserData {
    bytes: Vec<u8>,
    has_overflown: bool,
}

impl UserData {
    fn put(&mut self, kind: u8, value: &[u8]) {
        match u8::try_from(value.len()) {
            Ok(length) => {
                self.bytes.extend([kind, length]);
                self.bytes.extend_from_slice(value);
            }
            Err(_) => self.has_overflown = true,
        }
    }

    fn put_number(&mut self, kind: u8, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    fn put_nest(&mut self, kind: u8, content: &Self) {
        self.put(kind, &content.bytes);
        self.has_overflown |= content.has_overflown;
    }

    fn put_text(&mut self, kind: u8, text: &Comment) {
        let mut bytes = text.as_str().as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes);
    }

    pub(super) fn write(&self, out: &mut Writer, kind: u16) -> Encoded {
        if self.has_overflown || self.bytes.len() > user_data::LENGTH_MAX {
            return Err(Unknown("a declaration or comment this long"));
        }
        out.bytes(kind, &self.bytes);
        Ok(())
    }
}

/// Of a table, chain or rule: its comment.
pub(super) fn comment(text: &Comment) -> UserData {
    let mut data = UserData::default();
    data.put_text(user_data::COMMENT, text);
    data
}

/// Of an element; `None` when there is nothing to say.
pub(super) fn of_element(text: Option<&Comment>, is_open: bool) -> Option<UserData> {
    if text.is_none() && !is_open {
        return None;
    }
    let mut data = UserData::default();
    if let Some(text) = text {
        data.put_text(user_data::COMMENT, text);
    }
    if is_open {
        data.put_number(user_data::ELEMENT_FLAGS, user_data::IS_OPEN);
    }
    Some(data)
}

/// Of an anonymous set or map.
pub(super) fn anonymous(key: &[DataType], data: Option<&[DataType]>) -> UserData {
    let mut of_set = UserData::default();
    of_set.put_number(user_data::KEY_BYTE_ORDER, byte_order(key));
    if let Some(data) = data {
        of_set.put_number(user_data::DATA_BYTE_ORDER, byte_order(data));
    }
    of_set
}

/// Of a set, or of a map; the data of a map to verdicts has no parts.
pub(super) fn declaration(
    key: &[DataType],
    data: Option<&[DataType]>,
    options: &SetOptions,
) -> UserData {
    let mut of_set = anonymous(key, data);
    if options.auto_merge {
        of_set.put_number(user_data::MERGE_ELEMENTS, 1);
    }
    // A type that has no name makes all of the declaration one by example.
    let is_by_example = key.iter().chain(data.unwrap_or_default());
    let is_by_example = is_by_example.clone().any(|one| *one == DataType::Integer);
    let mut put_types = |kind, types: &[DataType]| {
        if is_by_example || types.len() > 1 {
            of_set.put_nest(kind, &example(types, is_by_example));
        }
    };
    put_types(user_data::KEY_TYPEOF, key);
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        put_types(user_data::DATA_TYPEOF, data);
    }
    if data.is_some() {
        of_set.put_number(user_data::DATA_INTERVAL, 0);
    }
    if let Some(text) = &options.comment {
        of_set.put_text(user_data::SET_COMMENT, text);
    }
    of_set
}

/// 1 is the machine's, 2 the network's, 0 neither.
const fn byte_order(types: &[DataType]) -> u32 {
    match types {
        [
            DataType::Ipv4Addr
            | DataType::Ipv6Addr
            | DataType::InetService
            | DataType::IcmpType
            | DataType::Icmpv6Type,
        ] => 2,
        [DataType::InetProto | DataType::NfProto] => 0,
        [_] => 1,
        _ => 0,
    }
}

/// An expression of these types; of a concatenation by names, nothing but that it is one.
fn example(types: &[DataType], has_parts: bool) -> UserData {
    if let [one] = types {
        return sample(*one);
    }
    let mut parts = UserData::default();
    for (index, one) in (0..).zip(types).filter(|_| has_parts) {
        parts.put_nest(index, &sample(*one));
    }
    expression(user_data::CONCAT, &parts)
}

/// The expressions that [`NftSet`](ruleset::nft::NftSet) stands for when it is printed.
fn sample(of: DataType) -> UserData {
    let (kind, numbers): (u32, &[u32]) = match of {
        DataType::Ipv4Addr => (user_data::PAYLOAD, &[user_data::PROTOCOL_IP, 12]),
        DataType::Ipv6Addr => (user_data::PAYLOAD, &[user_data::PROTOCOL_IP6, 9]),
        DataType::InetService => (user_data::PAYLOAD, &[user_data::PROTOCOL_TH, 2]),
        DataType::IcmpType => (user_data::PAYLOAD, &[user_data::PROTOCOL_ICMP, 1]),
        DataType::Icmpv6Type => (user_data::PAYLOAD, &[user_data::PROTOCOL_ICMPV6, 1]),
        DataType::InetProto => (user_data::META, &[meta_key::L4PROTO]),
        DataType::Mark => (user_data::META, &[meta_key::MARK]),
        DataType::Ifname => (user_data::META, &[meta_key::IIFNAME]),
        DataType::NfProto => (user_data::META, &[meta_key::NFPROTO]),
        DataType::PktType => (user_data::META, &[meta_key::PKTTYPE]),
        // In both directions.
        DataType::CtState => (user_data::CT, &[uapi::ct::STATE, u32::MAX]),
        DataType::FibAddrType => {
            let numbers = &[uapi::fib::ADDRESS_TYPE, uapi::fib::DADDR];
            (user_data::FIB, numbers)
        }
        DataType::Integer => {
            let numbers = &[uapi::numgen::RANDOM, NUMBERS, 0];
            (user_data::NUMGEN, numbers)
        }
    };
    let mut content = UserData::default();
    for (index, number) in (0..).zip(numbers) {
        content.put_number(index, *number);
    }
    expression(kind, &content)
}

/// `numgen random mod 65536`: a number that is drawn has no other name for its type.
const NUMBERS: u32 = 65_536;

fn expression(kind: u32, content: &UserData) -> UserData {
    let mut whole = UserData::default();
    whole.put_number(user_data::EXPRESSION, kind);
    whole.put_nest(user_data::EXPRESSION_DATA, content);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(data: &UserData) -> String {
        let mut out = Writer::default();
        data.write(&mut out, 13).unwrap();
        let value = out.as_slice()[4..][..data.bytes.len()].iter();
        value.map(|byte| format!("{byte:02x}")).collect()
    }

    /// As nft 1.0.6 sends them on a machine of little-endian numbers.
    #[cfg(target_endian = "little")]
    #[test]
    fn declarations_as_nft_writes_them() {
        use DataType::{InetProto, InetService, Integer, Ipv4Addr};
        let options = SetOptions {
            comment: Some(Comment::new("hello")),
            ..SetOptions::default()
        };
        let key = [Ipv4Addr, InetProto, InetService];
        assert_eq!(
            written(&declaration(&key, None, &options)),
            "0004000000000308\
             00040d0000000100070668656c6c6f00"
        );
        let options = SetOptions::default();
        let key = [Ipv4Addr, InetProto, InetService, Integer];
        assert_eq!(
            written(&declaration(&key, Some(&[Ipv4Addr, InetService]), &options)),
            "0004000000000104000000000360\
             00040d0000000158\
             0014000407000000010c00040c00000001040c000000\
             010e00040900000001060004100000000214000407000000010c00040b000000010402000000\
             031a00041700000001120004010000000104000001000204000000000434\
             00040d000000012c\
             0014000407000000010c00040c00000001040c000000\
             0114000407000000010c00040b000000010402000000\
             060400000000"
        );
        let verdicts = declaration(&[InetService], Some(&[]), &options);
        assert_eq!(written(&verdicts), "000402000000010400000000060400000000");
    }

    #[test]
    fn what_the_kernel_does_not_keep_is_not_sent() {
        let mut out = Writer::default();
        let many = [DataType::Integer; 12];
        let data = declaration(&many, None, &SetOptions::default());
        data.write(&mut out, 13).unwrap_err();
    }
}
