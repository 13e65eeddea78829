//! Where a chain or a rule stands, in either dialect.
//!
//! **What.** [`ChainRef`] and [`RuleRef`] borrow from the tables, [`ChainPlace`], [`RulePlace`] and [`TracedRule`]
//! own what they say. **Why.** The evaluator speaks of every rule it meets: borrowed that costs nothing, and only
//! who keeps it pays.

use std::fmt;
use std::sync::Arc;

use ruleset::nft::{Ident, NftChain, NftRule, Reject, Statement, TableKey, Verdict};
use ruleset::xt::{ChainName, Policy, TableName, XtChain, XtRule, XtTarget};
use ruleset::{Family, NatKind, OriginId};

/// The name of a chain and of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainPlace {
    /// Of iptables.
    Xt {
        /// The table.
        table: TableName,
        /// The chain.
        chain: ChainName,
    },
    /// Of nftables.
    Nft {
        /// The table.
        table: TableKey,
        /// The chain.
        chain: Ident,
    },
}

impl ChainPlace {
    /// The chain's name alone.
    #[must_use]
    pub fn chain(&self) -> &str {
        match self {
            Self::Xt { chain, .. } => chain.as_str(),
            Self::Nft { chain, .. } => chain.as_str(),
        }
    }
}

/// `nat/KUBE-SERVICES`, `ip kube-proxy/services`
impl fmt::Display for ChainPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xt { table, chain } => write!(f, "{table}/{chain}"),
            Self::Nft { table, chain } => write!(f, "{table}/{chain}"),
        }
    }
}

/// Where a rule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// Its chain.
    pub chain: ChainPlace,
    /// Its position in the chain, from 0.
    pub index: usize,
}

impl fmt::Display for RulePlace {
    /// Numbered from 1, as `iptables -L --line-numbers` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule {}", self.chain, self.index + 1)
    }
}

/// A chain that an evaluation is in.
#[derive(Clone, Copy, Debug)]
pub enum ChainRef<'a> {
    /// Of iptables.
    Xt {
        /// Its table.
        table: TableName,
        /// Its name.
        name: ChainName,
        /// Its rules.
        body: &'a Arc<XtChain>,
    },
    /// Of nftables.
    Nft {
        /// Its table.
        table: &'a TableKey,
        /// Its name.
        name: &'a Ident,
        /// Its rules.
        body: &'a Arc<NftChain>,
    },
}

impl ChainRef<'_> {
    /// What becomes of packets that fall off its end, when the kernel calls it.
    pub(crate) fn policy(self) -> Policy {
        match self {
            Self::Xt { body, .. } => body.policy.unwrap_or(Policy::Accept),
            Self::Nft { body, .. } => body.base.map_or(Policy::Accept, |base| base.policy),
        }
    }

    /// Its name and its table's.
    #[must_use]
    pub fn place(self) -> ChainPlace {
        match self {
            Self::Xt { table, name, .. } => ChainPlace::Xt { table, chain: name },
            Self::Nft { table, name, .. } => ChainPlace::Nft {
                table: table.clone(),
                chain: name.clone(),
            },
        }
    }
}

/// A rule that an evaluation meets.
#[derive(Clone, Copy, Debug)]
pub struct RuleRef<'a> {
    /// Its chain, which has a rule at the index.
    pub(crate) chain: ChainRef<'a>,
    pub(crate) index: usize,
}

impl RuleRef<'_> {
    /// Where it stands.
    #[must_use]
    pub fn place(self) -> RulePlace {
        RulePlace {
            chain: self.chain.place(),
            index: self.index,
        }
    }

    /// Whom it serves.
    #[must_use]
    pub fn origin(self) -> Option<OriginId> {
        match self.chain {
            ChainRef::Xt { body, .. } => body.rules[self.index].origin,
            ChainRef::Nft { body, .. } => body.rules[self.index].origin,
        }
    }

    /// The rule to keep; it is shared, not copied.
    #[must_use]
    pub fn to_traced(self) -> TracedRule {
        TracedRule {
            place: self.place(),
            body: match self.chain {
                ChainRef::Xt { body, .. } => Body::Xt(Arc::clone(body)),
                ChainRef::Nft { body, .. } => Body::Nft(Arc::clone(body)),
            },
        }
    }
}

