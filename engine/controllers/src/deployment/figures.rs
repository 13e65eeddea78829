//! How many Pods a rollout may have too many, and how many too few.
//!
//! **Source of the semantics.** S: `pkg/controller/deployment/util/deployment_util.go` (ResolveFenceposts, MaxSurge,
//! MaxUnavailable), `apimachinery/pkg/util/intstr/intstr.go`.

use api::{DeploymentSpec, IntOrString};

/// The figures of a Deployment, as numbers of Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// How many Pods are wanted.
    pub(super) replicas: i64,
    /// How many there may be above that.
    pub(super) max_surge: i64,
    /// How many of them may be missing.
    pub(super) max_unavailable: i64,
    /// Whether Pods are replaced step by step.
    pub(super) is_rolling: bool,
}

impl Figures {
    /// Percentages of surge are rounded up and those of missing Pods down; where that leaves nothing to move,
    /// one Pod may be missing.
    pub(super) fn of(spec: &DeploymentSpec) -> Self {
        let replicas = i64::from(spec.replicas.unwrap_or(1)).max(0);
        let is_rolling = spec.strategy.strategy_type != "Recreate";
        let rolling = spec.strategy.rolling_update.as_ref();
        let rolling = rolling.filter(|_| is_rolling).cloned().unwrap_or_default();
        let max_surge = scaled(rolling.max_surge.as_ref(), replicas, 99);
        let max_unavailable = scaled(rolling.max_unavailable.as_ref(), replicas, 0);
        let least = i64::from(is_rolling && max_surge == 0);
        Self {
            replicas,
            max_surge,
            max_unavailable: max_unavailable.max(least).min(replicas),
            is_rolling,
        }
    }

    /// How many Pods there may be at most.
    pub(super) const fn most(&self) -> i64 {
        self.replicas + self.max_surge
    }

    /// How many Pods must be available at least.
    pub(super) const fn least_available(&self) -> i64 {
        self.replicas - self.max_unavailable
    }
}

/// A number, or a percentage of `total` after `rounding` hundredths were added. Anything else was refused before.
fn scaled(amount: Option<&IntOrString>, total: i64, rounding: i64) -> i64 {
    let number = match amount {
        None => 0,
        Some(IntOrString::Int(number)) => i64::from(*number),
        Some(IntOrString::String(text)) => {
            let percent = text.strip_suffix('%').and_then(|text| text.parse().ok());
            let percent = i64::from(percent.unwrap_or(0_i32));
            (percent * total + rounding) / 100
        }
    };
    number.clamp(0, i64::from(i32::MAX))
}

#[cfg(test)]
mod tests {
    use api::{RollingUpdate, UpdateStrategy};

    use super::*;

    fn check(replicas: i32, surge: &str, unavailable: &str, expected: (i64, i64)) {
        let amount = |text: &str| {
            let number = text.parse().map(IntOrString::Int);
            Some(number.unwrap_or_else(|_| IntOrString::String(text.to_owned())))
        };
        let rolling = RollingUpdate {
            max_surge: amount(surge),
            max_unavailable: amount(unavailable),
            ..RollingUpdate::default()
        };
        let spec = DeploymentSpec {
            replicas: Some(replicas),
            strategy: UpdateStrategy {
                strategy_type: "RollingUpdate".to_owned(),
                rolling_update: Some(rolling),
            },
            ..DeploymentSpec::default()
        };
        let figures = Figures::of(&spec);
        let found = (figures.max_surge, figures.max_unavailable);
        assert_eq!(found, expected, "{replicas} {surge} {unavailable}");
    }

    #[test]
    fn percentages_are_rounded_to_the_safe_side() {
        check(10, "25%", "25%", (3, 2));
        check(1, "25%", "25%", (1, 0));
        check(3, "0", "25%", (0, 1));
        check(10, "0%", "0%", (0, 1));
        check(4, "1", "0", (1, 0));
        check(4, "0", "9", (0, 4));
        check(0, "25%", "25%", (0, 0));
        check(10, "250%", "100%", (25, 10));
        check(10, "many", "2147483648%", (0, 1));
        check(i32::MAX, "100%", "100%", (2_147_483_647, 2_147_483_647));
    }
}
