//! The daemon's end of the control socket.
//!
//! Runs on the auxiliary tokio runtime. Orders go to the driver through a [`ControlHandler`] and wait for its answer;
//! questions about the past are answered from the journal's memory without it. Lines, clients and waiting times are
//! bounded, each client has a task of its own, and nothing a client does reaches beyond its connection.

use super::protocol::{Explanation, MAX_REQUEST, Request, Response};
use crate::journal::{EventFeed, Timestamp, explain};
use holdfast_engine::BypassSwitch;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Owner and group may connect.
const SOCKET_MODE: u32 = 0o660;
/// Clients at once; more are told to come back.
const MAX_CLIENTS: usize = 64;
/// A client that takes nothing for so long is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that asks nothing for so long is dropped.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What only the driver can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Status,
    Reload,
    Failover { group: Option<String> },
    Maintenance { on: bool },
    Bypass { switch: BypassSwitch, pair: Option<String> },
}

impl Order {
    /// How long the answer may take. A failover, and maintenance like one, waits for a successor, at worst for the longest
    /// Active_Down_Interval (163.64 s, V-087).
    pub fn patience(&self) -> Duration {
        match self {
            Order::Status => Duration::from_secs(5),
            Order::Reload => Duration::from_secs(30),
            // Standing down waits for a successor like a failover does.
            Order::Failover { .. } | Order::Maintenance { .. } | Order::Bypass { .. } => {
                Duration::from_secs(180)
            }
        }
    }
}

/// An order with the way back. Dropping `reply` tells the client that the daemon is stopping.
#[derive(Debug)]
pub struct ControlCommand {
    pub order: Order,
    pub reply: oneshot::Sender<Response>,
}

/// Takes orders to the driver. Must not block.
pub trait ControlHandler: Send + Sync + 'static {
    /// Hands an order over; gives it back where the driver has too many or has ended.
    ///
    /// # Errors
    ///
    /// The command itself, unheard.
    fn submit(&self, command: ControlCommand) -> Result<(), ControlCommand>;
}

impl ControlHandler for mpsc::Sender<ControlCommand> {
    fn submit(&self, command: ControlCommand) -> Result<(), ControlCommand> {
        self.try_send(command).map_err(|error| error.into_inner())
    }
}

/// Listens at `path`, replacing the socket a dead daemon left there. Whoever calls this holds the lock of the run
/// directory, so no living daemon loses its socket.
///
/// # Errors
///
/// The path is taken by something that is no socket, or cannot be bound.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => {
            let reason = format!("{} exists and is no socket; move it away", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// Serves clients until the task is dropped.
pub async fn serve<H: ControlHandler>(listener: UnixListener, handler: H, feed: EventFeed) {
    let handler = Arc::new(handler);
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a client of the control socket could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            let refused = Response::refused(format!("{MAX_CLIENTS} clients are connected; try again later"));
            // Fits any socket buffer, so it never waits.
            let _ = stream.try_write(&encode(&refused));
            continue;
        };
        let handler = Arc::clone(&handler);
        let feed = feed.clone();
        tokio::spawn(async move {
            // A client that goes away in the middle is no event.
            let _ = converse(stream, handler.as_ref(), &feed).await;
            drop(place);
        });
    }
}

async fn converse<H: ControlHandler>(stream: UnixStream, handler: &H, feed: &EventFeed) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read);
    while let Some(line) = next_line(&mut reader).await? {
        match parse(&line) {
            Ok(Request::Events { follow: true, since }) => {
                return follow(reader, write, feed, since).await;
            }
            Ok(request) => {
                for response in answer(request, handler, feed).await {
                    send(&mut write, &response).await?;
                }
            }
            Err(reason) => {
                // What follows such a line cannot be trusted to begin where it should.
                return send(&mut write, &Response::refused(reason)).await;
            }
        }
    }
    Ok(())
}

/// The next line without its end, or `None` where the client has gone or asks nothing.
async fn next_line(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    // One more than fits, so that the limit can be told from the end.
    let limit = u64::try_from(MAX_REQUEST).unwrap_or(u64::MAX).saturating_add(1);
    let mut bounded = reader.take(limit);
    match timeout(IDLE_TIMEOUT, bounded.read_until(b'\n', &mut line)).await {
        Err(_) | Ok(Ok(0)) => Ok(None),
        Ok(Ok(_)) => Ok(Some(line)),
        Ok(Err(error)) => Err(error),
    }
}

