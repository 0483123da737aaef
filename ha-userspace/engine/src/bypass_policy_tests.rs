use super::*;

const EDGE: &str = "edge";
const CORE: &str = "core";

fn settings(pairs: &[&str], is_primary: bool) -> BypassSettings {
    BypassSettings { pairs: pairs.iter().map(|pair| (*pair).to_owned()).collect(), is_primary }
}

/// Carries out everything that is due; links are as given, and the hardware does what it is told.
fn run(policy: &mut BypassPolicy, links_good: bool) -> Vec<BypassAction> {
    let mut done = Vec::new();
    while let Some(action) = policy.next(links_good) {
        match &action {
            BypassAction::StandDown(_) => policy.stood_down(),
            BypassAction::Order { pair, switch } => policy.read_back(pair, *switch, switch.position()),
            BypassAction::StandUp => {}
        }
        done.push(action);
    }
    done
}

fn order(pair: &str, switch: BypassSwitch) -> BypassAction {
    BypassAction::Order { pair: pair.to_owned(), switch }
}

/// A primary that is up with these pairs.
fn up(pairs: &[&str]) -> BypassPolicy {
    let mut policy = BypassPolicy::new(settings(pairs, true));
    run(&mut policy, true);
    assert!(policy.is_up());
    policy
}

#[test]
fn without_a_driver_a_latch_is_only_a_latch() {
    let mut policy = BypassPolicy::new(settings(&[], true));
    policy.set_latched(true);
    assert_eq!(run(&mut policy, true), []);
    assert!(policy.is_latched_without_bypass() && policy.is_up());
    assert_eq!(policy.order(BypassSwitch::Engage, None), Err(Refusal::NoDriver));
    let taken = policy.order(BypassSwitch::Release, None).unwrap();
    assert!(taken.ends_latch && taken.pairs.is_empty());
    policy.set_latched(false);
    assert_eq!(policy.order(BypassSwitch::Release, None), Err(Refusal::NoDriver), "nothing to release");
}

#[test]
fn a_start_reads_back_before_anything_takes_part() {
    let mut policy = BypassPolicy::new(settings(&[EDGE], false));
    assert_eq!(policy.next(true), Some(BypassAction::StandDown(Cause::BypassCommand)));
    policy.stood_down();
    assert_eq!(policy.next(true), Some(order(EDGE, BypassSwitch::Release)));
    assert_eq!(policy.next(true), None, "not read back yet");
    policy.read_back(EDGE, BypassSwitch::Release, Position::Engaged);
    assert_eq!(policy.next(true), None, "still engaged");
    policy.read_back(EDGE, BypassSwitch::Release, Position::Unknown);
    assert_eq!(
        policy.next(false),
        Some(BypassAction::StandUp),
        "never engaged here, and links do not matter"
    );
}

#[test]
fn a_latched_primary_stands_down_before_it_engages() {
    let mut policy = up(&[CORE, EDGE]);
    policy.set_latched(true);
    assert_eq!(policy.next(true), Some(BypassAction::StandDown(Cause::FlapLatch)));
    assert_eq!(policy.next(true), None, "the addresses still stand");
    policy.stood_down();
    assert_eq!(
        run(&mut policy, true),
        [order(CORE, BypassSwitch::Engage), order(EDGE, BypassSwitch::Engage)]
    );
    assert!(!policy.is_up() && !policy.is_latched_without_bypass());
}

#[test]
fn a_start_while_latched_engages_at_once_and_never_stands_up() {
    let mut policy = BypassPolicy::new(settings(&[EDGE], true));
    policy.set_latched(true);
    assert_eq!(
        run(&mut policy, true),
        [BypassAction::StandDown(Cause::FlapLatch), order(EDGE, BypassSwitch::Engage)]
    );
}

#[test]
fn whoever_is_not_primary_is_only_unfit() {
    let mut policy = BypassPolicy::new(settings(&[EDGE], false));
    run(&mut policy, true);
    policy.set_latched(true);
    assert_eq!(run(&mut policy, true), []);
    assert!(policy.is_latched_without_bypass());
}

#[test]
fn a_release_is_read_back_and_waits_for_the_links() {
    let mut policy = up(&[EDGE]);
    policy.set_latched(true);
    run(&mut policy, true);
    policy.set_latched(false);
    assert_eq!(policy.next(true), Some(order(EDGE, BypassSwitch::Release)));
    policy.read_back(EDGE, BypassSwitch::Release, Position::Unknown);
    assert_eq!(policy.next(true), None, "it may still be engaged");
    policy.read_back(EDGE, BypassSwitch::Release, Position::Released);
    assert_eq!(policy.next(false), None);
    assert!(policy.waits_for_links(false));
    assert_eq!(policy.next(true), Some(BypassAction::StandUp));
    assert_eq!(policy.next(true), None);
}

#[test]
fn one_pair_by_hand_keeps_everything_down() {
    let mut policy = up(&[CORE, EDGE]);
    assert_eq!(policy.order(BypassSwitch::Engage, Some("dmz")), Err(Refusal::UnknownPair));
    let taken = policy.order(BypassSwitch::Engage, Some(EDGE)).unwrap();
    assert_eq!((taken.pairs, taken.ends_latch), (vec![EDGE.to_owned()], false));
    assert_eq!(
        run(&mut policy, true),
        [BypassAction::StandDown(Cause::BypassCommand), order(EDGE, BypassSwitch::Engage)]
    );
    assert_eq!(policy.wanted(), [EDGE]);
    policy.order(BypassSwitch::Release, None).unwrap();
    assert_eq!(run(&mut policy, true), [order(EDGE, BypassSwitch::Release), BypassAction::StandUp]);
}

