//! Answering HTTP requests.
//!
//! One thread has all connections of a server, and waits for none of them: whoever sends nothing, or takes nothing, keeps
//! nobody else waiting, and is hung up on after a while. Of a request only the head is read. Each connection is for one.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base::SimTime;
use proxy::Answer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::WallClock;
use crate::http_message::respond;

/// How long a client may take to send a request, and then to take the response, and then to hang up.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many clients there may be at a time. Others wait.
const CONNECTIONS_MAX: usize = 64;

/// How long nothing is done when the system is short of what it takes, such as file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

const CHUNK: usize = 4 << 10;

/// Listens at an address until it is dropped.
pub(crate) struct HttpServer {
    #[cfg(test)]
    address: SocketAddr,
    /// The thread has the other end, and ends when this one is shut.
    stop: UnixStream,
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
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let (stop, stopped) = UnixStream::pair()?;
        #[cfg(test)]
        let bound = listener.local_addr()?;
        let service = Service {
            clock: WallClock::start(),
            listener,
            stopped,
            connections: Vec::new(),
            answer,
        };
        let thread = thread::Builder::new().name(format!("http {address}"));
        Ok(Self {
            #[cfg(test)]
            address: bound,
            stop,
            thread: Some(thread.spawn(move || service.run())?),
        })
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // It fails only if the thread is gone already.
        drop(self.stop.shutdown(Shutdown::Both));
        if let Some(thread) = self.thread.take() {
            // It has panicked: then it does not answer any more, either.
            drop(thread.join());
        }
    }
}

/// What a server's thread has.
struct Service<A> {
    clock: WallClock,
    listener: TcpListener,
    stopped: UnixStream,
    connections: Vec<Connection>,
    answer: A,
}