/// Reads one line of a client.
///
/// # Errors
///
/// What to tell the client.
pub fn parse(line: &[u8]) -> Result<Request, String> {
    if line.len() > MAX_REQUEST {
        return Err(format!("the request is longer than {MAX_REQUEST} bytes"));
    }
    serde_json::from_slice(line).map_err(|error| {
        format!("not a request: {error} (send one JSON object per line, such as {{\"request\":\"status\"}})")
    })
}

async fn answer<H: ControlHandler>(request: Request, handler: &H, feed: &EventFeed) -> Vec<Response> {
    match request {
        Request::Status => vec![order(Order::Status, handler).await],
        Request::Reload => vec![order(Order::Reload, handler).await],
        Request::Failover { group } => vec![order(Order::Failover { group }, handler).await],
        Request::Maintenance { on } => vec![order(Order::Maintenance { on }, handler).await],
        Request::Bypass { action, pair } => {
            vec![order(Order::Bypass { switch: action, pair }, handler).await]
        }
        Request::Why { router } => vec![why(router.as_deref(), feed)],
        Request::Events { since, .. } => {
            let events = feed.since(since).into_iter().map(|record| Response::Event((*record).clone()));
            events.chain([Response::EndOfEvents]).collect()
        }
    }
}

async fn order<H: ControlHandler>(order: Order, handler: &H) -> Response {
    let patience = order.patience();
    let (reply, answer) = oneshot::channel();
    if handler.submit(ControlCommand { order, reply }).is_err() {
        return Response::refused("the controller takes no orders now: it is busy or stopping; try again");
    }
    match timeout(patience, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Response::refused("the daemon is stopping"),
        Err(_) => Response::refused(format!("the controller did not answer within {patience:?}")),
    }
}

fn why(router: Option<&str>, feed: &EventFeed) -> Response {
    let transitions = feed.last_transitions();
    if let Some(router) = router
        && !transitions.contains_key(router)
    {
        let known: Vec<_> = transitions.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Response::refused(format!(
            "no transition of a virtual router \"{router}\" is recorded (recorded: {known})"
        ));
    }
    let now = Timestamp::now();
    let explanations = transitions
        .into_iter()
        .filter(|(name, _)| router.is_none_or(|router| router == name))
        .map(|(router, record)| Explanation {
            router,
            sentences: explain::why(&record, now),
            record: (*record).clone(),
        })
        .collect();
    Response::Why { explanations }
}

/// Sends what was and what happens, until the client goes or takes nothing more.
async fn follow(
    mut reader: BufReader<OwnedReadHalf>,
    mut write: OwnedWriteHalf,
    feed: &EventFeed,
    since: Option<u64>,
) -> io::Result<()> {
    let (past, mut live) = feed.follow(since);
    for record in past {
        send(&mut write, &Response::Event((*record).clone())).await?;
    }
    let mut ignored = [0; 64];
    loop {
        tokio::select! {
            // A follower has nothing more to say; only its end matters.
            read = reader.read(&mut ignored) => if read? == 0 { return Ok(()) },
            event = live.recv() => match event {
                Ok(record) => send(&mut write, &Response::Event((*record).clone())).await?,
                Err(RecvError::Lagged(events)) => send(&mut write, &Response::Missed { events }).await?,
                Err(RecvError::Closed) => return send(&mut write, &Response::EndOfEvents).await,
            },
        }
    }
}

fn encode(response: &Response) -> Vec<u8> {
    let mut line = serde_json::to_vec(response).unwrap_or_else(|_| {
        br#"{"response":"refused","reason":"the answer could not be written as JSON"}"#.to_vec()
    });
    line.push(b'\n');
    line
}

async fn send(write: &mut OwnedWriteHalf, response: &Response) -> io::Result<()> {
    timeout(WRITE_TIMEOUT, write.write_all(&encode(response))).await?
}

#[cfg(test)]
mod tests;
