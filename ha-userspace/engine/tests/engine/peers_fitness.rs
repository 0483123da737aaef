//! Fitness to own: failed requirements, weights, held-back returns, deaf and mute nodes.

use crate::support::*;
use holdfast_engine::{
    Action, Advert, Cause, Duration, EngineConfig, GroupId, Input, Instant, InterfaceId, Notice, PathReport,
    PeerReport, Role, RouterConfig, RouterId, Standing, Units,
};

const WAN: InterfaceId = InterfaceId(11);
const SECOND: RouterId = RouterId(2);
const GROUP: GroupId = GroupId(1);
/// Slowest successor's Skew_Time plus one interval, at 100 cs.
const RELEASE_WINDOW: Duration = nanos(996_093_750 + 1_000_000_000);
const AGAIN_AFTER: Duration = Duration::from_secs(10);

fn unready(now: Instant) -> PeerReport {
    PeerReport { ready: Units::NONE, ..ready_peer(now) }
}

fn active(word: impl FnOnce(Instant) -> PeerReport) -> Bench {
    let mut bench = Bench::keyed_active(keyed(200));
    bench.report(word);
    bench
}

fn fit_again() -> Standing {
    Standing::default()
}

#[test]
fn an_unfit_active_releases_to_a_ready_peer_without_another_advert() {
    let mut bench = active(ready_peer);
    let actions = bench.standing(unfit());
    assert_eq!(names(&actions), ["notify", "policy Active 1", "stop", "policy Active 0", "send 0"]);
    let cause = Some(Cause::RequirementFailed);
    assert_eq!(notices(&actions), [Notice::Fitness { router: ROUTER, unfit: cause }]);
    assert_eq!((bench.view().unfit, bench.view().ready), (cause, false));
    let moved = bench.hear(advert(small_peer(), 100));
    assert_eq!(names(&moved), ["policy Backup 1", "remove", "record RequirementFailed"]);
}

#[test]
fn an_unfit_active_stays_at_priority_one_where_nobody_is_ready_and_goes_when_somebody_is() {
    let mut bench = active(unready);
    let actions = bench.standing(unfit());
    assert_eq!(names(&actions), ["notify", "policy Active 1", "start 100"]);
    assert_eq!(names(&bench.report_for(centis(500), unready)), [] as [&str; 0]);
    assert_eq!(bench.view().effective_priority, 1);
    bench.pass(CHECK.interval);
    assert_eq!(names(&bench.report(ready_peer)), ["stop", "policy Active 0", "send 0"]);
}

#[test]
fn who_counts_as_ready() {
    let goes = |age: Duration, change: fn(PeerReport) -> PeerReport| {
        let mut bench = Bench::keyed_active(keyed(200));
        let said = bench.now;
        bench.report(|now| change(ready_peer(now)));
        bench.now = said + age;
        bench.standing(unfit());
        bench.view().releasing
    };
    assert!(goes(WINDOW, |word| word));
    assert!(!goes(WINDOW + NANO, |word| word), "its word is old");
    assert!(!goes(nanos(0), |word| PeerReport { draining: true, ..word }));
    assert!(!goes(nanos(0), |word| PeerReport { ready: Units(2), ..word }), "for another unit");

    let mut bench = active(ready_peer);
    bench.health(holdfast_engine::PeerHealth::Unhealthy, None);
    bench.standing(unfit());
    assert!(!bench.view().releasing);
    bench.health(holdfast_engine::PeerHealth::Healthy, None);
    assert!(bench.view().releasing, "the verdict is enough to go");
}

#[test]
fn without_peers_an_unfit_active_releases_once() {
    let mut bench = Bench::active(config(200));
    let actions = bench.standing(unfit());
    assert_eq!(names(&actions)[2..], ["stop", "policy Active 0", "send 0"]);
    assert_eq!(names(&bench.run_to_deadline()), ["policy Active 1", "start 100", "announce", "notify"]);
    assert_eq!(bench.standing(unfit()), []);
    assert_eq!(names(&bench.standing(Standing { offset: 5, ..unfit() })), [] as [&str; 0]);
    assert_eq!(names(&bench.standing(fit_again())), ["notify", "policy Active 200", "start 100"]);
    bench.standing(unfit());
    assert!(bench.view().releasing, "the next failure is another one");
}

