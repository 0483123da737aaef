//! Every decision Holdfast takes, and nothing else.
//!
//! The engine is sans-IO: [`Engine::handle_input`], [`Engine::handle_timeout`], [`Engine::next_deadline`],
//! [`Engine::poll_action`]. Time is an integer handed in; an effect's outcome comes back as another input. The daemon,
//! the simulator and the replayer run this same code. It never reads a clock, draws randomness, blocks or allocates
//! threads.
#![forbid(unsafe_code)]

pub mod action;
pub mod bandwidth;
pub mod bypass_policy;
pub mod config;
mod corroboration;
mod engine;
mod fitness;
mod flap_record;
pub mod flaps;
mod groups;
pub mod input;
pub mod pairs;
pub mod path_health;
pub mod peer_health;
mod peer_inputs;
pub mod peers;
pub mod priority;
pub mod rate;
mod reload;
pub mod time;
mod view;
mod vrrp;

pub use action::{Action, Cause, Notice, PolicyWrite, Role, Transition};
pub use bandwidth::{BandwidthEvent, BandwidthGuard, BandwidthSettings, BandwidthView};
pub use bypass_policy::{BypassAction, BypassPolicy, BypassSettings, BypassSwitch, Position, Refusal, Taken};
pub use config::{
    ChecksumPolicy, EngineConfig, Family, GroupId, InterfaceId, PeerCheck, PeerId, RouterConfig, RouterId,
    Takeover, UnitId, Version,
};
pub use engine::Engine;
pub use flap_record::{FlapRecord, FlapUnit, FlapView, LatchReason, LatchRecord, LatchView};
pub use flaps::{FlapEvent, FlapGovernor, FlapSettings, LatchRelease, ReleasedBy};
pub use input::{Advert, ChecksumForm, Input, Standing};
pub use pairs::{LinksChange, PairFault, PairId, PairMonitor, PairSettings, PairSide, PairView, PortState};
pub use path_health::{
    Check, CheckCounts, CheckSettings, Health, HealthChange, PathIndex, PathMonitor, PathView, RoundTrips,
};
pub use peer_health::{CheckOutcome, PeerMonitor, PeerMonitors, PeerView};
pub use peers::{PathReport, PeerHealth, PeerReport, Units};
pub use priority::{CheckResult, CheckScope, CheckState, Membership, Requirement};
pub use rate::{BitRate, RateWindow};
pub use time::{Duration, Instant};
pub use view::RouterView;