impl<A: Fn(&str) -> Answer> Service<A> {
    fn run(mut self) {
        loop {
            match self.wait() {
                Ok(true) => return,
                Ok(false) => {
                    self.accept();
                    self.proceed();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Waits until there is something to do; whether that is to end.
    fn wait(&self) -> io::Result<bool> {
        let accepted = match self.connections.len() < CONNECTIONS_MAX {
            true => PollFlags::IN,
            false => PollFlags::empty(),
        };
        let mut polled = vec![
            PollFd::new(&self.stopped, PollFlags::IN),
            PollFd::new(&self.listener, accepted),
        ];
        let connections = self.connections.iter();
        polled.extend(connections.map(|one| PollFd::new(&one.stream, one.phase.awaited())));
        poll(&mut polled, self.timeout().as_ref())?;
        Ok(!polled[0].revents().is_empty())
    }

    /// How long the most impatient connection waits.
    fn timeout(&self) -> Option<Timespec> {
        let deadlines = self.connections.iter().map(|one| one.deadline);
        let left = deadlines.min()?.since(self.clock.now());
        Timespec::try_from(left).ok()
    }

    fn accept(&mut self) {
        while self.connections.len() < CONNECTIONS_MAX {
            let accepted = self.listener.accept();
            let now = self.clock.now();
            match accepted.and_then(|(stream, _)| Connection::new(stream, now)) {
                Ok(connection) => self.connections.push(connection),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A client is gone already, or there are no file descriptors: the next one may fare better.
                Err(_) => {
                    thread::sleep(PAUSE);
                    return;
                }
            }
        }
    }

    fn proceed(&mut self) {
        let (now, answer) = (self.clock.now(), &self.answer);
        self.connections
            .retain_mut(|one| one.proceed(answer, now) && now < one.deadline);
    }
}

/// A client's.
struct Connection {
    stream: TcpStream,
    phase: Phase,
    /// Until when the phase may last.
    deadline: SimTime,
}

enum Phase {
    /// This much of a request is there.
    Reading(Vec<u8>),
    /// This much of the response is still to be sent.
    Writing(Vec<u8>),
    /// The client may read what was sent: it might not be able to if the connection were closed while it sends.
    Closing,
}

impl Phase {
    const fn awaited(&self) -> PollFlags {
        match self {
            Self::Reading(_) | Self::Closing => PollFlags::IN,
            Self::Writing(_) => PollFlags::OUT,
        }
    }
}

impl Connection {
    fn new(stream: TcpStream, now: SimTime) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            phase: Phase::Reading(Vec::new()),
            deadline: now + PATIENCE,
        })
    }

    /// Does what can be done without waiting; whether there is more to do.
    fn proceed(&mut self, answer: &impl Fn(&str) -> Answer, now: SimTime) -> bool {
        match self.step(answer) {
            Ok(None) => true,
            Ok(Some(Next::End)) => false,
            Ok(Some(Next::Phase(phase))) => {
                self.phase = phase;
                self.deadline = now + PATIENCE;
                true
            }
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    /// Reads or writes once.
    fn step(&mut self, answer: &impl Fn(&str) -> Answer) -> io::Result<Option<Next>> {
        let mut chunk = [0; CHUNK];
        match &mut self.phase {
            Phase::Reading(received) => {
                let count = self.stream.read(&mut chunk)?;
                received.extend_from_slice(&chunk[..count]);
                if received.is_empty() {
                    return Ok(Some(Next::End));
                }
                let response = respond(received, count == 0, answer);
                Ok(response.map(|response| Next::Phase(Phase::Writing(response))))
            }
            Phase::Writing(rest) => {
                let count = self.stream.write(rest)?;
                rest.drain(..count);
                if !rest.is_empty() {
                    return Ok(None);
                }
                self.stream.shutdown(Shutdown::Write)?;
                Ok(Some(Next::Phase(Phase::Closing)))
            }
            Phase::Closing => {
                let count = self.stream.read(&mut chunk)?;
                Ok((count == 0).then_some(Next::End))
            }
        }
    }
}

/// What follows a step.
enum Next {
    Phase(Phase),
    End,
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn server() -> HttpServer {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let answer = |path: &str| Answer {
            status: 200,
            headers: Vec::new(),
            body: path.repeat(1 << 20),
        };
        HttpServer::start(anywhere, answer).unwrap()
    }

    fn connect(server: &HttpServer) -> TcpStream {
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE * 5)).unwrap();
        stream
    }

    /// The status and the length of the body.
    fn ask(server: &HttpServer, request: &[u8]) -> (String, usize) {
        let mut stream = connect(server);
        stream.write_all(request).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        (status.to_owned(), body.len())
    }

    fn get(server: &HttpServer) -> (String, usize) {
        ask(server, b"GET /ab HTTP/1.1\r\nHost: node\r\n\r\n")
    }

    fn answered() -> (String, usize) {
        ("200".to_owned(), 3 << 20)
    }

    fn is_quick<T>(what: impl FnOnce() -> T) -> T {
        let clock = WallClock::start();
        let begun = clock.now();
        let done = what();
        let took = clock.now().since(begun);
        assert!(took < PATIENCE / 2, "{took:?}");
        done
    }

    #[test]
    fn a_response_that_no_buffer_holds_arrives() {
        assert_eq!(get(&server()), answered());
    }

    #[test]
    fn a_body_is_not_waited_for() {
        let server = server();
        for length in ["9", "18446744073709551615", "-1"] {
            let request = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
            let (status, _) = is_quick(|| ask(&server, request.as_bytes()));
            assert_eq!(status, "405", "{length}");
        }
        is_quick(|| drop(server));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let server = server();
        let oversized = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'a'; 1 << 16]].concat();
        assert_eq!(is_quick(|| ask(&server, &oversized)).0, "431");
        let garbage = [b"\xff\x00\x16".as_slice(), b"\r\n\r\n"].concat();
        assert_eq!(is_quick(|| ask(&server, &garbage)).0, "400");
        assert_eq!(is_quick(|| get(&server)), answered());
    }

    #[test]
    fn who_waits_keeps_nobody_waiting() {
        let server = server();
        let _idle = connect(&server);
        let mut greedy = connect(&server);
        greedy.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(is_quick(|| get(&server)), answered());
        is_quick(|| drop(server));
    }

    #[test]
    fn a_full_house_empties_by_itself() {
        let server = server();
        let mut idle: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connect(&server)).collect();
        assert_eq!(get(&server), answered());
        for stream in &mut idle {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it was hung up on");
        }
    }

    #[test]
    fn an_address_is_free_again() {
        let first = server();
        let address = first.address;
        assert_eq!(get(&first), answered());
        assert!(HttpServer::start(address, |_| unreachable!()).is_err());
        drop(first);
        assert!(HttpServer::start(address, |_| unreachable!()).is_ok());
    }
}
