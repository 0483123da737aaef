//! The advert thread: sends adverts on time and announcements in the gaps.
//!
//! Orders come through an unbounded queue and an eventfd, so giving one never blocks. The thread waits in `poll` on that
//! eventfd and on a boot-clock timer armed for the next due instant, and on nothing else: no lock (`order_queue`), no
//! netlink, no answer of anybody. Adverts go first; announcements fill what is left of each millisecond. A send that fails is
//! counted and not fatal. It decides nothing and keeps sending what it was last told until told otherwise: whether a
//! frame may leave is the egress program's to judge.

use super::advert_statistics::{AdvertCounts, AdvertStatistics, FrameKind};
use super::announcements::{AnnouncementFrame, Announcements};
use super::frames::{AdvertContent, FrameError, MacAddress};
use super::order_queue::{OrderQueue, Taken};
use super::packet_socket::{Outbound, PacketSocket};
use super::schedule::{Due, Schedule};
use crate::runtime::clock;
use crate::runtime::realtime::{self, Outcome, RealtimePriority, Reservation};
use holdfast_engine::{Duration, Instant, RouterId};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration as StdDuration;

const THREAD_NAME: &str = "hf-adverts";

/// How the advert thread runs.
#[derive(Clone, Copy, Debug)]
pub struct AdvertOptions {
    pub priority: RealtimePriority,
}

impl Default for AdvertOptions {
    fn default() -> Self {
        Self { priority: RealtimePriority::ADVERTS }
    }
}

/// A router's adverts, ready to leave; several where there are unicast peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdvertFrames {
    /// At the effective priority.
    pub normal: Vec<Outbound>,
    /// Releasing.
    pub priority_zero: Vec<Outbound>,
    /// The other checksum form, sent before each `other_form_every`th scheduled advert; empty if there is no need.
    pub other_form: Vec<Outbound>,
    /// At least 1 where `other_form` is not empty.
    pub other_form_every: u32,
}

impl AdvertFrames {
    /// Builds both sets: to the group, or to each of `unicast_peers` if there are any (V-168). `mac` is the virtual MAC
    /// or the interface's own; packets to unicast peers always carry the interface's own, since the kernel resolves them.
    pub fn build(
        content: &AdvertContent,
        priority: u8,
        ifindex: u32,
        mac: MacAddress,
        unicast_peers: &[IpAddr],
    ) -> Result<Self, FrameError> {
        let set = |priority: u8| -> Result<Vec<Outbound>, FrameError> {
            if unicast_peers.is_empty() {
                return Ok(vec![Outbound::Ethernet {
                    ifindex,
                    frame: content.multicast_frame(priority, mac)?,
                }]);
            }
            let routed = |&destination: &IpAddr| {
                Ok(Outbound::Routed { ifindex, destination, packet: content.packet(priority, destination)? })
            };
            unicast_peers.iter().map(routed).collect()
        };
        Ok(Self { normal: set(priority)?, priority_zero: set(0)?, ..Self::default() })
    }

    /// Adds the adverts of `other`, built in the other checksum form: releases in both, the rest now and then.
    pub fn with_other_form(mut self, mut other: Self, every: u32) -> Self {
        other.priority_zero.append(&mut self.priority_zero);
        Self {
            normal: self.normal,
            priority_zero: other.priority_zero,
            other_form: other.normal,
            other_form_every: every.max(1),
        }
    }
}

/// Which of a router's adverts to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvertKind {
    Normal,
    PriorityZero,
    /// The other checksum form.
    OtherForm,
}

#[derive(Debug)]
enum Command {
    Configure { router: RouterId, frames: AdvertFrames, statistics: Arc<AdvertStatistics> },
    Start { router: RouterId, interval: Duration },
    Stop { router: RouterId },
    SendOnce { router: RouterId, kind: AdvertKind },
    Announce { router: RouterId, frames: Vec<AnnouncementFrame>, rounds: u32 },
    Remove { router: RouterId },
    Sync { done: mpsc::SyncSender<()> },
}

/// The controller's end of the advert thread. Dropping it ends the thread, which sends nothing more.
#[derive(Debug)]
pub struct AdvertSender {
    orders: Arc<OrderQueue<Command>>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    scheduling: Outcome,
    statistics: HashMap<RouterId, Arc<AdvertStatistics>>,
}

