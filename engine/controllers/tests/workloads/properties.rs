//! Whatever the bounds of a rollout, and however late everybody hears of what happens, they hold.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;

use super::{CONTROLLERS, active, counts, fleet, pods, sets, stored, web};
use crate::cluster::Cluster;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A controller hears of some events and does its work.
    Run { controller: usize, events: usize },
    /// Time passes, and nobody hears of anything.
    Pass(u64),
    /// Everybody catches up.
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..CONTROLLERS, 0..8_usize)
            .prop_map(|(controller, events)| Step::Run { controller, events }),
        2 => (0..3000_u64).prop_map(Step::Pass),
        1 => prop::strategy::Just(Step::Settle),
    ]
}

/// A number or a percentage.
fn amount() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..4_i32).prop_map(|number| number.to_string()),
        (0..=10_i32).prop_map(|tenth| format!("'{}%'", tenth * 10)),
    ]
}

/// What an amount comes to, of `total`.
fn resolved(amount: &str, total: usize, up: bool) -> usize {
    match amount.trim_matches('\'').strip_suffix('%') {
        None => amount.parse().unwrap(),
        Some(percent) => {
            let hundredths = percent.parse::<usize>().unwrap() * total;
            if up {
                hundredths.div_ceil(100)
            } else {
                hundredths / 100
            }
        }
    }
}

/// What may never be exceeded.
struct Bounds {
    most: usize,
    least_available: usize,
    /// The largest size that each ReplicaSet was ever told.
    told: BTreeMap<String, usize>,
}

impl Bounds {
    fn check(&mut self, cluster: &Cluster) -> Result<(), TestCaseError> {
        let mut total = 0;
        for set in sets(cluster) {
            let size = usize::try_from(set.spec.replicas.unwrap()).unwrap();
            let told = self.told.entry(set.metadata.uid.clone()).or_insert(0);
            *told = size.max(*told);
            total += size;
        }
        prop_assert!(total <= self.most, "{total} Pods are wanted");
        let active = active(cluster);
        for (uid, told) in &self.told {
            let of_set = active
                .iter()
                .filter(|pod| pod.metadata.owner_references[0].uid == *uid);
            prop_assert!(of_set.count() <= *told, "created twice");
        }
        let available = active.iter().filter(|pod| pod.is_ready()).count();
        prop_assert!(
            available >= self.least_available,
            "{available} are available"
        );
        Ok(())
    }
}

fn play(cluster: &mut Cluster, step: &Step) {
    match *step {
        Step::Run { controller, events } => cluster.run(controller, events),
        Step::Pass(millis) => cluster.now += Duration::from_millis(millis),
        Step::Settle => cluster.settle(),
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn rollouts_keep_their_bounds(
        replicas in 1..8_usize,
        surge in amount(),
        unavailable in amount(),
        images in prop::collection::vec(0..3_usize, 1..3),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let [up, down] = [resolved(&surge, replicas, true), resolved(&unavailable, replicas, false)];
        let strategy = format!("strategy: {{rollingUpdate: {{maxSurge: {surge}, maxUnavailable: {unavailable}}}}}, ");
        // Two zeros are refused, unless one of them is what rounding leaves.
        let is_zero = |amount: &str| amount == "0" || amount == "'0%'";
        if is_zero(&surge) && is_zero(&unavailable) {
            return Ok(());
        }
        let count = i32::try_from(replicas).unwrap();
        let mut cluster = fleet();
        cluster.apply(&web(count, "i0", &strategy));
        cluster.drain();
        let down = if up == 0 { down.max(1) } else { down };
        // What a ReplicaSet has lost still counts when it is to grow again before it has said so, as in Kubernetes.
        let is_taken_back = images.len() == 2 && images[0] != 0 && images[1] == 0;
        let mut bounds = Bounds {
            most: replicas + up,
            least_available: if is_taken_back {
                0
            } else {
                replicas.saturating_sub(down)
            },
            told: BTreeMap::new(),
        };
        bounds.check(&cluster)?;
        let last = format!("i{}", images.last().unwrap());
        let pieces = steps.len() / images.len() + 1;
        let mut steps = steps.chunks(pieces);
        for image in &images {
            cluster.apply(&web(count, &format!("i{image}"), &strategy));
            for step in steps.next().unwrap_or_default() {
                play(&mut cluster, step);
                bounds.check(&cluster)?;
            }
        }
        cluster.drain();
        prop_assert_eq!(counts(&cluster), (replicas, replicas));
        prop_assert_eq!(pods(&cluster).len(), replicas);
        for pod in active(&cluster) {
            prop_assert_eq!(&pod.spec.containers[0].image, &last);
        }
        prop_assert_eq!(stored(&cluster).status.updated_replicas, count);
    }

    /// Without lag, there are never more Pods than the surge allows.
    #[test]
    fn without_lag_the_surge_bounds_the_pods(
        replicas in 1..8_usize,
        surge in amount(),
        sizes in prop::collection::vec(1..8_usize, 0..3),
    ) {
        let up = resolved(&surge, replicas, true);
        let strategy = format!("strategy: {{rollingUpdate: {{maxSurge: {surge}, maxUnavailable: 1}}}}, ");
        let mut cluster = fleet();
        cluster.apply(&web(i32::try_from(replicas).unwrap(), "a", &strategy));
        cluster.drain();
        cluster.apply(&web(i32::try_from(replicas).unwrap(), "b", &strategy));
        for _ in 0..20 {
            cluster.pass(Duration::from_millis(500));
            let (count, ready) = counts(&cluster);
            prop_assert!(count <= replicas + up && ready + 1 >= replicas);
        }
        for size in sizes {
            cluster.apply(&web(i32::try_from(size).unwrap(), "c", &strategy));
            cluster.pass(Duration::from_secs(1));
            let bound = size + resolved(&surge, size, true);
            prop_assert!(counts(&cluster).0 <= bound);
        }
        cluster.drain();
    }
}
