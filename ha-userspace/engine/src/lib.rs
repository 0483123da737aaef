//! Every decision Holdfast takes, and nothing else.
//!
//! The engine is sans-IO: [`Engine::handle_input`], [`Engine::handle_timeout`], [`Engine::next_deadline`],
//! [`Engine::poll_action`]. Time is an integer handed in; an effect's outcome comes back as another input. The daemon,
//! the simulator and the replayer run this same code. It never reads a clock, draws randomness, blocks or allocates
//! threads.
#![forbid(unsafe_code)]

pub mod action;
pub mod config;
mod corroboration;
mod engine;
mod fitness;
mod groups;
pub mod input;
mod peer_inputs;
pub mod peers;
mod reload;
pub mod time;
mod view;
mod vrrp;

pub use action::{Action, Cause, Notice, PolicyWrite, Role, Transition};
pub use config::{
    ChecksumPolicy, EngineConfig, Family, GroupId, InterfaceId, PeerCheck, PeerId, RouterConfig, RouterId,
    Takeover, UnitId, Version,
};
pub use engine::Engine;
pub use input::{Advert, ChecksumForm, Input, Standing};
pub use peers::{PathReport, PeerHealth, PeerReport, Units};
pub use time::{Duration, Instant};
pub use view::RouterView;
