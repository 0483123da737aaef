//! Clients of every kind against a server on a real socket.

use super::*;
use crate::journal::event::samples;
use crate::journal::{Event, NoticeEvent};
use holdfast_engine::Cause;
use std::path::PathBuf;
use tokio::runtime::{Builder, Runtime};

struct Daemon {
    runtime: Runtime,
    directory: tempfile::TempDir,
    feed: EventFeed,
}

impl Daemon {
    /// Answers every order with its name, except `failover`, whose order it drops.
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let feed = EventFeed::default();
        let path = directory.path().join("control.sock");
        let (orders, mut received) = mpsc::channel::<ControlCommand>(4);
        let served = feed.clone();
        runtime.block_on(async {
            let listener = bind(&path).unwrap();
            tokio::spawn(serve(listener, orders, served));
            tokio::spawn(async move {
                while let Some(command) = received.recv().await {
                    if !matches!(command.order, Order::Failover { .. }) {
                        let _ = command.reply.send(Response::done(format!("{:?}", command.order)));
                    }
                }
            });
        });
        Self { runtime, directory, feed }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// Sends bytes and returns the first `lines` answers.
    async fn ask(&self, bytes: &[u8], lines: usize) -> Vec<String> {
        let stream = UnixStream::connect(self.path()).await.unwrap();
        let (read, mut write) = stream.into_split();
        write.write_all(bytes).await.unwrap();
        let mut reader = BufReader::new(read).lines();
        let mut answers = Vec::new();
        while answers.len() < lines
            && let Some(line) = timeout(Duration::from_secs(5), reader.next_line()).await.unwrap().unwrap()
        {
            answers.push(line);
        }
        answers
    }
}

fn transition(seq: u64) -> crate::journal::EventRecord {
    let event = Event::from_transition(&samples::transition(Cause::TieBreak), &samples::names());
    samples::record(seq, event)
}

fn long_notice(seq: u64) -> crate::journal::EventRecord {
    let notice = NoticeEvent::AddressFailure { router: "lan".to_owned(), error: "x".repeat(2_000) };
    samples::record(seq, Event::Notice(notice))
}

#[test]
fn orders_reach_the_driver_and_come_back() {
    let daemon = Daemon::start();
    let answers =
        daemon.runtime.block_on(daemon.ask(b"{\"request\":\"status\"}\n{\"request\":\"reload\"}\n", 2));
    assert_eq!(
        answers,
        [
            r#"{"response":"done","message":"Status","warnings":[]}"#,
            r#"{"response":"done","message":"Reload","warnings":[]}"#,
        ]
    );
    let dropped = daemon.runtime.block_on(daemon.ask(b"{\"request\":\"failover\"}\n", 1));
    assert_eq!(dropped, [r#"{"response":"refused","reason":"the daemon is stopping"}"#]);
}

#[test]
fn a_driver_that_has_ended_is_said_so() {
    let (orders, received) = mpsc::channel::<ControlCommand>(1);
    drop(received);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let response = runtime.block_on(order(Order::Status, &orders));
    assert_eq!(
        response,
        Response::refused("the controller takes no orders now: it is busy or stopping; try again")
    );
}

#[test]
fn garbage_gets_a_clear_refusal() {
    let daemon = Daemon::start();
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\xff\xfe\n", b"{}\n", b"{\"request\":\"fly\"}\n", b"[[[[\n"]
    {
        let answers = daemon.runtime.block_on(daemon.ask(garbage, 9));
        assert_eq!(answers.len(), 1);
        assert!(
            answers[0].starts_with(r#"{"response":"refused","reason":"not a request: "#),
            "{}",
            answers[0]
        );
    }
    let long = [b'x'; MAX_REQUEST + 10];
    assert_eq!(
        daemon.runtime.block_on(daemon.ask(&long, 1)),
        [r#"{"response":"refused","reason":"the request is longer than 4096 bytes"}"#]
    );
}

#[test]
fn the_past_is_told_without_the_driver() {
    let daemon = Daemon::start();
    for seq in 1..=3 {
        daemon.feed.push(transition(seq));
    }
    let answers = daemon.runtime.block_on(daemon.ask(b"{\"request\":\"events\",\"since\":1}\n", 3));
    assert!(answers[0].contains("\"seq\":2") && answers[1].contains("\"seq\":3"));
    assert_eq!(answers[2], r#"{"response":"end-of-events"}"#);

    let why = daemon.runtime.block_on(daemon.ask(b"{\"request\":\"why\",\"router\":\"lan\"}\n", 1));
    let Response::Why { explanations } = serde_json::from_str(&why[0]).unwrap() else { panic!("{why:?}") };
    assert_eq!((explanations.len(), explanations[0].record.seq), (1, 3));
    let unknown = daemon.runtime.block_on(daemon.ask(b"{\"request\":\"why\",\"router\":\"wan\"}\n", 1));
    assert_eq!(
        unknown,
        [
            r#"{"response":"refused","reason":"no transition of a virtual router \"wan\" is recorded (recorded: lan)"}"#
        ]
    );
}

#[test]
fn a_follower_hears_of_what_happens() {
    let daemon = Daemon::start();
    daemon.feed.push(transition(1));
    daemon.runtime.block_on(async {
        let stream = UnixStream::connect(daemon.path()).await.unwrap();
        let (read, mut write) = stream.into_split();
        write.write_all(b"{\"request\":\"events\",\"follow\":true}\n").await.unwrap();
        let mut lines = BufReader::new(read).lines();
        assert!(lines.next_line().await.unwrap().unwrap().contains("\"seq\":1"));
        daemon.feed.push(transition(2));
        let next = timeout(Duration::from_secs(5), lines.next_line()).await.unwrap().unwrap().unwrap();
        assert!(next.contains("\"seq\":2"));
    });
}

#[test]
fn a_follower_that_reads_nothing_holds_up_nobody() {
    let daemon = Daemon::start();
    daemon.runtime.block_on(async {
        let mut slow = UnixStream::connect(daemon.path()).await.unwrap();
        slow.write_all(b"{\"request\":\"events\",\"follow\":true}\n").await.unwrap();
        // More than any socket buffer takes, so its task is stuck in a write.
        for seq in 1..=2_000 {
            daemon.feed.push(long_notice(seq));
            tokio::task::yield_now().await;
        }
        let answers = daemon.ask(b"{\"request\":\"status\"}\n", 1).await;
        assert_eq!(answers.len(), 1);
        drop(slow);
    });
}

#[test]
fn too_many_clients_are_told_so() {
    let daemon = Daemon::start();
    daemon.runtime.block_on(async {
        let mut held = Vec::new();
        for _ in 0..MAX_CLIENTS {
            held.push(UnixStream::connect(daemon.path()).await.unwrap());
        }
        let refused = daemon.ask(b"", 1).await;
        assert_eq!(
            refused,
            [r#"{"response":"refused","reason":"64 clients are connected; try again later"}"#]
        );
        held.clear();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        loop {
            let answers = daemon.ask(b"{\"request\":\"status\"}\n", 1).await;
            if answers[0].contains("done") {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{answers:?}");
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn the_socket_is_private_and_replaces_a_dead_one() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    drop(bind(&path).unwrap());
    let _listener = bind(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);

    let taken = directory.path().join("file");
    std::fs::write(&taken, "precious").unwrap();
    assert_eq!(bind(&taken).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "precious");
}
