//! Lists and watches by selectors and versions.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{
    ApiConfig, ApiServer, DeleteOptions, FieldSelector, Kind, Object, ObjectKey, ObjectMeta, Pod,
    Reason, Scope, Status, Version, Watch, WatchFrom, WatchOptions, WatchOutput,
};
use base::{Seed, SimTime};
use proptest::prelude::*;
use switchboard_api as api;

fn server() -> ApiServer {
    let config = ApiConfig {
        service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    ApiServer::new(config, SimTime::ZERO)
}

fn at(seconds: u64) -> SimTime {
    SimTime::ZERO + Duration::from_secs(seconds)
}

fn pod(namespace: &str, name: &str, labels: &[(&str, &str)]) -> Object {
    let mut pod = Pod {
        metadata: ObjectMeta::named(namespace, name),
        ..Pod::default()
    };
    for (key, value) in labels {
        let labels = &mut pod.metadata.labels;
        labels.insert((*key).to_owned(), (*value).to_owned());
    }
    let container = serde_json::json!({"name": "c", "image": "i"});
    pod.spec.containers = vec![serde_json::from_value(container).unwrap()];
    pod.into()
}

fn labelled(selector: &str) -> Scope {
    Scope {
        labels: selector.parse().unwrap(),
        ..Scope::default()
    }
}

fn names(server: &ApiServer, scope: &Scope, version: Version) -> Result<Vec<String>, Status> {
    let list = server.select(Kind::Pod, scope, version, at(0))?;
    let names = list.items.iter();
    Ok(names.map(|object| object.meta().name.clone()).collect())
}

/// `+name`, `~name`, `-name`; a bookmark is `@revision`, with `!` where the initial state ends.
fn told(watch: &mut Watch, server: &ApiServer, now: SimTime) -> Result<Vec<String>, Status> {
    let mut lines = Vec::new();
    while let Some(output) = watch.next(server, now)? {
        lines.push(match output {
            WatchOutput::Added(object) => format!("+{}", object.meta().name),
            WatchOutput::Modified(object) => format!("~{}", object.meta().name),
            WatchOutput::Deleted(object) => format!("-{}", object.meta().name),
            WatchOutput::Bookmark {
                revision,
                initial_events_end,
            } => format!("@{revision}{}", if initial_events_end { "!" } else { "" }),
        });
    }
    Ok(lines)
}

#[test]
fn api_86_lists_at_a_version() {
    let mut server = server();
    server
        .create(pod("default", "a", &[("app", "web")]), at(0))
        .unwrap();
    let first = server.revision();
    server
        .create(pod("default", "b", &[("app", "web")]), at(0))
        .unwrap();
    let web = labelled("app=web");
    let names = |version| names(&server, &web, version);
    assert_eq!(names(Version::Newest).unwrap(), ["a", "b"]);
    assert_eq!(names(Version::Any).unwrap(), ["a", "b"]);
    assert_eq!(names(Version::NotOlderThan(first)).unwrap(), ["a", "b"]);
    assert_eq!(names(Version::Exact(first)).unwrap(), ["a"]);
    for version in [Version::Exact(first + 2), Version::NotOlderThan(first + 2)] {
        let refused = names(version).unwrap_err();
        assert_eq!((refused.code, refused.reason), (504, Reason::Timeout));
        let expected = format!(
            "Too large resource version: {}, current: {}",
            first + 2,
            first + 1
        );
        assert_eq!(refused.message, expected);
        assert_eq!(refused.causes[0].reason, "ResourceVersionTooLarge");
    }
}

#[test]
fn api_35_lists_by_fields() {
    let server = server();
    let scope = |fields: &str| Scope {
        fields: fields.parse().unwrap(),
        ..Scope::default()
    };
    let found = server.select(
        Kind::Service,
        &scope("spec.clusterIP=10.96.0.1,spec.type=ClusterIP"),
        Version::Newest,
        at(0),
    );
    assert_eq!(found.unwrap().items[0].meta().name, "kubernetes");
    let one = Scope {
        fields: FieldSelector::name("default"),
        ..Scope::default()
    };
    let found = server.select(Kind::Namespace, &one, Version::Newest, at(0));
    assert_eq!(found.unwrap().items.len(), 1);
    let refused = server
        .select(Kind::Service, &scope("spec.x=1"), Version::Newest, at(0))
        .unwrap_err();
    assert_eq!(
        refused.kubectl_text(),
        "Error from server (BadRequest): field label not supported: spec.x"
    );
}

#[test]
fn api_87_a_watch_begins_with_the_present_state_or_after_a_version() {
    let mut server = server();
    server.create(pod("default", "a", &[]), at(0)).unwrap();
    let revision = server.revision();
    server.create(pod("default", "b", &[]), at(0)).unwrap();
    let open = |from| {
        let options = WatchOptions {
            from,
            ..WatchOptions::default()
        };
        server.watch(Kind::Pod, options, at(0))
    };
    let mut all = open(WatchFrom::Now).unwrap();
    assert_eq!(told(&mut all, &server, at(0)).unwrap(), ["+a", "+b"]);
    let mut later = open(WatchFrom::After(revision)).unwrap();
    assert_eq!(told(&mut later, &server, at(0)).unwrap(), ["+b"]);
    assert_eq!(open(WatchFrom::After(revision + 2)).unwrap_err().code, 504);
}

#[test]
fn api_89_a_selector_watch_tells_what_appears_and_disappears() {
    let mut server = server();
    let options = WatchOptions {
        scope: labelled("app=web"),
        ..WatchOptions::default()
    };
    let mut watch = server.watch(Kind::Pod, options, at(0)).unwrap();
    let web = [("app", "web")];
    server
        .create(pod("default", "a", &[("app", "api")]), at(0))
        .unwrap();
    assert_eq!(told(&mut watch, &server, at(0)).unwrap(), [""; 0]);
    server.apply(pod("default", "a", &web), at(0)).unwrap();
    server
        .apply(pod("default", "a", &[("app", "web"), ("x", "y")]), at(0))
        .unwrap();
    assert_eq!(told(&mut watch, &server, at(0)).unwrap(), ["+a", "~a"]);
    server
        .apply(pod("default", "a", &[("app", "api")]), at(0))
        .unwrap();
    let Some(WatchOutput::Deleted(last)) = watch.next(&server, at(0)).unwrap() else {
        panic!("it has left the scope")
    };
    assert_eq!(
        last.meta().labels["app"],
        "web",
        "its last state in the scope"
    );
    assert_eq!(last.meta().resource_version, server.revision().to_string());
    server.apply(pod("default", "a", &web), at(0)).unwrap();
    let key = ObjectKey::new(Kind::Pod, "default", "a");
    server
        .delete(&key, &DeleteOptions::default(), at(0))
        .unwrap();
    assert_eq!(told(&mut watch, &server, at(0)).unwrap(), ["+a", "-a"]);
}

#[test]
fn api_90_bookmarks() {
    let mut server = server();
    server.create(pod("default", "a", &[]), at(0)).unwrap();
    let options = WatchOptions {
        bookmarks: true,
        initial_events: true,
        ..WatchOptions::default()
    };
    let mut watch = server.watch(Kind::Pod, options, at(0)).unwrap();
    let revision = server.revision();
    let state = ["+a".to_owned(), format!("@{revision}!")];
    assert_eq!(told(&mut watch, &server, at(0)).unwrap(), state);
    let later = WatchOptions {
        from: WatchFrom::After(1),
        bookmarks: true,
        initial_events: true,
        ..WatchOptions::default()
    };
    let mut other = server.watch(Kind::Pod, later, at(0)).unwrap();
    assert_eq!(told(&mut other, &server, at(0)).unwrap(), state);
    assert_eq!(told(&mut watch, &server, at(59)).unwrap(), [""; 0]);
    // What happens to other kinds moves the position, too.
    let namespace = serde_json::json!({"metadata": {"name": "x"}});
    let namespace = serde_json::from_value::<api::Namespace>(namespace).unwrap();
    server.create(namespace.into(), at(59)).unwrap();
    let position = [format!("@{}", server.revision())];
    assert_eq!(told(&mut watch, &server, at(60)).unwrap(), position);
    assert_eq!(told(&mut watch, &server, at(299)).unwrap(), position);
    assert_eq!(told(&mut watch, &server, at(300)).unwrap(), position);
}

#[test]
fn api_88_api_91_a_reader_that_falls_behind_is_told_to_list_again() {
    let mut server = server();
    server.create(pod("default", "a", &[]), at(1)).unwrap();
    let revision = server.revision();
    let after = WatchOptions {
        from: WatchFrom::After(revision),
        ..WatchOptions::default()
    };
    let mut watch = server.watch(Kind::Pod, after.clone(), at(1)).unwrap();
    server.create(pod("default", "b", &[]), at(2)).unwrap();
    let mut keeps_up = watch.clone();
    assert_eq!(told(&mut keeps_up, &server, at(302)).unwrap(), ["+b"]);
    let refused = told(&mut watch, &server, at(303)).unwrap_err();
    assert_eq!((refused.code, refused.reason), (410, Reason::Expired));
    let expected = format!("too old resource version: {revision} ({})", revision + 1);
    assert_eq!(refused.message, expected);
    assert_eq!(
        server.watch(Kind::Pod, after, at(303)).unwrap_err(),
        refused
    );
    let scope = Scope::default();
    let exact = server.select(Kind::Pod, &scope, Version::Exact(revision), at(303));
    assert_eq!(exact.unwrap_err(), refused);
    // The past itself is still there.
    assert_eq!(server.events_after(0).len() as u64, server.revision());
    assert_eq!(told(&mut keeps_up, &server, at(900)).unwrap(), [""; 0]);
}

#[derive(Clone, Debug)]
enum Step {
    Write { name: u8, labels: u8 },
    Delete { name: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..12_u8, any::<u8>()).prop_map(|(name, labels)| Step::Write { name, labels }),
        1 => (0..12_u8).prop_map(|name| Step::Delete { name }),
    ]
}

