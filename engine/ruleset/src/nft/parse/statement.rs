//! Rules and their statements.

use super::ParseError;
use super::cursor::Cursor;
use super::expr::{expr, map_ref, set_ref};
use super::keep;
use super::tokens::{Kind, Token};
use super::value::{self, ValueType, scalar, types};
use crate::nat::Spans;
use crate::nft::words::{ICMP_UNREACHABLE, ICMPV6_UNREACHABLE, ICMPX_UNREACHABLE, value_of};
use crate::nft::{
    BinaryOp, CtKey, DataType, Expr, Key, MatchOp, MetaKey, NatFlags, NatTo, NftFamily, NftRule,
    Reject, Right, Scalar, SetOp, Statement, Unreachable, Verdict,
};
use crate::{AddressSpan, Family, NatKind, NatRange, PortSpan};

/// Statements of nft(8) that are not supported, so that the error says what they are.
const FOREIGN: [&str; 16] = [
    "limit", "quota", "queue", "tproxy", "dup", "fwd", "flow", "synproxy", "meter", "set", "xt",
    "ether", "vlan", "arp", "rt", "socket",
];

/// Reads statements up to the end of the line. Those of a dump that are not understood are kept as text.
pub(super) fn rule(cursor: &mut Cursor<'_>, family: NftFamily) -> Result<NftRule, ParseError> {
    let mut rule = NftRule::default();
    while !cursor.is_at_end() {
        if cursor.take("comment").is_some() {
            rule.comment = Some(cursor.comment()?);
            break;
        }
        let start = cursor.position();
        let read = statement(cursor, family);
        rule.statements.push(match read {
            Err(_) if cursor.reads_dump() => {
                cursor.go_to(start);
                keep::statement(cursor)
            }
            read => read?,
        });
    }
    cursor.end()?;
    if rule.statements.is_empty() {
        return Err(cursor.peek().unexpected("a statement"));
    }
    Ok(rule)
}

/// `accept`, `jump NAME` and the like.
pub(super) fn verdict(cursor: &mut Cursor<'_>) -> Result<Verdict, ParseError> {
    let token = cursor.word("a verdict")?;
    Ok(match token.text {
        "accept" => Verdict::Accept,
        "drop" => Verdict::Drop,
        "continue" => Verdict::Continue,
        "return" => Verdict::Return,
        "jump" | "goto" if cursor.peek().is("{") => {
            return Err(token.unsupported("a chain without a name"));
        }
        "jump" => Verdict::Jump(cursor.ident("the name of a chain")?),
        "goto" => Verdict::Goto(cursor.ident("the name of a chain")?),
        "queue" => return Err(token.unsupported("queue")),
        _ => return Err(token.unexpected("a verdict")),
    })
}

fn statement(cursor: &mut Cursor<'_>, family: NftFamily) -> Result<Statement, ParseError> {
    let token = cursor.peek();
    if token.kind != Kind::Word {
        return match token.is("(") {
            true => relation(cursor),
            false => Err(token.unexpected("a statement")),
        };
    }
    match token.text {
        "accept" | "drop" | "continue" | "return" | "jump" | "goto" => {
            Ok(Statement::Verdict(verdict(cursor)?))
        }
        "counter" => counter(cursor),
        "log" => log(cursor),
        "notrack" => {
            cursor.next();
            Ok(Statement::Notrack)
        }
        "masquerade" => {
            cursor.next();
            let ports = ports_after_to(cursor)?;
            let flags = nat_flags(cursor)?;
            Ok(match ports {
                None => Statement::Masquerade(flags),
                ports => nat_range(NatKind::Masquerade, ports, flags),
            })
        }
        "redirect" => redirect(cursor),
        "dnat" | "snat" => nat(cursor, family),
        "reject" => reject(cursor, family),
        "add" | "update" | "delete" => set_update(cursor),
        word if FOREIGN.contains(&word) => Err(token.unsupported(format!("statement {word:?}"))),
        _ => relation(cursor),
    }
}

