//! Expressions, sets and maps in place.

use super::cursor::Cursor;
use super::tokens::{Kind, Token};
use super::value::{ValueType, key, scalar, types};
use super::{ParseError, ParseErrorKind};
use crate::nft::words::{CT_KEYS, FIELDS, META_KEYS, value_of};
use crate::nft::{
    BinaryOp, DataType, Expr, Fib, FibAddress, Key, MapRef, MetaKey, Numgen, NumgenMode, SetRef,
};

/// How deep parentheses may stand in each other.
const DEPTH_MAX: usize = 16;

/// Reads parts joined by `.`, then operations on bits: what can stand left of a comparison or before `map`.
/// `literal` is the type that a bare value has, where one may stand.
pub(super) fn expr(
    cursor: &mut Cursor<'_>,
    literal: Option<ValueType>,
) -> Result<Expr, ParseError> {
    let first = primary(cursor, literal, 0)?;
    if !cursor.peek().is(".") {
        return binary(cursor, first, 0);
    }
    let mut parts = vec![first];
    while cursor.take(".").is_some() {
        parts.push(primary(cursor, literal, 0)?);
    }
    Ok(Expr::Concat(parts))
}

/// `@name` or `{ a, b }`, with keys of these types.
pub(super) fn set_ref(cursor: &mut Cursor<'_>, types: &[ValueType]) -> Result<SetRef, ParseError> {
    if cursor.take("@").is_some() {
        return Ok(SetRef::Named(cursor.ident("the name of a set")?));
    }
    let mut keys = Vec::new();
    braced(cursor, |cursor| {
        keys.push(key(cursor, types)?);
        Ok(())
    })?;
    Ok(SetRef::Anonymous(keys))
}

