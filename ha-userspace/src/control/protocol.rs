//! The words of the control socket: one JSON object per line in both directions.
//!
//! A client sends one request per line; each is answered by one line, except [`Request::Events`], which is answered
//! by one line per event and, without `follow`, a last [`Response::EndOfEvents`].

use super::status::Status;
use crate::journal::EventRecord;
use holdfast_engine::BypassSwitch;
use serde::{Deserialize, Serialize};

/// Longest request, bytes including the newline.
pub const MAX_REQUEST: usize = 4 * 1024;

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The daemon's state.
    Status,
    /// Events after number `since`, or all in memory; with `follow`, those that happen later too.
    Events {
        #[serde(default)]
        follow: bool,
        #[serde(default)]
        since: Option<u64>,
    },
    /// The last transition of one virtual router, or of each.
    Why {
        #[serde(default)]
        router: Option<String>,
    },
    /// Read the configuration again.
    Reload,
    /// Release a group, or everything, to a Backup.
    Failover {
        #[serde(default)]
        group: Option<String>,
    },
    /// Take this node out of service, or back in.
    Maintenance { on: bool },
    /// Engage or release the bypass of a link pair, or of all.
    Bypass {
        action: BypassSwitch,
        #[serde(default)]
        pair: Option<String>,
    },
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "kebab-case")]
pub enum Response {
    /// An order was carried out.
    Done {
        message: String,
        #[serde(default)]
        warnings: Vec<String>,
    },
    /// Nothing was done, and why.
    Refused {
        reason: String,
    },
    Status(Box<Status>),
    Event(EventRecord),
    /// This follower was too slow and missed so many events.
    Missed {
        events: u64,
    },
    EndOfEvents,
    Why {
        explanations: Vec<Explanation>,
    },
}

impl Response {
    pub fn done(message: impl Into<String>) -> Self {
        Response::Done { message: message.into(), warnings: Vec::new() }
    }

    pub fn refused(reason: impl Into<String>) -> Self {
        Response::Refused { reason: reason.into() }
    }
}

/// The last transition of a virtual router, in sentences and as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub router: String,
    pub sentences: Vec<String>,
    pub record: EventRecord,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_plain_json() {
        for (json, request) in [
            (r#"{"request":"status"}"#, Request::Status),
            (r#"{"request":"events"}"#, Request::Events { follow: false, since: None }),
            (
                r#"{"request":"events","follow":true,"since":7}"#,
                Request::Events { follow: true, since: Some(7) },
            ),
            (r#"{"request":"why","router":"lan"}"#, Request::Why { router: Some("lan".to_owned()) }),
            (r#"{"request":"reload"}"#, Request::Reload),
            (r#"{"request":"failover"}"#, Request::Failover { group: None }),
            (r#"{"request":"maintenance","on":true}"#, Request::Maintenance { on: true }),
            (
                r#"{"request":"bypass","action":"engage","pair":"edge"}"#,
                Request::Bypass { action: BypassSwitch::Engage, pair: Some("edge".to_owned()) },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Request>(json).unwrap(), request);
        }
        assert!(serde_json::from_str::<Request>(r#"{"request":"failover","gruop":"x"}"#).is_err());
    }

    #[test]
    fn answers_read_back() {
        for response in [
            Response::done("reloaded"),
            Response::refused("no"),
            Response::EndOfEvents,
            Response::Missed { events: 3 },
            Response::Why { explanations: Vec::new() },
            Response::Status(Box::new(crate::control::status::samples::status())),
        ] {
            let json = serde_json::to_string(&response).unwrap();
            assert_eq!(serde_json::from_str::<Response>(&json).unwrap(), response, "{json}");
        }
    }
}
