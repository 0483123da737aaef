//! The journal: every transition and notice with its cause, kept on disk and in memory, and put into words.
//!
//! Input is what the engine wants recorded (`Action::Record`, `Action::Notify`), with the operator's names put in for
//! the engine's numbers. It runs on a thread of its own and never holds up the controller; a full disk costs records
//! on disk, never the daemon.

pub mod event;
pub mod explain;
pub mod feed;
pub mod record;
pub mod timestamp;

pub use event::{Event, EventRecord, Names, NoticeEvent, Occurrence, TransitionEvent};
pub use feed::EventFeed;
pub use record::Journal;
pub use timestamp::Timestamp;
