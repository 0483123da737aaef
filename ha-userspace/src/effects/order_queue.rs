//! A queue from a thread of lower to one of higher real-time priority.
//!
//! A lock-free channel will not do: a reader that finds a slot claimed but not yet written spins until the writer
//! finishes, and on one processor a real-time reader spins forever on a writer that it has itself preempted. Here the
//! reader only ever tries the lock. If the writer holds it, the writer's wake-up is still to come, and the reader looks
//! again then. So whoever pushes must wake the reader afterwards.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Orders on their way.
#[derive(Debug)]
pub struct OrderQueue<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    orders: Vec<T>,
    closed: bool,
}

/// What a look into the queue found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Everything pushed so far, or the writer is at it and will wake the reader.
    Open,
    /// As before, and nothing more will come.
    Closed,
}

impl<T> Default for OrderQueue<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { orders: Vec::new(), closed: false }) }
    }
}

impl<T> OrderQueue<T> {
    /// Appends an order; false if the queue is closed. Waits at most for the reader to swap two vectors.
    pub fn push(&self, order: T) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        state.orders.push(order);
        true
    }

    /// Says that nothing more will come.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// Moves every order into the empty `out`, in the order given. Never waits.
    pub fn take(&self, out: &mut Vec<T>) -> Taken {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Taken::Open,
        };
        std::mem::swap(&mut state.orders, out);
        if state.closed { Taken::Closed } else { Taken::Open }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A panic elsewhere leaves a vector that is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_out_once_and_in_order_and_the_end_is_told() {
        let queue = OrderQueue::default();
        queue.push(1);
        queue.push(2);
        let mut out = Vec::new();
        assert_eq!(queue.take(&mut out), Taken::Open);
        assert_eq!(out, [1, 2]);
        out.clear();
        queue.push(3);
        queue.close();
        assert_eq!(queue.take(&mut out), Taken::Closed);
        assert_eq!(out, [3], "what was ordered before the end still counts");
    }

    #[test]
    fn the_reader_never_waits_for_a_writer() {
        let queue = OrderQueue::default();
        queue.push(1);
        let writer = queue.lock();
        let mut out = Vec::new();
        assert_eq!(queue.take(&mut out), Taken::Open);
        assert!(out.is_empty());
        drop(writer);
        assert_eq!(queue.take(&mut out), Taken::Open);
        assert_eq!(out, [1]);
    }
}
