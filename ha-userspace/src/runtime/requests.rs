//! What reaches the controller from outside its loop: links, outcomes, orders, signals.

use super::bypass_exchange::Exchanged;
use super::controller::{Controller, Stopping, report_left};
use super::latch_writer::Saved;
use super::maintenance::Switched;
use super::peers::Credentials;
use super::report;
use super::wiring::WiringError;
use crate::bypass::BypassReport;
use crate::checks::CheckReport;
use crate::config::difference::difference;
use crate::config::{self, Loaded, Problem};
use crate::control::protocol::Response;
use crate::control::server::{ControlCommand, ControlHandler, Order};
use crate::datapath::{DatapathError, SparePrograms};
use crate::effects::executor::EffectOutcome;
use crate::effects::interfaces::LinkEvent;
use crate::probes::keys::KeyError;
use crate::probes::sender::ProbeEvent;
use crate::runtime::mailbox::Mailbox;
use holdfast_engine::{Input, Instant, Role, RouterId};
use std::path::Path;
use tokio::sync::oneshot;

/// A message to the controller.
#[derive(Debug)]
pub(super) enum Command {
    /// An interface or address changed.
    Link(LinkEvent),
    /// The effects thread finished something.
    Effect(EffectOutcome),
    /// The effects thread removed everything but what is named.
    EffectsRemoved(Vec<String>),
    /// A check came to another result.
    Check(CheckReport),
    /// The file of the maintenance switch is written.
    Switched(Switched),
    /// A client of the control socket.
    Control(ControlCommand),
    /// A configuration that was read and validated off this thread, and who wants to know.
    Reload { loaded: Box<Result<Reloaded, Vec<Problem>>>, reply: Option<oneshot::Sender<Response>> },
    /// The probe thread judged a path or a peer.
    Probe(ProbeEvent),
    /// A program pair for the next interface, loaded off this thread.
    Spare(SparePrograms),
    /// The record of flaps was written, or could not be.
    LatchSaved(Saved),
    /// The bypass thread has read a pair back.
    Bypass(BypassReport),
    /// A bypass thread for a new configuration runs.
    BypassExchanged(Box<Exchanged>),
    /// SIGTERM or SIGINT.
    Shutdown,
}

/// A configuration, and what it needs from other files.
#[derive(Debug)]
pub(super) struct Reloaded {
    loaded: Loaded,
    /// Or why the secrets cannot be used.
    credentials: Result<Credentials, KeyError>,
}

/// A failover under way, and who waits for its end.
#[derive(Debug)]
pub(super) struct PendingFailover {
    routers: Vec<RouterId>,
    reply: oneshot::Sender<Response>,
}

impl Controller {
    pub(super) fn handle_command(&mut self, now: Instant, command: Command) -> Result<(), DatapathError> {
        match command {
            Command::Link(event) => self.handle_link_event(now, &event),
            Command::Spare(spare) => self.datapath.keep_spare(spare),
            Command::Probe(event) => self.handle_probe_event(now, event)?,
            Command::Effect(outcome) => self.handle_outcome(now, outcome),
            Command::EffectsRemoved(left) => {
                report_left(&left);
                self.stopping = Stopping::Done;
            }
            Command::Check(report) => self.take_check_report(now, &report),
            Command::Switched(switched) => self.take_switch(now, switched),
            Command::Control(ControlCommand { order, reply }) => self.handle_order(now, order, reply)?,
            Command::Reload { loaded, reply } => {
                let response = self.reload(now, *loaded)?;
                match &response {
                    Response::Refused { reason } => tracing::error!("reload refused: {reason}"),
                    _ => tracing::info!("configuration reloaded"),
                }
                if let Some(reply) = reply {
                    let _ = reply.send(response);
                }
            }
            Command::LatchSaved(saved) => self.latch_saved(now, saved),
            Command::Bypass(report) => self.bypass_report(now, report),
            Command::BypassExchanged(exchanged) => self.bypass_exchanged(now, *exchanged)?,
            Command::Shutdown => self.shut_down(now),
        }
        Ok(())
    }

