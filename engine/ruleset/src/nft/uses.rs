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

/// Every chain, set and map that a statement names.
pub(super) fn used_by(statement: &Statement) -> Vec<Used<'_>> {
    let mut used = Vec::new();
    match statement {
        Statement::Match { left, right, .. } => {
            in_expr(left, &mut used);
            if let Right::Set(SetRef::Named(name)) = right {
                used.push(Used::Set(name));
            }
        }
        Statement::Verdict(verdict) => used.extend(used_by_verdict(verdict)),
        Statement::VerdictMap { key, map } => {
            in_expr(key, &mut used);
            match map {
                MapRef::Named(name) => used.push(Used::Set(name)),
                MapRef::Anonymous(entries) => {
                    used.extend(entries.iter().filter_map(|(_, to)| used_by_verdict(to)));
                }
            }
        }
        Statement::SetMark(value) | Statement::SetCtMark(value) => in_expr(value, &mut used),
        Statement::Dnat { to, .. } | Statement::Snat { to, .. } => {
            if let NatTo::Lookup { key, map, .. } = to {
                in_expr(key, &mut used);
                in_map(map, &mut used);
            }
        }
        Statement::SetUpdate { set, key, data, .. } => {
            used.push(Used::Set(set));
            in_expr(key, &mut used);
            if let Some(data) = data {
                in_expr(data, &mut used);
            }
        }
        // What a text names that is not understood is not known; only dumps hold such.
        Statement::Inert(_)
        | Statement::UnknownMatch(_)
        | Statement::Unknown(_)
        | Statement::Redirect { .. }
        | Statement::Masquerade(_)
        | Statement::NatRange(_)
        | Statement::Reject(_)
        | Statement::Notrack
        | Statement::Counter { .. }
        | Statement::Log { .. } => {}
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
