//! The probe thread: sends what the prober says, when it says so, and nothing in between.
//!
//! Orders come through an unbounded queue and an eventfd, so giving one never blocks. The thread waits in `poll` on that
//! eventfd and on a boot-clock timer armed for the next due instant, and on nothing else. Secrets and files are read by
//! whoever gives the orders.

use super::paths::ProbeSettings;
use super::prober::{Prober, Surroundings};
use super::readings::PathReadings;
use super::sockets::Sockets;
use super::standing::Standing;
use super::status::{PeerStatus, StatusBoard};
use crate::effects::order_queue::{OrderQueue, Taken};
use crate::runtime::clock;
use crate::runtime::realtime::{self, Outcome, RealtimePriority, Reservation};
use holdfast_engine::Instant;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration as StdDuration;

pub use super::prober::ProbeEvent;

const THREAD_NAME: &str = "hf-probes";

/// Where verdicts go. It is called on the probe thread and must not block; a controller's mailbox does not.
pub type ProbeSink = Box<dyn FnMut(ProbeEvent) + Send>;

/// How the probe thread runs.
pub struct ProbeOptions {
    pub priority: RealtimePriority,
    /// Spreads the jitter: another one on every node.
    pub seed: u64,
    pub readings: Box<dyn PathReadings>,
    pub sink: ProbeSink,
}

#[derive(Debug)]
enum Command {
    Configure(Box<ProbeSettings>),
    Standing(Box<Standing>),
    Lease(Instant),
    Announce,
    Sync { done: mpsc::SyncSender<()> },
}

/// The controller's end of the probe thread. Dropping it ends the thread, which sends nothing more.
#[derive(Debug)]
pub struct ProbeSender {
    orders: Arc<OrderQueue<Command>>,
    wake: Arc<EventFd>,
    board: Arc<StatusBoard>,
    thread: Option<JoinHandle<()>>,
    scheduling: Outcome,
}

impl ProbeSender {
    /// Starts the thread in the caller's network namespace. It sends nothing until it is configured. Sending needs
    /// CAP_NET_RAW, for the interfaces' sake.
    pub fn spawn(options: ProbeOptions) -> io::Result<Self> {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let timer =
            TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let orders = Arc::new(OrderQueue::default());
        let board = Arc::new(StatusBoard::default());
        let (report, reported) = mpsc::sync_channel(1);
        let (queue, shared_wake, shared_board) = (Arc::clone(&orders), Arc::clone(&wake), Arc::clone(&board));
        let thread = std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || {
            // Signals belong to the main thread.
            let _ = SigSet::all().thread_block();
            let scheduling = realtime::enter_reserved(Reservation::TIMEKEEPER, options.priority);
            let _ = report.send(scheduling);
            let thread = ProbeThread {
                queue,
                taken: Vec::new(),
                wake: shared_wake,
                timer,
                board: shared_board,
                prober: Prober::new(clock::now(), options.seed),
                readings: options.readings,
                sink: options.sink,
                sockets: Sockets::default(),
            };
            thread.run();
        })?;
        let scheduling = reported.recv().map_err(|_| io::Error::other("the probe thread did not start"))?;
        Ok(Self { orders, wake, board, thread: Some(thread), scheduling })
    }

    /// What the thread got from the scheduler; warn once if it is not real-time.
    pub fn scheduling(&self) -> Outcome {
        self.scheduling
    }

    /// False once the thread has ended, which it never does by itself: nobody is probed then.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Sets whom to probe, where, how often and with which keys, at start, at a reload (with freshly read secrets) and
    /// when interfaces change. Paths that stay keep their health and go on in step.
    pub fn configure(&self, settings: ProbeSettings) {
        self.order(Command::Configure(Box::new(settings)));
    }

    /// Sets what the next requests say of this node.
    pub fn set_standing(&self, standing: Standing) {
        self.order(Command::Standing(Box::new(standing)));
    }

    /// Moves the end of the lease that the next requests speak of. In order with [`Self::set_standing`], so that a new
    /// lease never bears out an old claim.
    pub fn extend_lease(&self, until: Instant) {
        self.order(Command::Lease(until));
    }

    /// Sends a request on every path at once: claims must travel before adverts. It is no check; where one is open, a
    /// reply answers that one.
    pub fn announce_now(&self) {
        self.order(Command::Announce);
    }

    /// Waits until everything ordered so far has been carried out, at most `limit`. False if it took longer.
    pub fn settle(&self, limit: StdDuration) -> bool {
        let (done, settled) = mpsc::sync_channel(1);
        self.order(Command::Sync { done });
        settled.recv_timeout(limit).is_ok()
    }

    /// Peers and paths as of their last check.
    pub fn statuses(&self) -> Vec<PeerStatus> {
        let statuses = self.board.read();
        // The thread may have found the board taken; it writes again when it wakes.
        let _ = self.wake.write(1);
        statuses
    }

    fn order(&self, command: Command) {
        self.orders.push(command);
        // It fails only when the counter is full, and then the thread is awake already.
        let _ = self.wake.write(1);
    }
}

