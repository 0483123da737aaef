//! The daemon under test, as an operator sees it: a configuration file, a process, and the command line.
//!
//! Every daemon has directories of its own, so that many run side by side in their namespaces. What it pins is removed
//! with the value.

use crate::cleanup::{self, Leftover, Ticket};
use crate::netns::{LabName, Namespace};
use crate::poll::eventually;
use crate::process::Process;
use crate::workdir::WorkDir;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::sync::OnceLock;
use std::time::Duration;

/// Time a daemon is given to load its programs and serve.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Time an ended daemon is given to go.
const GONE_WITHIN: Duration = Duration::from_secs(15);
const BPF_ROOT: &str = "/sys/fs/bpf";
/// Environment variable that names the binary to test.
const BINARY_VARIABLE: &str = "HOLDFAST_BIN";

/// What a daemon is started with.
#[derive(Clone, Debug)]
pub struct NodeSpec<'a> {
    /// `node.name`; also names the directories, so it is unique in the lab.
    pub name: &'a str,
    pub id: Option<u16>,
    /// The configuration without its `[node]` table, which the lab writes.
    pub config: &'a str,
}

/// A daemon in a namespace.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    id: Option<u16>,
    namespace: Namespace,
    binary: PathBuf,
    /// Dropped before the files: it shows the end of its log.
    process: Process,
    files: WorkDir,
    bpf_dir: PathBuf,
    bpf_ticket: Option<Ticket>,
}

impl Daemon {
    /// Starts a daemon and waits until it serves.
    pub fn start(lab: &LabName, namespace: &Namespace, spec: &NodeSpec<'_>) -> Result<Self> {
        let mut daemon = Self::launch(lab, namespace, spec)?;
        daemon.wait_ready()?;
        Ok(daemon)
    }

    /// Starts a daemon without waiting, for configurations that are refused.
    pub fn launch(lab: &LabName, namespace: &Namespace, spec: &NodeSpec<'_>) -> Result<Self> {
        let binary = binary()?;
        let files = WorkDir::create(lab, &format!("{}-daemon", spec.name))?;
        let bpf_dir = Path::new(BPF_ROOT).join(lab.part(spec.name));
        let bpf_ticket = cleanup::register(Leftover::Directory(bpf_dir.clone()));
        let config = configuration(spec.name, spec.id, files.path(), &bpf_dir, spec.config);
        files.write(CONFIG_FILE, &config)?;
        let process = run(&binary, namespace, spec.name, files.path())?;
        Ok(Daemon {
            name: spec.name.to_owned(),
            id: spec.id,
            namespace: Namespace::open(namespace.name())?,
            binary,
            files,
            bpf_dir,
            bpf_ticket: Some(bpf_ticket),
            process,
        })
    }

    /// Waits until the daemon answers `status`.
    pub fn wait_ready(&mut self) -> Result<()> {
        let what = format!("{} serving", self.name);
        let begin = crate::Moment::now();
        loop {
            if self.status().is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.exited() {
                bail!("{} ended while starting ({status})\n{}", self.name, self.process.log_tail());
            }
            if begin.elapsed() > READY_WITHIN {
                bail!("{what}: not within {READY_WITHIN:?}\n{}", self.process.log_tail());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts the daemon again with its directories as they are, after it ended.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.process.exited().is_some(), "{} still runs: stop it before restarting it", self.name);
        self.process = run(&self.binary, &self.namespace, &self.name, self.files.path())?;
        self.wait_ready()
    }

    /// Writes another configuration, which `reload` or `restart` then takes up.
    pub fn set_config(&self, config: &str) -> Result<()> {
        let full = configuration(&self.name, self.id, self.files.path(), &self.bpf_dir, config);
        self.files.write(CONFIG_FILE, &full).map(drop)
    }

    /// Runs `holdfast ARGUMENTS --socket ...` in the daemon's namespace.
    pub fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.namespace.command(&self.binary);
        command.args(arguments).arg("--socket").arg(self.socket());
        command.output().with_context(|| format!("running holdfast {}", arguments.join(" ")))
    }

