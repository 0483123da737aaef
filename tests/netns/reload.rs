//! A reload takes up what changed, refuses what it cannot take up as a whole, and disturbs nothing else.

use crate::support::{
    INTERVAL, LAN, MS, Router, SECOND, SOON, VIP, ask_owner, owners_since, start, start_pair,
};
use crate::support::{mac, transition_count, transitions};
use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::Daemon;
use holdfast_lab::forge::AdvertSpec;
use holdfast_lab::gateway_pair::{GatewayPair, Product, holdfast_config};
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::poll::{always, eventually_true};
use holdfast_lab::topology::{GatewayLab, SERVER, Segment, Side};
use holdfast_lab::traffic::Stream;
use std::net::SocketAddr;

fn reload(daemon: &Daemon, config: &str) -> String {
    daemon.set_config(config).unwrap();
    daemon.cli_ok(&["reload"]).unwrap()
}

/// The reason a reload is refused for.
fn refusal(daemon: &Daemon, config: &str) -> String {
    daemon.set_config(config).unwrap();
    let output = daemon.cli(&["reload"]).unwrap();
    assert_eq!(output.status.code(), Some(1), "the reload is refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn second_router(priority: u8) -> Router {
    Router::new(priority).name("dmz").vrid(77).addresses(&["192.0.2.77/24"])
}

/// A router more, a router less: by SIGHUP and by the command, without a word about the others.
#[test]
fn routers_come_and_go_without_disturbing_the_others() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (a, b) = start_pair(&segment, |router| router);
    let capture = AdvertCapture::start(segment.host("asker"), Segment::INTERFACE).unwrap();
    let probe = ask_owner(&segment, "asker", VIP);
    eventually_true("a answers", SOON, || probe.last_owner().is_some()).unwrap();
    let begin = Moment::now();
    let lan = Router::new(200).text();
    a.set_config(&(lan.clone() + &second_router(200).text())).unwrap();
    a.sighup();
    a.wait_state("dmz", "active", SOON).unwrap();
    let node = segment.host("a");
    eventually_true("its address stands", SECOND, || node.has_address("eth0", "192.0.2.77")).unwrap();
    capture.wait_for("its advert", begin, SOON, |advert| advert.vrid == 77).unwrap();

    let removed = Moment::now();
    reload(&a, &lan);
    eventually_true("its address is gone", SECOND, || !node.has_address("eth0", "192.0.2.77")).unwrap();
    assert!(a.status().unwrap().router("dmz").is_null());
    let released = capture.since(removed).into_iter().filter(|advert| advert.vrid == 77).collect::<Vec<_>>();
    assert!(released.iter().any(|advert| advert.priority == 0), "a removed router releases: {released:?}");
    let quiet = Moment::now();
    std::thread::sleep(5 * INTERVAL);
    assert!(capture.since(quiet).iter().all(|advert| advert.vrid != 77));

    let owners = owners_since(&probe, begin);
    assert_eq!((owners.unanswered, owners.contested, owners.by_owner.len()), (0, 0, 1), "{owners:?}");
    let gap = capture.longest_gap(segment.address("a"), begin, Moment::now());
    assert!(gap < 3 * INTERVAL, "adverts went on: {gap:?}");
    assert_eq!((transitions(&a, LAN).len(), transitions(&b, LAN).len()), (2, 1));
}

/// A changed priority decides the next contest; a changed interval is sent and learned (V-079).
#[test]
fn priority_interval_and_preemption_change_in_place() {
    let segment = Segment::build(&["a", "b", "ear"]).unwrap();
    let (a, b) = start_pair(&segment, |router| router);
    let capture = AdvertCapture::start(segment.host("ear"), Segment::INTERFACE).unwrap();

    reload(&a, &Router::new(150).interval(200 * MS).text());
    let is_new =
        |advert: &holdfast_lab::adverts::Advert| advert.priority == 150 && advert.interval == 200 * MS;
    capture.wait_for("an advert with both", Moment::now(), SOON, is_new).unwrap();
    b.wait_status("b learns the interval", SOON, |status| {
        status.number(LAN, "learned_interval_ns") == 200_000_000
    })
    .unwrap();
    let counted = Moment::now();
    std::thread::sleep(2 * SECOND);
    let heard = capture.since(counted).len();
    assert!((9..=12).contains(&heard), "{heard} adverts in two seconds");
    assert_eq!(transitions(&a, LAN).len(), 2, "a stays Active");

    // b without preemption does not use its better priority; with it, it does.
    reload(&b, &Router::new(250).with("preempt = false").text());
    always("b stays Backup", 1500 * MS, || b.status().unwrap().state(LAN) == Some("backup")).unwrap();
    reload(&b, &Router::new(250).text());
    b.wait_state(LAN, "active", SOON).unwrap();
    a.wait_state(LAN, "backup", SOON).unwrap();
}

