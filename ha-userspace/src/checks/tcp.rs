//! `kind = "tcp"`: a connection is accepted. It is closed at once; nothing is sent.

use super::examiner::Outcome;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Connects by `deadline`.
pub(super) async fn look(address: SocketAddr, deadline: Instant) -> Outcome {
    match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Outcome::good(format!("{address} accepts connections")),
        Ok(Err(error)) => Outcome::bad(format!("{address}: {}", reason(&error))),
        Err(_) => Outcome::timed_out(format!("{address} did not answer the connection attempt in time")),
    }
}

/// The error in the words of whoever has to act on it.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused: nothing listens there".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;

    fn connect(address: SocketAddr, timeout: Duration) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { look(address, Instant::now() + timeout).await })
    }

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn accepted_and_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(connect(address, LONG).good);
        drop(listener);
        let refused = connect(address, LONG);
        assert!(!refused.good && refused.detail.contains("nothing listens there"), "{refused:?}");
    }

    #[test]
    fn a_full_queue_is_a_timeout() {
        // With a backlog of 0, one connection fills the queue and further ones get no answer.
        let socket = listener_without_backlog();
        let address = socket.local_addr().unwrap();
        let _first = std::net::TcpStream::connect(address).unwrap();
        let late = connect(address, Duration::from_millis(200));
        assert!(!late.good && late.timed_out && late.detail.contains("in time"), "{late:?}");
    }

    fn listener_without_backlog() -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        listener
    }
}
