//! Running other programs: their success, or an error that says what failed.

use anyhow::{Context, Result, ensure};
use std::process::{Command, Stdio};

/// How a command looks to a reader.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs a command with our output as its own.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let what = shown(command);
    let status = command.status().with_context(|| format!("starting `{what}`"))?;
    ensure!(status.success(), "`{what}` failed ({status})");
    Ok(())
}

/// Runs a command quietly and gives its output; the error carries the end of what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    const SHOWN_LINES: usize = 12;
    let what = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting `{what}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let tail = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    ensure!(output.status.success(), "`{what}` failed ({}):\n{tail}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The full path of a program on PATH, or where packages and cargo put programs that PATH may not name.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cargo_home = std::env::var_os("CARGO_HOME").map(|home| std::path::Path::new(&home).join("bin"));
    let home = std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".cargo/bin"));
    std::env::split_paths(&path)
        .chain(cargo_home)
        .chain(home)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}