/// Both nodes are unfit: the one that took over last keeps the router whatever else changes, or the two would pass it to
/// and fro.
#[test]
fn without_peers_whoever_takes_over_unfit_keeps_it_until_its_fitness_changes() {
    let mut bench = Bench::started(config(100));
    bench.standing(unfit());
    bench.run_to_deadline();
    assert_eq!((bench.view().role, bench.view().effective_priority), (Role::Active, 1));
    bench.standing(Standing { offset: -7, ..unfit() });
    assert!(!bench.view().releasing);
    bench.standing(Standing { unfit: Some(Cause::Maintenance), ..Standing::default() });
    assert!(bench.view().releasing, "the operator's word is another reason");
}

#[test]
fn low_bandwidth_moves_only_to_a_ready_peer_where_there_are_peers() {
    let order = || Input::Failover { group: None, cause: Cause::LowBandwidth };
    for (word, moves) in [(ready_peer as fn(Instant) -> PeerReport, true), (unready, false)] {
        let mut bench = active(word);
        bench.input(order());
        assert_eq!(bench.view().releasing, moves);
    }
    let mut silent = active(ready_peer);
    silent.now = silent.now + WINDOW + NANO;
    silent.input(order());
    assert!(!silent.view().releasing, "its word is old");
    let mut alone = Bench::active(config(200));
    alone.input(order());
    assert!(alone.view().releasing);
}

#[test]
fn a_release_in_vain_is_repeated_after_ten_seconds_while_a_peer_says_it_is_ready() {
    let mut bench = active(ready_peer);
    bench.standing(unfit());
    let began = bench.now;
    let resumed = bench.report_for(RELEASE_WINDOW, ready_peer);
    assert!(notices(&resumed).contains(&Notice::FailoverUnanswered { router: ROUTER }));
    bench.now = began + RELEASE_WINDOW + AGAIN_AFTER;
    bench.report(ready_peer);
    assert!(!bench.view().releasing);
    bench.now = bench.now + NANO;
    bench.report(ready_peer);
    assert!(bench.view().releasing);
}

fn group() -> EngineConfig {
    let first = RouterConfig { group: Some(GROUP), ..keyed(200) };
    let second = RouterConfig { id: SECOND, interface: WAN, ..first.clone() };
    keyed_config(vec![first, second])
}

#[test]
fn a_group_gives_way_as_a_whole_for_one_unfit_member_and_none_comes_back_alone() {
    let mut bench = Bench::active_of(group());
    bench.report(ready_peer);
    bench.standing(unfit());
    let releasing: Vec<bool> = bench.engine.routers().map(|view| view.releasing).collect();
    assert_eq!(releasing, [true, true]);
    for router in [ROUTER, SECOND] {
        let successor = Advert { at: bench.now, ..advert(peer(), 100) };
        bench.input(Input::Advert { router, advert: successor });
    }
    for _ in 0..200 {
        bench.pass(CHECK.interval);
        bench.report(owning_peer);
        for router in [ROUTER, SECOND] {
            bench.input(Input::Heard { router, at: bench.now });
        }
    }
    let roles: Vec<Role> = bench.engine.routers().map(|view| view.role).collect();
    assert_eq!(roles, [Role::Backup, Role::Backup]);
}

/// Unfit, and succeeded by a peer at 100 that goes on.
fn succeeded(router: RouterConfig) -> Bench {
    let mut bench = Bench::keyed_active(router);
    bench.report(ready_peer);
    bench.standing(unfit());
    bench.hear(advert(peer(), 100));
    bench
}

#[test]
fn fit_again_it_preempts_as_configured() {
    let mut bench = succeeded(keyed(200));
    let heard = bench.now;
    bench.pass(centis(50));
    let actions = bench.standing(fit_again());
    assert_eq!(policies(&actions).iter().map(|policy| policy.priority).collect::<Vec<_>>(), [200]);
    bench.hear(advert(peer(), 100));
    assert_eq!(transition(&bench.run_to_deadline()).2, Cause::Preemption);
    assert_eq!(bench.now, heard + nanos(3_218_750_000));

    let mut unforced = succeeded(RouterConfig { preempt: false, ..keyed(200) });
    unforced.standing(fit_again());
    unforced.hear(advert(peer(), 100));
    assert_eq!(unforced.remaining(), Some(nanos(3_218_750_000)));
    unforced.pass(centis(100));
    unforced.hear(advert(peer(), 100));
    assert_eq!(unforced.remaining(), Some(nanos(3_218_750_000)), "its successor's adverts count");
}

