//! The command line's end of the control socket: blocking, one connection per command.

use super::protocol::{Request, Response};
use super::server::Order;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Added to the server's own patience, so that its answer about lateness arrives.
const GRACE: Duration = Duration::from_secs(5);
/// A server that takes no request for so long is stuck.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the daemon did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the daemon cannot be reached at {}: {source} ({})", socket.display(), advice(source))]
    Unreachable { socket: PathBuf, source: io::Error },
    #[error("the daemon ended the connection without an answer (look at its log)")]
    Closed,
    #[error("the daemon's answer is not understood: {0} (do daemon and command have the same version?)")]
    NotUnderstood(serde_json::Error),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "is it running? name its socket with --socket",
        io::ErrorKind::ConnectionRefused => {
            "it is not running; start it, or run `holdfast unload` to clean up"
        }
        io::ErrorKind::PermissionDenied => "run this as root or as a member of the socket's group",
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it did not answer in time; look at its log",
        _ => "look at its log",
    }
}

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    reader: BufReader<UnixStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens at `socket`, or not for us.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        let unreachable = |source| ClientError::Unreachable { socket: socket.to_owned(), source };
        let stream = UnixStream::connect(socket).map_err(unreachable)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT)).map_err(unreachable)?;
        Ok(Self { socket: socket.to_owned(), reader: BufReader::new(stream) })
    }

    /// Sends a request and returns the first answer.
    ///
    /// # Errors
    ///
    /// The connection broke, or the answer makes no sense.
    pub fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        self.send(request)?;
        self.next_response()?.ok_or(ClientError::Closed)
    }

    /// Sends a request; the answers are fetched with [`Client::next_response`].
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(request).map_err(ClientError::NotUnderstood)?;
        line.push(b'\n');
        let mut stream = self.reader.get_ref();
        match stream.set_read_timeout(patience(request)).and_then(|()| stream.write_all(&line)) {
            // A daemon that refuses the connection says why before it hangs up: the answer tells.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => sent.map_err(|source| self.unreachable(source)),
        }
    }

    /// The next answer; `None` where the daemon has ended the connection.
    ///
    /// # Errors
    ///
    /// The connection broke, or the answer makes no sense.
    pub fn next_response(&mut self) -> Result<Option<Response>, ClientError> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_slice(&line).map(Some).map_err(ClientError::NotUnderstood),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(source) => Err(self.unreachable(source)),
        }
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        ClientError::Unreachable { socket: self.socket.clone(), source }
    }
}

/// How long each answer is waited for; `None` is for ever.
fn patience(request: &Request) -> Option<Duration> {
    let order = match request {
        Request::Events { follow: true, .. } => return None,
        Request::Failover { group } => Order::Failover { group: group.clone() },
        Request::Maintenance { on } => Order::Maintenance { on: *on },
        Request::Bypass { action, pair } => Order::Bypass { switch: *action, pair: pair.clone() },
        Request::Reload => Order::Reload,
        Request::Status | Request::Why { .. } | Request::Events { .. } => Order::Status,
    };
    Some(order.patience() + GRACE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn serve_once(answer: &'static [u8]) -> (tempfile::TempDir, PathBuf, std::thread::JoinHandle<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            (&stream).write_all(answer).unwrap();
            line
        });
        (directory, path, thread)
    }

    #[test]
    fn a_request_is_one_line_and_so_is_the_answer() {
        let (_directory, path, thread) = serve_once(b"{\"response\":\"done\",\"message\":\"ok\"}\n");
        let mut client = Client::connect(&path).unwrap();
        assert_eq!(client.ask(&Request::Reload).unwrap(), Response::done("ok"));
        assert_eq!(thread.join().unwrap(), "{\"request\":\"reload\"}\n");
        assert_eq!(client.next_response().unwrap(), None);
    }

    #[test]
    fn a_daemon_that_dies_or_babbles_is_reported() {
        let (_directory, path, _thread) = serve_once(b"");
        let error = Client::connect(&path).unwrap().ask(&Request::Status).unwrap_err();
        assert_eq!(error.to_string(), "the daemon ended the connection without an answer (look at its log)");
        let (_directory, path, _thread) = serve_once(b"hello\n");
        let error = Client::connect(&path).unwrap().ask(&Request::Status).unwrap_err();
        assert!(error.to_string().starts_with("the daemon's answer is not understood: "), "{error}");
    }

    #[test]
    fn an_absent_daemon_is_named_with_advice() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none.sock");
        assert_eq!(
            Client::connect(&path).unwrap_err().to_string(),
            format!(
                "the daemon cannot be reached at {}: No such file or directory (os error 2) (is it running? name its \
                 socket with --socket)",
                path.display()
            )
        );
        drop(UnixListener::bind(&path).unwrap());
        assert!(
            Client::connect(&path).unwrap_err().to_string().contains("(it is not running; start it, or run")
        );
    }
}
