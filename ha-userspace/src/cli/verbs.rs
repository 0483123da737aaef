//! The verbs that talk to a daemon: ask, then show the answer as text or JSON.

use super::args::{BypassAction, Switch, Target};
use super::{Outcome, complain, eprint_line, print, print_json, render};
use crate::control::protocol::{Request, Response};
use crate::control::{Client, ClientError};
use crate::journal::Timestamp;
use serde_json::json;

pub(super) fn status(target: &Target, json: bool) -> Outcome {
    match ask(target, &Request::Status) {
        Ok(Response::Status(status)) if json => print_json(&status),
        Ok(Response::Status(status)) => print(&render::status(&status, Timestamp::now())),
        other => unexpected(other),
    }
}

pub(super) fn why(target: &Target, json: bool, router: Option<String>) -> Outcome {
    match ask(target, &Request::Why { router }) {
        Ok(Response::Why { explanations }) if json => print_json(&explanations),
        Ok(Response::Why { explanations }) if explanations.is_empty() => {
            print("no transition has been recorded yet\n")
        }
        Ok(Response::Why { explanations }) => {
            let paragraphs: Vec<_> =
                explanations.iter().map(|explanation| explanation.sentences.join("\n")).collect();
            print(&format!("{}\n", paragraphs.join("\n\n")))
        }
        other => unexpected(other),
    }
}

pub(super) fn reload(target: &Target, json: bool) -> Outcome {
    order(target, json, &Request::Reload)
}

pub(super) fn failover(target: &Target, json: bool, group: Option<String>) -> Outcome {
    order(target, json, &Request::Failover { group })
}

pub(super) fn maintenance(target: &Target, json: bool, state: Switch) -> Outcome {
    order(target, json, &Request::Maintenance { on: matches!(state, Switch::On) })
}

pub(super) fn bypass(target: &Target, json: bool, action: BypassAction, pair: Option<String>) -> Outcome {
    order(target, json, &Request::Bypass { action: action.into(), pair })
}

fn order(target: &Target, json: bool, request: &Request) -> Outcome {
    match ask(target, request) {
        Ok(Response::Done { message, warnings }) if json => {
            print_json(&json!({ "done": true, "message": message, "warnings": warnings }))
        }
        Ok(Response::Done { message, warnings }) => {
            for warning in &warnings {
                eprint_line(&format!("warning: {warning}"));
            }
            print(&format!("{message}\n"))
        }
        Ok(Response::Refused { reason }) if json => {
            print_json(&json!({ "done": false, "reason": reason }));
            complain(&reason);
            Outcome::Failed
        }
        other => unexpected(other),
    }
}

pub(super) fn events(target: &Target, json: bool, follow: bool, since: Option<u64>) -> Outcome {
    let mut client = match Client::connect(&target.socket) {
        Ok(client) => client,
        Err(error) => return unreachable(&error),
    };
    if let Err(error) = client.send(&Request::Events { follow, since }) {
        return unreachable(&error);
    }
    loop {
        match client.next_response() {
            Ok(Some(Response::Event(record))) => {
                let line = if json { serde_json::to_string(&record).ok() } else { None };
                let line = line.unwrap_or_else(|| render::event(&record));
                let shown = print_line(&line);
                if shown != Shown::All {
                    return if shown == Shown::NoReader { Outcome::Done } else { Outcome::Failed };
                }
            }
            Ok(Some(Response::Missed { events })) => {
                complain(&format!("{events} events came faster than they were read and are missing here"));
            }
            Ok(Some(Response::EndOfEvents)) => return Outcome::Done,
            Ok(None) => {
                complain("the daemon ended the connection");
                return Outcome::Unreachable;
            }
            Ok(Some(other)) => return unexpected(Ok(other)),
            Err(error) => return unexpected(Err(error)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    All,
    NoReader,
    Failed,
}

/// A line of a stream: unlike a whole result, it matters that nobody reads any more.
fn print_line(line: &str) -> Shown {
    use std::io::{ErrorKind, Write};
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Ok(()) => Shown::All,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Shown::NoReader,
        Err(error) => {
            complain(&format!("the result cannot be written: {error}"));
            Shown::Failed
        }
    }
}

fn ask(target: &Target, request: &Request) -> Result<Response, ClientError> {
    Client::connect(&target.socket)?.ask(request)
}

fn unreachable(error: &ClientError) -> Outcome {
    complain(&error.to_string());
    Outcome::Unreachable
}

/// Everything but the answer that was hoped for.
fn unexpected(answer: Result<Response, ClientError>) -> Outcome {
    match answer {
        Err(error @ ClientError::NotUnderstood(_)) => {
            complain(&error.to_string());
            Outcome::Failed
        }
        Err(error) => unreachable(&error),
        Ok(Response::Refused { reason }) => {
            complain(&reason);
            Outcome::Failed
        }
        Ok(other) => {
            complain(&format!("the daemon gave an answer to another question: {other:?}"));
            Outcome::Failed
        }
    }
}