/// Addresses can be exchanged under an Active; the new one is announced, the old one is gone.
#[test]
fn an_address_is_exchanged_in_place() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (a, _b) = start_pair(&segment, |router| router);
    reload(&a, &Router::new(200).addresses(&["192.0.2.1/24", "192.0.2.99/24"]).text());
    let (old, new) = (ask_owner(&segment, "asker", VIP), ask_owner(&segment, "asker", [192, 0, 2, 99]));
    eventually_true("both answer", SOON, || old.last_owner().is_some() && new.last_owner().is_some())
        .unwrap();
    reload(&a, &Router::new(200).addresses(&["192.0.2.99/24"]).text());
    eventually_true("the old one is silent", SOON, || {
        old.last_owner().is_some_and(|(_, at)| at.elapsed() > 300 * MS)
    })
    .unwrap();
    assert!(new.last_owner().is_some_and(|(_, at)| at.elapsed() < 200 * MS));
    assert!(!segment.host("a").has_address("eth0", "192.0.2.1"));
    assert_eq!(transitions(&a, LAN).len(), 2);
}

/// A router that changes what makes it itself (VRID, virtual MAC) is another router: the old one releases.
#[test]
fn a_changed_identity_is_another_router() {
    let segment = Segment::build(&["a", "ear"]).unwrap();
    let a = start(&segment, "a", &Router::new(200).text());
    a.wait_state(LAN, "active", SOON).unwrap();
    let capture = AdvertCapture::start(segment.host("ear"), Segment::INTERFACE).unwrap();
    let probe = ask_owner(&segment, "ear", VIP);
    let changed = Moment::now();
    reload(&a, &Router::new(200).vrid(61).text());
    capture
        .wait_for("the release", changed, SOON, |advert| advert.vrid == 51 && advert.priority == 0)
        .unwrap();
    capture.wait_for("the new router", changed, SOON, |advert| advert.vrid == 61).unwrap();
    let with_mac = Router::new(200).vrid(61).with("virtual_mac = true");
    reload(&a, &with_mac.text());
    let virtual_mac = [0, 0, 0x5e, 0, 1, 61];
    eventually_true("the virtual MAC answers", SOON, || {
        probe.last_owner().is_some_and(|(mac, at)| mac == virtual_mac && at.elapsed() < 200 * MS)
    })
    .unwrap();
    assert!(!segment.host("a").has_address("eth0", &VIP.to_string()));
    reload(&a, &Router::new(200).vrid(61).text());
    eventually_true("the plain MAC answers", SOON, || {
        probe.last_owner().is_some_and(|(mac, at)| mac != virtual_mac && at.elapsed() < 200 * MS)
    })
    .unwrap();
    assert!(!segment.host("a").ip("-d link show").unwrap().contains("macvlan"));
}

/// V-166: a peer that a reload took off the list is listened to no longer; one that it added is.
#[test]
fn unicast_peers_come_and_go() {
    let segment = Segment::build(&["a", "one", "two"]).unwrap();
    let listing = |peer: &str| {
        Router::new(100).with(&format!("unicast_peers = [\"{}\"]", segment.address(peer))).text()
    };
    let a = start(&segment, "a", &listing("one"));
    a.wait_state(LAN, "active", SOON).unwrap();
    reload(&a, &listing("two"));
    let say = |host: &str| {
        let socket = PacketSocket::open(segment.host(host), Segment::INTERFACE).unwrap();
        let mut advert = AdvertSpec::v3(segment.address(host), socket.mac, 51, 250, &[VIP.into()]);
        advert.destination = segment.address("a");
        advert.destination_mac = mac(segment.host("a"), Segment::INTERFACE);
        socket.send(&advert.frame()).unwrap();
    };
    say("one");
    eventually_true("the former peer is not trusted", SOON, || {
        a.status().unwrap().discards(LAN, "source-untrusted") == 1
    })
    .unwrap();
    assert!(a.status().unwrap().is_active(LAN));
    say("two");
    a.wait_state(LAN, "backup", SOON).unwrap();
}