/// Names spread over namespaces of which one begins like another; labels out of few keys and values.
fn carry_out(server: &mut ApiServer, step: &Step, now: SimTime) {
    let place = |name: u8| {
        (
            ["default", "a", "a-b"][usize::from(name % 3)],
            format!("p{}", name / 3),
        )
    };
    match step {
        Step::Write { name, labels } => {
            let (namespace, name) = place(*name);
            let value = |bits: u8| ["x", "y", "", "x-1"][usize::from(bits & 3)];
            let mut given = Vec::new();
            for (index, key) in ["k", "k-1", "l"].into_iter().enumerate() {
                if labels >> (6 + index.min(1)) & 1 == 1 {
                    given.push((key, value(labels >> (2 * index))));
                }
            }
            server.apply(pod(namespace, &name, &given), now).unwrap();
        }
        Step::Delete { name } => {
            let (namespace, name) = place(*name);
            let key = ObjectKey::new(Kind::Pod, namespace, &name);
            let _ = server.delete(&key, &DeleteOptions::default(), now);
        }
    }
}

const SELECTORS: [&str; 9] = [
    "k=x",
    "k in (x, x-1)",
    "k",
    "!k",
    "k!=x",
    "k=x,l=y",
    "k,l in (,y)",
    "k-1",
    "",
];

