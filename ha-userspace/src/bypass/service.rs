//! The bypass thread and its handle.
//!
//! The thread runs at normal priority and owns the driver; the controller only queues orders and leaves the instant of
//! the last proven round trip. If the daemon dies, nothing is disarmed: the watchdog then does its work.

use super::command::CommandDriver;
use super::driver::BypassDriver;
use super::gpio::GpioDriver;
use super::keeper::{Keeper, Order, Sink};
use super::pair::{BypassReport, PortPair, Wanted};
use super::sysfs::SysfsDriver;
use super::watchdog::PetTimer;
use super::xdp::{KernelSwitch, WirePorts, XdpDriver};
use crate::config::validated;
use crate::datapath::BypassMaps;
use crate::runtime::clock;
use holdfast_engine::Instant;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

const THREAD_NAME: &str = "hf-bypass";

/// Handle of the bypass thread. Dropping it ends the thread and leaves the watchdog armed; see [`Bypass::stop`].
#[derive(Debug)]
pub struct Bypass {
    /// `None` once the thread was told to end.
    orders: Option<Sender<Message>>,
    proven_at: Arc<AtomicU64>,
    thread: Option<JoinHandle<Option<BypassMaps>>>,
}

/// Why there is no bypass thread.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("bypass.driver = \"xdp\" needs the maps of the data plane, which another driver has taken")]
    NoMaps,
    #[error("starting the bypass thread: {0}")]
    Thread(io::Error),
}

#[derive(Debug)]
enum Message {
    Order(Order),
    Stop,
}

impl Bypass {
    /// Starts the driver that the configuration names; `None` if it names none. `maps` are needed by the software wire
    /// alone. The first reports say how the pairs are found.
    pub fn spawn(
        config: &validated::Bypass,
        pairs: &[PortPair],
        maps: Option<BypassMaps>,
        sink: Box<dyn Fn(BypassReport) + Send>,
    ) -> Result<Option<Self>, StartError> {
        let Some(driver) = driver(config, pairs, maps)? else { return Ok(None) };
        let now = clock::now();
        let pets =
            config.watchdog.map(|watchdog| PetTimer::new(watchdog.timeout, watchdog.pet_interval, now));
        Self::over(driver, pairs, pets, sink).map(Some)
    }

    fn over(
        driver: Box<dyn BypassDriver>,
        pairs: &[PortPair],
        pets: Option<PetTimer>,
        sink: Sink,
    ) -> Result<Self, StartError> {
        let (orders, queue) = channel();
        let proven_at = Arc::new(AtomicU64::new(0));
        let proof = Arc::clone(&proven_at);
        let keeper = Keeper::new(driver, pairs.to_vec(), pets, sink, clock::now());
        let thread = std::thread::Builder::new()
            .name(THREAD_NAME.into())
            .spawn(move || run(keeper, &queue, &proof))
            .map_err(StartError::Thread)?;
        Ok(Self { orders: Some(orders), proven_at, thread: Some(thread) })
    }

    /// Joins the ports of the named pairs. Each ends in a report.
    pub fn engage<'a>(&self, pairs: impl IntoIterator<Item = &'a str>) {
        self.want(Wanted::Engaged, pairs);
    }

    /// Undoes [`Self::engage`]. Each ends in a report.
    pub fn release<'a>(&self, pairs: impl IntoIterator<Item = &'a str>) {
        self.want(Wanted::Released, pairs);
    }

    /// Says when the data plane last proved a round trip; the watchdog is petted by it. Costs one store.
    pub fn pet(&self, proven_at: Instant) {
        self.proven_at.store(proven_at.as_nanos(), Ordering::Relaxed);
    }

    /// Tells how the ports of the pairs stand, at start and after every change: the software wire goes by it. Pairs that
    /// are not named stay as they are. The lease must have been extended before, where the wire engages on its loss.
    pub fn rewire(&self, ports: Vec<WirePorts>) {
        self.send(Message::Order(Order::Rewire(ports)));
    }

    /// Disarms the watchdogs and ends the thread, once what it is doing is done. Pairs stay as they are. Gives back the
    /// maps of the software wire: to change the configuration, hand them to the next [`Self::spawn`], order anew what is
    /// to be engaged, and only then [`Self::rewire`], so that no wire is interrupted.
    pub fn stop(mut self) -> Option<BypassMaps> {
        self.send(Message::Stop);
        self.end()
    }

    fn want<'a>(&self, wanted: Wanted, pairs: impl IntoIterator<Item = &'a str>) {
        let pairs = pairs.into_iter().map(str::to_owned).collect();
        self.send(Message::Order(Order::Want(wanted, pairs)));
    }

    fn send(&self, message: Message) {
        let sent = self.orders.as_ref().map(|orders| orders.send(message));
        if !matches!(sent, Some(Ok(()))) {
            tracing::error!("the bypass thread has ended; restart the daemon");
        }
    }

    fn end(&mut self) -> Option<BypassMaps> {
        self.orders = None;
        let ended = self.thread.take()?.join();
        if ended.is_err() {
            tracing::error!("the bypass thread has panicked");
        }
        ended.ok().flatten()
    }
}

impl Drop for Bypass {
    fn drop(&mut self) {
        self.end();
    }
}

fn driver(
    config: &validated::Bypass,
    pairs: &[PortPair],
    maps: Option<BypassMaps>,
) -> Result<Option<Box<dyn BypassDriver>>, StartError> {
    use validated::BypassDriver as Configured;
    Ok(Some(match &config.driver {
        Configured::None => return Ok(None),
        Configured::Xdp => {
            let switch = KernelSwitch::new(maps.ok_or(StartError::NoMaps)?);
            Box::new(XdpDriver::new(switch, pairs, config.on_controller_loss))
        }
        Configured::Sysfs(files) => Box::new(SysfsDriver::new(files.clone())),
        Configured::Gpio(gpio) => Box::new(GpioDriver::new(gpio)),
        Configured::Command(command) => Box::new(CommandDriver::new(command.clone())),
    }))
}

fn run(mut keeper: Keeper, queue: &Receiver<Message>, proof: &AtomicU64) -> Option<BypassMaps> {
    let mut next = clock::now();
    loop {
        let wait = Duration::from_nanos(next.since(clock::now()).as_nanos());
        match queue.recv_timeout(wait) {
            Ok(Message::Order(order)) => keeper.take(clock::now(), order),
            Ok(Message::Stop) => return keeper.stop(),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let proven_at = match proof.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Instant::from_nanos(nanos)),
        };
        next = keeper.step(clock::now(), proven_at);
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
