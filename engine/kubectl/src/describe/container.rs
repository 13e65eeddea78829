//! The containers of a Pod.

use serde_json::Value;

use super::page::Page;
use super::pod::boolean;
use crate::fields::{entries, flag, given, list, number, pairs, plain, plain_at, text, texts};
use crate::time::date;

/// Writes containers with what their statuses say; `pod` is whom their environment may refer to.
pub(super) fn write(
    page: &mut Page,
    label: &str,
    containers: &[Value],
    statuses: &[Value],
    pod: &Value,
) {
    let none = if containers.is_empty() { " <none>" } else { "" };
    page.line(0, format_args!("{label}:{none}"));
    for container in containers {
        let name = text(container, "/name");
        let status = statuses.iter().find(|status| text(status, "/name") == name);
        page.line(1, format_args!("{name}:"));
        write_basics(page, container, status);
        write_command(page, container);
        if let Some(status) = status {
            write_status(page, status);
        }
        for (name, pointer) in [
            ("Limits", "/resources/limits"),
            ("Requests", "/resources/requests"),
        ] {
            if entries(container, pointer) > 0 {
                page.line(2, format_args!("{name}:"));
            }
            for (resource, amount) in pairs(container, pointer) {
                page.field(3, resource, &plain(amount));
            }
        }
        for (name, pointer) in [
            ("Liveness", "/livenessProbe"),
            ("Readiness", "/readinessProbe"),
            ("Startup", "/startupProbe"),
        ] {
            if let Some(given) = container.pointer(pointer) {
                page.field(2, name, &probe(given));
            }
        }
        write_environment(page, container, pod);
        write_mounts(page, container);
    }
}

fn write_basics(page: &mut Page, container: &Value, status: Option<&Value>) {
    if let Some(status) = status {
        page.field(2, "Container ID", text(status, "/containerID"));
    }
    page.field(2, "Image", text(container, "/image"));
    if let Some(status) = status {
        page.field(2, "Image ID", text(status, "/imageID"));
    }
    for (one, several, field) in [
        ("Port", "Ports", "/containerPort"),
        ("Host Port", "Host Ports", "/hostPort"),
    ] {
        let ports = list(container, "/ports").iter().map(|port| {
            let name = given(port, "/name").map_or_else(String::new, |name| format!(" ({name})"));
            let protocol = given(port, "/protocol").unwrap_or("TCP");
            format!("{}/{protocol}{name}", number(port, field))
        });
        let ports: Vec<String> = ports.collect();
        let name = if ports.len() > 1 { several } else { one };
        page.field_or(2, name, &ports.join(", "), "<none>");
    }
}

fn write_command(page: &mut Page, container: &Value) {
    for (name, pointer) in [("Command", "/command"), ("Args", "/args")] {
        let words = texts(container, pointer);
        if !words.is_empty() {
            page.line(2, format_args!("{name}:"));
        }
        for line in words.into_iter().flat_map(|word| word.split('\n')) {
            page.line(3, format_args!("{line}"));
        }
    }
}

fn write_status(page: &mut Page, status: &Value) {
    write_state(page, "State", status.get("state").unwrap_or(&Value::Null));
    if let Some(last) = status
        .get("lastState")
        .filter(|last| last.get("terminated").is_some())
    {
        write_state(page, "Last State", last);
    }
    page.field(2, "Ready", boolean(status, "/ready"));
    page.field(
        2,
        "Restart Count",
        &number(status, "/restartCount").to_string(),
    );
}

fn write_state(page: &mut Page, name: &str, state: &Value) {
    if state.get("running").is_some() {
        page.field(2, name, "Running");
        page.field(3, "Started", &date(given(state, "/running/startedAt")));
    } else if let Some(ended) = state
        .get("terminated")
        .filter(|_| state.get("waiting").is_none())
    {
        page.field(2, name, "Terminated");
        page.field_if(3, "Reason", text(ended, "/reason"));
        page.field_if(3, "Message", text(ended, "/message"));
        page.field(3, "Exit Code", &number(ended, "/exitCode").to_string());
        if number(ended, "/signal") > 0 {
            page.field(3, "Signal", &number(ended, "/signal").to_string());
        }
        page.field(3, "Started", &date(given(ended, "/startedAt")));
        page.field(3, "Finished", &date(given(ended, "/finishedAt")));
    } else {
        page.field(2, name, "Waiting");
        page.field_if(3, "Reason", text(state, "/waiting/reason"));
    }
}

