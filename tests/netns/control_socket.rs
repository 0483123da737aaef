//! The control socket takes anything, from anybody slow or silent, while the daemon goes on.

use crate::support::{INTERVAL, LAN, MS, Router, SECOND, SOON, start_router, transition_count};
use holdfast_lab::daemon::{self, Daemon};
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::Segment;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// Adverts go on at their pace and the roles stand.
fn assert_undisturbed(a: &Daemon) {
    let before = a.status().unwrap();
    std::thread::sleep(10 * INTERVAL);
    let after = a.status().unwrap();
    assert!(after.number(LAN, "adverts_sent") >= before.number(LAN, "adverts_sent") + 9);
    assert!(after.is_active(LAN));
    assert_eq!(transition_count(&after), 1);
}

#[test]
fn garbage_on_the_socket_is_answered_and_harmless() {
    let segment = Segment::build(&["a"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let long = vec![b'x'; 1 << 20];
    let lines: [&[u8]; 6] = [
        b"\n",
        b"hello\n",
        b"\0\xff\xfe\n",
        b"{\"request\":\"nosuch\"}\n",
        b"{\"request\":{}}\n",
        b"[[[[[[[[\n",
    ];
    for line in lines {
        let mut stream = connect(&a);
        stream.write_all(line).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("refused"), "{line:?}: {answer}");
    }
    let mut stream = connect(&a);
    // The daemon may hang up in the middle of it.
    let _ = stream.write_all(&long);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    drop(stream);
    for _ in 0..100 {
        drop(connect(&a));
    }
    // Clients that hung up hold their places until the daemon has looked at each.
    eventually_true("there is room again", SOON, || a.status().is_ok()).unwrap();
    assert_undisturbed(&a);
}

/// Clients that ask and never read, and ones that never ask, cost the others nothing.
#[test]
fn clients_that_never_read_disturb_nobody() {
    let segment = Segment::build(&["a"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let deaf: Vec<UnixStream> = (0..8)
        .map(|_| {
            let mut stream = connect(&a);
            stream.set_nonblocking(true).unwrap();
            // Until the daemon takes no more, or long enough to fill every buffer on the way.
            for _ in 0..20_000 {
                match stream.write_all(b"{\"request\":\"status\"}\n") {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
            stream
        })
        .collect();
    let followers: Vec<UnixStream> = (0..8)
        .map(|_| {
            let mut stream = connect(&a);
            stream.write_all(b"{\"request\":\"events\",\"follow\":true}\n").unwrap();
            stream
        })
        .collect();
    assert_undisturbed(&a);
    drop((deaf, followers));
    assert_undisturbed(&a);
}

/// More clients than there are places: the surplus is told so, and served once there is room.
#[test]
fn surplus_clients_are_told_so() {
    let segment = Segment::build(&["a"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let mut idle: Vec<UnixStream> = (0..100).map(|_| connect(&a)).collect();
    let refused = a.cli(&["status"]).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("clients are connected"));
    idle.clear();
    eventually_true("there is room again", SECOND, || a.status().is_ok()).unwrap();
    assert_undisturbed(&a);
}

/// Exit code 3, and what to do, where no daemon answers: none there, or a dead one's socket.
#[test]
fn without_a_daemon_the_verbs_say_so() {
    let segment = Segment::build(&["a"]).unwrap();
    let mut a = start_router(&segment, "a", &Router::new(200));
    let verbs: [&[&str]; 5] = [&["status"], &["why"], &["events"], &["reload"], &["failover"]];
    let assert_unreachable = |a: &Daemon| {
        for verb in verbs {
            let output = a.cli(verb).unwrap();
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(3), "{verb:?}: {reason}");
            assert!(reason.contains("cannot be reached"), "{verb:?}: {reason}");
        }
    };
    a.kill9();
    assert!(a.socket().exists(), "a killed daemon leaves its socket");
    assert_unreachable(&a);
    std::fs::remove_file(a.socket()).unwrap();
    assert_unreachable(&a);
    let usage = segment.host("a").command(daemon::binary().unwrap()).arg("frobnicate").output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    a.restart().unwrap();
    a.wait_state(LAN, "active", SOON).unwrap();
}

/// A follower sees transitions as they happen.
#[test]
fn events_are_followed_as_they_happen() {
    let segment = Segment::build(&["a"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let mut stream = connect(&a);
    stream.write_all(b"{\"request\":\"events\",\"follow\":true}\n").unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut seen = Vec::new();
    let mut sees = |word: &str| {
        let mut room = [0u8; 4096];
        if let Ok(length) = stream.read(&mut room) {
            seen.extend_from_slice(&room[..length]);
        }
        String::from_utf8_lossy(&seen).contains(word)
    };
    eventually_true("what was", SECOND, || sees("advert-timeout")).unwrap();
    segment.host("a").ip("link set eth0 down").unwrap();
    eventually_true("what happens", SECOND + 500 * MS, || sees("interface-down")).unwrap();
}
