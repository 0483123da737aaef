//! Every state that one fault can lead to, and two that strike together; and that the checker finds what it must.

use holdfast_model::model::{NO_ACTION_PAST_A_LAPSE, NO_VOUCHING_PAST_THE_LEASE, ONE_OWNER};
use holdfast_model::settings::{FAST, ONE_FAULT, SLOW, Sabotage};
use holdfast_model::{Deed, Settings, check};
use std::time::Duration;

/// A check that takes longer than this on any machine has too many states.
const PATIENCE: Duration = Duration::from_secs(600);

fn holds(settings: Settings) {
    let report = check(settings, 1, PATIENCE);
    println!("{report}");
    assert!(report.complete, "{report}");
    assert!(report.breaches.is_empty(), "{report}");
    // Everything that the model is about has come up, or it would show nothing.
    assert!(report.unseen.is_empty(), "{report}");
}

#[test]
fn one_fault_at_any_moment_and_for_any_time_breaks_nothing() {
    ONE_FAULT.into_iter().for_each(holds);
}

#[test]
fn two_faults_close_together_break_nothing_where_adverts_are_slow() {
    holds(SLOW.with(2, 2));
}

#[test]
fn two_faults_close_together_break_nothing_where_adverts_are_fast() {
    holds(FAST.with(2, 2));
}

/// A harness that forgets a rule breaks it, and the history told is as short as it can be.
fn is_found(settings: Settings, sabotage: Sabotage, property: &str) {
    let report = check(Settings { sabotage, ..settings }, 1, PATIENCE);
    println!("{report}");
    let breach = report.breaches.iter().find(|breach| breach.property == property);
    let breach = breach.unwrap_or_else(|| panic!("{sabotage:?} goes unnoticed: {report}"));
    let strikes = breach.deeds.iter().filter(|deed| matches!(deed, Deed::Strike(_))).count();
    assert!(strikes <= usize::from(settings.faults), "{breach}");
}

#[test]
fn a_lapse_that_the_engine_is_not_told_of_is_found() {
    is_found(SLOW, Sabotage::LapseUntold, NO_ACTION_PAST_A_LAPSE);
}

#[test]
fn a_lease_that_is_overstated_to_the_peer_is_found() {
    is_found(FAST, Sabotage::LeaseOverstated, NO_VOUCHING_PAST_THE_LEASE);
}

#[test]
fn a_data_plane_that_keeps_what_an_owner_hears_to_itself_is_found() {
    is_found(SLOW, Sabotage::OwnerDeaf, ONE_OWNER);
}
