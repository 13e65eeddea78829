//! What is generated is what an API server stores.

mod support;

use base::SimTime;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::objects::server;
use switchboard_conformance::clusters;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        rng_seed: RngSeed::Fixed(0x5b),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_api_server_takes_every_object_and_completes_nothing(cluster in clusters()) {
        let mut server = server();
        for mut object in cluster.all_objects() {
            let written = server.create(object.clone(), SimTime::ZERO);
            prop_assert!(written.is_ok(), "{written:?}: {cluster:?}");
            let stored = server.get(&object.key()).expect("it was just written");
            // The server's own bookkeeping, and a namespace's standard label and phase, say nothing to a proxy.
            if object.as_namespace().is_none() {
                *object.meta_mut() = stored.meta().clone();
                prop_assert_eq!(stored, &object);
            }
        }
    }
}