/// Whatever is wrong with a configuration, everything goes on as it was and the reason is said.
#[test]
fn a_bad_configuration_is_refused_and_changes_nothing() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (a, b) = start_pair(&segment, |router| router);
    let probe = ask_owner(&segment, "asker", VIP);
    eventually_true("a answers", SOON, || probe.last_owner().is_some()).unwrap();
    let begin = Moment::now();
    let lan = Router::new(200).text();
    let cases = [
        ("unknown key", Router::new(200).with("prioritty = 3").text(), vec!["prioritty", "priority"]),
        ("not TOML", "[[virtual_router]\n".to_owned(), vec!["holdfast.toml"]),
        (
            "wrong family",
            Router::new(200).addresses(&["192.0.2.1/24", "2001:db8::1/64"]).text(),
            vec!["addresses"],
        ),
        ("overlapping VRID", lan.clone() + &Router::new(100).name("twin").text(), vec!["vrid"]),
        ("no unit", lan.replace("\"100ms\"", "100"), vec!["advertisement_interval"]),
        ("missing interface", lan.clone() + &second_router(100).interface("nosuch0").text(), vec!["nosuch0"]),
        ("nothing at all", String::new(), vec!["virtual_router"]),
    ];
    for (what, config, words) in &cases {
        let reason = refusal(&a, config);
        for word in words {
            assert!(reason.contains(word), "{what}: {word:?} is not in {reason}");
        }
        a.sighup();
    }
    let reason = refusal(&a, &(String::from("[ha]\nport = 9999\n") + &lan));
    assert!(reason.contains("ha.port") && reason.contains("restart"), "{reason}");
    std::thread::sleep(3 * INTERVAL);
    let owners = owners_since(&probe, begin);
    assert_eq!((owners.unanswered, owners.contested, owners.by_owner.len()), (0, 0, 1), "{owners:?}");
    let status = a.status().unwrap();
    assert!(status.is_active(LAN));
    assert_eq!(status.0["virtual_routers"].as_array().unwrap().len(), 1);
    assert_eq!((transitions(&a, LAN).len(), transitions(&b, LAN).len()), (2, 1));
    // And a good one is taken up afterwards.
    assert!(reload(&a, &lan).contains("nothing differs"));
}

/// An interface that carries somebody else's program: the reload that would need it is refused as a whole.
#[test]
fn a_reload_onto_an_occupied_interface_is_refused() {
    let lab = GatewayLab::build().unwrap();
    let node = lab.gateway(Side::A);
    let lan = Router::new(200).interface("lan0");
    let spec = holdfast_lab::daemon::NodeSpec { name: "a", id: None, config: &lan.text() };
    let a = Daemon::start(&lab.name, node, &spec).unwrap();
    a.wait_state(LAN, "active", SOON).unwrap();
    holdfast_lab::fabric::attach_foreign_xdp(node, "wan0").unwrap();
    let occupied = node.ip("-d link show dev wan0").unwrap();
    let wan = Router::new(200).name("wan").interface("wan0").vrid(52).addresses(&["198.51.100.1/24"]);
    let reason = refusal(&a, &(lan.text() + &wan.text()));
    assert!(reason.contains("wan0") && reason.contains("another XDP program"), "{reason}");
    let id = |text: &str| {
        text.split_once("prog/xdp id ").map(|(_, rest)| rest.split(' ').next().unwrap().to_owned())
    };
    let foreign = id(&occupied).unwrap();
    assert!(reason.contains(&foreign), "it names program {foreign}: {reason}");
    assert_eq!(id(&node.ip("-d link show dev wan0").unwrap()), Some(foreign), "which stays");
    assert!(a.status().unwrap().is_active(LAN));
}

/// Claim C4: twenty reloads that change nothing, or only one other router, lose no datagram and move nobody.
#[test]
fn unrelated_reloads_lose_nothing() {
    let lab = GatewayLab::build().unwrap();
    let pair = GatewayPair::start(&lab, Product::Holdfast, INTERVAL).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
    let stream = Stream::start(&lab.client, &lab.server, SocketAddr::new(SERVER.into(), 9000), MS).unwrap();
    eventually_true("traffic", SOON, || stream.flows_since(Moment::now().before(30 * MS))).unwrap();
    let begin = Moment::now();
    let plain = holdfast_config(Side::A, INTERVAL);
    let more = plain.clone() + &second_router(50).interface("lan0").text();
    let a = pair.daemon(Side::A).unwrap();
    for round in 0..20 {
        reload(a, if round % 2 == 0 { &more } else { &plain });
    }
    std::thread::sleep(500 * MS);
    let traffic = stream.window(begin, Moment::now());
    assert_eq!((traffic.lost, traffic.duplicated), (0, 0), "{traffic:?}");
    assert!(pair.is_active(Side::A) && !pair.is_active(Side::B));
    let status = pair.daemon(Side::B).unwrap().status().unwrap();
    assert_eq!(transition_count(&status), 0, "B has never been Active");
}

/// A reload changes the lease and the fence while the daemon runs.
#[test]
fn the_lease_can_be_changed_by_a_reload() {
    let segment = Segment::build(&["a", "asker"]).unwrap();
    let lan = Router::new(200).text();
    let mut a = start(&segment, "a", &lan);
    a.wait_state(LAN, "active", SOON).unwrap();
    reload(&a, &(String::from("[ha]\ncontroller_lease = \"200ms\"\n") + &lan));
    let status = a.status().unwrap();
    assert_eq!(status.0["controller"]["lease_ns"], 200_000_000);
    let probe = ask_owner(&segment, "asker", VIP);
    eventually_true("a answers", SOON, || probe.last_owner().is_some()).unwrap();
    // The last extension under the old lease has run out by then.
    std::thread::sleep(1500 * MS);
    let killed = Moment::now();
    a.kill9();
    std::thread::sleep(600 * MS);
    let owners = owners_since(&probe, killed + 250 * MS);
    assert!(owners.asked > 100 && owners.unanswered == owners.asked, "{owners:?}");
}
