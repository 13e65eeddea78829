//! How the API server says no, and how kubectl prints it.
//!
//! **Source of the semantics.** API-1 … API-13; S: `apimachinery/pkg/api/errors/errors.go`,
//! `kubectl/pkg/cmd/util/helpers.go`.

use std::fmt;

use crate::field::FieldError;
use crate::object::{Kind, Object, ObjectKey};

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence.
    pub message: String,
    /// One per field, for reason `Invalid` and `NotSupported`; of an `InternalError` one without a field.
    pub causes: Vec<Cause>,
    /// What kubectl prints behind `Warning: `, before the error.
    pub warnings: Vec<String>,
    /// Kind and name; boxed, so that an answer stays small.
    subject: Option<Box<(String, String)>>,
    doing: Option<&'static str>,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// 400
    BadRequest,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 409: the name is taken.
    AlreadyExists,
    /// 409: the object changed in the meantime, or a precondition failed.
    Conflict,
    /// 410: a version that is no longer kept.
    Expired,
    /// 422
    Invalid,
    /// 500
    InternalError,
    /// 504: a version that is not there yet.
    Timeout,
    /// 501: valid for Kubernetes, but beyond what this program can carry out. It is our limit, not the user's
    /// mistake, and Kubernetes has no such reason.
    NotSupported,
    /// 500 without a reason: an error that Kubernetes has no answer of its own for.
    Unknown,
    /// Refused by kubectl itself; no request was sent.
    Client,
    /// No request was answered: nobody listens.
    Unreachable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One complaint about one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired` …
    pub reason: &'static str,
    /// Everything after the field.
    pub message: String,
    /// The path of the field.
    pub field: String,
}

impl Status {
    /// The reason of the cause that tells of a namespace being terminated (API-13).
    pub const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

    /// Whether it was refused because its namespace is being terminated.
    #[must_use]
    pub fn is_namespace_terminating(&self) -> bool {
        let mut causes = self.causes.iter();
        causes.any(|cause| cause.reason == Self::NAMESPACE_TERMINATING)
    }

    /// 422: every complaint at once (API-6). The message names the kind with its group, kubectl without.
    #[must_use]
    pub(crate) fn invalid(object: &Object, errors: Vec<FieldError>) -> Self {
        let (kind, name) = (object.kind_name(), &object.meta().name);
        let mut texts: Vec<String> = Vec::new();
        for text in errors.iter().map(ToString::to_string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let body = match texts.as_slice() {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let causes = errors.into_iter().map(FieldError::into_cause).collect();
        let qualified = match object.group() {
            "" => kind.to_owned(),
            group => format!("{kind}.{group}"),
        };
        let message = format!("{qualified} \"{name}\" is invalid: {body}");
        Self {
            causes,
            warnings: warnings_of(object.kind()),
            ..Self::about(422, Reason::Invalid, kind, name, message)
        }
    }

    /// 501: our own limit: field paths and what is supported there.
    #[must_use]
    pub fn not_supported(
        kind: impl fmt::Display,
        name: &str,
        limits: Vec<(String, String)>,
    ) -> Self {
        let texts: Vec<String> = limits
            .iter()
            .map(|(field, text)| format!("{field}: {text}"))
            .collect();
        let cause = |(field, message)| Cause {
            reason: "NotSupported",
            message,
            field,
        };
        let causes = limits.into_iter().map(cause).collect();
        Self {
            causes,
            ..Self::about(501, Reason::NotSupported, kind, name, texts.join("; "))
        }
    }

    /// 404 (API-9).
    #[must_use]
    pub fn not_found(key: &ObjectKey) -> Self {
        let message = format!("{} \"{}\" not found", key.resource(), key.name);
        Self::on(key, 404, Reason::NotFound, message)
    }

    /// 409 (API-9).
    #[must_use]
    pub(crate) fn already_exists(key: &ObjectKey) -> Self {
        let message = format!("{} \"{}\" already exists", key.resource(), key.name);
        Self::on(key, 409, Reason::AlreadyExists, message)
    }

    /// 409: a write based on an old version (API-10).
    #[must_use]
    pub(crate) fn modified(key: &ObjectKey) -> Self {
        let text = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(key, text)
    }

    /// 409: a precondition does not hold (API-11).
    #[must_use]
    pub(crate) fn precondition(key: &ObjectKey, what: &str, wanted: &str, found: &str) -> Self {
        let text = format!(
            "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
        );
        Self::conflict(key, &text)
    }

    fn conflict(key: &ObjectKey, text: &str) -> Self {
        let resource = key.resource();
        let message = format!(
            "Operation cannot be fulfilled on {resource} \"{}\": {text}",
            key.name
        );
        Self::on(key, 409, Reason::Conflict, message)
    }

    /// 403.
    #[must_use]
    pub(crate) fn forbidden(key: &ObjectKey, text: &str) -> Self {
        let message = format!("{} \"{}\" is forbidden: {text}", key.resource(), key.name);
        Self::on(key, 403, Reason::Forbidden, message)
    }

    /// 400.
    #[must_use]
    pub(crate) fn bad_request(text: String) -> Self {
        Self::plain(400, Reason::BadRequest, text)
    }

    /// 422: a patch that makes no object: `patched` is the JSON that it makes.
    #[must_use]
    pub(crate) fn invalid_patch(patched: &str, detail: &str) -> Self {
        let error = FieldError::invalid("patch", &patched, detail);
        let message = format!(" \"\" is invalid: {error}");
        Self {
            causes: vec![error.into_cause()],
            ..Self::plain(422, Reason::Invalid, message)
        }
    }

    /// 410 (API-88).
    #[must_use]
    pub(crate) fn expired(revision: u64, oldest: u64) -> Self {
        let message = format!("too old resource version: {revision} ({oldest})");
        Self::plain(410, Reason::Expired, message)
    }

    /// 504 (API-86).
    #[must_use]
    pub(crate) fn too_new(revision: u64, newest: u64) -> Self {
        let cause = Cause {
            reason: "ResourceVersionTooLarge",
            message: "Too large resource version".to_owned(),
            field: String::new(),
        };
        let message = format!("Too large resource version: {revision}, current: {newest}");
        Self {
            causes: vec![cause],
            ..Self::plain(504, Reason::Timeout, message)
        }
    }

    /// 500 (API-12).
    #[must_use]
    pub(crate) fn internal(text: &str) -> Self {
        let message = format!("Internal error occurred: {text}");
        let cause = Cause {
            reason: "",
            message: text.to_owned(),
            field: String::new(),
        };
        Self {
            causes: vec![cause],
            ..Self::plain(500, Reason::InternalError, message)
        }
    }

    /// 500 with a bare text.
    #[must_use]
    pub(crate) fn unknown(text: String) -> Self {
        Self::plain(500, Reason::Unknown, text)
    }

    /// kubectl refuses before it asks the server.
    #[must_use]
    pub(crate) fn client(message: impl Into<String>) -> Self {
        Self::plain(400, Reason::Client, message.into())
    }

    /// The API server at `host` and port takes no connection; the words are kubectl's.
    #[must_use]
    pub fn connection_refused(host: &str) -> Self {
        let message = format!(
            "The connection to the server {host} was refused - did you specify the right host or port?"
        );
        Self::plain(503, Reason::Unreachable, message)
    }

    /// What kubectl was doing, where its error line says so.
    #[must_use]
    pub(crate) fn while_doing(mut self, doing: &'static str) -> Self {
        self.doing = Some(doing);
        self
    }

    /// What kubectl prints on stderr when the manifest comes from standard input (API-7, API-8); no newline at
    /// its end.
    ///
    /// Deviation: reason [`Reason::NotSupported`] does not exist in Kubernetes; its line begins `error: `.
    #[must_use]
    pub fn kubectl_text(&self) -> String {
        let warnings = self.warnings.iter();
        let warnings = warnings.map(|warning| format!("Warning: {warning}\n"));
        warnings.chain([self.error_text()]).collect()
    }

    /// The same without warnings, for who prints those of all requests at once.
    #[must_use]
    pub fn error_text(&self) -> String {
        match (self.reason, self.subject.as_deref()) {
            (Reason::Invalid, Some((kind, name))) => self.invalid_text(kind, name),
            (Reason::Invalid, None) => {
                let causes = self.causes.iter();
                let texts: Vec<_> = causes
                    .map(|cause| format!("{}: {}", cause.field, cause.message))
                    .collect();
                format!("The request is invalid: {}", texts.join(", "))
            }
            (Reason::NotSupported | Reason::Client, _) => format!("error: {}", self.message),
            (Reason::Unreachable, _) => self.message.clone(),
            _ => {
                let doing = self.doing.map_or_else(String::new, |doing| {
                    format!("error when {doing} \"STDIN\": ")
                });
                let reason = match self.reason {
                    Reason::Unknown => String::new(),
                    reason => format!(" ({reason})"),
                };
                format!("Error from server{reason}: {doing}{}", self.message)
            }
        }
    }

    fn invalid_text(&self, kind: &str, name: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        for cause in &self.causes {
            let line = format!("{}: {}", cause.field, cause.message);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let head = format!("The {kind} \"{name}\" is invalid: ");
        match lines.as_slice() {
            [only] => head + only,
            several => several
                .iter()
                .fold(head, |text, line| format!("{text}\n* {line}")),
        }
    }

    fn on(key: &ObjectKey, code: u16, reason: Reason, message: String) -> Self {
        Self {
            warnings: warnings_of(key.kind),
            ..Self::about(code, reason, key.kind, &key.name, message)
        }
    }

    fn about(
        code: u16,
        reason: Reason,
        kind: impl fmt::Display,
        name: &str,
        message: String,
    ) -> Self {
        Self {
            subject: Some(Box::new((kind.to_string(), name.to_owned()))),
            ..Self::plain(code, reason, message)
        }
    }

    fn plain(code: u16, reason: Reason, message: String) -> Self {
        Self {
            code,
            reason,
            message,
            causes: Vec::new(),
            warnings: Vec::new(),
            subject: None,
            doing: None,
        }
    }
}

/// What the server warns of whenever it is asked about objects of a kind.
fn warnings_of(kind: Kind) -> Vec<String> {
    kind.deprecation().map(str::to_owned).into_iter().collect()
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}
