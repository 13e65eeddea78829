//! Answering HTTP requests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use proxy::Answer;
use tiny_http::{Header, Response, Server};

/// Listens at an address until it is dropped.
pub(crate) struct HttpServer {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens, and answers each request by its path.
    ///
    /// # Errors
    /// When nobody may listen there, or somebody does already.
    pub(crate) fn start(
        address: SocketAddr,
        answer: impl Fn(&str) -> Answer + Send + 'static,
    ) -> io::Result<Self> {
        let server = Server::http(address).map_err(io::Error::other)?;
        let server = Arc::new(server);
        let listening = Arc::clone(&server);
        let thread = thread::Builder::new().name(format!("http {address}"));
        let thread = thread.spawn(move || {
            for request in listening.incoming_requests() {
                let path = request.url().split('?').next().unwrap_or_default();
                let response = response(answer(path));
                // Who does not wait for the answer does not get it.
                drop(request.respond(response));
            }
        })?;
        Ok(Self {
            server,
            thread: Some(thread),
        })
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            // It has panicked: then it does not answer any more, either.
            drop(thread.join());
        }
    }
}

fn response(answer: Answer) -> Response<io::Cursor<Vec<u8>>> {
    let mut response = Response::from_string(answer.body).with_status_code(answer.status);
    for (name, value) in answer.headers {
        if let Ok(header) = Header::from_bytes(name, value) {
            response.add_header(header);
        }
    }
    response
}