    /// [`Daemon::cli`] for verbs that must succeed: gives standard output.
    pub fn cli_ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cli(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "holdfast {}: {}", arguments.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What `holdfast status --json` says.
    pub fn status(&self) -> Result<Status> {
        let text = self.cli_ok(&["status", "--json"])?;
        Ok(Status(serde_json::from_str(&text).with_context(|| format!("status of {}: {text}", self.name))?))
    }

    /// The records of the journal, oldest first.
    pub fn events(&self) -> Result<Vec<Value>> {
        let lines = self.cli_ok(&["events", "--json"])?;
        lines.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Waits until the status satisfies `wanted`; the error shows the last status and the log.
    pub fn wait_status(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> Result<Status> {
        let found = eventually(what, deadline, || self.status().ok().filter(|status| wanted(status)));
        found.with_context(|| {
            let last = self.status().map(|status| format!("{:#}", status.0)).unwrap_or_default();
            format!("{}: {what}\nlast status: {last}\n{}", self.name, self.process.log_tail())
        })
    }

    /// Waits until a virtual router is in `state` (`initialize`, `backup`, `active`).
    pub fn wait_state(&self, router: &str, state: &str, deadline: Duration) -> Result<Status> {
        self.wait_status(&format!("{router} is {state}"), deadline, |status| {
            status.state(router) == Some(state)
        })
    }

    pub fn socket(&self) -> PathBuf {
        self.files.path().join("run/control.sock")
    }

    pub fn config_path(&self) -> PathBuf {
        self.files.path().join(CONFIG_FILE)
    }

    pub fn bpf_dir(&self) -> &Path {
        &self.bpf_dir
    }

    /// The cluster secret it runs with.
    pub fn secret_path(&self) -> PathBuf {
        self.files.path().join(SECRET_FILE)
    }

    pub fn state_dir(&self) -> PathBuf {
        self.files.path().join("state")
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Graceful stop by SIGTERM.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.terminate(GONE_WITHIN)
    }

    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    pub fn sigstop(&self) {
        self.process.signal(libc::SIGSTOP);
    }

    pub fn sigcont(&self) {
        self.process.signal(libc::SIGCONT);
    }

    /// Asks for a reload by SIGHUP.
    pub fn sighup(&self) {
        self.process.signal(libc::SIGHUP);
    }

    /// Lets the daemon outlive this process.
    pub fn leave_running(&mut self) {
        self.process.leave_running();
        self.files.leave_standing();
        self.bpf_ticket = None;
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.bpf_ticket.is_some() {
            self.process.kill9();
            cleanup::remove_directory(&self.bpf_dir);
        }
    }
}

const CONFIG_FILE: &str = "holdfast.toml";
/// Stands for the daemon's own directory in a configuration.
pub const FILES_WORD: &str = "@files@";
/// The cluster secret in that directory, the same for every daemon.
pub const SECRET_FILE: &str = "cluster.key";
const SECRET: &[u8; 48] = b"a secret of the lab, the same on every gateway..";

/// The whole configuration file: the `[node]` table and the rest.
pub fn configuration(name: &str, id: Option<u16>, files: &Path, bpf_dir: &Path, rest: &str) -> String {
    let id = id.map(|id| format!("id = {id}\n")).unwrap_or_default();
    let rest = rest.replace(FILES_WORD, &files.display().to_string());
    let (files, bpf_dir) = (files.display(), bpf_dir.display());
    format!(
        "[node]\nname = \"{name}\"\n{id}run_dir = \"{files}/run\"\nstate_dir = \"{files}/state\"\nbpf_dir = \"{bpf_dir}\"\n\n{rest}"
    )
}

fn run(binary: &Path, namespace: &Namespace, name: &str, files: &Path) -> Result<Process> {
    for directory in ["run", "state"] {
        std::fs::create_dir_all(files.join(directory))?;
    }
    let secret = files.join(SECRET_FILE);
    if !secret.exists() {
        std::fs::write(&secret, SECRET)?;
        std::fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
    }
    let mut command = namespace.command(binary);
    command.arg("run").arg("--config").arg(files.join(CONFIG_FILE));
    Process::spawn(name, command, &files.join("log"))
}

static CHOSEN_BINARY: OnceLock<PathBuf> = OnceLock::new();

/// Makes all daemons of this process run `path`. The first choice stands.
pub fn choose_binary(path: &Path) {
    CHOSEN_BINARY.get_or_init(|| path.to_owned());
}

/// The binary under test: the chosen one, `$HOLDFAST_BIN`, or the one built beside this program.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = CHOSEN_BINARY.get() {
        return Ok(path.clone());
    }
    if let Some(path) = std::env::var_os(BINARY_VARIABLE) {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("finding this program")?;
    let found = own.ancestors().skip(1).take(2).map(|dir| dir.join("holdfast")).find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "no holdfast binary beside {}: run `cargo xtask build` or set {BINARY_VARIABLE}",
            own.display()
        )
    })
}