/// A comparison, a `vmap`, or one of the two assignments.
fn relation(cursor: &mut Cursor<'_>) -> Result<Statement, ParseError> {
    let left = expr(cursor, None)?;
    if let Some(token) = cursor.take("set") {
        let value = mark_value(cursor)?;
        return match left {
            Expr::Meta(MetaKey::Mark) => Ok(Statement::SetMark(value)),
            Expr::Ct(CtKey::Mark) => Ok(Statement::SetCtMark(value)),
            _ => Err(token.unsupported("setting anything but a mark")),
        };
    }
    if cursor.take("vmap").is_some() {
        let map = map_ref(cursor, &types(&left), verdict)?;
        return Ok(Statement::VerdictMap { key: left, map });
    }
    if let Some(token) = cursor.take("map") {
        return Err(token.unexpected("a comparison"));
    }
    comparison(cursor, left)
}

fn comparison(cursor: &mut Cursor<'_>, left: Expr) -> Result<Statement, ParseError> {
    let token = cursor.peek();
    let op = operator(token);
    if op.is_some() {
        cursor.next();
    }
    let due = types(&left);
    let is_set = cursor.peek().is("@") || cursor.peek().is("{");
    if is_set {
        let op = op.unwrap_or(MatchOp::Eq);
        if !matches!(op, MatchOp::Eq | MatchOp::Ne) {
            return Err(token.unexpected("`==` or `!=` before a set"));
        }
        let right = Right::Set(set_ref(cursor, &due)?);
        return Ok(Statement::Match { left, op, right });
    }
    let [due] = due[..] else {
        return Err(cursor
            .peek()
            .unsupported("comparing a concatenation with one value"));
    };
    if due.is_flags() {
        return flag_comparison(cursor, left, due, op);
    }
    let right = Right::Value(scalar(cursor, due)?);
    let op = op.unwrap_or(MatchOp::Eq);
    Ok(Statement::Match { left, op, right })
}

/// `new,related` · `== syn` · `! fin,syn` · `syn / fin,syn,rst,ack` · `& (fin | syn) == syn`, where `& mask != 0`
/// is what goes without an operator.
fn flag_comparison(
    cursor: &mut Cursor<'_>,
    left: Expr,
    due: ValueType,
    op: Option<MatchOp>,
) -> Result<Statement, ParseError> {
    let masked = |mask: u32| Expr::Binary {
        op: BinaryOp::And,
        left: Box::new(left.clone()),
        right: mask,
    };
    let zero = || due.number(0);
    if let Some(token) = cursor.take("!") {
        let mask = value::flags(cursor, due, ",")?;
        let bits = flag_bits(&mask).ok_or_else(|| token.unsupported("`!` before these flags"))?;
        return Ok(Statement::Match {
            left: masked(bits),
            op: MatchOp::Eq,
            right: Right::Value(zero().unwrap_or(mask)),
        });
    }
    let first = cursor.peek();
    let separator = if cursor.peek_second().is("|") {
        "|"
    } else {
        ","
    };
    let value = value::flags(cursor, due, separator)?;
    if let Some(token) = cursor.take("/") {
        let mask = value::flags(cursor, due, ",")?;
        let bits = flag_bits(&mask).ok_or_else(|| token.unsupported("a mask of these flags"))?;
        return Ok(Statement::Match {
            left: masked(bits),
            op: op.unwrap_or(MatchOp::Eq),
            right: Right::Value(value),
        });
    }
    if let (
        Expr::Binary {
            op: BinaryOp::And,
            left,
            right,
        },
        Some(MatchOp::Ne),
    ) = (&left, op)
        && flag_bits(&value) == Some(0)
    {
        let mask = due
            .number(*right)
            .ok_or_else(|| first.bad_value("a set of flags"))?;
        return Ok(Statement::Match {
            left: Expr::clone(left),
            op: MatchOp::AnyFlag,
            right: Right::Value(mask),
        });
    }
    let op = match (op, &left) {
        (Some(op), _) => op,
        (None, Expr::Binary { .. }) => MatchOp::Eq,
        (None, _) => MatchOp::AnyFlag,
    };
    let right = Right::Value(value);
    Ok(Statement::Match { left, op, right })
}

