//! The HTTP check against small servers that answer what they are told.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);

/// Serves one connection with these bytes, then closes it; returns the port and what was asked.
fn server(answer: Vec<u8>) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..count]);
        }
        // The client may hang up once it has seen enough.
        let _ = stream.write_all(&answer);
        let _ = sender.send(String::from_utf8(request).unwrap());
    });
    (port, asked)
}

fn get(url: &str, status: &[u16], body: Option<&str>, timeout: Duration) -> Outcome {
    let examiner = HttpExaminer::new(url, status, body).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { examiner.run(Instant::now() + timeout).await })
}

fn judged(answer: &str, status: &[u16], body: Option<&str>) -> Outcome {
    let (port, _asked) = server(answer.as_bytes().to_vec());
    get(&format!("http://127.0.0.1:{port}/"), status, body, LONG)
}

#[test]
fn the_request_is_a_plain_get() {
    let (port, asked) = server(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    let outcome = get(&format!("http://127.0.0.1:{port}/health?deep=1"), &[], None, LONG);
    assert!(outcome.good, "{outcome:?}");
    let request = asked.recv().unwrap();
    assert!(request.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{request}");
    for line in [&*format!("host: 127.0.0.1:{port}\r\n"), "connection: close\r\n", "user-agent: holdfast/"] {
        assert!(request.contains(line), "{request}");
    }
}

#[test]
fn the_status_is_judged_and_redirects_are_not_followed() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    assert!(judged(moved, &[], None).good);
    let refused = judged(moved, &[200, 201, 204], None);
    assert!(
        !refused.good && refused.detail.ends_with("answered 302 Found, wanted 200 to 201, 204"),
        "{refused:?}"
    );
    let down = judged("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", &[], None);
    assert!(!down.good && down.detail.ends_with("503 Service Unavailable, wanted 200 to 399"), "{down:?}");
    assert!(judged("HTTP/1.0 503 Busy\r\n\r\n", &[503], None).good);
}

#[test]
fn the_body_is_searched_in_any_framing() {
    assert!(judged("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nstatus=live", &[], Some("=live")).good);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsta=\r\n4\r\nlive\r\n0\r\n\r\n";
    assert!(judged(chunked, &[], Some("ta=li")).good, "across chunks");
    assert!(judged("HTTP/1.0 200 OK\r\n\r\nlive", &[], Some("live")).good, "up to the end");
    let other = judged("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndead", &[], Some("live"));
    assert!(!other.good && other.detail.contains(r#"does not contain "live""#), "{other:?}");
    let cut = judged("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\ndead", &[], Some("live"));
    assert!(!cut.good && cut.detail.contains("did not answer as HTTP"), "{cut:?}");
}

#[test]
fn a_body_is_read_no_further_than_its_limit() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n".to_vec();
    answer.resize(answer.len() + BODY_LIMIT, b'x');
    answer.extend_from_slice(b"live");
    let (port, _asked) = server(answer);
    let outcome = get(&format!("http://127.0.0.1:{port}"), &[], Some("live"), LONG);
    assert!(!outcome.good && outcome.detail.contains("first 64 KiB"), "{outcome:?}");
}

#[test]
fn no_http_no_listener_and_no_end() {
    let ssh = judged("SSH-2.0-x\r\n", &[], None);
    assert!(!ssh.good && ssh.detail.contains("did not answer as HTTP"), "{ssh:?}");
    let huge = judged(&format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_LIMIT)), &[], None);
    assert!(!huge.good && huge.detail.contains("did not answer as HTTP"), "{huge:?}");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = get(&format!("http://{gone}/"), &[], None, LONG);
    assert!(!refused.good && refused.detail.contains("nothing listens there"), "{refused:?}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let late = get(&url, &[], None, Duration::from_millis(100));
    assert!(late.timed_out && late.detail.contains("no complete answer in time"), "{late:?}");
}

#[test]
fn urls_are_taken_apart_or_refused() {
    let target = HttpTarget::parse("http://[2001:db8::1]:8080/a?b").unwrap();
    assert_eq!(target.address, "[2001:db8::1]:8080".parse().unwrap());
    assert_eq!((&*target.authority, &*target.path_and_query), ("[2001:db8::1]:8080", "/a?b"));
    let plain = HttpTarget::parse("http://192.0.2.1").unwrap();
    assert_eq!((plain.address, &*plain.path_and_query), ("192.0.2.1:80".parse().unwrap(), "/"));
    assert_eq!(HttpTarget::parse("http://gw.example/"), Err(UrlError::Name("gw.example".to_owned())));
    assert_eq!(HttpTarget::parse("https://192.0.2.1/"), Err(UrlError::Https));
    assert_eq!(HttpTarget::parse("ftp://192.0.2.1/"), Err(UrlError::Scheme));
    assert_eq!(HttpTarget::parse("/health"), Err(UrlError::Scheme));
    assert_eq!(HttpTarget::parse("http://me:secret@192.0.2.1/"), Err(UrlError::Credentials));
    for url in
        ["", "http://", "http://192.0.2.1:0/", "http://192.0.2.1:70000/", "http://a b/", "http://192.0.2.1:/"]
    {
        assert!(matches!(HttpTarget::parse(url), Err(UrlError::Malformed(_))), "{url}");
    }
}

#[test]
fn statuses_are_shown_as_ranges() {
    assert_eq!(ranges(&[404, 200, 202, 201, 200]), "200 to 202, 404");
    assert_eq!(ranges(&[200, 201]), "200 to 201");
}
