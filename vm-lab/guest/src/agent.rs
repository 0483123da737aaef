//! Requests in, replies out, one at a time. The host may hang up and come back; the agent waits for it.

use crate::traffic::Stream;
use crate::{programs, run, traffic};
use anyhow::{Context, Result};
use holdfast_vm_protocol::{Answer, Hello, Order, PORT_NAME, Reply, Request};
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PORTS: &str = "/sys/class/virtio-ports";
/// Time between two looks for a port that is not there yet, or for a host that hung up.
const PAUSE: Duration = Duration::from_millis(50);
/// Looks for the port before giving up.
const LOOKS: u32 = 200;

struct Agent {
    complaints: Vec<String>,
    stream: Option<Stream>,
}

/// Obeys until the port fails.
pub(crate) fn serve(complaints: Vec<String>) -> Result<Infallible> {
    let path = find_port()?;
    let port = File::options().read(true).write(true).open(&path);
    let port = port.with_context(|| format!("opening {}", path.display()))?;
    let mut answers = port.try_clone().context("opening the port twice")?;
    let mut requests = BufReader::new(port);
    let mut agent = Agent { complaints, stream: None };
    let mut line = String::new();
    loop {
        run::reap();
        // A line whose beginning came before the host hung up is kept and fails to parse.
        let length = requests.read_line(&mut line).with_context(|| format!("reading {}", path.display()))?;
        if length == 0 || !line.ends_with('\n') {
            std::thread::sleep(PAUSE);
            continue;
        }
        let reply = agent.reply(&line);
        line.clear();
        let mut text = serde_json::to_string(&reply).context("writing a reply")?;
        text.push('\n');
        if let Err(error) = answers.write_all(text.as_bytes()) {
            eprintln!("guest: the host did not take a reply: {error}");
        }
    }
}

fn find_port() -> Result<PathBuf> {
    for _ in 0..LOOKS {
        if let Some(name) = port_name() {
            return Ok(Path::new("/dev").join(name));
        }
        std::thread::sleep(PAUSE);
    }
    anyhow::bail!("no port named {PORT_NAME} in {PORTS}: was virtio_console loaded?")
}

fn port_name() -> Option<std::ffi::OsString> {
    let entries = fs::read_dir(PORTS).ok()?;
    let ours = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == PORT_NAME)
    };
    entries.flatten().find(ours).map(|entry| entry.file_name())
}

impl Agent {
    fn reply(&mut self, line: &str) -> Reply {
        match serde_json::from_str::<Request>(line) {
            Ok(Request { id, order }) => {
                Reply { id, result: self.obey(order).map_err(|error| format!("{error:#}")) }
            }
            Err(error) => Reply { id: 0, result: Err(format!("not a request: {error}")) },
        }
    }

    fn obey(&mut self, order: Order) -> Result<Answer> {
        Ok(match order {
            Order::Hello => Answer::Hello(self.hello()?),
            Order::Run { argv } => Answer::Ran(run::to_end(&argv)?),
            Order::Spawn { name, argv } => run::spawn(&name, &argv).map(|()| Answer::Done)?,
            Order::Read { path } => {
                Answer::Text(fs::read_to_string(&path).with_context(|| format!("reading {path}"))?)
            }
            Order::Write { path, content, mode } => write(&path, &content, mode).map(|()| Answer::Done)?,
            Order::CheckPrograms { interface } => Answer::Programs(programs::check(&interface)?),
            Order::Echo { address } => traffic::echo(address).map(|()| Answer::Done)?,
            Order::StartTraffic { destination, interval_ms } => {
                self.stream = Some(Stream::start(destination, Duration::from_millis(interval_ms))?);
                Answer::Done
            }
            Order::Traffic { anew } => {
                Answer::Traffic(self.stream.as_ref().context("no traffic was started")?.window(anew))
            }
        })
    }

    fn hello(&self) -> Result<Hello> {
        let release =
            fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the kernel's release")?;
        let uptime = fs::read_to_string("/proc/uptime").context("reading the uptime")?;
        let seconds: f64 = uptime.split(' ').next().unwrap_or("").parse().context("/proc/uptime")?;
        Ok(Hello {
            kernel_release: release.trim().to_owned(),
            uptime_ms: Duration::from_secs_f64(seconds).as_millis() as u64,
            complaints: self.complaints.clone(),
        })
    }
}

/// Writes a file and makes the directories above it.
fn write(path: &str, content: &str, mode: u32) -> Result<()> {
    if let Some(directory) = Path::new(path).parent() {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let file = File::options().write(true).create(true).truncate(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(content.as_bytes()));
    written.with_context(|| format!("writing {path}"))
}