#[test]
fn the_latch_ends_with_its_last_pair() {
    let mut policy = up(&[CORE, EDGE]);
    policy.set_latched(true);
    run(&mut policy, true);
    assert!(!policy.order(BypassSwitch::Release, Some(EDGE)).unwrap().ends_latch);
    assert_eq!(
        run(&mut policy, true),
        [order(EDGE, BypassSwitch::Release)],
        "the other pair is still engaged"
    );
    assert!(policy.order(BypassSwitch::Release, Some(CORE)).unwrap().ends_latch);
    policy.set_latched(false);
    assert_eq!(run(&mut policy, true), [order(CORE, BypassSwitch::Release), BypassAction::StandUp]);
}

#[test]
fn nothing_is_engaged_beside_a_peer_that_forwards() {
    let mut policy = up(&[EDGE]);
    assert!(!policy.set_barred(true));
    assert_eq!(policy.order(BypassSwitch::Engage, None), Err(Refusal::PeerForwards));
    policy.set_latched(true);
    assert_eq!(run(&mut policy, true), []);
    assert!(policy.is_latched_without_bypass());
    policy.set_barred(false);
    assert_eq!(run(&mut policy, true).len(), 2, "down and engaged");
    assert!(policy.set_barred(true), "the peer is back");
    assert_eq!(run(&mut policy, true), [order(EDGE, BypassSwitch::Release), BypassAction::StandUp]);
}

#[test]
fn an_order_that_was_in_vain_can_be_given_again() {
    let mut policy = up(&[EDGE]);
    policy.order(BypassSwitch::Engage, None).unwrap();
    assert_eq!(policy.next(true), Some(BypassAction::StandDown(Cause::BypassCommand)));
    policy.stood_down();
    assert_eq!(policy.next(true), Some(order(EDGE, BypassSwitch::Engage)));
    policy.read_back(EDGE, BypassSwitch::Engage, Position::Released);
    assert_eq!(policy.next(true), None);
    policy.order(BypassSwitch::Engage, None).unwrap();
    assert_eq!(policy.next(true), Some(order(EDGE, BypassSwitch::Engage)));
}

#[test]
fn hardware_that_engaged_by_itself_is_released_by_hand_without_standing_down() {
    let mut policy = up(&[EDGE]);
    policy.read_back(EDGE, BypassSwitch::Release, Position::Engaged);
    assert_eq!(policy.next(true), None);
    policy.order(BypassSwitch::Release, None).unwrap();
    assert_eq!(run(&mut policy, true), [order(EDGE, BypassSwitch::Release)]);
}

#[test]
fn a_reload_orders_everything_anew() {
    let mut policy = up(&[EDGE]);
    policy.set_latched(true);
    run(&mut policy, true);
    policy.reconfigure(settings(&[CORE, EDGE], true));
    assert_eq!(
        run(&mut policy, true),
        [order(CORE, BypassSwitch::Engage), order(EDGE, BypassSwitch::Engage)]
    );
}

#[test]
fn a_late_report_of_an_earlier_order_counts_for_nothing() {
    let mut policy = up(&[EDGE]);
    policy.order(BypassSwitch::Engage, None).unwrap();
    policy.next(true);
    policy.stood_down();
    policy.next(true);
    policy.read_back(EDGE, BypassSwitch::Release, Position::Released);
    assert_eq!(policy.position(EDGE), Some((BypassSwitch::Engage, None)));
}

#[test]
fn a_latch_that_no_driver_answers_ends_in_serving_at_the_lowest_priority() {
    let mut policy = up(&[CORE, EDGE]);
    policy.set_latched(true);
    assert_eq!(policy.next(true), Some(BypassAction::StandDown(Cause::FlapLatch)));
    policy.stood_down();
    while policy.next(true).is_some() {}
    assert!(!policy.engages_in_vain(), "not read back yet");
    policy.read_back(CORE, BypassSwitch::Engage, Position::Released);
    policy.read_back(EDGE, BypassSwitch::Engage, Position::Engaged);
    assert!(!policy.engages_in_vain(), "one wire is better than none");
    policy.read_back(EDGE, BypassSwitch::Engage, Position::Unknown);
    assert!(policy.engages_in_vain());
    policy.give_up();
    assert!(policy.is_latched_without_bypass() && !policy.engages_in_vain());
    assert_eq!(policy.next(true), Some(order(CORE, BypassSwitch::Release)));
    assert_eq!(policy.next(true), Some(order(EDGE, BypassSwitch::Release)));
    policy.read_back(CORE, BypassSwitch::Release, Position::Released);
    policy.read_back(EDGE, BypassSwitch::Release, Position::Unknown);
    assert_eq!(policy.next(true), None, "it may be engaged after all");
    policy.read_back(EDGE, BypassSwitch::Release, Position::Released);
    assert_eq!(policy.next(true), Some(BypassAction::StandUp));
}
