//! The whole state machine as data: every event in every state, the state afterwards and the actions.
//!
//! Bench: VRRPv3, priority 100, 100 cs, address 192.0.2.10. The Backup hears an owner at 200; the Active has stood for
//! a while and has its addresses; "releasing" is the Active after a failover was ordered.

mod table;

use crate::support::*;
use Role::{Backup, Initialize};
use holdfast_engine::{
    Action, Advert, Cause, EngineConfig, Input, Instant, InterfaceId, PeerHealth, Role, RouterConfig,
    Standing,
};
use table::{Event, TABLE};

fn bench_in(state: &str) -> Bench {
    match state {
        "initialize" => {
            let mut bench = Bench::with(keyed_config(vec![keyed(100)]));
            bench.input(Input::Interface { interface: LAN, up: false });
            bench
        }
        "backup" => {
            let mut bench = Bench::with(keyed_config(vec![keyed(100)]));
            bench.hear(advert(peer(), 200));
            bench.pass(centis(50));
            bench
        }
        "vouched" => {
            let mut bench = Bench::keyed_backup();
            bench.report_for(centis(400), owning_peer);
            assert!(bench.view().vouched_until.is_some());
            bench
        }
        "active" => Bench::keyed_active(keyed(100)),
        _ => {
            let mut bench = Bench::keyed_active(keyed(100));
            bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand });
            bench.pass(centis(10));
            bench
        }
    }
}

fn policy_epoch(bench: &Bench) -> u64 {
    // The first grant carries the clock's value at the promotion.
    bench.view().active_since.map_or(0, Instant::as_nanos)
}

fn reload(change: impl FnOnce(&mut RouterConfig)) -> Input {
    let mut changed = keyed(100);
    change(&mut changed);
    Input::Configured(keyed_config(vec![changed]))
}

fn input_of(event: Event, bench: &Bench) -> Option<Input> {
    let epoch = policy_epoch(bench);
    let hears = |advert: Advert| Input::Advert { router: ROUTER, advert: Advert { at: bench.now, ..advert } };
    let revoking = |advert: Advert, epoch| hears(Advert { revoked: true, epoch, ..advert });
    let stall = |silent: Vec<InterfaceId>| Input::Stalled { began: START, ended: bench.now, silent };
    let added = |outcome| Input::AddressesAdded { router: ROUTER, outcome };
    let unproven = |peer, advert| Input::Uncorroborated {
        router: ROUTER,
        peer,
        advert: Advert { at: bench.now, ..advert },
    };
    let word = |report| Input::Peer { peer: PEER, report };
    let health = |health| Input::PeerHealth { peer: PEER, health, silent_since: Some(bench.now) };
    let standing = |standing| Input::Standing { router: ROUTER, standing };
    Some(match event {
        Event::InterfaceUp => Input::Interface { interface: LAN, up: true },
        Event::InterfaceDown => Input::Interface { interface: LAN, up: false },
        Event::OtherInterfaceDown => Input::Interface { interface: InterfaceId(99), up: false },
        Event::SourceKnown => Input::Source { router: ROUTER, address: Some(own()) },
        Event::SourceLost => Input::Source { router: ROUTER, address: None },
        Event::AdvertLower => hears(advert(peer(), 50)),
        Event::AdvertLowerAnswered => hears(Advert { answered: true, ..advert(peer(), 50) }),
        Event::AdvertEqualFromSmaller => hears(advert(small_peer(), 100)),
        Event::AdvertEqualFromGreater => hears(advert(peer(), 100)),
        Event::AdvertHigher => hears(advert(small_peer(), 101)),
        Event::AdvertZero => hears(advert(peer(), 0)),
        Event::AdvertZeroAnswered => hears(Advert { answered: true, ..advert(peer(), 0) }),
        Event::AdvertFromOurOwnAddress => hears(advert(own(), 200)),
        Event::LowerRevokedThisGrant => revoking(advert(peer(), 50), epoch),
        Event::LowerRevokedOldGrant => revoking(advert(peer(), 50), epoch.wrapping_sub(1)),
        Event::HigherRevokedThisGrant => revoking(advert(peer(), 200), epoch),
        Event::Heard => Input::Heard { router: ROUTER, at: bench.now },
        Event::HeardBefore => Input::Heard { router: ROUTER, at: START },
        Event::LeaseLapsed => Input::LeaseLapsed { at: bench.now },
        Event::StalledOnSilentInterface => stall(vec![LAN]),
        Event::StalledElsewhere => stall(vec![InterfaceId(99)]),
        Event::AddressesAdded => added(Ok(())),
        Event::AddressesRefused => added(Err("no such device".into())),
        Event::AddressLost => Input::AddressLost { router: ROUTER },
        Event::Failover => Input::Failover { group: None, cause: Cause::FailoverCommand },
        Event::FailoverOfAnotherGroup => {
            Input::Failover { group: Some(holdfast_engine::GroupId(9)), cause: Cause::FailoverCommand }
        }
        Event::UncorroboratedHigher => unproven(PEER, advert(peer(), 255)),
        Event::UncorroboratedZero => unproven(PEER, advert(peer(), 0)),
        Event::UncorroboratedOfAStranger => unproven(THIRD, advert(peer(), 255)),
        Event::PeerClaims => word(owning_peer(bench.now)),
        Event::PeerDisclaims => word(ready_peer(bench.now)),
        Event::PeerOfAStranger => Input::Peer { peer: THIRD, report: owning_peer(bench.now) },
        Event::PeerUnhealthy => health(PeerHealth::Unhealthy),
        Event::PeerHealthy => health(PeerHealth::Healthy),
        Event::PeerMuzzled => Input::Muzzled { peer: PEER, muzzled: true },
        Event::Frames => Input::Frames { interface: LAN, at: bench.now },
        Event::StandingSame => standing(Standing::default()),
        Event::StandingUnfit => standing(unfit()),
        Event::StandingOffset => standing(Standing { offset: -30, ..Standing::default() }),
        Event::StandingNoPreemption => standing(Standing { may_preempt: false, ..Standing::default() }),
        Event::StandDown => Input::StandDown { cause: Cause::FlapLatch },
        Event::StandUp => Input::StandUp,
        Event::FailoverForLowBandwidth => Input::Failover { group: None, cause: Cause::LowBandwidth },
        Event::Shutdown => Input::Shutdown,
        Event::ReloadSame => reload(|_| {}),
        Event::ReloadPriority => reload(|config| config.priority = 150),
        Event::ReloadInterval => reload(|config| config.advertisement_interval = centis(50)),
        Event::ReloadWithout => Input::Configured(EngineConfig::default()),
        Event::Timer => return None,
    })
}

