//! The bypass policy as the daemon uses it; its own tables stand beside it.

use holdfast_engine::{BypassPolicy, BypassSettings, BypassSwitch, Refusal};

const NONE: [&str; 0] = [];

fn primary() -> BypassPolicy {
    BypassPolicy::new(BypassSettings { pairs: vec!["edge".to_owned()], is_primary: true })
}

#[test]
fn a_peer_that_forwards_ends_the_operators_order_for_good() {
    let mut policy = primary();
    policy.order(BypassSwitch::Engage, None).unwrap();
    assert_eq!(policy.wanted(), ["edge"]);
    assert!(policy.set_barred(true), "it ended something");
    assert_eq!(policy.wanted(), NONE);
    assert_eq!(policy.order(BypassSwitch::Engage, None), Err(Refusal::PeerForwards));
    policy.set_barred(false);
    assert_eq!(policy.wanted(), NONE, "nobody ordered it since");
}
