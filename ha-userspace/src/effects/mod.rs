//! Carries out what the engine wants: adverts, announcements, addresses, macvlans; and reports what interfaces do.
//!
//! Two threads of their own: the advert thread (`adverts`) sends and never waits on anything but its timer, the effects
//! thread (`executor`) speaks netlink. Handles only push into queues, so the controller never blocks here. Nothing in
//! this room decides anything.

mod addresses;
pub mod advert_statistics;
pub mod adverts;
pub mod announcements;
pub mod clean_up;
pub mod durable;
mod event_socket;
pub mod executor;
pub mod frames;
pub mod interfaces;
pub mod latch;
pub mod link_monitor;
pub mod macvlan;
mod memberships;
pub mod netlink;
pub mod order_queue;
pub mod packet_socket;
pub mod record;
mod router_effects;
pub mod schedule;
mod sysctl;