impl AdvertSender {
    /// Starts the thread in the caller's network namespace. Needs CAP_NET_RAW.
    pub fn spawn(options: AdvertOptions) -> io::Result<Self> {
        let socket = PacketSocket::open()?;
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let timer =
            TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let orders = Arc::new(OrderQueue::default());
        let queue = Arc::clone(&orders);
        let (report, reported) = mpsc::sync_channel(1);
        let shared_wake = Arc::clone(&wake);
        let thread = std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || {
            // Signals belong to the main thread.
            let _ = SigSet::all().thread_block();
            let scheduling = realtime::enter_reserved(Reservation::TIMEKEEPER, options.priority);
            let _ = report.send(scheduling);
            AdvertThread::new(socket, shared_wake, timer, queue).run();
        })?;
        let scheduling = reported.recv().map_err(|_| io::Error::other("the advert thread did not start"))?;
        Ok(Self { orders, wake, thread: Some(thread), scheduling, statistics: HashMap::new() })
    }

    /// What the thread got from the scheduler; warn once if it is not real-time.
    pub fn scheduling(&self) -> Outcome {
        self.scheduling
    }

    /// False once the thread has ended, which it never does by itself: adverts have then stopped.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Sets what a router sends from now on. A running schedule goes on with the new frames.
    pub fn configure(&mut self, router: RouterId, frames: AdvertFrames) {
        let statistics = Arc::clone(self.statistics.entry(router).or_default());
        self.order(Command::Configure { router, frames, statistics });
    }

    /// Sends an advert at once and then every `interval`, drift-free (V-085). Starts anew if one is running.
    pub fn start(&self, router: RouterId, interval: Duration) {
        self.order(Command::Start { router, interval });
    }

    /// Ends the schedule and any burst of announcements.
    pub fn stop(&self, router: RouterId) {
        self.order(Command::Stop { router });
    }

    /// Sends one advert now, schedule or not (V-106).
    pub fn send_once(&self, router: RouterId, kind: AdvertKind) {
        self.order(Command::SendOnce { router, kind });
    }

    /// Sends `frames` at once, paced, and again in later rounds; in place of a burst that the router may still have.
    pub fn announce(&self, router: RouterId, frames: Vec<AnnouncementFrame>, rounds: u32) {
        self.order(Command::Announce { router, frames, rounds });
    }

    /// Waits until everything ordered so far has been handed to the kernel, at most `limit`. False if it took longer.
    pub fn settle(&self, limit: StdDuration) -> bool {
        let (done, settled) = mpsc::sync_channel(1);
        self.order(Command::Sync { done });
        settled.recv_timeout(limit).is_ok()
    }

    /// Stops and forgets a router.
    pub fn remove(&mut self, router: RouterId) {
        self.statistics.remove(&router);
        self.order(Command::Remove { router });
    }

    /// What was sent for a router since it was first configured.
    pub fn counts(&self, router: RouterId) -> AdvertCounts {
        self.statistics.get(&router).map(|statistics| statistics.counts()).unwrap_or_default()
    }

    /// How late any scheduled advert of the present routers was at most.
    pub fn maximum_lateness(&self) -> Duration {
        let lateness = self.statistics.values().map(|statistics| statistics.counts().maximum_lateness);
        lateness.max().unwrap_or_default()
    }

    fn order(&self, command: Command) {
        self.orders.push(command);
        // It fails only when the counter is full, and then the thread is awake already.
        let _ = self.wake.write(1);
    }
}