    fn shut_down(&mut self, now: Instant) {
        match self.stopping {
            Stopping::No => {
                tracing::info!("stopping: releasing every virtual router to a successor");
                self.stopping = Stopping::Releasing;
                self.engine.handle_input(now, Input::Shutdown);
            }
            // Asked twice: do not wait for a successor any longer.
            Stopping::Releasing => self.flush_effects(),
            Stopping::Flushing | Stopping::Done => {}
        }
    }

    fn handle_outcome(&mut self, now: Instant, outcome: EffectOutcome) {
        if let EffectOutcome::AddressesRemoved { router, .. } = &outcome {
            self.bypassing.note_left(*router);
        }
        match outcome {
            EffectOutcome::AddressesAdded { router, outcome } => {
                self.engine.handle_input(now, Input::AddressesAdded { router, outcome });
            }
            EffectOutcome::AddressesRemoved { router, outcome: Err(error) } => {
                tracing::error!(router = self.name_of(router), "removing addresses: {error}");
            }
            EffectOutcome::Configured { router, outcome: Err(error) } => {
                tracing::error!(router = self.name_of(router), "{error}");
            }
            EffectOutcome::Configured { router, outcome: Ok(placement) } => {
                for warning in placement.warnings {
                    tracing::warn!(router = self.name_of(router), "{warning}");
                }
            }
            EffectOutcome::AddressesRemoved { outcome: Ok(()), .. } => {}
        }
    }

    fn handle_order(
        &mut self,
        now: Instant,
        order: Order,
        reply: oneshot::Sender<Response>,
    ) -> Result<(), DatapathError> {
        match order {
            Order::Status => {
                self.read_peers(now)?;
                let status = report::status(self, now)?;
                let _ = reply.send(Response::Status(Box::new(status)));
            }
            Order::Reload => self.read_configuration(reply),
            Order::Bypass { switch, pair } => self.order_bypass(now, switch, pair.as_deref(), reply),
            Order::Failover { group } => self.fail_over(now, group, reply),
            Order::Maintenance { on } => self.order_maintenance(on, reply),
        }
        Ok(())
    }

    /// Reads the file on another thread, since files can block, and comes back with what it says.
    fn read_configuration(&self, reply: oneshot::Sender<Response>) {
        let (path, own) = (self.config_path.clone(), self.own_mailbox.clone());
        let started = std::thread::Builder::new().name("hf-reload".into()).spawn(move || {
            read_for_reload(&path, &own, Some(reply));
        });
        if let Err(error) = started {
            tracing::error!("reload: cannot start a thread to read the configuration: {error}");
        }
    }

    fn reload(
        &mut self,
        now: Instant,
        loaded: Result<Reloaded, Vec<Problem>>,
    ) -> Result<Response, DatapathError> {
        let Reloaded { loaded, credentials } = match loaded {
            Ok(reloaded) => reloaded,
            Err(problems) => return Ok(Response::refused(list(&problems))),
        };
        let credentials = match credentials {
            Ok(credentials) => credentials,
            Err(error) => return Ok(Response::refused(format!("nothing was changed: {error}"))),
        };
        if !loaded.config.peers.is_empty() && !self.peers.can_probe() {
            return Ok(Response::refused(
                "nothing was changed: peers were added, and this start of the daemon could not be counted in \
                 node.state_dir when it began; make that directory writable and restart the daemon",
            ));
        }
        let changes = difference(&self.config, &loaded.config);
        if let Some(reason) = changes.refusal().or_else(|| self.bypass_refusal(&loaded.config)) {
            return Ok(Response::refused(reason));
        }
        match self.attach_for(&loaded.config) {
            Ok(()) => {}
            Err(error @ (WiringError::MissingInterface { .. } | WiringError::Datapath(_))) => {
                return Ok(Response::refused(format!("nothing was changed: {error}")));
            }
        }
        if let Err(error) = self.checks.reconfigure(&loaded.config.checks) {
            return Ok(Response::refused(format!("nothing was changed: {error}")));
        }
        let before = std::mem::replace(&mut self.config, loaded.config);
        self.credentials = credentials;
        self.apply_configuration(now)?;
        self.exchange_bypass(&before);
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        let message = if changes.is_empty() { "nothing differs".into() } else { "reloaded".into() };
        Ok(Response::Done { message, warnings })
    }

