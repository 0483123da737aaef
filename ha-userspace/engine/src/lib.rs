//! Every decision Holdfast takes, and nothing else.
//!
//! The engine is sans-IO: [`Engine::handle_input`], [`Engine::handle_timeout`], [`Engine::next_deadline`],
//! [`Engine::poll_action`]. Time is an integer handed in; an effect's outcome comes back as another input. The daemon,
//! the simulator and the replayer run this same code. It never reads a clock, draws randomness, blocks or allocates
//! threads.
#![forbid(unsafe_code)]

pub mod action;
pub mod config;
mod engine;
mod flap_record;
pub mod flaps;
mod groups;
pub mod input;
pub mod path_health;
pub mod peer_health;
mod reload;
pub mod time;
mod view;
mod vrrp;

pub use action::{Action, Cause, Notice, PolicyWrite, Role, Transition};
pub use config::{
    ChecksumPolicy, EngineConfig, Family, GroupId, InterfaceId, RouterConfig, RouterId, Version,
};
pub use engine::Engine;
pub use flap_record::{FlapRecord, FlapView, LatchReason, LatchRecord, LatchView, UnitId};
pub use flaps::{FlapEvent, FlapGovernor, FlapSettings, LatchRelease, ReleasedBy};
pub use input::{Advert, ChecksumForm, Input};
pub use path_health::{
    Check, CheckCounts, CheckSettings, Health, HealthChange, PathIndex, PathMonitor, PathView, RoundTrips,
};
pub use peer_health::{CheckOutcome, PeerId, PeerMonitor, PeerMonitors, PeerView};
pub use time::{Duration, Instant};
pub use view::RouterView;