#[test]
fn requirements_hold_without_preemption_too() {
    let mut bench = Bench::keyed_active(RouterConfig { preempt: false, ..keyed(200) });
    bench.report(ready_peer);
    bench.standing(unfit());
    assert!(bench.view().releasing);
}

#[test]
fn an_unfit_backup_runs_at_priority_one_and_still_takes_over_from_silence() {
    let mut bench = Bench::keyed_backup();
    assert_eq!(names(&bench.standing(unfit())), ["notify", "policy Backup 1"]);
    assert_eq!(bench.remaining(), Some(nanos(3_996_093_750)), "the slowest of all");
    assert_eq!(causes(&bench.run_to_deadline()), [Cause::AdvertTimeout]);
    assert_eq!(bench.view().effective_priority, 1);
}

#[test]
fn weights_move_the_priority_within_its_bounds_and_are_advertised() {
    let at = |configured: u8, offset: i16| {
        let mut bench = Bench::active(config(configured));
        let actions = bench.standing(Standing { offset, ..Standing::default() });
        (bench.view().effective_priority, names(&actions))
    };
    assert_eq!(at(200, -30), (170, vec!["policy Active 170".into(), "start 100".into()]));
    assert_eq!(at(200, 53).0, 253);
    assert_eq!(at(200, 54).0, 254);
    assert_eq!(at(200, 55).0, 254);
    assert_eq!(at(200, -199).0, 1);
    assert_eq!(at(200, -200).0, 1);
    assert_eq!(at(200, i16::MAX).0, 254);
    assert_eq!(at(200, i16::MIN).0, 1);
    assert_eq!(at(200, 0), (200, vec![]));
}

#[test]
fn the_address_owner_is_never_changed() {
    let mut bench = Bench::started(config(255));
    for standing in [unfit(), Standing { offset: -100, ..Standing::default() }] {
        let actions = bench.standing(standing);
        assert_eq!(notices(&actions), []);
        assert_eq!((bench.view().effective_priority, bench.view().unfit), (255, None));
        assert!(!bench.view().releasing && bench.view().ready);
    }
}

#[test]
fn a_return_held_back_leaves_a_living_owner_alone_and_a_silent_one_not() {
    let held_back = Standing { may_preempt: false, ..Standing::default() };
    let mut bench = Bench::with(keyed_config(vec![keyed(200)]));
    assert!(policies(&bench.standing(held_back)).iter().all(|policy| !policy.preempt));
    for _ in 0..20 {
        bench.hear(advert(peer(), 100));
        bench.pass(centis(100));
    }
    assert_eq!(bench.role(), Role::Backup);
    assert_eq!(causes(&bench.run_to_deadline()), [Cause::AdvertTimeout]);

    let mut freed = Bench::with(keyed_config(vec![keyed(200)]));
    freed.standing(held_back);
    freed.hear(advert(peer(), 100));
    assert!(policies(&freed.standing(Standing::default()))[0].preempt);
    freed.hear(advert(peer(), 100));
    assert_eq!(causes(&freed.run_to_deadline()), [Cause::Preemption]);
}

/// One-way: the peer hears us on the segment, we hear nothing there; the sync link works.
fn hears_us_only(now: Instant) -> PeerReport {
    PeerReport { paths: vec![dead_path(LAN, Some(true)), good_path(SYNC, now)], ..ready_peer(now) }
}

/// The other way: we hear the peer on the segment, it does not hear us.
fn unheard_by_it(now: Instant) -> PeerReport {
    let path = PathReport { hears_us: Some(false), replied_at: None, ..good_path(LAN, now) };
    PeerReport { paths: vec![path, good_path(SYNC, now)], ..ready_peer(now) }
}

/// How long it takes from the first such word until this node holds itself unfit.
const DEAF_AFTER: Duration = Duration::from_millis(400);
const MUTE_AFTER: Duration = Duration::from_millis(1_000);