proptest! {
    /// An index, events with a memory, and a plain look at every object give the same.
    #[test]
    fn lists_and_watches_agree_with_a_look_at_everything(
        steps in prop::collection::vec(step(), 0..60),
        selector in prop::sample::select(&SELECTORS[..]),
        namespace in prop::sample::select(&[None, Some("a"), Some("a-b")][..]),
        opened in 0..60_usize,
    ) {
        let mut server = server();
        for namespace in ["a", "a-b"] {
            let namespace = serde_json::json!({"metadata": {"name": namespace}});
            let namespace = serde_json::from_value::<api::Namespace>(namespace).unwrap();
            server.create(namespace.into(), at(0)).unwrap();
        }
        let scope = Scope { namespace: namespace.map(str::to_owned), ..labelled(selector) };
        let options = WatchOptions { scope: scope.clone(), ..WatchOptions::default() };
        let mut watch = server.watch(Kind::Pod, options.clone(), at(0)).unwrap();
        let mut mirror = BTreeMap::new();
        for (index, step) in steps.iter().enumerate() {
            carry_out(&mut server, step, at(0));
            if index == opened {
                mirror.clear();
                watch = server.watch(Kind::Pod, options.clone(), at(0)).unwrap();
            }
            while let Some(output) = watch.next(&server, at(0)).unwrap() {
                match output {
                    WatchOutput::Added(object) => prop_assert!(mirror.insert(object.key(), object).is_none()),
                    WatchOutput::Modified(object) => prop_assert!(mirror.insert(object.key(), object).is_some()),
                    WatchOutput::Deleted(object) => prop_assert!(mirror.remove(&object.key()).is_some()),
                    WatchOutput::Bookmark { .. } => prop_assert!(false, "nobody asked"),
                }
            }
        }
        let plain: Vec<Object> = server.list(Kind::Pod, None).filter(|object| scope.holds(object)).cloned().collect();
        let list = server.select(Kind::Pod, &scope, Version::Newest, at(0)).unwrap();
        prop_assert_eq!(&list.items, &plain);
        prop_assert_eq!(mirror.into_values().collect::<Vec<_>>(), plain);
        let exact = server.select(Kind::Pod, &scope, Version::Exact(server.revision()), at(0)).unwrap();
        prop_assert_eq!(exact, list);
    }
}
