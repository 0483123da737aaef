//! The effects thread: addresses, macvlans, memberships and the link monitor, on a small runtime of its own.
//!
//! Orders come through an unbounded queue, outcomes and link events go to the caller's sinks; giving an order never
//! blocks. Orders are carried out in the order given. Everything that a router may add is in the record on disk before
//! it is added. This file is the thread and its handle; `router_effects` does the work. It decides nothing.

use super::clean_up::{self, CleanUpError, CleanUpReport};
use super::frames::MacAddress;
use super::interfaces::Interfaces;
use super::link_monitor::{LinkMonitor, LinkSink};
use super::netlink::Netlink;
use super::router_effects::RouterEffects;
use crate::config::validated::VirtualAddress;
use crate::runtime::realtime::{self, Outcome, RealtimePriority};
use holdfast_engine::{Family, RouterId};
use nix::sys::signal::SigSet;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc as sync_mpsc;
use std::thread::JoinHandle;
use thiserror::Error;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const THREAD_NAME: &str = "hf-effects";

/// What a router needs of the effects thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterSpec {
    /// Name of the virtual router, for the record.
    pub name: String,
    /// Its configured interface.
    pub interface: String,
    pub vrid: u8,
    pub family: Family,
    pub addresses: Vec<VirtualAddress>,
    pub virtual_mac: bool,
}

/// Where a router's frames leave from and its addresses stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The configured interface: adverts and announcements leave here.
    pub ifindex: u32,
    /// The interface that carries the addresses: the macvlan, or the same.
    pub device: u32,
    /// Source MAC of adverts and announcements.
    pub mac: MacAddress,
    /// What the operator should know, as sentences.
    pub warnings: Vec<String>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectOutcome {
    /// After [`Effects::configure_router`]. On failure nothing of the router is in place; try again when its interface
    /// appears.
    Configured {
        router: RouterId,
        outcome: Result<Placement, String>,
    },
    AddressesAdded {
        router: RouterId,
        outcome: Result<(), String>,
    },
    AddressesRemoved {
        router: RouterId,
        outcome: Result<(), String>,
    },
}

/// Where outcomes go. Called on the effects thread; must not block.
pub type OutcomeSink = Box<dyn Fn(EffectOutcome) + Send>;

/// How the effects thread runs.
pub struct EffectsOptions {
    pub priority: RealtimePriority,
    /// The record of added addresses lives here.
    pub state_dir: PathBuf,
    pub outcomes: OutcomeSink,
    /// Gets every interface and address at the start, then every change. Called on the effects thread; must not block.
    pub links: LinkSink,
}

