//! Elements of sets and maps.
//!
//! A key of several parts has each of them padded to a register. An interval set is a tree of where intervals begin and,
//! as elements of their own, where they end; one of concatenations holds both ends in one element.

use ruleset::nft::{Element, ElementAttrs, Ident, Key, Scalar, Value};

use super::packed::Packed;
use super::uapi::{element, elements, message};
use super::user_data;
use super::value::{self, ends, is_ordered, milliseconds};
use super::writer::{Head, Open, Writer};
use super::{Encoded, Unknown};

/// How a set holds its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Single values.
    Plain,
    /// Where intervals begin and end.
    Intervals,
    /// Concatenations of intervals.
    Concatenations,
}

impl Shape {
    pub(super) const fn of(is_interval: bool, parts: usize) -> Self {
        match (is_interval, parts) {
            (false, _) => Self::Plain,
            (true, 1) => Self::Intervals,
            (true, _) => Self::Concatenations,
        }
    }
}

/// What an element carries besides its key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Content<'a> {
    pub(super) attrs: Option<&'a ElementAttrs>,
    pub(super) value: Option<&'a Value>,
    /// Whether it is an interval up to the greatest value, so that nothing follows that says where it ends.
    pub(super) is_open: bool,
}

impl<'a> Content<'a> {
    pub(super) fn of_set(attrs: &'a ElementAttrs) -> Self {
        Self {
            attrs: Some(attrs),
            ..Self::default()
        }
    }

    /// Whether there is nothing but data at most.
    fn is_plain(&self) -> bool {
        let carries = self.attrs.is_some_and(|attrs| !attrs.is_nothing());
        !carries && !self.is_open && !matches!(self.value, Some(Value::Verdict(_)))
    }

    const fn data(&self) -> Option<&'a Key> {
        match self.value {
            Some(Value::Data(data)) => Some(data),
            Some(Value::Verdict(_)) | None => None,
        }
    }

    pub(super) fn of_map(element: &'a Element) -> Self {
        Self {
            attrs: Some(&element.attrs),
            value: Some(&element.value),
            ..Self::default()
        }
    }
}

/// Whose elements they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    pub(super) table: &'a Ident,
    pub(super) set: &'a str,
    /// Of a set that comes with the same batch.
    pub(super) id: Option<u32>,
    pub(super) shape: Shape,
}

/// Messages that add or delete elements: one, and another where its list would be too long.
pub(super) struct Elements<'a> {
    out: &'a mut Writer,
    head: Head,
    owner: Owner<'a>,
    open: Option<(Open, Open)>,
}

/// A list is an attribute: 64 KiB at most. No element is longer than what is left.
const LIST_MAX: usize = 0xf000;

impl<'a> Elements<'a> {
    pub(super) const fn new(out: &'a mut Writer, head: Head, owner: Owner<'a>) -> Self {
        Self {
            out,
            head,
            owner,
            open: None,
        }
    }

    pub(super) fn is_tree(&self) -> bool {
        self.owner.shape == Shape::Intervals
    }

    /// Adds what begins a tree of intervals: up to the first of them there is none.
    pub(super) fn put_origin(&mut self, key: &Key) -> Encoded {
        let part = interval(key)?;
        let mut zero = bytes_of(&ends(&part).0)?;
        zero.fill(0);
        self.put_bound(&zero, element::INTERVAL_END, Content::default())
    }

