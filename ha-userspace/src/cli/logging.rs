//! Logs to stderr, written by a thread of their own: whoever logs never waits for whoever reads.
//!
//! Input is `--log-level`, else `RUST_LOG`, else "info". Under journald the lines carry neither time nor colour, which
//! it adds itself; elsewhere colours are for terminals only. When the reader is too slow, lines are lost and counted.

use super::args::LogLevel;
use std::io::{self, IsTerminal};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Lines that wait for the writer; past these they are lost.
const BUFFERED_LINES: usize = 8_192;

/// How lines look, after where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Style {
    time: bool,
    colours: bool,
}

impl Style {
    fn of(journald: bool, terminal: bool, no_color: bool) -> Self {
        Self { time: !journald, colours: terminal && !journald && !no_color }
    }
}

/// Starts logging. Lines that still wait are written when the guard is dropped. A second start changes nothing.
#[must_use = "dropping the guard ends the writer"]
pub fn start(level: Option<LogLevel>) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(BUFFERED_LINES)
        .thread_name("hf-log")
        .finish(io::stderr());
    let style = Style::of(
        std::env::var_os("JOURNAL_STREAM").is_some(),
        io::stderr().is_terminal(),
        std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
    );
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(writer)
        .with_ansi(style.colours)
        .with_target(false);
    // Fails only where a subscriber is in place already, as in tests.
    let _ = if style.time { lines.try_init().ok() } else { lines.without_time().try_init().ok() };
    guard
}

fn filter(level: Option<LogLevel>) -> EnvFilter {
    let default = level.map_or(LevelFilter::INFO, LevelFilter::from);
    let builder = EnvFilter::builder().with_default_directive(default.into());
    if level.is_some() { builder.parse_lossy("") } else { builder.from_env_lossy() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journald_gets_neither_time_nor_colour() {
        assert_eq!(Style::of(true, true, false), Style { time: false, colours: false });
        assert_eq!(Style::of(false, true, false), Style { time: true, colours: true });
        assert_eq!(Style::of(false, true, true), Style { time: true, colours: false });
        assert_eq!(Style::of(false, false, false), Style { time: true, colours: false });
    }

    #[test]
    fn the_option_sets_the_level() {
        assert_eq!(filter(Some(LogLevel::Debug)).to_string(), "debug");
        assert_eq!(filter(Some(LogLevel::Error)).to_string(), "error");
    }
}
