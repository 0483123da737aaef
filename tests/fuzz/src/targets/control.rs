//! The control socket, both ends: what a client may send to the daemon, and what a daemon may answer to the command line.

use holdfast::cli::render;
use holdfast::control::protocol::{MAX_REQUEST, Request, Response};
use holdfast::control::server;
use holdfast::journal::{Timestamp, explain};
use std::time::{Duration, UNIX_EPOCH};

/// A reason is one line for a terminal, however long the rubbish was.
const LONGEST_REASON: usize = 8 * 1024;

/// A line from a client.
pub(super) fn requests(input: &[u8]) {
    let request = match server::parse(input) {
        Ok(request) => request,
        Err(reason) => {
            assert!(reason.contains("request"), "{reason}");
            assert!(reason.len() <= LONGEST_REASON, "{} bytes of reason", reason.len());
            return;
        }
    };
    assert!(input.len() <= MAX_REQUEST);
    // What our own client writes for it is the same request.
    let Ok(line) = serde_json::to_vec(&request) else { panic!("{request:?} cannot be written") };
    assert_eq!(server::parse(&line).as_ref(), Ok(&request));
    // Unknown words are refused and not overlooked: an order must mean what was written.
    let object: Result<serde_json::Value, _> = serde_json::from_slice(input);
    let Ok(serde_json::Value::Object(mut object)) = object else { panic!("{request:?} was no object") };
    object.insert("no-such-word".to_owned(), serde_json::Value::Bool(true));
    let extended = serde_json::to_vec(&object).unwrap_or_default();
    let is_bare = matches!(request, Request::Status | Request::Reload);
    assert!(is_bare || extended.len() > MAX_REQUEST || server::parse(&extended).is_err(), "{request:?}");
}

/// A line from a daemon.
pub(super) fn answers(input: &[u8]) {
    let Ok(response) = serde_json::from_slice::<Response>(input) else { return };
    let Ok(line) = serde_json::to_vec(&response) else { panic!("{response:?} cannot be written") };
    assert!(!line.contains(&b'\n'), "an answer is one line");
    assert_eq!(
        serde_json::from_slice::<Response>(&line).ok().as_ref(),
        Some(&response),
        "an answer reads back"
    );
    let now = Timestamp::from(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let shown = match &response {
        Response::Status(status) => render::status(status, now),
        Response::Event(record) => [render::event(record), explain::why(record, now).concat()].concat(),
        Response::Why { explanations } => {
            explanations.iter().flat_map(|each| explain::why(&each.record, now)).collect()
        }
        Response::Refused { .. }
        | Response::Done { .. }
        | Response::Missed { .. }
        | Response::EndOfEvents => return,
    };
    assert!(
        !shown.is_empty() || matches!(response, Response::Why { .. }),
        "nothing is shown of {response:?}"
    );
}
