//! Expressions of nf_tables: single steps of a rule, which work on registers.
//!
//! **What.** [`Expressions`] writes one after the other. **Why.** It knows what each step is called and what it takes; what a
//! rule makes of them is in `rule`.
//!
//! Source: `src/netlink_linearize.c` of nftables 1.0.6, `libnftnl/src/expr/*.c`.

use ruleset::nft::{
    BinaryOp, CtKey, Expr, Fib, FibAddress, Field, MetaKey, Numgen, NumgenMode, Verdict,
};

use super::uapi::LIST_ITEM;
use super::uapi::{
    bitwise, compare, ct, expression, fib, immediate, lookup, meta, meta_key, numgen, payload,
};
use super::value::{self, NAME_LENGTH};
use super::writer::{Open, Writer};
use super::{Encoded, Unknown};

/// Four bytes in which a value begins. There are sixteen, and one for the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

impl Slot {
    pub(super) const FIRST: Self = Self(0);

    /// The one behind a value of so many bytes.
    pub(super) const fn behind(self, length: usize) -> Self {
        Self(self.0 + length.div_ceil(4) as u32)
    }

    /// The one behind a value that has 16 bytes to itself.
    pub(super) const fn behind_whole(self) -> Self {
        self.behind(NAME_LENGTH)
    }

    /// Every fourth has a number of its own from times when there were but four registers (`enum nft_registers`).
    pub(super) const fn register(self) -> u32 {
        match self.0 % 4 {
            0 => 1 + self.0 / 4,
            _ => 8 + self.0,
        }
    }
}

/// `NFT_REG_VERDICT`
const VERDICT: u32 = 0;

/// The set that a lookup looks into.
#[derive(Clone, Copy, Debug)]
pub(super) struct SetName<'a> {
    pub(super) name: &'a str,
    /// Of a set that comes with the rule.
    pub(super) id: Option<u32>,
}

/// How what is found is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The rule goes on if it is there.
    Match,
    /// The rule goes on if it is not.
    NoMatch,
    /// What it leads to is put there.
    Data(Slot),
    /// What it leads to is the verdict.
    Verdict,
}

/// The expressions of a rule.
#[derive(Debug)]
pub(super) struct Expressions<'a> {
    out: &'a mut Writer,
}

impl<'a> Expressions<'a> {
    pub(super) const fn new(out: &'a mut Writer) -> Self {
        Self { out }
    }

    /// Adds one, with attributes that `fill` writes.
    pub(super) fn put(&mut self, name: &str, fill: impl FnOnce(&mut Writer) -> Encoded) -> Encoded {
        let (item, data) = self.open(name);
        fill(self.out)?;
        self.close(item, data);
        Ok(())
    }

    fn open(&mut self, name: &str) -> (Open, Open) {
        let item = self.out.open_nest(LIST_ITEM);
        self.out.text(expression::NAME, name);
        (item, self.out.open_nest(expression::DATA))
    }

    fn close(&mut self, item: Open, data: Open) {
        self.out.close(data);
        self.out.close(item);
    }

    fn numbers(&mut self, name: &str, numbers: &[(u16, u32)]) {
        let (item, data) = self.open(name);
        for (kind, number) in numbers {
            self.out.u32(*kind, *number);
        }
        self.close(item, data);
    }

    /// Loads bytes of a header.
    pub(super) fn payload(&mut self, base: u32, offset: u32, length: usize, to: Slot) {
        let length = u32::try_from(length).expect("a register has 16 bytes");
        let numbers = [
            (payload::TO, to.register()),
            (payload::BASE, base),
            (payload::OFFSET, offset),
            (payload::LENGTH, length),
        ];
        self.numbers("payload", &numbers);
    }

    pub(super) fn meta(&mut self, key: MetaKey, to: Slot) -> Encoded {
        let numbers = [(meta::KEY, meta_number(key)?), (meta::TO, to.register())];
        self.numbers("meta", &numbers);
        Ok(())
    }

    pub(super) fn set_mark(&mut self, from: Slot) {
        let numbers = [(meta::KEY, meta_key::MARK), (meta::FROM, from.register())];
        self.numbers("meta", &numbers);
    }

    pub(super) fn ct(&mut self, key: CtKey, to: Slot) {
        let key = match key {
            CtKey::State => ct::STATE,
            CtKey::Status => ct::STATUS,
            CtKey::Mark => ct::MARK,
            CtKey::Direction => ct::DIRECTION,
        };
        self.numbers("ct", &[(ct::KEY, key), (ct::TO, to.register())]);
    }

    pub(super) fn set_ct_mark(&mut self, from: Slot) {
        let numbers = [(ct::KEY, ct::MARK), (ct::FROM, from.register())];
        self.numbers("ct", &numbers);
    }

