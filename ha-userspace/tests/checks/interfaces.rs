//! Interface checks on a veth pair.

use crate::bench::{Bench, check};
use holdfast::checks::CheckState::{Failing, Passing};
use holdfast::config::validated::CheckKind;
use nix::sched::{CloneFlags, unshare};
use std::process::Command;

/// Runs a test in a network namespace of its own, which goes with the test.
fn in_fresh_namespace(test: impl FnOnce() + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("the namespace tests need root");
        test();
    });
    if let Err(panic) = outcome.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip` in the calling thread's namespace.
fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn interface(name: &str) -> CheckKind {
    CheckKind::Interface { interface: name.to_owned() }
}

#[test]
fn state_and_carrier_of_a_veth_are_followed() {
    in_fresh_namespace(|| {
        let bench = Bench::start(&[check("lan", interface("lan0"))]);
        assert_eq!(bench.expect(Failing), "there is no interface lan0 in this network namespace");
        ip("link add lan0 type veth peer name peer0");
        ip("link set lan0 up");
        ip("link set peer0 up");
        assert_eq!(bench.expect(Passing), "lan0 is up with carrier");
        ip("link set peer0 down");
        assert_eq!(bench.expect(Failing), "lan0 has no carrier");
        ip("link set peer0 up");
        assert_eq!(bench.expect(Passing), "lan0 is up with carrier");
        ip("link set lan0 down");
        assert_eq!(bench.expect(Failing), "lan0 is administratively down");
        ip("link set lan0 up");
        bench.expect(Passing);
        ip("link del lan0");
        assert!(bench.expect(Failing).starts_with("there is no interface lan0"));
        assert_eq!(bench.status("lan").unwrap().timeouts, 0);
    });
}

#[test]
fn a_device_without_operational_state_passes() {
    in_fresh_namespace(|| {
        ip("link set lo up");
        let bench = Bench::start(&[check("lo", interface("lo"))]);
        assert_eq!(bench.expect(Passing), "lo is up with carrier");
    });
}