const fn flag_bits(flags: &Scalar) -> Option<u32> {
    match flags {
        Scalar::TcpFlags(flags) => Some(flags.0 as u32),
        Scalar::CtStatus(status) => Some(status.0),
        _ => None,
    }
}

fn operator(token: Token<'_>) -> Option<MatchOp> {
    let is = |symbol, word| token.is(symbol) || token.is(word);
    if is("==", "eq") {
        Some(MatchOp::Eq)
    } else if is("!=", "ne") {
        Some(MatchOp::Ne)
    } else if is("<", "lt") {
        Some(MatchOp::Lt)
    } else if is(">", "gt") {
        Some(MatchOp::Gt)
    } else if is("<=", "le") {
        Some(MatchOp::Le)
    } else if is(">=", "ge") {
        Some(MatchOp::Ge)
    } else {
        None
    }
}

/// What a mark is set to.
fn mark_value(cursor: &mut Cursor<'_>) -> Result<Expr, ParseError> {
    let mark = ValueType::Data(DataType::Mark);
    let first = cursor.peek();
    let value = expr(cursor, Some(mark))?;
    if cursor.take("map").is_some() {
        let map = map_ref(cursor, &types(&value), |cursor| value::key(cursor, &[mark]))?;
        return Ok(Expr::Lookup {
            key: Box::new(value),
            map,
        });
    }
    let is_number = match &value {
        Expr::Literal(Scalar::Mark(_)) => true,
        other => matches!(
            types(other)[..],
            [ValueType::Data(DataType::Mark | DataType::Integer)]
        ),
    };
    match is_number || matches!(value, Expr::Binary { .. }) {
        true => Ok(value),
        false => Err(first.bad_value("something a mark can be set to")),
    }
}

fn counter(cursor: &mut Cursor<'_>) -> Result<Statement, ParseError> {
    let token = cursor.next();
    let mut counts = (0, 0);
    if cursor.take("packets").is_some() {
        let packets = cursor.number("a counter")?;
        cursor.expect("bytes")?;
        counts = (packets, cursor.number("a counter")?);
    } else if cursor.peek().is("name") {
        return Err(token.unsupported("a counter with a name"));
    }
    let (packets, bytes) = counts;
    Ok(Statement::Counter { packets, bytes })
}

fn log(cursor: &mut Cursor<'_>) -> Result<Statement, ParseError> {
    cursor.next();
    let prefix = match cursor.take("prefix") {
        Some(_) => Some(cursor.comment()?),
        None => None,
    };
    let token = cursor.peek();
    let options = ["level", "group", "snaplen", "queue-threshold", "flags"];
    if options.iter().any(|option| token.is(option)) {
        return Err(token.unsupported(format!("option {:?} of log", token.text)));
    }
    Ok(Statement::Log { prefix })
}

fn redirect(cursor: &mut Cursor<'_>) -> Result<Statement, ParseError> {
    cursor.next();
    let ports = ports_after_to(cursor)?;
    let flags = nat_flags(cursor)?;
    Ok(match ports.map(PortSpan::single) {
        None => Statement::Redirect { port: None, flags },
        Some(Some(port)) => Statement::Redirect {
            port: Some(port),
            flags,
        },
        Some(None) => nat_range(NatKind::Redirect, ports, flags),
    })
}