    fn fail_over(&mut self, now: Instant, group: Option<String>, reply: oneshot::Sender<Response>) {
        let number = match &group {
            None => None,
            Some(name) => match self.numbers.known_group(name) {
                Some(number) => Some(number),
                None => {
                    let _ = reply.send(Response::refused(format!("no group \"{name}\" is configured")));
                    return;
                }
            },
        };
        let concerned = |group: &Option<String>| number.is_none() || *group == self.group_name(number);
        let routers: Vec<RouterId> = self
            .routers
            .iter()
            .filter(|router| router.standing.role == Role::Active && concerned(&router.config.group))
            .map(|router| router.id())
            .collect();
        if routers.is_empty() {
            let _ =
                reply.send(Response::refused("this node is not Active for any of it: nothing to release"));
            return;
        }
        self.engine.handle_input(
            now,
            Input::Failover { group: number, cause: holdfast_engine::Cause::FailoverCommand },
        );
        self.failovers.push(PendingFailover { routers, reply });
    }

    /// Answers those whose failover has ended: with a successor, or without one.
    pub(super) fn settle_failovers(&mut self) {
        for pending in std::mem::take(&mut self.failovers) {
            let views: Vec<_> = pending.routers.iter().filter_map(|id| self.engine.view(*id)).collect();
            if views.iter().any(|view| view.releasing) {
                self.failovers.push(pending);
                continue;
            }
            let kept: Vec<String> = views
                .iter()
                .filter(|view| view.role == Role::Active)
                .map(|view| self.name_of(view.router))
                .collect();
            let response = match kept.is_empty() {
                true => {
                    Response::done(format!("released {} virtual routers to their successors", views.len()))
                }
                false => {
                    Response::refused(format!("no successor was heard for {}: still Active", kept.join(", ")))
                }
            };
            let _ = pending.reply.send(response);
        }
    }

    fn group_name(&self, number: Option<holdfast_engine::GroupId>) -> Option<String> {
        self.numbers.group_names().remove(&number?)
    }

    pub(super) fn name_of(&self, id: RouterId) -> String {
        self.routers.get(id).map_or_else(|| format!("#{}", id.0), |router| router.config.name.clone())
    }
}

/// Reads and validates the configuration and hands it to the controller.
pub(super) fn read_for_reload(
    path: &Path,
    mailbox: &Mailbox<Command>,
    reply: Option<oneshot::Sender<Response>>,
) {
    let loaded = Box::new(config::load(path).map(|loaded| {
        let credentials = Credentials::read(&loaded.config);
        Reloaded { loaded, credentials }
    }));
    mailbox.send(Command::Reload { loaded, reply });
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let problems = if lines.len() == 1 { "problem" } else { "problems" };
    format!("nothing was changed; the configuration has {} {problems}:\n{}", lines.len(), lines.join("\n"))
}

/// Takes clients' orders to the controller's queue.
#[derive(Debug)]
pub(super) struct OrderDesk(pub(super) Mailbox<Command>);

impl ControlHandler for OrderDesk {
    fn submit(&self, command: ControlCommand) -> Result<(), ControlCommand> {
        // A controller that has ended drops the reply, which the server tells its client.
        self.0.send(Command::Control(command));
        Ok(())
    }
}
