//! The nftables dialect as JSON.

use rules::{CompiledNftables, Compiler};
use ruleset::nft::{
    BaseChain, DataType, Ident, Key, NftChain, NftFamily, NftRule, Policy, SetFlags, SetOrMap,
    Statement, TableKey, Value as Data, Verdict,
};
use serde_json::{Map, Value, json};

use super::json::{meaning, present};

/// Every table by its family and name, with its sets, maps and chains by theirs.
pub(super) fn tables(compiled: &CompiledNftables, compiler: &Compiler) -> Value {
    let named = compiled.tables.tables.iter().map(|(key, table)| {
        let (mut sets, mut maps) = (Map::new(), Map::new());
        for (name, one) in table.sets.iter() {
            let of = Container {
                compiled,
                compiler,
                family: key.family,
                name,
            };
            match one {
                SetOrMap::Set(set) => {
                    let elements = set.elements.keys().map(|key| of.element(key, None));
                    let value = json!({
                        "key": types(&set.key),
                        "flags": flags(set.options.flags),
                        "elements": elements.collect::<Vec<_>>(),
                    });
                    sets.insert(name.to_string(), value);
                }
                SetOrMap::Map(map) => {
                    let elements = map.elements.iter();
                    let elements = elements.map(|(key, one)| of.element(key, Some(&one.value)));
                    let value = json!({
                        "key": types(&map.key),
                        "data": map.data.as_deref().map_or_else(|| json!(["verdict"]), types),
                        "flags": flags(map.options.flags),
                        "elements": elements.collect::<Vec<_>>(),
                    });
                    maps.insert(name.to_string(), value);
                }
            }
        }
        let chains = table.chains.iter();
        let chains = chains.map(|(name, of)| (name.to_string(), chain(key, of, compiler)));
        let chains: Map<String, Value> = chains.collect();
        let value = json!({"sets": sets, "maps": maps, "chains": chains});
        (key.to_string(), value)
    });
    named.collect::<Map<_, _>>().into()
}

/// A set or map whose elements are printed.
struct Container<'a> {
    compiled: &'a CompiledNftables,
    compiler: &'a Compiler,
    family: NftFamily,
    name: &'a Ident,
}

impl Container<'_> {
    fn element(&self, key: &Key, leads_to: Option<&Data>) -> Value {
        let origin = self.compiled.element_origin(self.family, self.name, key);
        let value = leads_to.map(|data| match data {
            Data::Verdict(one) => verdict(one),
            Data::Data(parts) => words(parts),
        });
        present([
            ("key", Some(words(key))),
            ("value", value),
            ("meaning", meaning(origin, self.compiler)),
        ])
    }
}

fn words(key: &Key) -> Value {
    key.parts().map(|part| part.to_string()).collect()
}

fn types(types: &[DataType]) -> Value {
    types.iter().map(ToString::to_string).collect()
}

fn flags(flags: SetFlags) -> Value {
    let words = [
        ("constant", flags.constant),
        ("interval", flags.interval),
        ("timeout", flags.timeout),
        ("dynamic", flags.dynamic),
    ];
    let set = words.into_iter().filter(|(_, is_set)| *is_set);
    set.map(|(word, _)| word).collect()
}

fn chain(table: &TableKey, chain: &NftChain, compiler: &Compiler) -> Value {
    let rules = chain.rules.iter();
    let rules: Vec<Value> = rules.map(|one| rule(table, one, compiler)).collect();
    present([
        ("base", chain.base.map(base)),
        ("rules", Some(rules.into())),
    ])
}

fn base(base: BaseChain) -> Value {
    let policy = match base.policy {
        Policy::Accept => "accept",
        Policy::Drop => "drop",
    };
    json!({
        "type": format!("{:?}", base.kind).to_lowercase(),
        "hook": format!("{:?}", base.hook).to_lowercase(),
        "priority": base.priority,
        "policy": policy,
    })
}

/// A rule, and where it leads if it ends in a verdict.
fn rule(table: &TableKey, rule: &NftRule, compiler: &Compiler) -> Value {
    let leads_to = rule
        .statements
        .iter()
        .find_map(|statement| match statement {
            Statement::Verdict(one) => Some(verdict(one)),
            _ => None,
        });
    present([
        ("text", Some(rule.line(table.family).to_string().into())),
        ("meaning", meaning(rule.origin, compiler)),
        ("verdict", leads_to),
    ])
}

fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Accept => json!({"kind": "accept"}),
        Verdict::Drop => json!({"kind": "drop"}),
        Verdict::Continue => json!({"kind": "continue"}),
        Verdict::Return => json!({"kind": "return"}),
        Verdict::Jump(chain) => json!({"kind": "jump", "chain": chain.to_string()}),
        Verdict::Goto(chain) => json!({"kind": "goto", "chain": chain.to_string()}),
    }
}
