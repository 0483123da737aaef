//! Planned moves lose nothing: graceful stop, `holdfast failover`, and a failover that nobody takes up.

use crate::support::{INTERVAL, LAN, MS, Router, SECOND, SOON, start_router, transitions};
use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::clock::Moment;
use holdfast_lab::forge::ChecksumForm;
use holdfast_lab::gateway_pair::{GatewayPair, Product};
use holdfast_lab::owners::OwnerProbe;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{GatewayLab, LAN_VIP, Leg, SERVER, Segment, Side};
use holdfast_lab::traffic::Stream;
use std::net::SocketAddr;
use std::time::Duration;

struct Planned {
    stream: Stream,
    owners: OwnerProbe,
    pair: GatewayPair,
    lab: GatewayLab,
}

impl Planned {
    fn start(interval: Duration) -> Self {
        let lab = GatewayLab::build().unwrap();
        let pair = GatewayPair::start(&lab, Product::Holdfast, interval).unwrap();
        pair.wait_active(Side::A, SOON).unwrap();
        let destination = SocketAddr::new(SERVER.into(), 9000);
        let stream = Stream::start(&lab.client, &lab.server, destination, MS).unwrap();
        let owners = OwnerProbe::start(&lab.client, "lan0", LAN_VIP.into(), MS).unwrap();
        eventually_true("traffic", SOON, || stream.flows_since(Moment::now().before(30 * MS))).unwrap();
        // B must have heard A, or it would have nothing to take over from.
        let b = pair.daemon(Side::B).unwrap();
        b.wait_status("B hears A", SOON, |status| status.number("lan", "adverts_received") > 0).unwrap();
        std::thread::sleep(200 * MS);
        Planned { stream, owners, pair, lab }
    }

    /// Not one datagram of those sent since `begin` is lost, and no request for the address had two answers.
    fn assert_nothing_lost(&self, begin: Moment, what: &str) {
        std::thread::sleep(500 * MS);
        let traffic = self.stream.window(begin, Moment::now());
        let owners = self.owners.window(begin, Moment::now());
        println!("{what}: {traffic:?} {owners:?}");
        assert!(traffic.sent > 200, "{what}: {traffic:?}");
        assert_eq!(
            (traffic.lost, traffic.duplicated),
            (0, 0),
            "{what}: {traffic:?}\n{}",
            self.pair.log_tails()
        );
        assert_eq!(owners.contested, 0, "{what}: {owners:?}");
        assert_eq!(owners.by_owner.len(), 2, "{what}: both sides have answered: {owners:?}");
    }
}

/// V-100, V-083: SIGTERM serves until the successor is heard, at any advertisement interval.
fn graceful_stop_loses_nothing(interval: Duration) {
    let mut planned = Planned::start(interval);
    let capture = AdvertCapture::start(&planned.lab.client, "lan0").unwrap();
    let begin = Moment::now();
    planned.pair.begin_stop(Side::A);
    eventually_true("A has ended", SOON, || planned.pair.has_ended(Side::A)).unwrap();
    planned.assert_nothing_lost(begin, &format!("stop at {interval:?}"));
    planned.pair.wait_active(Side::B, SOON).unwrap();
    let a = Side::A.lan_address();
    let of_a: Vec<_> = capture.since(begin).into_iter().filter(|advert| advert.source == a).collect();
    let released = of_a.iter().position(|advert| advert.priority == 0).unwrap();
    // No peer has shown which checksum form it reads, so the release goes out in both.
    let forms: Vec<_> = of_a[released..].iter().map(|advert| (advert.priority, advert.checksum)).collect();
    let both = [(0, ChecksumForm::Rfc5798), (0, ChecksumForm::Rfc9568)];
    assert_eq!(forms, both, "one advert of priority 0 in each form, then silence: {of_a:#?}");
    assert_eq!((of_a[released].vrid, of_a[released].addresses.len()), (51, 1));
    let cause = planned.pair.cause(Side::B, Leg::Lan);
    assert_eq!(cause.as_deref(), Some("priority-zero"));
}

#[test]
fn a_graceful_stop_loses_nothing_at_1_s() {
    graceful_stop_loses_nothing(SECOND);
}

#[test]
fn a_graceful_stop_loses_nothing_at_100_ms() {
    graceful_stop_loses_nothing(100 * MS);
}

#[test]
fn a_graceful_stop_loses_nothing_at_10_ms() {
    graceful_stop_loses_nothing(10 * MS);
}

fn failover_loses_nothing(interval: Duration, arguments: &[&str]) {
    let planned = Planned::start(interval);
    let begin = Moment::now();
    let said = planned.pair.daemon(Side::A).unwrap().cli_ok(arguments).unwrap();
    assert!(said.contains("released 2 virtual routers"), "{said}");
    planned.pair.wait_active(Side::B, SOON).unwrap();
    planned.assert_nothing_lost(begin, &format!("failover at {interval:?}"));
    assert_eq!(planned.pair.cause(Side::A, Leg::Lan).as_deref(), Some("failover-command"));
    // The order holds although A has the better priority.
    std::thread::sleep(3 * interval + 500 * MS);
    assert!(planned.pair.is_active(Side::B) && !planned.pair.is_active(Side::A));
}

#[test]
fn a_failover_loses_nothing_at_1_s() {
    failover_loses_nothing(SECOND, &["failover"]);
}

#[test]
fn a_failover_of_the_group_loses_nothing_at_100_ms() {
    failover_loses_nothing(100 * MS, &["failover", "gateway"]);
}

#[test]
fn a_failover_loses_nothing_at_10_ms() {
    failover_loses_nothing(10 * MS, &["failover"]);
}

#[test]
fn a_failover_that_nobody_takes_up_is_refused_and_changes_nothing() {
    let segment = Segment::build(&["a", "asker"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let probe = crate::support::ask_owner(&segment, "asker", crate::support::VIP);
    let begin = Moment::now() + 100 * MS;
    std::thread::sleep(100 * MS);
    let refused = a.cli(&["failover"]).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(reason.contains("no successor") && reason.contains("lan"), "{reason}");
    std::thread::sleep(3 * INTERVAL);
    let owners = crate::support::owners_since(&probe, begin);
    assert_eq!((owners.unanswered, owners.contested), (0, 0), "{owners:?}");
    assert!(a.status().unwrap().is_active(LAN));
    assert_eq!(transitions(&a, LAN).len(), 2, "Backup and Active, nothing since");
    let unknown = a.cli(&["failover", "nosuch"]).unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("nosuch"));
}
