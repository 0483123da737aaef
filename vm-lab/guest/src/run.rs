//! Programs inside the guest: to their end, or left running with their output in a file.

use anyhow::{Context, Result};
use holdfast_vm_protocol::{LOG_DIR, Ran};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// What was left running, so that it is waited for when it ends.
static CHILDREN: Mutex<Vec<Child>> = Mutex::new(Vec::new());

fn command(argv: &[String]) -> Result<Command> {
    let (program, arguments) = argv.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", PATH).env("HOME", "/").stdin(Stdio::null());
    Ok(command)
}

pub(crate) fn to_end(argv: &[String]) -> Result<Ran> {
    let output = command(argv)?.output().with_context(|| format!("starting {}", argv.join(" ")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

pub(crate) fn spawn(name: &str, argv: &[String]) -> Result<()> {
    let log = Path::new(LOG_DIR).join(format!("{name}.log"));
    let log = File::options().create(true).append(true).open(&log);
    let log = log.with_context(|| format!("opening the log of {name}"))?;
    let mut command = command(argv)?;
    command.stdout(log.try_clone()?).stderr(log);
    let child = command.spawn().with_context(|| format!("starting {}", argv.join(" ")))?;
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).push(child);
    Ok(())
}

/// Waits for those that have ended.
pub(crate) fn reap() {
    let mut children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
    children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}
