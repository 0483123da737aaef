//! Drives the engine: the clock, real-time scheduling and the controller's loop.

pub mod clock;
pub mod realtime;