fn probe(probe: &Value) -> String {
    // The API server fills these in; an object that it has not seen may lack them.
    let or = |pointer: &str, default: i64| match probe.pointer(pointer) {
        Some(_) => number(probe, pointer),
        None => default,
    };
    let settings = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        or("/initialDelaySeconds", 0),
        or("/timeoutSeconds", 1),
        or("/periodSeconds", 10),
        or("/successThreshold", 1),
        or("/failureThreshold", 3),
    );
    let port = |handler: &Value| plain_at(handler, "/port");
    let what = if let Some(exec) = probe.get("exec") {
        format!("exec [{}]", texts(exec, "/command").join(" "))
    } else if let Some(get) = probe.get("httpGet") {
        let scheme = given(get, "/scheme").unwrap_or("HTTP").to_ascii_lowercase();
        let path = text(get, "/path");
        let slash = if path.is_empty() || path.starts_with('/') {
            ""
        } else {
            "/"
        };
        format!(
            "http-get {scheme}://{}:{}{slash}{path}",
            text(get, "/host"),
            port(get)
        )
    } else if let Some(socket) = probe.get("tcpSocket") {
        format!("tcp-socket {}:{}", text(socket, "/host"), port(socket))
    } else if let Some(grpc) = probe.get("grpc") {
        format!("grpc <pod>:{} {}", port(grpc), text(grpc, "/service"))
    } else {
        "unknown".to_owned()
    };
    format!("{what} {settings}")
}

fn write_environment(page: &mut Page, container: &Value, pod: &Value) {
    let sources = list(container, "/envFrom");
    if !sources.is_empty() {
        page.line(2, format_args!("Environment Variables from:"));
    }
    for source in sources {
        let found = [("ConfigMap", "configMapRef"), ("Secret", "secretRef")];
        let found = found
            .into_iter()
            .find_map(|(kind, field)| Some((kind, source.get(field)?)));
        let (kind, reference) = found.unwrap_or(("", &Value::Null));
        let prefix = given(source, "/prefix");
        let prefix = prefix.map_or_else(String::new, |prefix| format!(" with prefix '{prefix}'"));
        let optional = flag(reference, "/optional");
        let name = text(reference, "/name");
        page.line(
            3,
            format_args!("{name}\t{kind}{prefix}\tOptional: {optional}"),
        );
    }
    let variables = list(container, "/env");
    let none = if variables.is_empty() { "\t<none>" } else { "" };
    page.line(2, format_args!("Environment:{none}"));
    for variable in variables {
        write_variable(page, variable, pod);
    }
}

fn write_variable(page: &mut Page, variable: &Value, pod: &Value) {
    let name = text(variable, "/name");
    let Some(source) = variable.get("valueFrom") else {
        let mut lines = text(variable, "/value").split('\n');
        page.field(3, name, lines.next().unwrap_or_default());
        for line in lines {
            page.line(3, format_args!("\t{line}"));
        }
        return;
    };
    let key_of = |reference: &Value| {
        let (key, name) = (
            text(reference, "/key").to_owned(),
            text(reference, "/name").to_owned(),
        );
        (key, name, flag(reference, "/optional"))
    };
    if let Some(field) = source.get("fieldRef") {
        let path = text(field, "/fieldPath");
        let pointer = format!("/{}", path.replace('.', "/"));
        let (value, version) = (
            plain_at(pod, &pointer),
            given(field, "/apiVersion").unwrap_or("v1"),
        );
        page.line(3, format_args!("{name}:\t{value} ({version}:{path})"));
    } else if let Some(field) = source.get("resourceFieldRef") {
        page.line(3, format_args!("{name}:\t ({})", text(field, "/resource")));
    } else if let Some(secret) = source.get("secretKeyRef") {
        let (key, of, optional) = key_of(secret);
        page.line(
            3,
            format_args!(
                "{name}:\t<set to the key '{key}' in secret '{of}'>\tOptional: {optional}"
            ),
        );
    } else if let Some(map) = source.get("configMapKeyRef") {
        let (key, of, optional) = key_of(map);
        page.line(
            3,
            format_args!(
                "{name}:\t<set to the key '{key}' of config map '{of}'>\tOptional: {optional}"
            ),
        );
    }
}

fn write_mounts(page: &mut Page, container: &Value) {
    let mut mounts: Vec<&Value> = list(container, "/volumeMounts").iter().collect();
    mounts.sort_by_key(|mount| text(mount, "/mountPath"));
    let none = if mounts.is_empty() { "\t<none>" } else { "" };
    page.line(2, format_args!("Mounts:{none}"));
    for mount in mounts {
        let access = if flag(mount, "/readOnly") { "ro" } else { "rw" };
        let part = given(mount, "/subPath");
        let part = part.map_or_else(String::new, |part| format!(",path={part:?}"));
        let (path, name) = (text(mount, "/mountPath"), text(mount, "/name"));
        page.line(3, format_args!("{path} from {name} ({access}{part})"));
    }
}