/// `to :80`, `to :80-90`; the colon may be left out.
fn ports_after_to(cursor: &mut Cursor<'_>) -> Result<Option<PortSpan>, ParseError> {
    if cursor.take("to").is_none() {
        return Ok(None);
    }
    let mut token = cursor.word("a port")?;
    if token.is(":") {
        token = cursor.word("a port")?;
    }
    let read = PortSpan::parse(token.text.strip_prefix(':').unwrap_or(token.text));
    read.map(Some)
        .ok_or_else(|| token.bad_value("a port or a range of ports, in numbers"))
}

const fn nat_range(kind: NatKind, ports: Option<PortSpan>, flags: NatFlags) -> Statement {
    Statement::NatRange(NatRange {
        kind,
        random: flags.random,
        random_fully: flags.fully_random,
        persistent: flags.persistent,
        ports,
    })
}

fn nat(cursor: &mut Cursor<'_>, family: NftFamily) -> Result<Statement, ParseError> {
    let word = cursor.next();
    let said = if cursor.take("ip").is_some() {
        Some(Family::V4)
    } else if cursor.take("ip6").is_some() {
        Some(Family::V6)
    } else {
        None
    };
    if cursor.take("addr").is_some() {
        cursor.expect(".")?;
        cursor.expect("port")?;
    }
    cursor.expect("to")?;
    let of = match (said, family) {
        (Some(family), _) => Some(family),
        (None, NftFamily::Ip) => Some(Family::V4),
        (None, NftFamily::Ip6) => Some(Family::V6),
        (None, NftFamily::Inet) => None,
    };
    let token = cursor.peek();
    let is_address = token.kind == Kind::Word
        && token.text.contains(|c| ":[0123456789".contains(c))
        && !matches!(token.text, "ip6" | "icmpv6");
    let is_range = is_address && (token.text.contains('-') || token.text.starts_with(':'));
    if is_range {
        return ranges(cursor, word, of);
    }
    let to = if is_address {
        NatTo::Fixed(value::nat_target(cursor.next(), of)?)
    } else {
        let family = of.ok_or_else(|| word.unexpected("`ip` or `ip6` before `to`"))?;
        nat_lookup(cursor, family)?
    };
    let flags = nat_flags(cursor)?;
    Ok(if word.is("dnat") {
        Statement::Dnat { to, flags }
    } else {
        Statement::Snat { to, flags }
    })
}

/// `10.0.0.1-10.0.0.9:80-90` or `:80`
fn ranges(
    cursor: &mut Cursor<'_>,
    word: Token<'_>,
    family: Option<Family>,
) -> Result<Statement, ParseError> {
    let token = cursor.next();
    let is_of = |span: AddressSpan| family.is_none_or(|of| Family::of(span.ends().0) == of);
    let read = Spans::parse(token.text).filter(|spans| spans.addresses.is_none_or(is_of));
    let kind = |spans: &Spans| match (word.is("dnat"), spans.addresses) {
        (true, addresses) => Some(NatKind::Dnat(addresses)),
        (false, addresses) => addresses.map(NatKind::Snat),
    };
    let read = read.and_then(|spans| Some((kind(&spans)?, spans.ports)));
    let (kind, ports) =
        read.ok_or_else(|| token.bad_value("a range of addresses of this family, or of ports"))?;
    Ok(nat_range(kind, ports, nat_flags(cursor)?))
}

fn nat_lookup(cursor: &mut Cursor<'_>, family: Family) -> Result<NatTo, ParseError> {
    let key = expr(cursor, None)?;
    cursor.expect("map")?;
    let address = ValueType::Data(match family {
        Family::V4 => DataType::Ipv4Addr,
        Family::V6 => DataType::Ipv6Addr,
    });
    let map = map_ref(cursor, &types(&key), |cursor| {
        let mut data = Key::new();
        data.push(&scalar(cursor, address)?);
        if cursor.take(".").is_some() {
            data.push(&scalar(cursor, ValueType::Data(DataType::InetService))?);
        }
        Ok(data)
    })?;
    Ok(NatTo::Lookup { family, key, map })
}