/// Why the effects thread did not start.
#[derive(Debug, Error)]
pub enum EffectsError {
    #[error("cannot start the effects thread: {0}")]
    Thread(#[from] io::Error),
    #[error(transparent)]
    CleanUp(#[from] CleanUpError),
    #[error("the effects thread ended while starting")]
    Ended,
}

/// Called on the effects thread when everything before it has been carried out.
type Done = Box<dyn FnOnce() + Send>;
/// Called on the effects thread with everything that could not be removed, as sentences.
type Removed = Box<dyn FnOnce(Vec<String>) + Send>;

pub(super) enum Command {
    Configure { router: RouterId, spec: RouterSpec },
    Forget { router: RouterId },
    AddAddresses { router: RouterId },
    RemoveAddresses { router: RouterId },
    Flush(Done),
    RemoveAll(Removed),
    Reread(Vec<String>),
}

/// The controller's end of the effects thread. Dropping it ends the thread and leaves what stands standing: order
/// [`Effects::remove_all`] first, or leave it to the next start.
#[derive(Debug)]
pub struct Effects {
    commands: Option<UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
    scheduling: Outcome,
    left_behind: CleanUpReport,
}

struct Started {
    scheduling: Outcome,
    left_behind: CleanUpReport,
}

impl Effects {
    /// Starts the thread in the caller's network namespace, removes what a dead daemon left, and reads all interfaces.
    /// When this returns, the link sink has been told of every interface there is. Needs CAP_NET_ADMIN.
    pub fn spawn(options: EffectsOptions) -> Result<Self, EffectsError> {
        let (commands, queue) = unbounded_channel();
        let (report, reported) = sync_mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(move || run_thread(options, queue, &report))?;
        let started = reported.recv().map_err(|_| EffectsError::Ended)??;
        Ok(Self {
            commands: Some(commands),
            thread: Some(thread),
            scheduling: started.scheduling,
            left_behind: started.left_behind,
        })
    }

    /// What the thread got from the scheduler.
    pub fn scheduling(&self) -> Outcome {
        self.scheduling
    }

    /// What a dead daemon had left and the start removed.
    pub fn left_behind(&self) -> &CleanUpReport {
        &self.left_behind
    }

    /// False once the thread has ended, which it never does by itself.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Records what a router may add, creates its macvlan and joins its group; adds no address. For a known router it is
    /// a change: addresses that are no longer listed are removed, and all of them if the router moves elsewhere.
    pub fn configure_router(&self, router: RouterId, spec: RouterSpec) {
        self.order(Command::Configure { router, spec });
    }

    /// Removes everything of a router.
    pub fn forget_router(&self, router: RouterId) {
        self.order(Command::Forget { router });
    }

    /// Puts a router's addresses on. Those that stand already are as good as added.
    pub fn add_addresses(&self, router: RouterId) {
        self.order(Command::AddAddresses { router });
    }

    /// Takes away those of a router's addresses that were added by us.
    pub fn remove_addresses(&self, router: RouterId) {
        self.order(Command::RemoveAddresses { router });
    }

    /// Calls `done` on the effects thread when everything ordered before has been carried out.
    pub fn flush(&self, done: impl FnOnce() + Send + 'static) {
        self.order(Command::Flush(Box::new(done)));
    }

    /// Removes everything of every router and then the record; for a graceful exit. `done` gets what could not be
    /// removed; the record stays then.
    pub fn remove_all(&self, done: impl FnOnce(Vec<String>) + Send + 'static) {
        self.order(Command::RemoveAll(Box::new(done)));
    }

    /// Reads these interfaces again, so that an event that never came is made up for. What differs is told like an event.
    pub fn reread_links(&self, interfaces: Vec<String>) {
        self.order(Command::Reread(interfaces));
    }

    fn order(&self, command: Command) {
        if let Some(commands) = &self.commands
            && commands.send(command).is_err()
        {
            tracing::error!(
                "the effects thread has ended; addresses can no longer be moved: restart the daemon"
            );
        }
    }
}

impl Drop for Effects {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type StartReport = sync_mpsc::SyncSender<Result<Started, EffectsError>>;

fn run_thread(options: EffectsOptions, queue: UnboundedReceiver<Command>, report: &StartReport) {
    // Signals belong to the main thread.
    let _ = SigSet::all().thread_block();
    let scheduling = realtime::enter_realtime(options.priority);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(error.into()));
            return;
        }
    };
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        match start(options).await {
            Ok((mut effects, monitor, left_behind)) => {
                let _ = report.send(Ok(Started { scheduling, left_behind }));
                let (rereads, wishes) = unbounded_channel();
                tokio::task::spawn_local(monitor.run(wishes));
                serve(&mut effects, queue, &rereads).await;
            }
            Err(error) => {
                let _ = report.send(Err(error));
            }
        }
    }));
}

async fn start(options: EffectsOptions) -> Result<(RouterEffects, LinkMonitor, CleanUpReport), EffectsError> {
    let netlink = Netlink::connect()?;
    let left_behind = clean_up::clean_up(&netlink, &options.state_dir).await?;
    let known = Rc::new(RefCell::new(Interfaces::default()));
    let monitor = LinkMonitor::start(netlink.clone(), Rc::clone(&known), options.links).await?;
    let effects = RouterEffects::new(netlink, known, options.state_dir, options.outcomes)?;
    Ok((effects, monitor, left_behind))
}

/// Carries out orders until the handle is gone. Whatever is in the queue already is started together, so that the moves
/// of many routers share one pipeline.
async fn serve(
    effects: &mut RouterEffects,
    mut queue: UnboundedReceiver<Command>,
    rereads: &UnboundedSender<Vec<String>>,
) {
    let mut orders = VecDeque::new();
    while let Some(first) = queue.recv().await {
        orders.push_back(first);
        while let Ok(next) = queue.try_recv() {
            orders.push_back(next);
        }
        while let Some(order) = orders.pop_front() {
            match order {
                Command::AddAddresses { router } => effects.add_addresses(router).await,
                Command::RemoveAddresses { router } => effects.remove_addresses(router).await,
                Command::Configure { router, spec } => effects.configure(router, spec).await,
                Command::Forget { router } => effects.forget(router).await,
                Command::Flush(done) => {
                    effects.settle().await;
                    done();
                }
                Command::RemoveAll(done) => done(effects.remove_all().await),
                Command::Reread(names) => drop(rereads.send(names)),
            }
        }
        effects.settle().await;
    }
}
