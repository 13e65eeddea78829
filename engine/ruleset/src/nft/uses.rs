//! What a statement names.

use super::{Expr, Ident, MapRef, NatTo, Right, SetRef, Statement, Verdict};

/// A part of a table, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used<'s> {
    Chain(&'s Ident),
    /// Or map.
    Set(&'s Ident),
}

/// The chain that a verdict leads to.
pub(super) const fn used_by_verdict(verdict: &Verdict) -> Option<Used<'_>> {
    match verdict {
        Verdict::Jump(chain) | Verdict::Goto(chain) => Some(Used::Chain(chain)),
        Verdict::Accept | Verdict::Drop | Verdict::Continue | Verdict::Return => None,
    }
}

/// The expressions that a statement reads.
pub(super) const fn read_by(statement: &Statement) -> [Option<&Expr>; 2] {
    match statement {
        Statement::Match { left: one, .. }
        | Statement::VerdictMap { key: one, .. }
        | Statement::SetMark(one)
        | Statement::SetCtMark(one)
        | Statement::Dnat {
            to: NatTo::Lookup { key: one, .. },
            ..
        }
        | Statement::Snat {
            to: NatTo::Lookup { key: one, .. },
            ..
        } => [Some(one), None],
        Statement::SetUpdate { key, data, .. } => [Some(key), data.as_ref()],
        // What a text reads that is not understood is not known; only dumps hold such.
        _ => [None, None],
    }
}

/// Every chain, set and map that a statement names.
pub(super) fn used_by(statement: &Statement) -> Vec<Used<'_>> {
    let mut used = Vec::new();
    for expr in read_by(statement).into_iter().flatten() {
        in_expr(expr, &mut used);
    }
    match statement {
        Statement::Match {
            right: Right::Set(SetRef::Named(name)),
            ..
        }
        | Statement::SetUpdate { set: name, .. } => used.push(Used::Set(name)),
        Statement::Verdict(verdict) => used.extend(used_by_verdict(verdict)),
        Statement::VerdictMap { map, .. } => match map {
            MapRef::Named(name) => used.push(Used::Set(name)),
            MapRef::Anonymous(entries) => {
                used.extend(entries.iter().filter_map(|(_, to)| used_by_verdict(to)));
            }
        },
        Statement::Dnat {
            to: NatTo::Lookup { map, .. },
            ..
        }
        | Statement::Snat {
            to: NatTo::Lookup { map, .. },
            ..
        } => in_map(map, &mut used),
        _ => {}
    }
    used
}

fn in_expr<'s>(expr: &'s Expr, used: &mut Vec<Used<'s>>) {
    match expr {
        Expr::Concat(parts) => parts.iter().for_each(|part| in_expr(part, used)),
        Expr::Binary { left, .. } => in_expr(left, used),
        Expr::Lookup { key, map } => {
            in_expr(key, used);
            in_map(map, used);
        }
        Expr::Payload(_)
        | Expr::Meta(_)
        | Expr::Ct(_)
        | Expr::Fib(_)
        | Expr::Numgen(_)
        | Expr::Literal(_) => {}
    }
}

fn in_map<'s, V>(map: &'s MapRef<V>, used: &mut Vec<Used<'s>>) {
    if let MapRef::Named(name) = map {
        used.push(Used::Set(name));
    }
}
