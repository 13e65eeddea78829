//! Probes and lifecycle hooks.
//!
//! **Source of the semantics.** S: `pkg/apis/core/validation/validation.go` (validateProbe, validateLifecycle,
//! validateHandler).

use super::{Errors, meta, not_negative, port, port_or_name, text};
use crate::field::FieldError;
use crate::object::{
    Container, ExecAction, GrpcAction, HttpGetAction, Lifecycle, LifecycleHandler, Probe,
    SleepAction, TcpSocketAction,
};

/// Checks the hooks and probes of a container that runs as long as its Pod; `grace` is the Pod's
/// `terminationGracePeriodSeconds`.
pub(crate) fn errors(container: &Container, grace: Option<i64>, field: &str) -> Errors {
    let mut errors = Errors::new();
    if let Some(lifecycle) = &container.lifecycle {
        errors.extend(lifecycle_errors(
            lifecycle,
            grace,
            &format!("{field}.lifecycle"),
        ));
    }
    if let Some(probe) = &container.liveness_probe {
        errors.extend(once_errors(probe, &format!("{field}.livenessProbe")));
    }
    if let Some(probe) = &container.readiness_probe {
        let field = format!("{field}.readinessProbe");
        errors.extend(probe_errors(probe, &field));
        if let Some(seconds) = probe.termination_grace_period_seconds {
            let field = format!("{field}.terminationGracePeriodSeconds");
            let detail = "must not be set for readinessProbes";
            errors.push(FieldError::invalid(field, &seconds, detail));
        }
    }
    if let Some(probe) = &container.startup_probe {
        errors.extend(once_errors(probe, &format!("{field}.startupProbe")));
    }
    errors
}

/// What an init container that ends may not have.
pub(crate) fn forbidden(container: &Container, field: &str) -> Errors {
    let given = [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ];
    let given = given.into_iter().filter(|(_, given)| *given);
    let detail = "may not be set for init containers without restartPolicy=Always";
    given
        .map(|(part, _)| FieldError::forbidden(format!("{field}.{part}"), detail))
        .collect()
}

/// A probe that ends a container or lets it begin must not ask for several successes.
fn once_errors(probe: &Probe, field: &str) -> Errors {
    let mut errors = probe_errors(probe, field);
    if probe.success_threshold != 1 {
        let field = format!("{field}.successThreshold");
        errors.push(FieldError::invalid(
            field,
            &probe.success_threshold,
            "must be 1",
        ));
    }
    errors
}

fn probe_errors(probe: &Probe, field: &str) -> Errors {
    let handler = Handler {
        exec: probe.exec.as_ref(),
        http_get: probe.http_get.as_ref(),
        tcp_socket: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref(),
        sleep: None,
    };
    let mut errors = handler.errors(None, field);
    for (part, number) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        errors.extend(not_negative(&format!("{field}.{part}"), number.into()));
    }
    if let Some(seconds) = probe
        .termination_grace_period_seconds
        .filter(|seconds| *seconds <= 0)
    {
        let field = format!("{field}.terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(
            field,
            &seconds,
            "must be greater than 0",
        ));
    }
    errors
}

fn lifecycle_errors(lifecycle: &Lifecycle, grace: Option<i64>, field: &str) -> Errors {
    let hooks = [
        ("postStart", &lifecycle.post_start),
        ("preStop", &lifecycle.pre_stop),
    ];
    let given = hooks
        .into_iter()
        .filter_map(|(part, hook)| Some((part, hook.as_ref()?)));
    given
        .flat_map(|(part, hook)| Handler::of(hook).errors(grace, &format!("{field}.{part}")))
        .collect()
}

/// The actions that a probe or a hook may be made of, in the order in which they are looked at.
struct Handler<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HttpGetAction>,
    tcp_socket: Option<&'a TcpSocketAction>,
    grpc: Option<&'a GrpcAction>,
    sleep: Option<&'a SleepAction>,
}

impl<'a> Handler<'a> {
    fn of(hook: &'a LifecycleHandler) -> Self {
        Self {
            exec: hook.exec.as_ref(),
            http_get: hook.http_get.as_ref(),
            tcp_socket: hook.tcp_socket.as_ref(),
            grpc: None,
            sleep: hook.sleep.as_ref(),
        }
    }

    /// There must be one action; only the first is looked into.
    fn errors(&self, grace: Option<i64>, field: &str) -> Errors {
        let at = |part: &str| format!("{field}.{part}");
        let found = [
            ("exec", self.exec.map(|exec| exec_errors(exec, &at("exec")))),
            (
                "httpGet",
                self.http_get
                    .map(|get| http_get_errors(get, &at("httpGet"))),
            ),
            (
                "tcpSocket",
                self.tcp_socket
                    .map(|tcp| port_or_name(&at("tcpSocket.port"), &tcp.port)),
            ),
            (
                "grpc",
                self.grpc.map(|grpc| port(&at("grpc.port"), grpc.port)),
            ),
            (
                "sleep",
                self.sleep
                    .map(|sleep| sleep_errors(sleep, grace, &at("sleep"))),
            ),
        ];
        let mut given = found
            .into_iter()
            .filter_map(|(part, errors)| Some((part, errors?)));
        let Some((_, mut errors)) = given.next() else {
            return vec![FieldError::required(field, "must specify a handler type")];
        };
        let detail = "may not specify more than 1 handler type";
        errors.extend(given.map(|(part, _)| FieldError::forbidden(at(part), detail)));
        errors
    }
}

fn exec_errors(exec: &ExecAction, field: &str) -> Errors {
    let missing = exec.command.is_empty();
    let error = missing.then(|| FieldError::required(format!("{field}.command"), ""));
    error.into_iter().collect()
}

fn http_get_errors(get: &HttpGetAction, field: &str) -> Errors {
    let mut errors = Errors::new();
    if get.path.is_empty() {
        errors.push(FieldError::required(format!("{field}.path"), ""));
    }
    errors.extend(port_or_name(&format!("{field}.port"), &get.port));
    errors.extend(super::one_of(
        &format!("{field}.scheme"),
        &get.scheme,
        &["HTTP", "HTTPS"],
    ));
    for header in &get.http_headers {
        let found = text::http_header(&header.name);
        errors.extend(meta::complaints(
            &format!("{field}.httpHeaders"),
            &header.name,
            found,
        ));
    }
    errors
}

fn sleep_errors(sleep: &SleepAction, grace: Option<i64>, field: &str) -> Errors {
    let bound = grace.filter(|grace| !(0..=*grace).contains(&sleep.seconds));
    let error = bound.map(|grace| {
        let detail =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        FieldError::invalid(field, &sleep.seconds, &detail)
    });
    error.into_iter().collect()
}
