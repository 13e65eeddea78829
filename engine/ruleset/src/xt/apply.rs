//! Restoring tables over tables.

use std::sync::Arc;

use super::{ChainName, Policy, TableName, XtChain, XtTable, XtTables};

impl XtTables {
    /// Does what kube-proxy does to a node with `input`: `iptables-restore --noflush` for the chains it owns,
    /// and one rule each made sure of in the chains it does not (PROXY-46, the jumps of section 6a).
    ///
    /// - A user-defined chain of the input is created, or flushed and refilled.
    /// - In a built-in chain, rules that are there already stay where they are; missing ones are put in front,
    ///   in the input's order. So doing it twice is doing it once. A DROP policy is set, an ACCEPT leaves the
    ///   policy as it is: exactly what [`restore_text`](super::restore_text) says and leaves unsaid.
    /// - Everything else stays. Stale chains are not deleted.
    ///
    /// Deviation: `-A` in a restore appends to a built-in chain each time; kube-proxy avoids that with separate
    /// `iptables -C` and `-I` calls, which are folded in here.
    ///
    /// # Panics
    /// When the two are of different families: they are then different programs' tables.
    pub fn apply_restore(&mut self, input: &Self) {
        assert_eq!(self.family, input.family, "tables of one family");
        for (name, table) in &input.tables {
            let present = self.tables.entry(*name).or_default();
            for (chain_name, chain) in &table.chains {
                if is_built_in(*name, *chain_name) {
                    ensure_rules(present, *chain_name, chain);
                } else {
                    present.chains.insert(*chain_name, Arc::clone(chain));
                }
            }
        }
    }

    /// What of these tables is still there once other ones were restored over them, besides those: chains that the input
    /// does not have, and of built-in chains the rules that it does not have.
    ///
    /// # Panics
    /// As [`Self::apply_restore`].
    #[must_use]
    pub fn left_beside(&self, input: &Self) -> Self {
        assert_eq!(self.family, input.family, "tables of one family");
        let tables = self.tables.iter().map(|(name, table)| {
            let mut left = table.clone();
            let restored = input.tables.get(name).into_iter();
            for (chain, restored) in restored.flat_map(|table| &table.chains) {
                match left.chains.get_mut(chain) {
                    Some(present) if is_built_in(*name, *chain) => {
                        let present = Arc::make_mut(present);
                        present.rules.retain(|rule| !restored.rules.contains(rule));
                    }
                    _ => drop(left.chains.remove(chain)),
                }
            }
            (*name, left)
        });
        Self {
            family: self.family,
            tables: tables.collect(),
        }
    }
}

fn is_built_in(table: TableName, chain: ChainName) -> bool {
    table.built_in_chains().contains(&chain.as_str())
}

fn ensure_rules(table: &mut XtTable, name: ChainName, input: &XtChain) {
    let chain = table.chains.entry(name).or_insert_with(|| {
        Arc::new(XtChain {
            policy: Some(Policy::Accept),
            rules: Vec::new(),
        })
    });
    let missing: Vec<_> = input
        .rules
        .iter()
        .filter(|rule| !chain.rules.contains(rule))
        .cloned()
        .collect();
    let sets_policy = input.policy == Some(Policy::Drop) && chain.policy != input.policy;
    if missing.is_empty() && !sets_policy {
        return;
    }
    let chain = Arc::make_mut(chain);
    chain.rules.splice(0..0, missing);
    if sets_policy {
        chain.policy = input.policy;
    }
}

#[cfg(test)]
mod tests {
    use crate::Family;
    use crate::xt::{parse, save_text};

    fn check(present: &str, input: &str, expected: &str) {
        let mut tables = parse(present, Family::V4).unwrap();
        let input = parse(input, Family::V4).unwrap();
        tables.apply_restore(&input);
        assert_eq!(save_text(&tables), expected);
        tables.apply_restore(&input);
        assert_eq!(
            save_text(&tables),
            expected,
            "doing it twice is doing it once"
        );
    }

    #[test]
    fn flushes_its_chains_and_keeps_the_others() {
        check(
            "*nat\n:PREROUTING ACCEPT [0:0]\n:CNI - [0:0]\n:OURS - [0:0]\n\
             -A PREROUTING -j CNI\n-A CNI -j RETURN\n-A OURS -j DROP\nCOMMIT\n",
            "*nat\n:OURS - [0:0]\n-A PREROUTING -j OURS\n-A OURS -j ACCEPT\nCOMMIT\n",
            "*nat\n:PREROUTING ACCEPT [0:0]\n:CNI - [0:0]\n:OURS - [0:0]\n\
             -A PREROUTING -j OURS\n-A PREROUTING -j CNI\n-A CNI -j RETURN\n-A OURS -j ACCEPT\nCOMMIT\n",
        );
    }

    #[test]
    fn a_drop_policy_is_set_and_never_lifted() {
        check(
            "*filter\n:FORWARD DROP [0:0]\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
            "*filter\n:FORWARD ACCEPT [0:0]\n:INPUT DROP [0:0]\nCOMMIT\n",
            "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\nCOMMIT\n",
        );
    }
}
