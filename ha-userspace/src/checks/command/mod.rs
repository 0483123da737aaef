//! `kind = "command"`: a program ends with status 0 within its time.
//!
//! It runs as an unprivileged user in a session of its own (`launch`), its output is read and its last words are kept
//! (`output`), and at its end, in time or not, whatever is left of its process group is killed (`child`). A program that
//! does not even die of that is waited for, and meanwhile no further one is started.

mod child;
mod enter;
mod identity;
mod launch;
mod output;

use self::child::{Child, Exit};
use self::identity::{Identity, IdentityError};
use self::launch::{LaunchError, Launched, Program};
use self::output::OutputTail;
use super::blocking::BlockingSlot;
use super::examiner::Outcome;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

/// A killed process is gone long before this, unless it hangs in the kernel.
const DEATH_PATIENCE: Duration = Duration::from_millis(250);

/// Why a command did not even start.
#[derive(Debug, Error)]
enum StartError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

/// A command check, ready to run.
#[derive(Debug)]
pub(super) struct CommandExaminer {
    program: Arc<Program>,
    user: String,
    start: BlockingSlot<Result<Launched, StartError>>,
    /// Killed in an earlier run and not dead yet.
    dying: Option<Child>,
}

impl CommandExaminer {
    /// `shell`: the one element of `argv` is for `/bin/sh -c`. `check` is told to the command.
    pub(super) fn new(check: &str, argv: &[String], shell: bool, user: &str) -> Result<Self, &'static str> {
        Ok(Self {
            program: Arc::new(Program::new(check, argv, shell)?),
            user: user.to_owned(),
            start: BlockingSlot::default(),
            dying: None,
        })
    }

    pub(super) async fn run(&mut self, deadline: Instant) -> Outcome {
        if let Some(outcome) = self.await_the_dying(deadline).await {
            return outcome;
        }
        let (program, user) = (Arc::clone(&self.program), self.user.clone());
        let start = move || {
            let identity = Identity::of(&user)?;
            Ok(launch::launch(&program, identity.as_ref())?)
        };
        match self.start.run(deadline, start).await {
            Ok(Ok(launched)) => match self.attend(launched, deadline).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::bad(format!("{} cannot be watched: {error}", self.program)),
            },
            Ok(Err(error)) => Outcome::bad(error.to_string()),
            Err(error) => Outcome::missing(&format!("the start of {}", self.program), error),
        }
    }

    /// Some where a process of an earlier run is still there at the deadline.
    async fn await_the_dying(&mut self, deadline: Instant) -> Option<Outcome> {
        let dying = self.dying.as_mut()?;
        match timeout_at(deadline, dying.ended()).await {
            Ok(_) => {
                self.dying = None;
                None
            }
            Err(_) => Some(Outcome::timed_out(format!(
                "process {} of an earlier run was killed and does not end: it hangs in the kernel",
                dying.pid()
            ))),
        }
    }

    /// From the start of the process to its end.
    async fn attend(&mut self, launched: Launched, deadline: Instant) -> io::Result<Outcome> {
        let mut child = launched.child;
        let mut output = OutputTail::new(launched.output)?;
        let exit = tokio::select! {
            exit = child.ended() => Some(exit?),
            never = output.read() => match never {},
            () = tokio::time::sleep_until(deadline) => None,
        };
        if let Some(exit) = exit {
            return Ok(judge(exit, &output.finish()));
        }
        child.kill_group();
        let dead = timeout_at(Instant::now() + DEATH_PATIENCE, child.ended()).await;
        let words = output.finish();
        if dead.is_err() {
            self.dying = Some(child);
        }
        Ok(Outcome::timed_out(with_words("no end in time; the process group was killed".to_owned(), &words)))
    }
}

fn judge(exit: Exit, words: &str) -> Outcome {
    match exit {
        Exit::Status(0) => Outcome::good(with_words("exit status 0".to_owned(), words)),
        Exit::Status(status) => Outcome::bad(with_words(format!("exit status {status}"), words)),
        Exit::Signal(signal) => Outcome::bad(with_words(format!("killed by {}", name_of(signal)), words)),
        Exit::Lost => Outcome::bad(
            "its exit status was lost: somebody else collects this daemon's children (is SIGCHLD ignored?)"
                .to_owned(),
        ),
    }
}

fn name_of(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal)
        .map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_owned())
}

fn with_words(what: String, words: &str) -> String {
    if words.is_empty() { what } else { format!("{what}: {words}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn examiner(argv: &[&str], user: &str) -> CommandExaminer {
        let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
        CommandExaminer::new("it", &argv, false, user).unwrap()
    }

    /// The user of this process, so that these tests need no rights.
    fn myself() -> String {
        nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap().name
    }

    fn within(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[test]
    fn a_process_that_does_not_die_is_waited_for_and_not_doubled() {
        runtime().block_on(async {
            let mut examiner = examiner(&["true"], &myself());
            // Stands for one that hangs in the kernel: nobody kills it here.
            let sleeper = Program::new("it", &["sleep".to_owned(), "0.5".to_owned()], false).unwrap();
            examiner.dying = Some(launch::launch(&sleeper, None).unwrap().child);
            let outcome = examiner.run(within(50)).await;
            assert!(outcome.timed_out && outcome.detail.contains("hangs in the kernel"), "{outcome:?}");
            let outcome = examiner.run(within(10_000)).await;
            assert!(outcome.good && examiner.dying.is_none(), "{outcome:?}");
        });
    }

    #[test]
    fn a_dropped_run_leaves_no_process() {
        runtime().block_on(async {
            let mut examiner = examiner(&["sleep", "1000"], &myself());
            let pid = {
                let run = examiner.run(within(100_000));
                let mut run = std::pin::pin!(run);
                assert!(timeout_at(within(300), &mut run).await.is_err());
                own_children("sleep").pop().unwrap()
            };
            assert!(!std::path::Path::new("/proc").join(pid.to_string()).exists(), "killed and collected");
        });
    }

    /// Children of the calling process with this name and these arguments.
    fn own_children(name: &str) -> Vec<u32> {
        let me = std::process::id().to_string();
        let pids = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let matches = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments == format!("{name}\x001000\0").as_bytes()
                && stat.rsplit(") ").next().unwrap().split(' ').nth(1) == Some(&*me)
        };
        pids.filter(matches).collect()
    }

    #[test]
    fn no_rights_to_become_another_user_is_said() {
        let error = LaunchError::Identity { user: "nobody".to_owned(), errno: nix::errno::Errno::EPERM };
        let said = error.to_string();
        assert!(said.contains("cannot become user nobody") && said.contains("CAP_SETUID"), "{said}");
    }
}