#[test]
fn a_deaf_active_releases_once_that_is_certain() {
    let mut bench = active(ready_peer);
    bench.report(hears_us_only);
    assert_eq!(names(&bench.report_for(DEAF_AFTER, hears_us_only)), [] as [&str; 0]);
    bench.now = bench.now + NANO;
    let actions = bench.report(hears_us_only);
    assert_eq!(names(&actions), ["notify", "policy Active 1", "stop", "policy Active 0", "send 0"]);
    assert_eq!(bench.view().unfit, Some(Cause::Unheard));
}

#[test]
fn a_deaf_node_leaves_to_its_successors_word_and_stays_away_while_that_one_claims() {
    let claims = |now| PeerReport { owned: owns(), ..hears_us_only(now) };
    let mut bench = active(ready_peer);
    bench.report_for(centis(60), hears_us_only);
    assert!(bench.view().releasing);
    let moved = bench.report_for(CHECK.interval, claims);
    assert_eq!(transition(&moved), (Role::Active, Role::Backup, Cause::Unheard));
    let minutes = bench.report_for(Duration::from_secs(300), claims);
    assert_eq!(causes(&minutes), []);
    // The successor dies: somebody has to own the address.
    let last = bench.now;
    let taken = plain(bench.pass(LEASE));
    assert_eq!(transition(&taken), (Role::Backup, Role::Active, Cause::VouchEnded));
    assert_eq!(the_transition(&taken).at, last + LEASE);
}

#[test]
fn a_deaf_node_is_fit_again_when_it_hears() {
    let mut bench = active(ready_peer);
    bench.report_for(centis(60), hears_us_only);
    let fit = bench.report_for(CHECK.interval, owning_peer);
    assert!(notices(&fit).contains(&Notice::Fitness { router: ROUTER, unfit: None }), "{fit:?}");
    assert_eq!(bench.view().unfit, None);
}

/// Who is not heard is not sent to for long, as its address cannot be resolved: the proof of muteness ends before muteness does.
#[test]
fn muteness_and_deafness_outlive_the_signs_of_them() {
    let silent_here = |now| PeerReport {
        paths: vec![dead_path(LAN, Some(false)), good_path(SYNC, now)],
        ..ready_peer(now)
    };
    for sign in [unheard_by_it, hears_us_only] {
        let mut bench = active(ready_peer);
        bench.report_for(centis(200), sign);
        assert_eq!(bench.view().unfit, Some(Cause::Unheard));
        bench.report_for(Duration::from_secs(60), silent_here);
        assert_eq!(bench.view().unfit, Some(Cause::Unheard), "no sign is no recovery");
        bench.report(ready_peer);
        assert_eq!(bench.view().unfit, None, "both directions are");
    }
}

#[test]
fn where_no_peer_is_there_to_tell_a_node_is_fit_again_in_time() {
    let mut bench = active(ready_peer);
    bench.report_for(centis(200), unheard_by_it);
    let gone = unheard_by_it(bench.now);
    bench.now = bench.now + WINDOW + NANO;
    bench.report(|_| gone.clone());
    bench.now = bench.now + MUTE_AFTER;
    bench.report(|_| gone.clone());
    assert_eq!(bench.view().unfit, Some(Cause::Unheard), "a stall of the peer is no recovery");
    bench.now = bench.now + NANO;
    bench.report(|_| gone.clone());
    assert_eq!(bench.view().unfit, None);
}

#[test]
fn a_node_that_receives_frames_is_not_deaf() {
    let mut bench = active(ready_peer);
    for _ in 0..30 {
        bench.input(Input::Frames { interface: LAN, at: bench.now });
        assert_eq!(causes(&bench.report_for(CHECK.interval, hears_us_only)), []);
    }
    assert_eq!(bench.view().unfit, None);
    bench.input(Input::Frames { interface: SYNC, at: bench.now + Duration::from_secs(9) });
    bench.report_for(centis(100), hears_us_only);
    assert_eq!(bench.view().unfit, Some(Cause::Unheard), "frames elsewhere are no sign");
}

