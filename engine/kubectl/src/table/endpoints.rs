//! Endpoints (API-94) and EndpointSlices (API-95).

use api::{EndpointSlice, Endpoints};

use super::{AGE, Column, NAME, clipped, shown};

pub(super) const COLUMNS: &[Column] = &[NAME, shown("ENDPOINTS"), AGE];
pub(super) const SLICE: &[Column] = &[
    NAME,
    shown("ADDRESSTYPE"),
    shown("PORTS"),
    shown("ENDPOINTS"),
    AGE,
];

pub(super) fn cells(endpoints: &Endpoints, age: String) -> Vec<String> {
    let ready = endpoints.subsets.iter().flat_map(|subset| {
        subset.ports.iter().flat_map(|port| {
            let addresses = subset.addresses.iter();
            addresses.map(|address| socket(&address.ip, port.port))
        })
    });
    let shown = match endpoints.subsets.is_empty() {
        true => "<none>".to_owned(),
        false => clipped(ready),
    };
    vec![endpoints.metadata.name.clone(), shown, age]
}

pub(super) fn slice(slice: &EndpointSlice, age: String) -> Vec<String> {
    let ports = slice
        .ports
        .iter()
        .map(|port| match (port.port, &port.name) {
            (Some(port), _) => port.to_string(),
            (None, Some(name)) => name.clone(),
            (None, None) => "*".to_owned(),
        });
    let addresses = slice
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.addresses);
    vec![
        slice.metadata.name.clone(),
        slice.address_type.clone(),
        or_unset(clipped(ports)),
        or_unset(clipped(addresses.cloned())),
        age,
    ]
}

fn or_unset(text: String) -> String {
    match text.is_empty() {
        true => "<unset>".to_owned(),
        false => text,
    }
}

/// An address and port: `10.0.0.1:80`, `[fd00::1]:80`.
pub(crate) fn socket(address: &str, port: i32) -> String {
    match address.contains(':') {
        true => format!("[{address}]:{port}"),
        false => format!("{address}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn subsets(subsets: Value) -> String {
        let endpoints: Endpoints =
            serde_json::from_value([("subsets", subsets)].into_iter().collect()).unwrap();
        cells(&endpoints, String::new()).swap_remove(1)
    }

    #[test]
    fn api_94_none_only_without_subsets() {
        let ports = json!([{"port": 80}, {"port": 443}]);
        assert_eq!(subsets(json!([])), "<none>");
        assert_eq!(
            subsets(json!([{"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": ports}])),
            ""
        );
        assert_eq!(
            subsets(
                json!([{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::2"}], "ports": ports}])
            ),
            "10.0.0.1:80,[fd00::2]:80,10.0.0.1:443 + 1 more..."
        );
    }

    #[test]
    fn api_95_not_ready_ones_are_listed_and_nothing_is_unset() {
        let check = |given: Value, expected: [&str; 2]| {
            let given: EndpointSlice = serde_json::from_value(given).unwrap();
            assert_eq!(slice(&given, String::new())[2..4], expected);
        };
        check(json!({}), ["<unset>", "<unset>"]);
        let endpoint = |ip: &str| json!({"addresses": [ip], "conditions": {"ready": false}});
        check(
            json!({
                "ports": [{"name": "a"}, {}, {"port": 80}, {"port": 81}],
                "endpoints": [endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.3"), endpoint("10.0.0.4")],
            }),
            [
                "a,*,80 + 1 more...",
                "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...",
            ],
        );
    }
}