fn nat_flags(cursor: &mut Cursor<'_>) -> Result<NatFlags, ParseError> {
    let mut flags = NatFlags::NONE;
    loop {
        let token = cursor.peek();
        match token.text {
            "random" => flags.random = true,
            "fully-random" => flags.fully_random = true,
            "persistent" => flags.persistent = true,
            _ => return Ok(flags),
        }
        cursor.next();
        if cursor.take(",").is_none() {
            return Ok(flags);
        }
        let is_flag = ["random", "fully-random", "persistent"].contains(&cursor.peek().text);
        if !is_flag {
            return Err(cursor
                .peek()
                .unexpected("random, fully-random or persistent"));
        }
    }
}

/// What means the same as a bare `reject` in this family is read as that, because nft lists it so.
fn reject(cursor: &mut Cursor<'_>, family: NftFamily) -> Result<Statement, ParseError> {
    cursor.next();
    if cursor.take("with").is_none() {
        return Ok(Statement::Reject(Reject::Default));
    }
    let protocol = cursor.word("tcp, icmp, icmpv6 or icmpx")?;
    if protocol.is("tcp") {
        cursor.expect("reset")?;
        return Ok(Statement::Reject(Reject::TcpReset));
    }
    cursor.take("type");
    let token = cursor.word("a reason")?;
    let reason = |words| {
        value_of(words, token.text).ok_or_else(|| token.bad_value("a supported way to reject"))
    };
    let reject = match protocol.text {
        "icmp" => Reject::Icmp(Family::V4, reason(ICMP_UNREACHABLE)?),
        "icmpv6" => Reject::Icmp(Family::V6, reason(ICMPV6_UNREACHABLE)?),
        "icmpx" => Reject::Icmpx(reason(ICMPX_UNREACHABLE)?),
        _ => return Err(protocol.unexpected("tcp, icmp, icmpv6 or icmpx")),
    };
    Ok(Statement::Reject(match (reject, family) {
        (Reject::Icmp(Family::V4, Unreachable::Port), NftFamily::Ip)
        | (Reject::Icmp(Family::V6, Unreachable::Port), NftFamily::Ip6)
        | (Reject::Icmpx(Unreachable::Port), NftFamily::Inet) => Reject::Default,
        (other, _) => other,
    }))
}

fn set_update(cursor: &mut Cursor<'_>) -> Result<Statement, ParseError> {
    let word = cursor.next();
    let op = match word.text {
        "add" => SetOp::Add,
        "update" => SetOp::Update,
        _ => SetOp::Delete,
    };
    cursor.expect("@")?;
    let set = cursor.ident("the name of a set")?;
    cursor.expect("{")?;
    let key = expr(cursor, None)?;
    let timeout = match cursor.take("timeout") {
        Some(_) => Some(value::time(cursor)?),
        None => None,
    };
    let data = match cursor.take(":") {
        Some(_) => Some(update_data(cursor)?),
        None => None,
    };
    cursor.expect("}")?;
    Ok(Statement::SetUpdate {
        op,
        set,
        key,
        timeout,
        data,
    })
}

/// An expression, or an address or number as it stands; the map's type is not known here.
fn update_data(cursor: &mut Cursor<'_>) -> Result<Expr, ParseError> {
    let token = cursor.peek();
    let due = match token.text.parse::<std::net::IpAddr>() {
        Ok(address) if Family::of(address) == Family::V4 => DataType::Ipv4Addr,
        Ok(_) => DataType::Ipv6Addr,
        Err(_) if token.text.starts_with("0x") => DataType::Mark,
        Err(_) if token.text.starts_with(|c: char| c.is_ascii_digit()) => DataType::InetService,
        Err(_) => return expr(cursor, None),
    };
    expr(cursor, Some(ValueType::Data(due)))
}
