//! `holdfast maintenance on|off`: the switch, its file, and the answer once the release has ended.
//!
//! The switch survives restarts, since whoever reboots a node in the middle of their work does not want it to serve: it
//! is a file in the state directory, written on a thread of its own before the order takes effect.

use super::controller::Controller;
use super::requests::Command;
use crate::control::protocol::Response;
use crate::effects::durable;
use crate::journal::NoticeEvent;
use holdfast_engine::{Instant, Role, RouterId};
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::oneshot;

/// In the state directory; there is none until the switch is used.
const FILE: &str = "maintenance";
const ON: &str = "on";
const OFF: &str = "off";
const THREAD: &str = "hf-switch";

type Reply = oneshot::Sender<Response>;

/// The order, once its file is written or could not be.
#[derive(Debug)]
pub(super) struct Switched {
    on: bool,
    kept: io::Result<()>,
    reply: Reply,
}

/// Who waits for the releases that an order began.
#[derive(Debug)]
pub(super) struct Handover {
    routers: Vec<RouterId>,
    warnings: Vec<String>,
    reply: Reply,
}

/// Orders under way.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    writing: bool,
    handovers: Vec<Handover>,
}

/// Whether the node was left in maintenance. A file that says neither is taken for on, which costs a handover at most.
pub(super) fn left_on(state_dir: &Path) -> bool {
    let path = file(state_dir);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim() == OFF => false,
        Ok(text) if text.trim() == ON => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Ok(_) => {
            tracing::error!(path = %path.display(), "says neither on nor off: maintenance is taken to be on");
            true
        }
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "cannot be read: maintenance is taken to be on");
            true
        }
    }
}

fn file(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

fn keep(state_dir: &Path, on: bool) -> io::Result<()> {
    durable::replace(&file(state_dir), format!("{}\n", word(on)).as_bytes())
}

fn word(on: bool) -> &'static str {
    if on { ON } else { OFF }
}

impl Controller {
    /// The order: its file is written off this thread, and [`Self::take_switch`] does the rest.
    pub(super) fn order_maintenance(&mut self, on: bool, reply: Reply) {
        if self.maintenance.writing {
            let _ =
                reply.send(Response::refused("another maintenance order is being carried out; try again"));
            return;
        }
        let (own, state_dir) = (self.own_mailbox.clone(), self.config.node.state_dir.clone());
        let write = move || {
            let kept = keep(&state_dir, on);
            own.send(Command::Switched(Switched { on, kept, reply }));
        };
        match std::thread::Builder::new().name(THREAD.into()).spawn(write) {
            Ok(_) => self.maintenance.writing = true,
            // The reply went with the thread: the client is told that there is none.
            Err(error) => tracing::error!("maintenance: cannot start a thread to write its file: {error}"),
        }
    }

    pub(super) fn take_switch(&mut self, now: Instant, switched: Switched) {
        self.maintenance.writing = false;
        let Switched { on, kept, reply } = switched;
        let warnings: Vec<String> = kept
            .err()
            .map(|error| {
                format!("{} could not be written, so a restart forgets this: {error}", self.switch_path())
            })
            .into_iter()
            .collect();
        if self.fitness.is_in_maintenance() != on {
            self.fitness.set_maintenance(on);
            self.tell(now, [NoticeEvent::Maintenance { on }]);
        }
        if !on {
            let message = "maintenance is off; this node takes part again".to_owned();
            let _ = reply.send(Response::Done { message, warnings });
            return;
        }
        // The releases begin with the standings that this pass tells the engine.
        let active = self.engine.routers().filter(|view| view.role == Role::Active);
        let routers = active.map(|view| view.router).collect();
        self.maintenance.handovers.push(Handover { routers, warnings, reply });
    }

    fn switch_path(&self) -> String {
        file(&self.config.node.state_dir).display().to_string()
    }

    /// Answers those whose releases have ended.
    pub(super) fn settle_maintenance(&mut self) {
        for handover in std::mem::take(&mut self.maintenance.handovers) {
            let views: Vec<_> = handover.routers.iter().filter_map(|id| self.engine.view(*id)).collect();
            if views.iter().any(|view| view.releasing) {
                self.maintenance.handovers.push(handover);
                continue;
            }
            let kept: Vec<String> = views
                .iter()
                .filter(|view| view.role == Role::Active)
                .map(|view| format!("{} at priority {}", self.name_of(view.router), view.effective_priority))
                .collect();
            let _ = handover.reply.send(outcome(views.len(), &kept, handover.warnings));
        }
    }
}

fn outcome(released: usize, kept: &[String], warnings: Vec<String>) -> Response {
    if !kept.is_empty() {
        let kept = kept.join(", ");
        return Response::refused(
            [format!("maintenance is on, but nobody took over: this node still serves {kept}")]
                .into_iter()
                .chain(warnings)
                .collect::<Vec<_>>()
                .join("; "),
        );
    }
    let message = match released {
        0 => "maintenance is on; this node was Active for nothing".to_owned(),
        _ => format!("maintenance is on; released {released} virtual routers to their successors"),
    };
    Response::Done { message, warnings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_survives_and_is_off_until_it_is_used() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!left_on(directory.path()));
        keep(directory.path(), true).unwrap();
        assert!(left_on(directory.path()));
        keep(directory.path(), false).unwrap();
        assert!(!left_on(directory.path()));
    }

    #[test]
    fn a_switch_that_cannot_be_read_is_on() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(file(directory.path()), "o").unwrap();
        assert!(left_on(directory.path()));
        std::fs::remove_file(file(directory.path())).unwrap();
        std::fs::create_dir(file(directory.path())).unwrap();
        assert!(left_on(directory.path()));
    }

    #[test]
    fn the_answer_tells_who_serves() {
        let warning = vec!["disk full".to_owned()];
        let message = "maintenance is on; released 2 virtual routers to their successors".to_owned();
        assert_eq!(outcome(2, &[], warning.clone()), Response::Done { message, warnings: warning.clone() });
        let Response::Done { message, .. } = outcome(0, &[], Vec::new()) else { panic!("it is done") };
        assert_eq!(message, "maintenance is on; this node was Active for nothing");
        let Response::Refused { reason } = outcome(2, &["lan at priority 1".to_owned()], warning) else {
            panic!("an outage is near")
        };
        assert_eq!(
            reason,
            "maintenance is on, but nobody took over: this node still serves lan at priority 1; disk full"
        );
    }
}
