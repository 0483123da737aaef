//! Configuration in two stages: raw (as written) and validated (as run on).
//!
//! Input is a TOML file. `raw` reads it against the one table of settings (`schema`): names, types, units, bounds.
//! `validation` then checks what only the whole can show and builds [`Config`]. All problems are reported at once,
//! each with its path and line. Nothing here looks at the network; `environment` looks at files and interfaces.

pub mod difference;
pub mod environment;
mod problem;
mod raw;
mod reader;
pub mod schema;
pub mod units;
pub mod validated;
mod validation;
mod values;

pub use difference::{Difference, difference};
pub use problem::Problem;
pub use validated::Config;

use problem::Report;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// Largest configuration file that is read, bytes.
const MAX_FILE_SIZE: u64 = 4 * 1024 * 1024;

/// A configuration that can be run on.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// What the operator should know although it does not stop us.
    pub warnings: Vec<Problem>,
    /// Where each setting stands: line by path, for messages about what only shows at run time.
    pub lines: Lines,
}

/// The file's name, and the line of each section and setting by path (`virtual_router[0].addresses[1]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    pub file: String,
    by_path: BTreeMap<String, usize>,
}

impl Lines {
    /// Line of `path`, or of the closest thing around it that the file has; 0 where there is none.
    pub fn of(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.by_path.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return 0,
            }
        }
    }
}

/// Reads and validates a file, and inspects the secret files it names.
///
/// # Errors
///
/// Every problem of the file, in the order of its lines.
pub fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let loaded = parse_file(path)?;
    let problems = environment::secret_problems(&loaded.config, &loaded.lines);
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

/// Reads and validates a file, whatever this host has of what it names.
///
/// # Errors
///
/// Every problem of the file, in the order of its lines.
pub fn parse_file(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let file = path.display().to_string();
    let text = read(path).map_err(|reason| {
        vec![Problem {
            file: file.clone(),
            path: String::new(),
            line: 0,
            message: format!("cannot be read: {reason}"),
            help: "name a readable file with --config".to_owned(),
        }]
    })?;
    parse(&text, &file)
}

/// `[node]` of a file that says nothing about it.
///
/// # Errors
///
/// A default that is out of its own bounds; tests see to it that there is none.
pub fn default_node() -> Result<validated::Node, Vec<Problem>> {
    let mut report = Report::new("defaults", "");
    let raw = raw::read(&DeTable::new(), &mut report);
    validation::node(&raw.node, &mut report).ok_or_else(|| report.into_problems())
}

/// Where the daemon of the default configuration listens.
pub fn default_socket() -> PathBuf {
    Path::new(schema::DEFAULT_RUN_DIR).join(validated::CONTROL_SOCKET)
}

fn read(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if metadata.len() > MAX_FILE_SIZE {
        return Err(format!("it is larger than {MAX_FILE_SIZE} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Validates the text of a file; `file_name` is what messages call it.
///
/// # Errors
///
/// Every problem of the text, in the order of its lines.
pub fn parse(text: &str, file_name: &str) -> Result<Loaded, Vec<Problem>> {
    let mut report = Report::new(file_name, text);
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        let line = report.line_at(error.span().map_or(0, |span| span.start));
        report.error_at("", line, format!("not valid TOML: {}", error.message()), "correct the syntax");
    }
    if !syntax_errors.is_empty() {
        return Err(report.into_problems());
    }
    let raw = raw::read(table.get_ref(), &mut report);
    let config = validation::validate(&raw, &mut report);
    report.finish(config)
}

#[cfg(test)]
mod tests;
