//! A queue into the controller thread that its poll loop can wait on: unbounded, never blocking either side.
//!
//! Built on `OrderQueue`, since senders may have a lower real-time priority than the controller; the event descriptor
//! is the wake-up that queue asks for.

use crate::effects::order_queue::OrderQueue;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Sending end; clone it freely.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: Arc<OrderQueue<T>>,
    wake: Arc<EventFd>,
}

/// Receiving end, polled through its descriptor.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: Arc<OrderQueue<T>>,
    wake: Arc<EventFd>,
}

/// A connected pair.
pub fn mailbox<T>() -> io::Result<(Mailbox<T>, Inbox<T>)> {
    let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
    let queue = Arc::new(OrderQueue::default());
    Ok((Mailbox { queue: Arc::clone(&queue), wake: Arc::clone(&wake) }, Inbox { queue, wake }))
}

impl<T> Mailbox<T> {
    /// Queues a message and wakes the loop. False if the loop is gone.
    pub fn send(&self, message: T) -> bool {
        let sent = self.queue.push(message);
        // A full eventfd counter still reads as ready, so its error carries no news.
        let _ = self.wake.write(1);
        sent
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue), wake: Arc::clone(&self.wake) }
    }
}

impl<T> Inbox<T> {
    /// The messages so far; clears the wake-up first, so that one sent meanwhile wakes again.
    pub fn drain(&self) -> Vec<T> {
        let _ = self.wake.read();
        let mut messages = Vec::new();
        self.queue.take(&mut messages);
        messages
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.queue.close();
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
        assert_eq!(inbox.drain(), [7, 8]);
        assert!(!readable(&inbox));
    }

    #[test]
    fn a_gone_loop_is_reported() {
        let (mailbox, inbox) = mailbox::<u32>().unwrap();
        drop(inbox);
        assert!(!mailbox.send(1));
    }
}