impl Drop for AdvertSender {
    fn drop(&mut self) {
        self.orders.close();
        let _ = self.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Router {
    normal: Arc<[Outbound]>,
    priority_zero: Arc<[Outbound]>,
    other_form: Arc<[Outbound]>,
    other_form_every: u32,
    /// Scheduled adverts since the start.
    scheduled: u32,
    statistics: Arc<AdvertStatistics>,
}

struct Pending {
    frames: Arc<[Outbound]>,
    kind: FrameKind,
    statistics: Arc<AdvertStatistics>,
}

struct AdvertThread {
    socket: PacketSocket,
    wake: Arc<EventFd>,
    timer: TimerFd,
    queue: Arc<OrderQueue<Command>>,
    taken: Vec<Command>,
    routers: HashMap<RouterId, Router>,
    schedule: Schedule,
    announcements: Announcements,
    pending: Vec<Pending>,
    due: Vec<Due>,
}

impl AdvertThread {
    fn new(
        socket: PacketSocket,
        wake: Arc<EventFd>,
        timer: TimerFd,
        queue: Arc<OrderQueue<Command>>,
    ) -> Self {
        Self {
            socket,
            wake,
            timer,
            queue,
            taken: Vec::new(),
            routers: HashMap::new(),
            schedule: Schedule::default(),
            announcements: Announcements::default(),
            pending: Vec::new(),
            due: Vec::new(),
        }
    }

    fn run(mut self) {
        while self.take_orders() {
            self.send_adverts();
            self.send_announcements();
            self.wait();
        }
        // What was ordered before the handle was dropped still leaves: the last advert is often the priority-0 one.
        self.send_pending();
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
            Command::Configure { router, frames, statistics } => {
                let normal = frames.normal.into();
                let known = Router {
                    normal,
                    priority_zero: frames.priority_zero.into(),
                    other_form: frames.other_form.into(),
                    other_form_every: frames.other_form_every.max(1),
                    scheduled: 0,
                    statistics,
                };
                self.routers.insert(router, known);
            }
            Command::Start { router, interval } => self.schedule.start(clock::now(), router, interval),
            Command::Stop { router } => {
                self.schedule.stop(router);
                self.announcements.cancel(router);
            }
            Command::SendOnce { router, kind } => self.enqueue(router, kind),
            Command::Announce { router, frames, rounds } => {
                self.announcements.start(clock::now(), router, frames, rounds);
            }
            Command::Remove { router } => {
                self.schedule.stop(router);
                self.announcements.cancel(router);
                self.routers.remove(&router);
            }
            Command::Sync { done } => {
                self.send_pending();
                // Whoever gave up waiting does not listen any more.
                let _ = done.try_send(());
            }
        }
    }

    fn enqueue(&mut self, router: RouterId, kind: AdvertKind) {
        let Some(router) = self.routers.get(&router) else { return };
        let (frames, kind) = match kind {
            AdvertKind::Normal => (&router.normal, FrameKind::Advert),
            AdvertKind::PriorityZero => (&router.priority_zero, FrameKind::PriorityZero),
            AdvertKind::OtherForm => (&router.other_form, FrameKind::Advert),
        };
        let statistics = Arc::clone(&router.statistics);
        self.pending.push(Pending { frames: Arc::clone(frames), kind, statistics });
    }

    fn send_adverts(&mut self) {
        let now = clock::now();
        let mut due = std::mem::take(&mut self.due);
        self.schedule.take_due(now, &mut due);
        for Due { router, at } in due.drain(..) {
            if let Some(known) = self.routers.get_mut(&router) {
                known.statistics.late_by(now.since(at));
                let turn = known.scheduled.is_multiple_of(known.other_form_every);
                known.scheduled = known.scheduled.wrapping_add(1);
                // First, so that the form we prefer is the one last heard.
                if turn {
                    self.enqueue(router, AdvertKind::OtherForm);
                }
            }
            self.enqueue(router, AdvertKind::Normal);
        }
        self.due = due;
        self.send_pending();
    }

    fn send_pending(&mut self) {
        let mut batch = Vec::with_capacity(self.pending.len());
        let mut owners = Vec::with_capacity(self.pending.len());
        for pending in &self.pending {
            for frame in pending.frames.iter() {
                batch.push(frame);
                owners.push(pending);
            }
        }
        self.socket.send(&batch, |place, outcome| match outcome {
            Ok(()) => owners[place].statistics.sent(owners[place].kind),
            Err(failure) => owners[place].statistics.failed(failure),
        });
        drop(owners);
        self.pending.clear();
    }

    fn send_announcements(&mut self) {
        let mut slice = Vec::new();
        self.announcements.take_slice(clock::now(), |router, frames, index| {
            let AnnouncementFrame { ifindex, frame } = &frames[index];
            slice.push((router, Outbound::Ethernet { ifindex: *ifindex, frame: frame.clone() }));
        });
        if slice.is_empty() {
            return;
        }
        let batch: Vec<&Outbound> = slice.iter().map(|(_, frame)| frame).collect();
        let routers = &self.routers;
        self.socket.send(&batch, |place, outcome| {
            let Some(router) = routers.get(&slice[place].0) else { return };
            match outcome {
                Ok(()) => router.statistics.sent(FrameKind::Announcement),
                Err(failure) => router.statistics.failed(failure),
            }
        });
    }

    /// Sleeps until something is due or an order comes.
    fn wait(&mut self) {
        let due = match (self.schedule.next_due(), self.announcements.next_due()) {
            (Some(advert), Some(announcement)) => Some(advert.min(announcement)),
            (advert, announcement) => advert.or(announcement),
        };
        self.arm(due);
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