impl Drop for ProbeSender {
    fn drop(&mut self) {
        self.orders.close();
        let _ = self.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct ProbeThread {
    queue: Arc<OrderQueue<Command>>,
    taken: Vec<Command>,
    wake: Arc<EventFd>,
    timer: TimerFd,
    board: Arc<StatusBoard>,
    prober: Prober,
    readings: Box<dyn PathReadings>,
    sink: ProbeSink,
    sockets: Sockets,
}

impl ProbeThread {
    fn run(mut self) {
        while self.take_orders() {
            self.with_prober(|prober, around| prober.run_due(around));
            if let Some(mut board) = self.board.try_write() {
                self.prober.show(&mut board);
            }
            self.wait();
        }
    }

    /// Carries out every order in the queue; false when the handle is gone.
    fn take_orders(&mut self) -> bool {
        let mut orders = std::mem::take(&mut self.taken);
        let taken = self.queue.take(&mut orders);
        orders.drain(..).for_each(|order| self.carry_out(order));
        self.taken = orders;
        taken != Taken::Closed
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Configure(settings) => {
                self.with_prober(|prober, around| prober.configure(*settings, around));
            }
            Command::Standing(standing) => self.prober.set_standing(*standing),
            Command::Lease(until) => self.prober.extend_lease(until),
            Command::Announce => self.with_prober(|prober, around| prober.announce(around)),
            // Whoever gave up waiting does not listen any more.
            Command::Sync { done } => drop(done.try_send(())),
        }
    }

    fn with_prober(&mut self, work: impl FnOnce(&mut Prober, &mut Surroundings<'_, Sockets>)) {
        let mut around = Surroundings {
            clock: &clock::now,
            readings: self.readings.as_mut(),
            wire: &mut self.sockets,
            events: self.sink.as_mut(),
        };
        work(&mut self.prober, &mut around);
    }

    /// Sleeps until something is due or an order comes.
    fn wait(&mut self) {
        self.arm(self.prober.next_due());
        let mut ready = [
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
        ];
        // Whatever it returns, the loop looks at the queue and at the clock again.
        let _ = poll(&mut ready, PollTimeout::NONE);
        let _ = self.wake.read();
    }

    /// Arms the timer for an absolute instant, or disarms it. Setting it also takes back an expiry not yet read.
    fn arm(&self, due: Option<Instant>) {
        let armed = match due {
            // Zero would disarm it.
            Some(due) => {
                let at = TimeSpec::from_duration(StdDuration::from_nanos(due.as_nanos().max(1)));
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
            None => self.timer.unset(),
        };
        debug_assert!(armed.is_ok(), "a valid timer refuses nothing");
    }
}