fn apply(event: Event, bench: &mut Bench) -> Vec<Action> {
    if matches!(event, Event::StalledOnSilentInterface | Event::StalledElsewhere) && bench.role() == Backup {
        // The stall covers the deadline; without it the timer would fire.
        bench.now = bench.engine.next_deadline().unwrap();
    }
    match input_of(event, bench) {
        Some(input) => bench.input(input),
        None if bench.engine.next_deadline().is_some() => bench.run_to_deadline(),
        None => {
            bench.engine.handle_timeout(bench.now + centis(1_000));
            bench.drain()
        }
    }
}

#[test]
fn v091_to_v111_every_event_in_every_state() {
    let mut wrong = Vec::new();
    for row in TABLE {
        let cells = [
            ("initialize", row.initialize),
            ("backup", row.backup),
            ("vouched", row.vouched),
            ("active", row.active),
            ("releasing", row.releasing),
        ];
        for (state, (role, expected)) in cells {
            let mut bench = bench_in(state);
            let actions = apply(row.event, &mut bench);
            let after = bench.engine.view(ROUTER).map_or(Initialize, |view| view.role);
            if after != role || names(&actions) != expected {
                wrong.push(format!("{state} + {:?}: {after:?} {:?}", row.event, names(&actions)));
            }
        }
    }
    assert!(wrong.is_empty(), "cells that differ from the table:\n{}", wrong.join("\n"));
}

/// The name of every kind of input: a new kind does not compile until it is named here, and then fails below.
fn kind(input: &Input) -> &'static str {
    match input {
        Input::Configured(_) => "configured",
        Input::Interface { .. } => "interface",
        Input::Source { .. } => "source",
        Input::Advert { .. } => "advert",
        Input::Heard { .. } => "heard",
        Input::LeaseLapsed { .. } => "lease-lapsed",
        Input::Stalled { .. } => "stalled",
        Input::AddressesAdded { .. } => "addresses-added",
        Input::AddressLost { .. } => "address-lost",
        Input::Failover { .. } => "failover",
        Input::Uncorroborated { .. } => "uncorroborated",
        Input::Peer { .. } => "peer",
        Input::PeerHealth { .. } => "peer-health",
        Input::Muzzled { .. } => "muzzled",
        Input::Frames { .. } => "frames",
        Input::Standing { .. } => "standing",
        Input::StandDown { .. } => "stand-down",
        Input::StandUp => "stand-up",
        Input::Shutdown => "shutdown",
    }
}

const INPUT_KINDS: usize = 19;

#[test]
fn the_table_has_every_kind_of_input() {
    let bench = bench_in("active");
    let kinds: std::collections::BTreeSet<_> =
        TABLE.iter().filter_map(|row| input_of(row.event, &bench)).map(|input| kind(&input)).collect();
    assert_eq!(kinds.len(), INPUT_KINDS, "{kinds:?}");
}