/// A rule that an evaluation met. Cloning it copies no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedRule {
    place: RulePlace,
    body: Body,
}

/// A chain that is longer than the rule's index.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    Xt(Arc<XtChain>),
    Nft(Arc<NftChain>),
}

/// A rule of either dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyRule<'a> {
    /// Of iptables.
    Xt(&'a XtRule),
    /// Of nftables.
    Nft(&'a NftRule),
}

/// What a rule does to the packets that it matches, as far as that ends a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// Lets them pass.
    Accept,
    /// Drops them.
    Drop,
    /// Refuses them and says so.
    Reject,
    /// Gives their connection another destination.
    TranslateDestination,
    /// Gives their connection another source.
    TranslateSource,
    /// Anything else: it jumps, marks, counts.
    Other,
}

impl TracedRule {
    /// Where it stands.
    #[must_use]
    pub const fn place(&self) -> &RulePlace {
        &self.place
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> AnyRule<'_> {
        match &self.body {
            Body::Xt(chain) => AnyRule::Xt(&chain.rules[self.place.index]),
            Body::Nft(chain) => AnyRule::Nft(&chain.rules[self.place.index]),
        }
    }

    /// Whom it serves.
    #[must_use]
    pub fn origin(&self) -> Option<OriginId> {
        match self.rule() {
            AnyRule::Xt(rule) => rule.origin,
            AnyRule::Nft(rule) => rule.origin,
        }
    }

    /// What it does.
    #[must_use]
    pub fn action(&self) -> RuleAction {
        match self.rule() {
            AnyRule::Xt(rule) => xt_action(&rule.target),
            AnyRule::Nft(rule) => {
                let actions = rule.statements.iter().map(nft_action);
                let mut ending = actions.filter(|action| *action != RuleAction::Other);
                ending.next().unwrap_or(RuleAction::Other)
            }
        }
    }

    /// The rule as its node's tools print it; `family` is that of the packet.
    #[must_use]
    pub fn line(&self, family: Family) -> String {
        match (&self.place.chain, self.rule()) {
            (ChainPlace::Xt { chain, .. }, AnyRule::Xt(rule)) => {
                rule.line(*chain, family).to_string()
            }
            (ChainPlace::Nft { table, .. }, AnyRule::Nft(rule)) => {
                rule.line(table.family).to_string()
            }
            _ => unreachable!("a rule is of its chain's dialect"),
        }
    }
}

const fn nat_action(kind: NatKind) -> RuleAction {
    match kind {
        NatKind::Dnat(_) | NatKind::Redirect => RuleAction::TranslateDestination,
        NatKind::Snat(_) | NatKind::Masquerade => RuleAction::TranslateSource,
    }
}

const fn xt_action(target: &XtTarget) -> RuleAction {
    match target {
        XtTarget::Accept => RuleAction::Accept,
        XtTarget::Drop => RuleAction::Drop,
        XtTarget::Reject(_) => RuleAction::Reject,
        XtTarget::Dnat { .. } | XtTarget::Redirect { .. } => RuleAction::TranslateDestination,
        XtTarget::Snat { .. } | XtTarget::Masquerade { .. } => RuleAction::TranslateSource,
        XtTarget::NatRange(range) => nat_action(range.kind),
        XtTarget::None
        | XtTarget::Return
        | XtTarget::Jump(_)
        | XtTarget::Goto(_)
        | XtTarget::SetXmark { .. }
        | XtTarget::Notrack
        | XtTarget::ConnMark(_)
        | XtTarget::Log { .. }
        | XtTarget::Inert(_)
        | XtTarget::Unknown(_) => RuleAction::Other,
    }
}

const fn nft_action(statement: &Statement) -> RuleAction {
    match statement {
        Statement::Verdict(Verdict::Accept) => RuleAction::Accept,
        Statement::Verdict(Verdict::Drop) => RuleAction::Drop,
        Statement::Reject(
            Reject::Default | Reject::TcpReset | Reject::Icmp(..) | Reject::Icmpx(_),
        ) => RuleAction::Reject,
        Statement::Dnat { .. } | Statement::Redirect { .. } => RuleAction::TranslateDestination,
        Statement::Snat { .. } | Statement::Masquerade(_) => RuleAction::TranslateSource,
        Statement::NatRange(range) => nat_action(range.kind),
        _ => RuleAction::Other,
    }
}
