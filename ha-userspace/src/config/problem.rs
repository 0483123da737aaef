//! What can be wrong with a configuration, and the list in which it is gathered.

use super::{Config, Lines, Loaded};
use serde::Serialize;
use std::fmt;

/// One thing to correct (or, as a warning, to know).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub file: String,
    /// Such as `virtual_router[0].addresses[1]`; empty for the file as a whole.
    pub path: String,
    /// From 1; 0 where no line applies.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        if !self.path.is_empty() {
            write!(formatter, ": {}", self.path)?;
        }
        write!(formatter, ": {} ({})", self.message, self.help)
    }
}

/// Gathers problems and warnings while a file is read.
pub(super) struct Report {
    lines: Lines,
    /// Byte offset at which each line begins.
    line_starts: Vec<usize>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Report {
    pub(super) fn new(file: &str, text: &str) -> Self {
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect();
        let lines = Lines { file: file.to_owned(), ..Lines::default() };
        Self { lines, line_starts, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Line (from 1) of a byte offset.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).max(1)
    }

    /// Remembers where `path` stands.
    pub(super) fn place(&mut self, path: &str, line: usize) {
        self.lines.by_path.insert(path.to_owned(), line);
    }

    pub(super) fn error_at(
        &mut self,
        path: &str,
        line: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = self.problem(path, line, message.into(), help.into());
        self.problems.push(problem);
    }

    /// As [`Report::error_at`], on the line where `path` stands.
    pub(super) fn error(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        self.error_at(path, self.lines.of(path), message, help);
    }

    pub(super) fn warning(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let problem = self.problem(path, self.lines.of(path), message.into(), help.into());
        self.warnings.push(problem);
    }

    fn problem(&self, path: &str, line: usize, message: String, help: String) -> Problem {
        Problem { file: self.lines.file.clone(), path: path.to_owned(), line, message, help }
    }

    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.line);
        self.problems
    }

    /// The outcome of the whole: a configuration only where nothing was wrong.
    pub(super) fn finish(mut self, config: Option<Config>) -> Result<Loaded, Vec<Problem>> {
        match config {
            Some(config) if self.problems.is_empty() => {
                self.warnings.sort_by_key(|warning| warning.line);
                Ok(Loaded { config, warnings: self.warnings, lines: self.lines })
            }
            _ => Err(self.into_problems()),
        }
    }
}
