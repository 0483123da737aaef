//! A queue into the controller thread that its poll loop can wait on: unbounded, never blocking the sender.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Sending end; clone it freely.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: Sender<T>,
    wake: Arc<EventFd>,
}

/// Receiving end, polled through its descriptor.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: Receiver<T>,
    wake: Arc<EventFd>,
}

/// A connected pair.
pub fn mailbox<T>() -> io::Result<(Mailbox<T>, Inbox<T>)> {
    let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
    let (sender, receiver) = channel();
    Ok((Mailbox { queue: sender, wake: wake.clone() }, Inbox { queue: receiver, wake }))
}

impl<T> Mailbox<T> {
    /// Queues a message and wakes the loop. False if the loop is gone.
    pub fn send(&self, message: T) -> bool {
        let sent = self.queue.send(message).is_ok();
        // A full eventfd counter still reads as ready, so its error carries no news.
        let _ = self.wake.write(1);
        sent
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), wake: self.wake.clone() }
    }
}

impl<T> Inbox<T> {
    /// Next message; clears the wake-up first, so that one sent meanwhile wakes again.
    pub fn drain(&self) -> impl Iterator<Item = T> + '_ {
        let _ = self.wake.read();
        self.queue.try_iter()
    }
}

impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn readable(inbox: &Inbox<u32>) -> bool {
        let mut fds = [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_message_wakes_and_draining_rests() {
        let (mailbox, inbox) = mailbox().unwrap();
        assert!(!readable(&inbox));
        assert!(mailbox.send(7) && mailbox.clone().send(8));
        assert!(readable(&inbox));
        assert_eq!(inbox.drain().collect::<Vec<_>>(), [7, 8]);
        assert!(!readable(&inbox));
    }

    #[test]
    fn a_gone_loop_is_reported() {
        let (mailbox, inbox) = mailbox::<u32>().unwrap();
        drop(inbox);
        assert!(!mailbox.send(1));
    }
}