/// `@name` or `{ a : x, b : y }`, with keys of these types.
pub(super) fn map_ref<V>(
    cursor: &mut Cursor<'_>,
    types: &[ValueType],
    value: impl Fn(&mut Cursor<'_>) -> Result<V, ParseError>,
) -> Result<MapRef<V>, ParseError> {
    if cursor.take("@").is_some() {
        return Ok(MapRef::Named(cursor.ident("the name of a map")?));
    }
    let mut entries: Vec<(Key, V)> = Vec::new();
    braced(cursor, |cursor| {
        let key = key(cursor, types)?;
        cursor.expect(":")?;
        entries.push((key, value(cursor)?));
        Ok(())
    })?;
    Ok(MapRef::Anonymous(entries))
}

/// `{ one, one, … }` over any number of lines.
pub(super) fn braced<'a>(
    cursor: &mut Cursor<'a>,
    mut one: impl FnMut(&mut Cursor<'a>) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    cursor.expect("{")?;
    cursor.skip_separators();
    while cursor.take("}").is_none() {
        one(cursor)?;
        cursor.skip_separators();
        if cursor.take(",").is_none() && !cursor.peek().is("}") {
            return Err(cursor.peek().unexpected("`,` or `}`"));
        }
        cursor.skip_separators();
    }
    Ok(())
}

fn primary(
    cursor: &mut Cursor<'_>,
    literal: Option<ValueType>,
    depth: usize,
) -> Result<Expr, ParseError> {
    let token = cursor.peek();
    if cursor.take("(").is_some() {
        if depth == DEPTH_MAX {
            return Err(token.error(ParseErrorKind::TooDeep));
        }
        let inside = primary(cursor, literal, depth + 1)?;
        let inside = binary(cursor, inside, 0)?;
        cursor.expect(")")?;
        return Ok(inside);
    }
    if token.kind == Kind::Word {
        match token.text {
            "ip" | "ip6" | "tcp" | "udp" | "sctp" | "th" | "icmp" | "icmpv6" => {
                let field = two_words(cursor, FIELDS)?;
                return Ok(Expr::Payload(field));
            }
            "ct" => return Ok(Expr::Ct(two_words(cursor, CT_KEYS)?)),
            "meta" => return meta(cursor),
            "iifname" | "oifname" | "iif" | "oif" | "mark" => {
                cursor.next();
                return Ok(Expr::Meta(bare_meta(token)?));
            }
            "fib" => return fib(cursor),
            "numgen" => return numgen(cursor),
            _ => {}
        }
    }
    match literal {
        Some(due) => Ok(Expr::Literal(scalar(cursor, due)?)),
        None if token.kind == Kind::Word => Err(token.unsupported(format!("{:?}", token.text))),
        None => Err(token.unexpected("a statement")),
    }
}

/// `ip saddr` and the like, from a table of two words each.
fn two_words<T: Copy>(
    cursor: &mut Cursor<'_>,
    words: crate::nft::words::Words<T>,
) -> Result<T, ParseError> {
    let first = cursor.next();
    let second = cursor.word("a field")?;
    let name = format!("{} {}", first.text, second.text);
    value_of(words, &name).ok_or_else(|| first.unsupported(format!("`{name}`")))
}

fn meta(cursor: &mut Cursor<'_>) -> Result<Expr, ParseError> {
    let first = cursor.next();
    let second = cursor.word("a meta key")?;
    let name = format!("meta {}", second.text);
    value_of(META_KEYS, &name)
        .or_else(|| value_of(META_KEYS, second.text))
        .map(Expr::Meta)
        .ok_or_else(|| first.unsupported(format!("`{name}`")))
}

fn bare_meta(token: Token<'_>) -> Result<MetaKey, ParseError> {
    if token.is("mark") {
        return Ok(MetaKey::Mark);
    }
    value_of(META_KEYS, token.text).ok_or_else(|| token.unexpected("a meta key"))
}

fn fib(cursor: &mut Cursor<'_>) -> Result<Expr, ParseError> {
    let first = cursor.next();
    let address = match cursor.word("saddr or daddr")?.text {
        "saddr" => FibAddress::Saddr,
        "daddr" => FibAddress::Daddr,
        _ => return Err(first.unsupported("this form of fib")),
    };
    match cursor.take("type") {
        Some(_) => Ok(Expr::Fib(Fib { address })),
        None => Err(first.unsupported("fib with an interface or a result other than type")),
    }
}

fn numgen(cursor: &mut Cursor<'_>) -> Result<Expr, ParseError> {
    cursor.next();
    let mode = cursor.word("random or inc")?;
    let mode = match mode.text {
        "random" => NumgenMode::Random,
        "inc" => NumgenMode::Inc,
        _ => return Err(mode.unexpected("random or inc")),
    };
    cursor.expect("mod")?;
    let token = cursor.peek();
    let modulus = cursor.number("a number of 32 bits")?;
    if modulus == 0 {
        return Err(token.bad_value("a number above zero"));
    }
    let offset = match cursor.take("offset") {
        Some(_) => cursor.number("a number of 32 bits")?,
        None => 0,
    };
    Ok(Expr::Numgen(Numgen {
        mode,
        modulus,
        offset,
    }))
}

/// Operations with constants on the right, by their strength: `&`, then `^`, then `|`.
fn binary(cursor: &mut Cursor<'_>, mut left: Expr, min: u8) -> Result<Expr, ParseError> {
    while let Some((op, strength)) = operator(cursor.peek()).filter(|(_, s)| *s >= min) {
        let token = cursor.next();
        let due = match types(&left)[..] {
            [
                one @ (ValueType::Data(DataType::Mark | DataType::Integer)
                | ValueType::TcpFlags
                | ValueType::CtStatus),
            ] => one,
            // A literal here is a mark: nothing else takes operations and a bare value.
            [] => ValueType::Data(DataType::Mark),
            _ => return Err(token.unsupported("an operation on these bits")),
        };
        let right = constant(cursor, due, strength + 1, 0)?;
        left = Expr::Binary {
            op,
            left: Box::new(left),
            right,
        };
    }
    Ok(left)
}

fn constant(
    cursor: &mut Cursor<'_>,
    due: ValueType,
    min: u8,
    depth: usize,
) -> Result<u32, ParseError> {
    let mut value = match cursor.take("(") {
        Some(token) if depth == DEPTH_MAX => return Err(token.error(ParseErrorKind::TooDeep)),
        Some(_) => {
            let inside = constant(cursor, due, 0, depth + 1)?;
            cursor.expect(")")?;
            inside
        }
        None => due.bits(cursor.word("a number or a flag")?)?,
    };
    while let Some((op, strength)) = operator(cursor.peek()).filter(|(_, s)| *s >= min) {
        cursor.next();
        let right = constant(cursor, due, strength + 1, depth)?;
        value = match op {
            BinaryOp::And => value & right,
            BinaryOp::Or => value | right,
            BinaryOp::Xor => value ^ right,
        };
    }
    Ok(value)
}

fn operator(token: Token<'_>) -> Option<(BinaryOp, u8)> {
    let is = |symbol, word| token.is(symbol) || token.is(word);
    if is("&", "and") {
        Some((BinaryOp::And, 2))
    } else if is("^", "xor") {
        Some((BinaryOp::Xor, 1))
    } else if is("|", "or") {
        Some((BinaryOp::Or, 0))
    } else {
        None
    }
}
