//! Carries out what the engine wants: adverts, announcements, addresses, macvlans; and reports what interfaces do.
//!
//! Two threads of their own: the advert thread (`adverts`) sends and never waits on anything but its timer, the effects
//! thread (`executor`) speaks netlink. Handles only push into queues, so the controller never blocks here. Nothing in
//! this room decides anything.

pub mod advert_statistics;
pub mod adverts;
pub mod announcements;
pub mod frames;
pub mod packet_socket;
pub mod schedule;
