//! keepalived with `unicast_peer`: adverts to each other's addresses, none to the group.

use crate::bench::{Bench, OurSpec};
use crate::peer::PeerSpec;
use crate::scenarios::{self, HIGH, LOW};
use crate::setup::{ROUTER, SHORT, Setup};

const KEEPALIVED: Setup = Setup::KEEPALIVED.unicast();

#[test]
fn we_follow_unicast_keepalived_and_take_over() {
    scenarios::we_follow_and_take_over(KEEPALIVED);
}

#[test]
fn unicast_keepalived_follows_and_takes_over() {
    scenarios::they_follow_and_take_over(KEEPALIVED);
}

#[test]
fn unicast_keepalived_preempts_and_releases() {
    scenarios::they_preempt_and_release(KEEPALIVED);
}

#[test]
fn we_serve_until_unicast_keepalived_has_succeeded() {
    scenarios::we_release_and_serve_until_succeeded(KEEPALIVED);
}

#[test]
fn unicast_keepalived_v2_follows_and_takes_over() {
    scenarios::they_follow_and_take_over(KEEPALIVED.v2());
}

#[test]
fn unicast_keepalived_ipv6_follows_and_takes_over() {
    scenarios::they_follow_and_take_over(KEEPALIVED.ipv6());
}

/// V-165, V-168: every advert, in either direction, has the other's own address and TTL 255.
#[test]
fn unicast_adverts_go_from_address_to_address() {
    let bench = Bench::build(KEEPALIVED);
    let ours = bench.start_ours_active(&OurSpec::new(LOW));
    let _peer = bench.start_peer_active(&PeerSpec::new(&KEEPALIVED, HIGH));
    bench.we_follow(&ours, bench.segment.address("peer"), SHORT);
    let pair = [bench.our_address(), bench.segment.address("peer")];
    let adverts = bench.adverts.all();
    for source in pair {
        assert!(adverts.iter().any(|advert| advert.source == source), "no advert of {source}");
    }
    for advert in adverts {
        let other = if advert.source == pair[0] { pair[1] } else { pair[0] };
        assert_eq!((advert.destination, advert.ttl), (other, 255), "{advert:?}");
    }
    assert_eq!(ours.status().unwrap().discards(ROUTER, "destination-invalid"), 0);
}
