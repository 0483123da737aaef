//! One run of a check, whatever its kind: what is looked at, by when, and what was found.
//!
//! An examiner keeps what has to outlive a run: prepared arguments, and work of an earlier run that still hangs. A run
//! that is dropped half-way leaves no process behind.

use super::blocking::{BlockingError, BlockingSlot};
use super::command::CommandExaminer;
use super::http::HttpExaminer;
use super::runner::CheckError;
use super::{file, interface, process, tcp};
use crate::config::validated::{Check, CheckKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// What one run found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) good: bool,
    /// It ended because its time was up.
    pub(super) timed_out: bool,
    /// In one line, for a person who has to act on it.
    pub(super) detail: String,
}

impl Outcome {
    pub(super) fn good(detail: String) -> Self {
        Self { good: true, timed_out: false, detail }
    }

    pub(super) fn bad(detail: String) -> Self {
        Self { good: false, timed_out: false, detail }
    }

    pub(super) fn timed_out(detail: String) -> Self {
        Self { good: false, timed_out: true, detail }
    }

    /// Of work that gave none; `subject` is what was to be looked at.
    pub(super) fn missing(subject: &str, error: BlockingError) -> Self {
        let detail = format!("{subject}: {error}");
        match error {
            BlockingError::Late | BlockingError::StillHanging => Self::timed_out(detail),
            BlockingError::Lost => Self::bad(detail),
        }
    }
}

/// A check, ready to run.
#[derive(Debug)]
pub(super) enum Examiner {
    Interface(String),
    /// A file or the list of processes: work that blocks.
    Blocking(CheckKind, BlockingSlot<Outcome>),
    Command(CommandExaminer),
    Tcp(SocketAddr),
    Http(HttpExaminer),
}

impl Examiner {
    /// Prepares a check; refuses what could never run.
    pub(super) fn new(check: &Check) -> Result<Self, CheckError> {
        Ok(match &check.kind {
            CheckKind::Interface { interface } => Self::Interface(interface.clone()),
            kind @ (CheckKind::Process { .. } | CheckKind::File { .. }) => {
                Self::Blocking(kind.clone(), BlockingSlot::default())
            }
            CheckKind::Command { argv, shell, user } => {
                let examiner = CommandExaminer::new(&check.name, argv, *shell, user);
                Self::Command(examiner.map_err(|reason| CheckError::command(check, reason))?)
            }
            CheckKind::Tcp { address } => Self::Tcp(*address),
            CheckKind::Http { url, status, body } => {
                let examiner = HttpExaminer::new(url, status, body.as_deref());
                Self::Http(examiner.map_err(|reason| CheckError::url(check, url, reason))?)
            }
        })
    }

    /// Runs once. Ends at `timeout`, apart from the moment it takes to kill a command.
    pub(super) async fn run(&mut self, timeout: Duration) -> Outcome {
        let deadline = Instant::now() + timeout;
        match self {
            Self::Interface(interface) => interface::look(interface, deadline).await,
            Self::Blocking(kind, slot) => {
                let (subject, kind) = (subject(kind), kind.clone());
                let outcome = slot.run(deadline, move || look_blocking(&kind)).await;
                outcome.unwrap_or_else(|error| Outcome::missing(&subject, error))
            }
            Self::Command(command) => command.run(deadline).await,
            Self::Tcp(address) => tcp::look(*address, deadline).await,
            Self::Http(http) => http.run(deadline).await,
        }
    }
}

fn subject(kind: &CheckKind) -> String {
    match kind {
        CheckKind::File { path, .. } => path.display().to_string(),
        _ => "/proc".to_owned(),
    }
}

fn look_blocking(kind: &CheckKind) -> Outcome {
    match kind {
        CheckKind::File { path, content } => file::look(path, content.as_deref()),
        CheckKind::Process { process, minimum_count } => process::look(process, *minimum_count),
        _ => Outcome::bad("this kind of check does not run here".to_owned()),
    }
}
