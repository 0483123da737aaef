//! Work that starves the gateways: busy loops, forks, memory, and a real-time hog above the daemon's own priority.
//!
//! A load is a process of its own (`lab_load`), so that it ends whole with its value, and so that the kernel's choice falls
//! on it if memory runs out. It is carried out on every processor.

use crate::clock::{Moment, prefer_priority};
use crate::netns::LabName;
use crate::process::Process;
use crate::processors;
use crate::workdir::WorkDir;
use anyhow::{Context, Result, bail};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// This many loops that never wait.
    BusyLoops(u32),
    /// The loops, and beside them processes that are forked and end, without pause.
    Forks(u32),
    /// All memory but [`RESERVE`] is used and given back in turn, and files are read through what is left.
    Memory,
    /// A real-time thread on each processor takes this share of it, in percent, in periods of [`PERIOD`].
    RealTime(u32),
}

/// Memory that is left to everybody else.
pub const RESERVE: u64 = 3 << 30;
/// With less than this left, memory is given back at once.
const ALARM: u64 = 2 << 30;
/// Period of the real-time hog.
pub const PERIOD: Duration = Duration::from_millis(10);
/// Real-time priority of the hog: above all of the daemon's threads, which run at 50 to 52.
pub const PRIORITY: i32 = 90;

/// A load that is being carried.
#[derive(Debug)]
pub struct Burden {
    process: Process,
    _files: WorkDir,
}

impl Burden {
    /// False once the load has ended by itself.
    pub fn is_carried(&mut self) -> bool {
        self.process.exited().is_none()
    }
}

impl Load {
    /// Starts the load with the program `lab_load`.
    pub fn start(self, lab: &LabName, program: &Path) -> Result<Burden> {
        let files = WorkDir::create(lab, "load")?;
        let mut command = Command::new(program);
        command.args(self.words());
        let process = Process::spawn("lab_load", command, &files.path().join("log"))?;
        Ok(Burden { process, _files: files })
    }

    fn words(self) -> [String; 2] {
        let (word, amount) = match self {
            Load::BusyLoops(loops) => ("loops", loops),
            Load::Forks(loops) => ("forks", loops),
            Load::Memory => ("memory", 0),
            Load::RealTime(percent) => ("real-time", percent),
        };
        [word.to_owned(), amount.to_string()]
    }

    /// Reads what [`Load::start`] passes.
    pub fn from_words(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let word = words.next().context("which load?")?;
        let amount = words.next().context("how much of it?")?.parse()?;
        Ok(match word.as_str() {
            "loops" => Load::BusyLoops(amount),
            "forks" => Load::Forks(amount),
            "memory" => Load::Memory,
            "real-time" if (1..100).contains(&amount) => Load::RealTime(amount),
            _ => bail!("no load {word} {amount}"),
        })
    }

    /// Carries the load in this process, until it is killed.
    pub fn carry(self) -> Result<()> {
        // SAFETY: plain system call without pointers; this process ends with whoever started it.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        let workers: Vec<_> = match self {
            Load::BusyLoops(loops) => (0..loops).map(|_| std::thread::spawn(spin)).collect(),
            Load::Forks(loops) => {
                let forks = (0..processors::count() * 2).map(|_| std::thread::spawn(fork_on));
                (0..loops).map(|_| std::thread::spawn(spin)).chain(forks).collect()
            }
            Load::Memory => {
                std::fs::write("/proc/self/oom_score_adj", "1000").context("offering this process")?;
                let file = sparse_file().context("a file to read through")?;
                vec![std::thread::spawn(fill_memory), std::thread::spawn(move || read_on(file))]
            }
            Load::RealTime(percent) => {
                let hog = |processor| std::thread::spawn(move || take_share(processor, percent));
                (0..processors::count()).map(hog).collect()
            }
        };
        for worker in workers {
            let _ = worker.join();
        }
        bail!("a load ended by itself")
    }
}

fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

fn fork_on() {
    loop {
        // SAFETY: the child of this process of several threads calls nothing but `_exit`; the parent waits for that very
        // child, with no place for its status.
        unsafe {
            match libc::fork() {
                0 => libc::_exit(0),
                child if child > 0 => drop(libc::waitpid(child, std::ptr::null_mut(), 0)),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

fn take_share(processor: usize, percent: u32) {
    processors::stay_on(processor);
    prefer_priority(PRIORITY);
    let busy = PERIOD * percent / 100;
    let mut next = Moment::now();
    loop {
        next.sleep_until();
        let begin = Moment::now();
        while begin.elapsed() < busy {
            std::hint::spin_loop();
        }
        next = (next + PERIOD).max(Moment::now());
    }
}

/// Takes memory in pieces down to the reserve; then each new piece costs the oldest one.
fn fill_memory() {
    const PIECE: usize = 64 << 20;
    const PAGE: usize = 4096;
    let mut pieces = std::collections::VecDeque::new();
    loop {
        let left = available_memory();
        if left < ALARM {
            pieces.drain(..pieces.len().div_ceil(4));
            continue;
        }
        if left < RESERVE + PIECE as u64 && pieces.pop_front().is_none() {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        let mut piece = vec![0u8; PIECE];
        piece.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        pieces.push_back(std::hint::black_box(piece));
    }
}

/// Bytes that can be had without taking anything from anybody; 0 where the system does not tell.
fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// A file without blocks or a name: reading it takes memory, and nothing of the disk.
fn sparse_file() -> std::io::Result<std::fs::File> {
    const LENGTH: u64 = 16 << 30;
    let mut options = std::fs::File::options();
    options.read(true).write(true).custom_flags(libc::O_TMPFILE);
    let file = options.open("/var/tmp")?;
    file.set_len(LENGTH)?;
    Ok(file)
}

fn read_on(mut file: std::fs::File) {
    let mut room = vec![0u8; 1 << 20];
    loop {
        if !matches!(file.read(&mut room), Ok(length) if length > 0) && file.seek(SeekFrom::Start(0)).is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_read_as_it_is_passed() {
        for load in [Load::BusyLoops(16), Load::Forks(3), Load::Memory, Load::RealTime(90)] {
            assert_eq!(Load::from_words(load.words().into_iter()).unwrap(), load);
        }
        let words = ["real-time", "100"].map(str::to_owned);
        assert!(Load::from_words(words.into_iter()).is_err(), "a machine without a rest");
    }

    #[test]
    fn memory_is_measured() {
        assert!(available_memory() > 1 << 20);
    }
}
