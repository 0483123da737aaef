//! The checks' thread: owns every check from start to end, takes changes of the configuration in order.
//!
//! `hf-checks` runs at normal priority whoever starts it, with every signal blocked, on a runtime of its own. Its pool of
//! threads, for work that may block, inherits that. A caller never waits for it except at the end.

use super::cycle::{Audience, Cycle, forget};
use super::examiner::Examiner;
use super::http::UrlError;
use super::report::{CheckReport, CheckStatus, StatusBoard};
use crate::config::validated::Check;
use nix::sys::signal::SigSet;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::LocalSet;

const THREAD_NAME: &str = "hf-checks";
/// Of a thread of the pool. Small, since the daemon locks its memory and every stack is then resident.
const POOL_STACK: usize = 256 << 10;
/// A thread of the pool without work ends after this.
const POOL_KEEP: Duration = Duration::from_secs(2);
/// How long the end waits for the pool.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// Where reports go; called on the checks' thread, so it must not block.
pub type ReportSink = Box<dyn Fn(CheckReport) + Send>;

/// Why checks cannot run at all. What goes wrong in a run is a bad result instead.
#[derive(Debug, Error)]
pub enum CheckError {
    #[error("check {name}: url {url:?}: {reason}")]
    Url { name: String, url: String, reason: UrlError },
    #[error("check {name}: command: {reason}")]
    Command { name: String, reason: &'static str },
    #[error("the thread of the checks could not be started: {0}")]
    Thread(#[from] io::Error),
    #[error("the thread of the checks has ended; restart the daemon")]
    Ended,
}

impl CheckError {
    pub(super) fn url(check: &Check, url: &str, reason: UrlError) -> Self {
        Self::Url { name: check.name.clone(), url: url.to_owned(), reason }
    }

    pub(super) fn command(check: &Check, reason: &'static str) -> Self {
        Self::Command { name: check.name.clone(), reason }
    }
}

type Prepared = Vec<(Check, Examiner)>;

/// The checks, running. Dropping it stops them and kills what they have running.
#[derive(Debug)]
pub struct CheckRunner {
    /// `None` once it is being dropped.
    orders: Option<UnboundedSender<Prepared>>,
    board: Arc<StatusBoard>,
    thread: Option<JoinHandle<()>>,
}

impl CheckRunner {
    /// Starts the thread and runs each check for the first time. Names must be unique. The checks see the calling thread's
    /// namespaces.
    pub fn spawn(checks: &[Check], sink: ReportSink) -> Result<Self, CheckError> {
        let first = prepare(checks)?;
        let board = Arc::new(StatusBoard::default());
        let (orders, queue) = mpsc::unbounded_channel();
        let runtime = runtime()?;
        let thread = {
            let board = Arc::clone(&board);
            let run = move || run_thread(runtime, first, queue, board, sink);
            std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(run)?
        };
        Ok(Self { orders: Some(orders), board, thread: Some(thread) })
    }

    /// Takes a new list of checks; all or, on an error, nothing. Does not wait for it to be in force.
    ///
    /// A check of the same name and kind keeps its state, and one whose timing is the same as well is not even
    /// interrupted. A check whose kind changed is reported as unknown and judged anew. One that is gone is not reported.
    pub fn reconfigure(&self, checks: &[Check]) -> Result<(), CheckError> {
        let next = prepare(checks)?;
        let orders = self.orders.as_ref().ok_or(CheckError::Ended)?;
        orders.send(next).map_err(|_| CheckError::Ended)
    }

    /// Where every check stands, by name. Never waits.
    pub fn statuses(&self) -> Vec<Arc<CheckStatus>> {
        self.board.read()
    }
}

impl Drop for CheckRunner {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn prepare(checks: &[Check]) -> Result<Prepared, CheckError> {
    checks.iter().map(|check| Ok((check.clone(), Examiner::new(check)?))).collect()
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("hf-checks-io")
        .thread_stack_size(POOL_STACK)
        .thread_keep_alive(POOL_KEEP)
        .build()
}

fn run_thread(
    runtime: tokio::runtime::Runtime,
    first: Prepared,
    mut queue: UnboundedReceiver<Prepared>,
    board: Arc<StatusBoard>,
    sink: ReportSink,
) {
    // Signals belong to the main thread.
    let _ = SigSet::all().thread_block();
    leave_realtime();
    let audience = Audience { board, sink: Rc::new(sink) };
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut rota = Rota { audience, running: BTreeMap::new() };
        rota.adopt(first).await;
        while let Some(next) = queue.recv().await {
            rota.adopt(next).await;
        }
        rota.adopt(Prepared::new()).await;
    });
    // A program that is just being started is killed once it is there; work that hangs in the kernel is left behind.
    runtime.shutdown_timeout(STOP_PATIENCE);
}

/// Normal scheduling at nice 0, whatever the thread that started this one has. Neither can be refused: both give up.
fn leave_realtime() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and `parameters` outlives the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &parameters) };
    // SAFETY: plain integers; on Linux, who 0 with PRIO_PROCESS is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
}

struct Running {
    check: Check,
    task: tokio::task::JoinHandle<()>,
}

/// Who is running, by name.
struct Rota {
    audience: Audience,
    running: BTreeMap<String, Running>,
}

impl Rota {
    async fn adopt(&mut self, next: Prepared) {
        let names: Vec<String> = next.iter().map(|(check, _)| check.name.clone()).collect();
        let gone: Vec<String> = self.running.keys().filter(|name| !names.contains(name)).cloned().collect();
        // All are told first, so that many end together.
        gone.iter().filter_map(|name| self.running.get(name)).for_each(|running| running.task.abort());
        for name in gone {
            self.end(&name).await;
            self.audience.board.remove(&name);
        }
        for (check, examiner) in next {
            self.adopt_one(check, examiner).await;
        }
    }

    async fn adopt_one(&mut self, check: Check, examiner: Examiner) {
        if let Some(running) = self.running.get_mut(&check.name) {
            if runs_alike(&running.check, &check) {
                running.check = check;
                return;
            }
            let same_kind = running.check.kind == check.kind;
            self.end(&check.name).await;
            if !same_kind {
                forget(&check.name, &self.audience);
            }
        }
        let cycle = Cycle::new(&check, examiner, self.audience.clone());
        let task = tokio::task::spawn_local(cycle.run());
        self.running.insert(check.name.clone(), Running { check, task });
    }

    /// Returns once nothing of the check runs any more.
    async fn end(&mut self, name: &str) {
        if let Some(running) = self.running.remove(name) {
            running.task.abort();
            let _ = running.task.await;
        }
    }
}

/// Weight and scope matter to the consumer alone.
fn runs_alike(one: &Check, other: &Check) -> bool {
    one.kind == other.kind
        && (one.interval, one.timeout, one.rise, one.fall)
            == (other.interval, other.timeout, other.rise, other.fall)
}