#[test]
fn a_cut_both_ways_makes_nobody_unfit() {
    let cut = |now| PeerReport {
        paths: vec![dead_path(LAN, Some(false)), good_path(SYNC, now)],
        ..ready_peer(now)
    };
    let unknown =
        |now| PeerReport { paths: vec![dead_path(LAN, None), good_path(SYNC, now)], ..ready_peer(now) };
    let mut bench = active(ready_peer);
    assert_eq!(names(&bench.report_for(centis(500), cut)), [] as [&str; 0]);
    assert_eq!(names(&bench.report_for(centis(500), unknown)), [] as [&str; 0]);
}

#[test]
fn a_mute_active_gives_way_later_than_a_deaf_one_would() {
    let mut bench = active(ready_peer);
    bench.report(unheard_by_it);
    assert_eq!(names(&bench.report_for(MUTE_AFTER, unheard_by_it)), [] as [&str; 0]);
    bench.now = bench.now + NANO;
    bench.report(unheard_by_it);
    assert_eq!(bench.view().unfit, Some(Cause::Unheard));
    assert!(bench.view().releasing);
    // It hears its successor and leaves to it; muteness does not bring it back.
    let moved = bench.hear(advert(peer(), 100));
    assert_eq!(transition(&moved).2, Cause::Unheard);
}

#[test]
fn whom_only_an_unready_peer_does_not_hear_is_not_mute() {
    let mut bench = active(ready_peer);
    let deaf_peer = |now| PeerReport { ready: Units::NONE, ..unheard_by_it(now) };
    assert_eq!(names(&bench.report_for(centis(500), deaf_peer)), [] as [&str; 0]);
}

#[test]
fn whom_one_of_two_peers_hears_is_not_mute() {
    let config = EngineConfig { peers: vec![PEER, THIRD], ..keyed_config(vec![keyed(200)]) };
    let mut bench = Bench::active_of(config);
    for _ in 0..50 {
        bench.report_for(CHECK.interval, unheard_by_it);
        let word = ready_peer(bench.now);
        bench.input(Input::Peer { peer: THIRD, report: word });
    }
    assert_eq!(bench.view().unfit, None);
}

#[test]
fn muteness_settles_although_the_words_of_two_peers_come_at_different_times() {
    let config = EngineConfig { peers: vec![PEER, THIRD], ..keyed_config(vec![keyed(200)]) };
    let mut bench = Bench::active_of(config);
    let elsewhere = |now| PeerReport { paths: vec![good_path(SYNC, now)], ..ready_peer(now) };
    for _ in 0..20 {
        // When the third speaks, what the first was heard by on the segment is older than the window.
        let mut word = unheard_by_it(bench.now);
        word.paths[0].heard_at = Some(bench.now - CHECK.interval);
        bench.report(|_| word);
        bench.pass(WINDOW.saturating_sub(CHECK.interval) + NANO);
        let word = elsewhere(bench.now);
        bench.input(Input::Peer { peer: THIRD, report: word });
    }
    assert_eq!(bench.view().unfit, Some(Cause::Unheard));
}

#[test]
fn a_suspicion_that_nothing_bears_out_any_more_ends() {
    let mut bench = active(ready_peer);
    bench.report_for(centis(30), unheard_by_it);
    let nothing_here = |now| PeerReport { paths: vec![good_path(SYNC, now)], ..ready_peer(now) };
    bench.report_for(WINDOW + CHECK.interval, nothing_here);
    assert_eq!(
        names(&bench.report_for(MUTE_AFTER.saturating_sub(CHECK.interval), unheard_by_it)),
        [] as [&str; 0]
    );
    assert_eq!(bench.view().unfit, None, "it begins anew");
}

#[test]
fn a_successors_word_ends_any_release() {
    let mut bench = active(ready_peer);
    bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand });
    let before = owning_peer(bench.now - NANO);
    bench.pass(centis(1));
    assert_eq!(causes(&bench.report(|_| before)), [], "said before the release began");
    let moved = bench.report(owning_peer);
    assert_eq!(transition(&moved), (Role::Active, Role::Backup, Cause::FailoverCommand));
    assert!(bench.view().preemption_suspended);

    let mut stopping = active(ready_peer);
    stopping.input(Input::Shutdown);
    stopping.pass(centis(1));
    let ended = stopping.report(owning_peer);
    assert_eq!(ended.last(), Some(&Action::Stopped));
}
