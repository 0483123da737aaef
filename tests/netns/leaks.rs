//! Ten starts and stops leave the node as it was.

use crate::support::{LAN, Router, SOON, run, start};
use holdfast_lab::netns::Namespace;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::Segment;

/// What a node shows of itself: links with their programs, addresses, qdiscs, filters, memberships, settings.
fn snapshot(node: &Namespace) -> String {
    let settings = "-n net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_announce net.ipv4.conf.eth0.rp_filter \
                    net.ipv4.conf.eth0.promote_secondaries net.ipv4.conf.all.arp_ignore";
    let commands = [
        ("ip", "-d -o link show"),
        ("ip", "-o addr show"),
        ("ip", "maddr show"),
        ("tc", "qdisc show"),
        ("tc", "filter show dev eth0 egress"),
        ("bpftool", "net show"),
        ("sysctl", settings),
    ];
    let shown = commands.map(|(program, arguments)| {
        let output = run(node, program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        format!("# {program} {arguments}\n{}", String::from_utf8_lossy(&output.stdout))
    });
    shown.concat()
}

/// Ids of the loaded programs that carry our names, on the whole machine.
fn our_programs() -> Vec<String> {
    let output = std::process::Command::new("bpftool").args(["prog", "list"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours = text.lines().filter(|line| line.contains("name holdfast"));
    ours.map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn ten_starts_and_stops_leave_nothing() {
    let segment = Segment::build(&["a"]).unwrap();
    let node = segment.host("a");
    let config = Router::new(200).text()
        + &Router::new(200).name("six").addresses(&["fe80::1/64", "2001:db8:1::1/64"]).text()
        + &Router::new(200)
            .name("vmac")
            .vrid(77)
            .addresses(&["192.0.2.77/24"])
            .with("virtual_mac = true")
            .text();
    let before = snapshot(node);
    let mut a = start(&segment, "a", &config);
    for round in 0..10 {
        if round > 0 {
            a.restart().unwrap();
        }
        for router in [LAN, "six", "vmac"] {
            a.wait_state(router, "active", SOON).unwrap();
        }
        assert_ne!(snapshot(node), before, "a running daemon shows");
        let programs = our_programs();
        assert!(!programs.is_empty(), "bpftool sees our programs");
        assert!(a.stop().unwrap().success(), "{}", a.process().log_tail());
        eventually_true("the node is as it was", SOON, || snapshot(node) == before)
            .unwrap_or_else(|error| panic!("{error}\nbefore:\n{before}\nafter:\n{}", snapshot(node)));
        assert!(!a.bpf_dir().exists(), "{} is left", a.bpf_dir().display());
        let state: Vec<_> = std::fs::read_dir(a.state_dir()).unwrap().flatten().collect();
        let names: Vec<_> = state.iter().map(|entry| entry.file_name().into_string().unwrap()).collect();
        assert!(!names.iter().any(|name| name.starts_with("addresses")), "{names:?}");
    }
}