    pub(super) fn fib(&mut self, of: Fib, to: Slot) {
        let flags = match of.address {
            FibAddress::Saddr => fib::SADDR,
            FibAddress::Daddr => fib::DADDR,
        };
        let numbers = [
            (fib::FLAGS, flags),
            (fib::RESULT, fib::ADDRESS_TYPE),
            (fib::TO, to.register()),
        ];
        self.numbers("fib", &numbers);
    }

    pub(super) fn numgen(&mut self, of: Numgen, to: Slot) {
        let mode = match of.mode {
            NumgenMode::Random => numgen::RANDOM,
            NumgenMode::Inc => numgen::INCREMENTAL,
        };
        let numbers = [
            (numgen::TO, to.register()),
            (numgen::MODULUS, of.modulus),
            (numgen::TYPE, mode),
            (numgen::OFFSET, of.offset),
        ];
        self.numbers("numgen", &numbers);
    }

    /// `slot = slot & mask ^ xor`
    pub(super) fn bitwise(&mut self, slot: Slot, mask: &[u8], xor: &[u8]) -> Encoded {
        let length = u32::try_from(mask.len()).map_err(|_| Unknown("a mask this long"))?;
        self.put("bitwise", |out| {
            out.u32(bitwise::FROM, slot.register());
            out.u32(bitwise::TO, slot.register());
            out.u32(bitwise::OPERATION, bitwise::MASK_XOR);
            out.u32(bitwise::LENGTH, length);
            put_bytes(out, bitwise::MASK, mask)?;
            put_bytes(out, bitwise::XOR, xor)
        })
    }

    pub(super) fn compare(&mut self, slot: Slot, operation: u32, with: &[u8]) -> Encoded {
        self.put("cmp", |out| {
            out.u32(compare::FROM, slot.register());
            out.u32(compare::OPERATION, operation);
            put_bytes(out, compare::DATA, with)
        })
    }

    /// Goes on when the value is outside.
    pub(super) fn outside(&mut self, slot: Slot, first: &[u8], last: &[u8]) -> Encoded {
        self.put("range", |out| {
            out.u32(compare::FROM, slot.register());
            out.u32(compare::OPERATION, compare::NOT_EQUAL);
            put_bytes(out, compare::FIRST, first)?;
            put_bytes(out, compare::LAST, last)
        })
    }

    pub(super) fn lookup(&mut self, from: Slot, set: SetName<'_>, found: Found) {
        let (item, data) = self.open("lookup");
        self.out.u32(lookup::FROM, from.register());
        match found {
            Found::Match | Found::NoMatch => {}
            Found::Data(to) => self.out.u32(lookup::TO, to.register()),
            Found::Verdict => self.out.u32(lookup::TO, VERDICT),
        }
        self.out.text(lookup::SET, set.name);
        if let Some(id) = set.id {
            self.out.u32(lookup::SET_ID, id);
        }
        if found == Found::NoMatch {
            self.out.u32(lookup::FLAGS, lookup::INVERTED);
        }
        self.close(item, data);
    }

    pub(super) fn immediate(&mut self, value: &[u8], to: Slot) -> Encoded {
        self.put("immediate", |out| {
            out.u32(immediate::TO, to.register());
            put_bytes(out, immediate::DATA, value)
        })
    }

    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        let (item, data) = self.open("immediate");
        self.out.u32(immediate::TO, VERDICT);
        value::verdict(self.out, immediate::DATA, verdict);
        self.close(item, data);
    }

    /// Loads the first bytes of a header's field.
    pub(super) fn load_start(
        &mut self,
        field: Field,
        is_ip: IsIp,
        length: usize,
        to: Slot,
    ) -> Encoded {
        let (base, offset, _) = place_of(field, is_ip)?;
        self.payload(base, offset, length, to);
        Ok(())
    }

    /// Loads what needs no set; how many bytes that are.
    pub(super) fn load(&mut self, expr: &Expr, is_ip: IsIp, to: Slot) -> Encoded<usize> {
        match expr {
            Expr::Payload(field) => {
                let (base, offset, length) = place_of(*field, is_ip)?;
                self.payload(base, offset, length, to);
                Ok(length)
            }
            Expr::Meta(key) => {
                self.meta(*key, to)?;
                Ok(match key {
                    MetaKey::L4proto | MetaKey::Nfproto | MetaKey::Pkttype => 1,
                    MetaKey::Iifname | MetaKey::Oifname => NAME_LENGTH,
                    MetaKey::Mark | MetaKey::Iif | MetaKey::Oif | MetaKey::Random => 4,
                })
            }
            Expr::Ct(key) => {
                self.ct(*key, to);
                Ok(match key {
                    CtKey::State | CtKey::Status | CtKey::Mark => 4,
                    CtKey::Direction => 1,
                })
            }
            Expr::Fib(of) => {
                self.fib(*of, to);
                Ok(4)
            }
            Expr::Numgen(of) => {
                self.numgen(*of, to);
                Ok(4)
            }
            Expr::Literal(scalar) => {
                let mut bytes = Vec::new();
                value::put(&mut bytes, scalar)?;
                self.immediate(&bytes, to)?;
                Ok(bytes.len())
            }
            Expr::Concat(parts) => {
                let mut next = to;
                for part in parts {
                    let length = self.load(part, is_ip, next)?;
                    next = next.behind(length);
                }
                Ok(usize::try_from(next.0 - to.0).expect("there are few") * 4)
            }
            Expr::Binary { .. } => {
                let (left, mask, xor) = folded(expr)?;
                let length = self.load(left, is_ip, to)?;
                self.bitwise(to, &mask.to_ne_bytes(), &xor.to_ne_bytes())?;
                Ok(length)
            }
            Expr::Lookup { .. } => Err(Unknown("a lookup within an expression")),
        }
    }
}

