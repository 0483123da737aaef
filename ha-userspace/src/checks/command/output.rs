//! The output of a command, both streams through one pipe: read as it comes, and only the last words kept.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes of output that are kept.
const KEPT: usize = 256;
/// Read at once: all that a pipe holds.
const CHUNK: usize = 64 << 10;
/// Chunks read once the command has ended; more can only come from a process that left its group.
const LAST_CHUNKS: usize = 4;

/// The reading end, and the last [`KEPT`] bytes.
#[derive(Debug)]
pub(super) struct OutputTail {
    pipe: AsyncFd<OwnedFd>,
    kept: Vec<u8>,
    buffer: Vec<u8>,
}

impl OutputTail {
    /// `pipe` is non-blocking. Needs the runtime.
    pub(super) fn new(pipe: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned by the AsyncFd and never taken out of it.
        let pipe = unsafe { AsyncFd::register_with_interest(pipe, Interest::READABLE)? };
        Ok(Self { pipe, kept: Vec::new(), buffer: vec![0; CHUNK] })
    }

    /// Reads for as long as it is polled, so that the command never waits for a reader.
    pub(super) async fn read(&mut self) -> Infallible {
        loop {
            let Ok(mut ready) = self.pipe.readable().await else { break };
            let got = ready.try_io(|pipe| read(pipe, &mut self.buffer));
            match got {
                Ok(Ok(count)) if count > 0 => keep(&mut self.kept, &self.buffer[..count]),
                // Closed, or broken: nothing more will come.
                Ok(_) => break,
                Err(_would_block) => {}
            }
            // A flood of output must not keep the other checks waiting.
            tokio::task::yield_now().await;
        }
        std::future::pending().await
    }

    /// Reads what is left without waiting and returns the last words as one line.
    pub(super) fn finish(mut self) -> String {
        for _ in 0..LAST_CHUNKS {
            match read(&self.pipe, &mut self.buffer) {
                Ok(count) if count > 0 => keep(&mut self.kept, &self.buffer[..count]),
                _ => break,
            }
        }
        one_line(&self.kept)
    }
}

fn read(pipe: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is valid for its length during the call, and the descriptor is open.
    let count = unsafe { libc::read(pipe.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

fn keep(kept: &mut Vec<u8>, chunk: &[u8]) {
    kept.extend_from_slice(&chunk[chunk.len().saturating_sub(KEPT)..]);
    let excess = kept.len().saturating_sub(KEPT);
    kept.drain(..excess);
}

/// Lines joined by `; `, without control characters.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(|line| line.replace(char::is_control, " ").trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let mut kept = Vec::new();
        keep(&mut kept, &[b'a'; 1000]);
        assert_eq!(kept, [b'a'; KEPT]);
        keep(&mut kept, b"end");
        assert_eq!(kept.len(), KEPT);
        assert!(kept.ends_with(b"aend"));
        let mut short = Vec::new();
        keep(&mut short, b"one");
        keep(&mut short, b"two");
        assert_eq!(short, b"onetwo");
    }

    #[test]
    fn words_become_one_harmless_line() {
        assert_eq!(one_line(b"  no route\n\n\x1b[31mhost\tdown \n"), "no route; [31mhost down");
        assert_eq!(one_line(b"\xff\xfeok"), "\u{fffd}\u{fffd}ok");
        assert_eq!(one_line(b"\n \n"), "");
    }
}
