//! The host's end of the line to a guest's agent. Every request has a deadline; software emulation is slow, so the
//! deadlines are generous.

use anyhow::{Context, Result, bail, ensure};
use holdfast_lab::Moment;
use holdfast_vm_protocol::{Answer, Hello, Order, Ran, Reply, Request, TrafficWindow};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time an order is given unless it says otherwise.
const ORDER_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// A silent line is looked at this often.
const SLICE: Duration = Duration::from_millis(200);

/// A connection to one guest.
#[derive(Debug)]
pub(crate) struct Agent {
    name: String,
    socket: PathBuf,
    line: UnixStream,
    /// What has come since the last whole reply.
    heard: Vec<u8>,
}

impl Agent {
    /// Connects to the socket that QEMU makes, as soon as it does.
    pub(crate) fn connect(name: &str, socket: &Path, within: Duration) -> Result<Self> {
        let end = Moment::now() + within;
        let line = loop {
            match UnixStream::connect(socket) {
                Ok(line) => break line,
                Err(error) if Moment::now() >= end => {
                    return Err(error).with_context(|| format!("{name}: connecting to {}", socket.display()));
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        };
        line.set_read_timeout(Some(SLICE)).context("setting a time limit")?;
        Ok(Agent { name: name.to_owned(), socket: socket.to_owned(), line, heard: Vec::new() })
    }

    /// Gives an order and waits for what came of it.
    pub(crate) fn order_within(&mut self, order: Order, within: Duration) -> Result<Answer> {
        // Unique beyond this connection: the reply to somebody else's order may still be on the line.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = u64::from(std::process::id()) << u32::BITS | NEXT.fetch_add(1, Ordering::Relaxed);
        let mut request = serde_json::to_string(&Request { id, order: order.clone() })?;
        request.push('\n');
        let failed = || format!("{}: {order:?}", self.name);
        self.line.write_all(request.as_bytes()).with_context(failed)?;
        let end = Moment::now() + within;
        while Moment::now() < end {
            let Some(reply) = self.read_reply()? else { continue };
            if reply.id == id {
                return reply.result.map_err(|error| anyhow::anyhow!("{}: {order:?}: {error}", self.name));
            }
        }
        bail!("{}: {order:?}: no answer within {within:?}", self.name)
    }

    fn read_reply(&mut self) -> Result<Option<Reply>> {
        let mut buffer = [0; 16 * 1024];
        match self.line.read(&mut buffer) {
            Ok(0) => bail!("{}: the guest is gone ({} closed)", self.name, self.socket.display()),
            Ok(length) => self.heard.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).with_context(|| format!("{}: reading", self.name)),
        }
        let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        let reply = serde_json::from_slice(&line);
        reply.map(Some).with_context(|| format!("{}: {}", self.name, String::from_utf8_lossy(&line)))
    }

    pub(crate) fn order(&mut self, order: Order) -> Result<Answer> {
        self.order_within(order, ORDER_WITHIN)
    }

    /// Waits until the guest has started.
    pub(crate) fn hello(&mut self, within: Duration) -> Result<Hello> {
        match self.order_within(Order::Hello, within)? {
            Answer::Hello(hello) => Ok(hello),
            other => self.strange(&other),
        }
    }

    /// Runs a command to its end, whatever that is.
    pub(crate) fn run(&mut self, argv: &[&str]) -> Result<Ran> {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        match self.order(Order::Run { argv })? {
            Answer::Ran(ran) => Ok(ran),
            other => self.strange(&other),
        }
    }

    /// Runs a command that must succeed; gives what it printed.
    pub(crate) fn run_ok(&mut self, argv: &[&str]) -> Result<String> {
        let ran = self.run(argv)?;
        ensure!(
            ran.code == Some(0),
            "{}: `{}` failed: {}{}",
            self.name,
            argv.join(" "),
            ran.stderr,
            ran.stdout
        );
        Ok(ran.stdout)
    }

    /// Runs `ip` with these words.
    pub(crate) fn ip(&mut self, words: &str) -> Result<String> {
        let mut argv = vec!["ip"];
        argv.extend(words.split_whitespace());
        self.run_ok(&argv)
    }

    pub(crate) fn write(&mut self, path: &str, content: &str, mode: u32) -> Result<()> {
        self.order(Order::Write { path: path.to_owned(), content: content.to_owned(), mode }).map(drop)
    }

    pub(crate) fn read(&mut self, path: &str) -> Result<String> {
        match self.order(Order::Read { path: path.to_owned() })? {
            Answer::Text(text) => Ok(text),
            other => self.strange(&other),
        }
    }

    /// The figures of the guest's traffic in the present window, which goes on or begins anew.
    pub(crate) fn traffic(&mut self, anew: bool) -> Result<TrafficWindow> {
        match self.order(Order::Traffic { anew })? {
            Answer::Traffic(window) => Ok(window),
            other => self.strange(&other),
        }
    }

    fn strange<T>(&self, answer: &Answer) -> Result<T> {
        bail!("{}: the agent gave another kind of answer: {answer:?}", self.name)
    }
}