/// `holdfast status --json`, with names for what tests look at most.
#[derive(Clone, Debug)]
pub struct Status(pub Value);

impl Status {
    /// The entry of a virtual router, `Null` if there is none.
    pub fn router(&self, name: &str) -> &Value {
        const NONE: &Value = &Value::Null;
        let routers = self.0["virtual_routers"].as_array();
        routers.and_then(|all| all.iter().find(|router| router["name"] == name)).unwrap_or(NONE)
    }

    pub fn state(&self, router: &str) -> Option<&str> {
        self.router(router)["state"].as_str()
    }

    pub fn is_active(&self, router: &str) -> bool {
        self.state(router) == Some("active")
    }

    pub fn owned(&self, router: &str) -> bool {
        self.router(router)["owned"] == true
    }

    /// Cause of the last transition.
    pub fn cause(&self, router: &str) -> Option<&str> {
        self.router(router)["last_transition"]["cause"].as_str()
    }

    /// A number of the router's entry, e.g. `adverts_sent`; 0 if it is not there.
    pub fn number(&self, router: &str, field: &str) -> u64 {
        self.router(router)[field].as_u64().unwrap_or(0)
    }

    /// Adverts discarded under `reason`.
    pub fn discards(&self, router: &str, reason: &str) -> u64 {
        self.router(router)["discards"][reason].as_u64().unwrap_or(0)
    }

    /// Frames counted under `reason` in the whole data plane.
    pub fn verdicts(&self, reason: &str) -> u64 {
        self.0["data_plane"]["verdicts"][reason].as_u64().unwrap_or(0)
    }

    /// The entry of a link, `Null` if there is none.
    pub fn link(&self, name: &str) -> &Value {
        const NONE: &Value = &Value::Null;
        self.0["links"]
            .as_array()
            .and_then(|all| all.iter().find(|link| link["name"] == name))
            .unwrap_or(NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_by_name() {
        let status = Status(serde_json::json!({
            "virtual_routers": [{"name": "lan", "state": "active", "owned": true, "adverts_sent": 7,
                "last_transition": {"cause": "startup"}, "discards": {"bad-checksum": 3}}],
        }));
        assert!(status.is_active("lan") && status.owned("lan"));
        assert_eq!((status.cause("lan"), status.number("lan", "adverts_sent")), (Some("startup"), 7));
        assert_eq!((status.discards("lan", "bad-checksum"), status.discards("wan", "bad-checksum")), (3, 0));
        assert_eq!(status.state("wan"), None);
    }

    #[test]
    fn the_node_table_comes_first() {
        let text = configuration("gw-a", Some(1), Path::new("/tmp/x"), Path::new("/sys/fs/bpf/x"), "[ha]\n");
        assert!(text.starts_with("[node]\nname = \"gw-a\"\nid = 1\nrun_dir = \"/tmp/x/run\"\n"));
        assert!(text.ends_with("bpf_dir = \"/sys/fs/bpf/x\"\n\n[ha]\n"));
    }
}