/// Which addresses the packets of a table have, where that is plain.
pub(super) type IsIp = Option<ruleset::Family>;

/// Where a header has a field. One that carries a test for its protocol with it is not loaded by a single step, but for
/// ports: for those the rule makes the test.
fn place_of(field: Field, is_ip: IsIp) -> Encoded<(u32, u32, usize)> {
    use ruleset::Family::{V4, V6};
    // The test stands before the statement.
    let field = field.as_port().map_or(field, |(_, of_any)| of_any);
    let (base, offset, length) = match (field, is_ip) {
        (Field::IpSaddr, Some(V4)) => (payload::NETWORK, 12, 4),
        (Field::IpDaddr, Some(V4)) => (payload::NETWORK, 16, 4),
        (Field::IpProtocol, Some(V4)) => (payload::NETWORK, 9, 1),
        (Field::Ip6Saddr, Some(V6)) => (payload::NETWORK, 8, 16),
        (Field::Ip6Daddr, Some(V6)) => (payload::NETWORK, 24, 16),
        (Field::Ip6Nexthdr, Some(V6)) => (payload::NETWORK, 6, 1),
        (Field::ThSport, _) => (payload::TRANSPORT, 0, 2),
        (Field::ThDport, _) => (payload::TRANSPORT, 2, 2),
        _ => return Err(Unknown("a field that implies a test for its protocol")),
    };
    Ok((base, offset, length))
}

const fn meta_number(key: MetaKey) -> Encoded<u32> {
    Ok(match key {
        MetaKey::L4proto => meta_key::L4PROTO,
        MetaKey::Mark => meta_key::MARK,
        MetaKey::Iifname => meta_key::IIFNAME,
        MetaKey::Oifname => meta_key::OIFNAME,
        MetaKey::Nfproto => meta_key::NFPROTO,
        MetaKey::Pkttype => meta_key::PKTTYPE,
        MetaKey::Random => meta_key::PRANDOM,
        MetaKey::Iif | MetaKey::Oif => return Err(Unknown("an interface by its number")),
    })
}

/// Operations on marks, one after the other, as one mask and one exclusive or.
fn folded(expr: &Expr) -> Encoded<(&Expr, u32, u32)> {
    match expr {
        Expr::Binary { op, left, right } => {
            let (inner, mask, xor) = folded(left)?;
            Ok(match op {
                BinaryOp::And => (inner, mask & right, xor & right),
                BinaryOp::Or => (inner, mask & !right, (xor & !right) | right),
                BinaryOp::Xor => (inner, mask, xor ^ right),
            })
        }
        Expr::Meta(MetaKey::Mark) | Expr::Ct(CtKey::Mark | CtKey::Status | CtKey::State) => {
            Ok((expr, u32::MAX, 0))
        }
        _ => Err(Unknown("an operation on bits of anything but a mark")),
    }
}

fn put_bytes(out: &mut Writer, kind: u16, bytes: &[u8]) -> Encoded {
    value::value(out, kind, |out| {
        out.extend_from_slice(bytes);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_have_two_numberings() {
        let numbers: Vec<u32> = (0..16).map(|slot| Slot(slot).register()).collect();
        assert_eq!(
            numbers,
            [1, 9, 10, 11, 2, 13, 14, 15, 3, 17, 18, 19, 4, 21, 22, 23]
        );
    }

    #[test]
    fn operations_on_bits_are_one() {
        let mark = |op, left, right| Expr::Binary {
            op,
            left: Box::new(left),
            right,
        };
        let meta = Expr::Meta(MetaKey::Mark);
        let or = mark(BinaryOp::Or, meta.clone(), 0x4000);
        assert_eq!(folded(&or), Ok((&meta, 0xffff_bfff, 0x4000)));
        let and = mark(BinaryOp::And, or, 0xc000);
        assert_eq!(folded(&and), Ok((&meta, 0x8000, 0x4000)));
        let xor = mark(BinaryOp::Xor, and, 0x4001);
        assert_eq!(folded(&xor), Ok((&meta, 0x8000, 1)));
        folded(&Expr::Meta(MetaKey::Random)).unwrap_err();
    }
}
