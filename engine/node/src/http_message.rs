//! HTTP requests as bytes, and what is said to them.
//!
//! **Source of the semantics.** RFC 9112 sections 2 and 3, RFC 9110 section 15. Only the path of a request matters here, so
//! its fields are not read, and nor is its body.

use std::fmt::Write as _;

use proxy::Answer;

/// How long the head of a request may be.
pub(crate) const HEAD_MAX: usize = 8 << 10;

/// The response to a request of which this has been received; `None` if more of it must come first. Nothing more will come
/// if `is_all`.
pub(crate) fn respond(
    received: &[u8],
    is_all: bool,
    answer: &impl Fn(&str) -> Answer,
) -> Option<Vec<u8>> {
    match head(received) {
        Some(head) if head.len() <= HEAD_MAX => Some(respond_to(head, answer)),
        None if received.len() <= HEAD_MAX => is_all.then(|| refuse(400)),
        Some(_) | None => Some(refuse(431)),
    }
}

/// All up to the empty line.
fn head(received: &[u8]) -> Option<&[u8]> {
    let ends_at = |end: &[u8]| received.windows(end.len()).position(|window| window == end);
    let at = ends_at(b"\r\n\r\n").or_else(|| ends_at(b"\n\n"))?;
    Some(&received[..at])
}

fn respond_to(head: &[u8], answer: &impl Fn(&str) -> Answer) -> Vec<u8> {
    match request_line(head) {
        Some(("GET", path)) => write(&answer(path), true),
        Some(("HEAD", path)) => write(&answer(path), false),
        Some(_) => refuse(405),
        None => refuse(400),
    }
}

/// The method and the path.
fn request_line(head: &[u8]) -> Option<(&str, &str)> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_line =
        is_method && !target.is_empty() && version.starts_with("HTTP/1.") && words.next().is_none();
    let path = target.split('?').next()?;
    is_line.then_some((method, path))
}

/// What is said to somebody who does not get an answer.
fn refuse(status: u16) -> Vec<u8> {
    let mut headers = vec![("Content-Type", "text/plain; charset=utf-8".to_owned())];
    if status == 405 {
        headers.push(("Allow", "GET, HEAD".to_owned()));
    }
    let body = format!("{status} {}\n", reason(status));
    let answer = Answer {
        status,
        headers,
        body,
    };
    write(&answer, true)
}

fn write(answer: &Answer, with_body: bool) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        writeln!(text, "{name}: {value}\r").expect("a String takes everything");
    }
    let length = answer.body.len();
    write!(
        text,
        "Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .expect("a String takes everything");
    if with_body {
        text += &answer.body;
    }
    text.into_bytes()
}

/// For people only, and may be empty.
const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(path: &str) -> Answer {
        Answer {
            status: 503,
            headers: vec![("X-Weight", "2".to_owned())],
            body: format!("at {path}"),
        }
    }

    fn response(received: &[u8], is_all: bool) -> Option<String> {
        let bytes = respond(received, is_all, &echo)?;
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn whole_responses() {
        const HEAD: &str = "HTTP/1.1 503 Service Unavailable\r\nX-Weight: 2\r\nContent-Length: 5\r\n\
                            Connection: close\r\n\r\n";
        for (request, body) in [
            ("GET /a HTTP/1.1\r\nHost: node\r\n\r\n", "at /a"),
            ("GET /a?b=c HTTP/1.0\n\n", "at /a"),
            ("HEAD /a HTTP/1.1\r\n\r\n", ""),
        ] {
            let expected = format!("{HEAD}{body}");
            assert_eq!(response(request.as_bytes(), false), Some(expected));
        }
    }

    #[test]
    fn refusals() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(HEAD_MAX));
        for (request, status) in [
            ("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", "405"),
            ("GET / HTTP/2.0\r\n\r\n", "400"),
            ("GET /\r\n\r\n", "400"),
            ("GET / HTTP/1.1 more\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
            ("\u{1}\u{2} / HTTP/1.1\r\n\r\n", "400"),
            (&long, "431"),
            (&long[..HEAD_MAX + 1], "431"),
        ] {
            let response = response(request.as_bytes(), false).unwrap();
            let expected = format!("HTTP/1.1 {status} ");
            assert!(response.starts_with(&expected), "{request:?}: {response}");
            assert_eq!(response.contains("Allow: "), status == "405");
        }
        assert!(response(b"\xff\xfe\r\n\r\n", false).is_some());
    }

    #[test]
    fn half_a_head() {
        let half = b"GET / HTTP/1.1\r\nHost: node\r\n";
        assert_eq!(response(half, false), None);
        let refused = response(half, true).unwrap();
        assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    }
}
