//! What can happen to the node, at random.

use super::{PEERS, ROUTERS};
use holdfast_engine::{Cause, PeerHealth, Standing};
use proptest::prelude::*;

/// One step of a history.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Pass(u64),
    /// Runs the next deadline, late by so much.
    Timer(u64),
    Interface(bool, bool),
    Source(u32, bool),
    Advert {
        router: u32,
        priority: u8,
        greater: bool,
        age: u64,
        answered: bool,
        revoked: Revoked,
    },
    Heard {
        router: u32,
        age: u64,
    },
    LeaseLapsed,
    Stalled {
        length: u64,
        lan: bool,
    },
    Added {
        router: u32,
        good: bool,
    },
    AddressLost(u32),
    Failover(bool, Cause),
    Uncorroborated {
        router: u32,
        peer: u16,
        priority: u8,
        age: u64,
    },
    Peer {
        peer: u16,
        report: Word,
    },
    PeerHealth(u16, PeerHealth, u64),
    Frames(bool, u64),
    Standing(u32, Standing),
    StandDown,
    StandUp,
    Reload(Change),
    Shutdown,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Revoked {
    No,
    ThisGrant,
    OldGrant,
}

/// What a peer says, ages in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) heard: Option<u64>,
    pub(super) owned: u64,
    pub(super) ready: u64,
    pub(super) lease_left: u64,
    pub(super) priority: u8,
    pub(super) draining: bool,
    pub(super) bad_mac: Option<u64>,
    pub(super) hears_us: Option<bool>,
    pub(super) replied: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Priority(u32, u8),
    Interval(u32, u64),
    Preempt(u32, bool, u64),
    Group(u32, bool),
    Without(u32),
    Peers(u16),
    AfterLease(bool),
    All,
}

pub(super) fn nanoseconds() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..1_000_u64, 1..100_000_000_u64, 1..5_000_000_000_u64]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let router = 0..ROUTERS;
    let revoked =
        prop_oneof![4 => Just(Revoked::No), 1 => Just(Revoked::ThisGrant), 1 => Just(Revoked::OldGrant)];
    let priority = prop_oneof![Just(0_u8), Just(1), Just(99), Just(100), Just(150), Just(200), Just(255)];
    let advert = (router.clone(), priority.clone(), any::<bool>(), nanoseconds(), any::<bool>(), revoked);
    let change = prop_oneof![
        (router.clone(), 1..=254_u8).prop_map(|(r, p)| Change::Priority(r, p)),
        (router.clone(), 1..4096_u64).prop_map(|(r, cs)| Change::Interval(r, cs)),
        (router.clone(), any::<bool>(), nanoseconds())
            .prop_map(|(r, on, delay)| Change::Preempt(r, on, delay)),
        (router.clone(), any::<bool>()).prop_map(|(r, on)| Change::Group(r, on)),
        router.clone().prop_map(Change::Without),
        (0..=PEERS).prop_map(Change::Peers),
        any::<bool>().prop_map(Change::AfterLease),
        Just(Change::All),
    ];
    let cause = prop_oneof![Just(Cause::FailoverCommand), Just(Cause::LowBandwidth)];
    let peer = 0..PEERS;
    let health =
        prop_oneof![Just(PeerHealth::Unknown), Just(PeerHealth::Healthy), Just(PeerHealth::Unhealthy)];
    prop_oneof![
        6 => nanoseconds().prop_map(Step::Pass),
        10 => nanoseconds().prop_map(Step::Timer),
        3 => (any::<bool>(), any::<bool>()).prop_map(|(lan, up)| Step::Interface(lan, up)),
        2 => (router.clone(), any::<bool>()).prop_map(|(r, known)| Step::Source(r, known)),
        10 => advert.prop_map(|(router, priority, greater, age, answered, revoked)| Step::Advert {
            router, priority, greater, age, answered, revoked
        }),
        3 => (router.clone(), nanoseconds()).prop_map(|(router, age)| Step::Heard { router, age }),
        1 => Just(Step::LeaseLapsed),
        2 => (nanoseconds(), any::<bool>()).prop_map(|(length, lan)| Step::Stalled { length, lan }),
        4 => (router.clone(), any::<bool>()).prop_map(|(router, good)| Step::Added { router, good }),
        2 => router.clone().prop_map(Step::AddressLost),
        2 => (any::<bool>(), cause).prop_map(|(group, cause)| Step::Failover(group, cause)),
        3 => (router.clone(), peer.clone(), priority, nanoseconds())
            .prop_map(|(router, peer, priority, age)| Step::Uncorroborated { router, peer, priority, age }),
        8 => (peer.clone(), word()).prop_map(|(peer, report)| Step::Peer { peer, report }),
        3 => (peer, health, nanoseconds()).prop_map(|(peer, health, age)| Step::PeerHealth(peer, health, age)),
        2 => (any::<bool>(), nanoseconds()).prop_map(|(lan, age)| Step::Frames(lan, age)),
        3 => (router.clone(), standing()).prop_map(|(router, standing)| Step::Standing(router, standing)),
        1 => Just(Step::StandDown),
        2 => Just(Step::StandUp),
        2 => change.prop_map(Step::Reload),
        1 => Just(Step::Shutdown),
    ]
}

pub(super) fn word() -> impl Strategy<Value = Word> {
    let age = || prop::option::weighted(0.8, nanoseconds());
    let units = || 0..1_u64 << ROUTERS;
    let lease_left = prop_oneof![Just(0), 1..2_000_000_000_u64];
    let priority = prop_oneof![Just(1_u8), Just(100), Just(200), Just(255)];
    let bad_mac = prop::option::weighted(0.2, nanoseconds());
    let hears_us = prop::option::of(any::<bool>());
    (age(), units(), units(), lease_left, priority, any::<bool>(), bad_mac, hears_us, age()).prop_map(
        |(heard, owned, ready, lease_left, priority, draining, bad_mac, hears_us, replied)| Word {
            heard,
            owned,
            ready,
            lease_left,
            priority,
            draining,
            bad_mac,
            hears_us,
            replied,
        },
    )
}

pub(super) fn standing() -> impl Strategy<Value = Standing> {
    let unfit =
        prop_oneof![Just(None), Just(Some(Cause::RequirementFailed)), Just(Some(Cause::LowBandwidth))];
    (any::<i16>(), unfit, any::<bool>()).prop_map(|(offset, unfit, may_preempt)| Standing {
        offset,
        unfit,
        may_preempt,
    })
}