    /// Adds an element; in a tree also where it ends, unless the next begins there.
    pub(super) fn put(&mut self, key: &Key, content: Content<'_>, next: Option<&Key>) -> Encoded {
        match self.owner.shape {
            Shape::Plain => self.put_key(key, None, content),
            Shape::Concatenations => {
                if !key.parts().all(|part| is_ordered(&part)) {
                    return Err(Unknown("an interval set of marks or names"));
                }
                let first: Key = key.parts().map(|part| ends(&part).0).collect();
                let last: Key = key.parts().map(|part| ends(&part).1).collect();
                self.put_key(&first, Some(&last), content)
            }
            Shape::Intervals => {
                let (first, last) = bounds(key)?;
                let end = after(&last);
                let is_open = end.is_none();
                self.put_bound(&first, 0, Content { is_open, ..content })?;
                let next = next.map(bounds).transpose()?;
                match end {
                    Some(end) if next.is_none_or(|(next, _)| next != end) => {
                        self.put_bound(&end, element::INTERVAL_END, Content::default())
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    pub(super) fn finish(mut self) {
        self.close();
    }

    fn put_key(&mut self, first: &Key, last: Option<&Key>, content: Content<'_>) -> Encoded {
        if last.is_none() && content.is_plain() {
            self.make_room();
            let data = content.data().map(|data| (element::DATA, data));
            let packed = Packed::item((element::KEY, first), data)?;
            self.out.append(packed.as_slice()?);
            return Ok(());
        }
        let item = self.item();
        self.put_flags(0, content);
        self.put_parts(element::KEY, first)?;
        if let Some(last) = last {
            self.put_parts(element::KEY_END, last)?;
        }
        self.put_content(content)?;
        self.out.close(item);
        Ok(())
    }

    fn put_parts(&mut self, kind: u16, key: &Key) -> Encoded {
        let packed = Packed::value(kind, key)?;
        self.out.append(packed.as_slice()?);
        Ok(())
    }

    fn put_bound(&mut self, bound: &[u8], flags: u32, content: Content<'_>) -> Encoded {
        let item = self.item();
        self.put_flags(flags, content);
        value::value(self.out, element::KEY, |out| {
            out.extend_from_slice(bound);
            Ok(())
        })?;
        self.put_content(content)?;
        self.out.close(item);
        Ok(())
    }

    fn put_flags(&mut self, flags: u32, content: Content<'_>) {
        if flags != 0 {
            self.out.u32(element::FLAGS, flags);
        }
        let Some(attrs) = content.attrs else {
            return;
        };
        if let Some(timeout) = attrs.timeout {
            self.out.u64(element::TIMEOUT, milliseconds(timeout));
        }
        if let Some(expires) = attrs.expires {
            self.out.u64(element::EXPIRATION, milliseconds(expires));
        }
    }

    fn put_content(&mut self, content: Content<'_>) -> Encoded {
        match content.value {
            Some(Value::Verdict(verdict)) => value::verdict(self.out, element::DATA, verdict),
            Some(Value::Data(data)) => {
                self.put_parts(element::DATA, data)?;
            }
            None => {}
        }
        let comment = content.attrs.and_then(|attrs| attrs.comment.as_ref());
        match user_data::of_element(comment, content.is_open) {
            Some(data) => data.write(self.out, element::USER_DATA),
            None => Ok(()),
        }
    }

    /// A place in a list that has room.
    fn item(&mut self) -> Open {
        self.make_room();
        self.out.open_nest(super::uapi::LIST_ITEM)
    }

    fn make_room(&mut self) {
        if self
            .open
            .is_some_and(|(_, list)| self.out.length(list) > LIST_MAX)
        {
            self.close();
        }
        if self.open.is_none() {
            let message = self.out.begin(self.head);
            self.out.text(elements::TABLE, self.owner.table.as_str());
            self.out.text(elements::SET, self.owner.set);
            if let Some(id) = self.owner.id {
                self.out.u32(elements::SET_ID, id);
            }
            self.open = Some((message, self.out.open_nest(elements::ELEMENTS)));
        }
    }

    fn close(&mut self) {
        if let Some((message, list)) = self.open.take() {
            self.out.close(list);
            self.out.end(message);
        }
    }
}

/// The message that adds elements, and the one that deletes them.
pub(super) const ADD: u8 = message::NEW_ELEMENTS;
pub(super) const DELETE: u8 = message::DELETE_ELEMENTS;

fn bounds(key: &Key) -> Encoded<(Vec<u8>, Vec<u8>)> {
    let part = interval(key)?;
    if !is_ordered(&part) {
        return Err(Unknown("an interval set of marks or names"));
    }
    let (first, last) = ends(&part);
    Ok((bytes_of(&first)?, bytes_of(&last)?))
}

fn interval(key: &Key) -> Encoded<Scalar> {
    key.only().ok_or(Unknown("an interval of several parts"))
}

fn bytes_of(scalar: &Scalar) -> Encoded<Vec<u8>> {
    let mut bytes = Vec::with_capacity(16);
    value::put(&mut bytes, scalar)?;
    Ok(bytes)
}

/// The number after this one; `None` after the greatest.
fn after(number: &[u8]) -> Option<Vec<u8>> {
    let mut next = number.to_vec();
    for digit in next.iter_mut().rev() {
        *digit = digit.wrapping_add(1);
        if *digit != 0 {
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use ruleset::Protocol;
    use ruleset::nft::{Carried, Comment};

    use super::*;
    use crate::netlink::uapi;

    /// Where elements begin: behind the message's header, the names of table and set, and the list's header.
    const LIST_AT: usize = 40;

    fn written(shape: Shape, keys: &[Key]) -> Encoded<Vec<u8>> {
        let all: Vec<_> = keys.iter().map(|key| (key, Content::default())).collect();
        written_with(shape, &all)
    }

    fn written_with(shape: Shape, all: &[(&Key, Content<'_>)]) -> Encoded<Vec<u8>> {
        let mut out = Writer::default();
        let table = Ident::literal("t");
        let owner = Owner {
            table: &table,
            set: "s",
            id: None,
            shape,
        };
        let head = Head {
            kind: 0,
            flags: 0,
            sequence: 1,
            family: uapi::family::IPV4,
            resource: 0,
        };
        let mut elements = Elements::new(&mut out, head, owner);
        for (index, (key, content)) in all.iter().enumerate() {
            let next = all.get(index + 1).map(|(next, _)| *next);
            elements.put(key, *content, next)?;
        }
        elements.finish();
        Ok(out.into_bytes())
    }

    /// Without the message's header and the names of table and set.
    fn list(shape: Shape, keys: &[Key]) -> Vec<u8> {
        written(shape, keys).unwrap()[36..].to_vec()
    }

    fn address(text: &str) -> Scalar {
        Scalar::address(text.parse().unwrap())
    }

    fn net(text: &str) -> Scalar {
        Scalar::net(text.parse().unwrap())
    }

    fn key(parts: impl IntoIterator<Item = Scalar>) -> Key {
        parts.into_iter().collect()
    }

    /// The same by a writer, attribute by attribute.
    fn by_writer(out: &mut Writer, kind: u16, key: &Key) -> Encoded {
        value::value(out, kind, |bytes| {
            for part in key.parts() {
                let from = bytes.len();
                value::put(bytes, &part)?;
                if key.only().is_none() {
                    super::super::writer::pad(bytes, from);
                }
            }
            Ok(())
        })
    }

    fn any_key() -> impl Strategy<Value = Key> {
        let part = prop_oneof![
            any::<[u8; 4]>().prop_map(|octets| Scalar::V4(octets.into())),
            any::<[u8; 16]>().prop_map(|octets| Scalar::V6(octets.into())),
            any::<u8>().prop_map(|number| Scalar::Proto(Protocol(number))),
            any::<u16>().prop_map(Scalar::Port),
            any::<u32>().prop_map(Scalar::Number),
            any::<u8>().prop_map(Scalar::IcmpType),
        ];
        proptest::collection::vec(part, 1..5).prop_map(|parts| parts.into_iter().collect())
    }

    fn any_attrs() -> impl Strategy<Value = ElementAttrs> {
        let seconds = proptest::option::of((1..100_u64).prop_map(Duration::from_secs));
        (proptest::option::of("[a-z]{1,9}"), seconds).prop_map(|(comment, timeout)| {
            ElementAttrs::from(Carried {
                comment: comment.as_deref().map(Comment::new),
                timeout,
                ..Carried::default()
            })
        })
    }

    proptest! {
        #[test]
        fn what_is_put_together_first_is_what_a_writer_makes(
            key in any_key(),
            data in proptest::option::of(any_key()),
            attrs in any_attrs(),
        ) {
            let value = data.clone().map(Value::Data);
            let content = Content { attrs: Some(&attrs), value: value.as_ref(), is_open: false };
            let found = written_with(Shape::Plain, &[(&key, content)]).unwrap();
            let mut out = Writer::default();
            let item = out.open_nest(uapi::LIST_ITEM);
            if let Some(timeout) = attrs.timeout {
                out.u64(element::TIMEOUT, milliseconds(timeout));
            }
            by_writer(&mut out, element::KEY, &key).unwrap();
            if let Some(data) = &data {
                by_writer(&mut out, element::DATA, data).unwrap();
            }
            if let Some(comment) = &attrs.comment {
                user_data::comment(comment).write(&mut out, element::USER_DATA).unwrap();
            }
            out.close(item);
            prop_assert_eq!(&found[LIST_AT..], out.as_slice());
        }
    }

    #[test]
    fn parts_are_padded_and_single_values_are_not() {
        let parts = key([
            address("10.0.0.1"),
            Scalar::Proto(Protocol::TCP),
            Scalar::Port(80),
        ]);
        let expected = [
            [28, 0, 3, 0x80],
            [24, 0, 1, 0x80],
            [20, 0, 1, 0x80],
            [16, 0, 1, 0],
            [10, 0, 0, 1],
            [6, 0, 0, 0],
            [0, 80, 0, 0],
        ];
        assert_eq!(list(Shape::Plain, &[parts]), expected.concat());
        let expected = [
            [20, 0, 3, 0x80],
            [16, 0, 1, 0x80],
            [12, 0, 1, 0x80],
            [6, 0, 1, 0],
            [0, 80, 0, 0],
        ];
        assert_eq!(
            list(Shape::Plain, &[key([Scalar::Port(80)])]),
            expected.concat()
        );
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn intervals_end_in_elements_of_their_own() {
        let nets = [key([net("10.0.0.0/8")]), key([net("255.0.0.0/8")])];
        let bound = |flags: bool, value: [u8; 4]| match flags {
            false => [[16, 0, 1, 0x80], [12, 0, 1, 0x80], [8, 0, 1, 0], value].concat(),
            true => [
                [24, 0, 1, 0x80],
                [8, 0, 3, 0],
                [0, 0, 0, 1],
                [12, 0, 1, 0x80],
                [8, 0, 1, 0],
                value,
            ]
            .concat(),
        };
        let open = [
            [28, 0, 1, 0x80],
            [12, 0, 1, 0x80],
            [8, 0, 1, 0],
            [255, 0, 0, 0],
            [10, 0, 6, 0],
            [1, 4, 1, 0],
            [0, 0, 0, 0],
        ];
        let expected = [
            vec![72, 0, 3, 0x80],
            bound(false, [10, 0, 0, 0]),
            bound(true, [11, 0, 0, 0]),
            open.concat(),
        ];
        assert_eq!(list(Shape::Intervals, &nets), expected.concat());
    }

    #[test]
    fn concatenations_have_both_ends_in_one_element() {
        let range = key([net("10.0.0.0/8"), Scalar::PortRange(80, 90)]);
        let expected = [
            [40, 0, 3, 0x80],
            [36, 0, 1, 0x80],
            [16, 0, 1, 0x80],
            [12, 0, 1, 0],
            [10, 0, 0, 0],
            [0, 80, 0, 0],
            [16, 0, 10, 0x80],
            [12, 0, 1, 0],
            [10, 255, 255, 255],
            [0, 90, 0, 0],
        ];
        assert_eq!(list(Shape::Concatenations, &[range]), expected.concat());
    }

    #[test]
    fn long_lists_are_several_messages() {
        let keys: Vec<Key> = (0..10_000)
            .map(|number| key([Scalar::Number(number)]))
            .collect();
        let bytes = written(Shape::Plain, &keys).unwrap();
        let read = super::super::writer::messages(&bytes);
        // Sixteen bytes each.
        assert_eq!(read.len(), 3);
        let lists = read.iter().map(|message| message.body.len());
        assert!(lists.clone().all(|length| length < 0x1_0000));
        let headers = 20 * read.len();
        assert_eq!(
            lists.sum::<usize>(),
            16 * keys.len() + headers + 4 * read.len()
        );
    }

    #[test]
    fn what_has_no_order_is_in_no_interval_set() {
        let mark = key([Scalar::Mark(1)]);
        written(Shape::Intervals, &[mark]).unwrap_err();
        let net = key([net("10.0.0.0/8")]);
        written(Shape::Plain, &[net]).unwrap_err();
    }
}
