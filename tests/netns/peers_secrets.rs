//! Secrets: rotated under load without a lost check, and wrong on one side without two owners.

use crate::peers_bench::Bench;
use crate::support::{MS, SECOND, SOON};
use holdfast_lab::clock::Moment;
use holdfast_lab::gateway_pair::Peering;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{Leg, Side};
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const ADVERTS: Duration = Duration::from_millis(100);
const CHECKS: Duration = Duration::from_millis(10);
/// The three reloads of the manual, by the files that stand in `secret_files`.
const ROTATION: [&str; 3] = [
    r#""@files@/cluster.key", "@files@/new.key""#,
    r#""@files@/new.key", "@files@/cluster.key""#,
    r#""@files@/new.key""#,
];

fn write_secret(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn config(side: Side, secrets: &str) -> String {
    let text = Peering::every(CHECKS).config(side, ADVERTS);
    text.replace(r#"secret_files = ["@files@/cluster.key"]"#, &format!("secret_files = [{secrets}]"))
}

/// Checks of all paths of a side so far: answered, lost.
fn checks(bench: &Bench, side: Side) -> [u64; 2] {
    let status = bench.status(side);
    let paths = status.0["peers"][0]["paths"].as_array().unwrap().clone();
    let sum = |key: &str| paths.iter().map(|path: &Value| path[key].as_u64().unwrap()).sum();
    [sum("answered"), sum("lost")]
}

fn rotation_loses_nothing(bench: &Bench) {
    for side in Side::BOTH {
        let new = bench.daemon(side).secret_path().with_file_name("new.key");
        write_secret(&new, b"the next secret of the lab, as good as the last one");
    }
    let before = Side::BOTH.map(|side| checks(bench, side));
    let mark = bench.mark();
    for secrets in ROTATION {
        // Node by node: in between they differ, as in life.
        for side in Side::BOTH {
            bench.daemon(side).set_config(&config(side, secrets)).unwrap();
            bench.daemon(side).cli_ok(&["reload"]).unwrap();
            std::thread::sleep(300 * MS);
        }
    }
    for side in Side::BOTH {
        let [answered, lost] = checks(bench, side);
        let [answered, lost] = [answered - before[side as usize][0], lost - before[side as usize][1]];
        println!("{}: {answered} checks answered and {lost} lost in three reloads", side.label());
        assert!(answered > 300, "{answered}");
        // A busy machine answers late now and then; a wrong key would lose every check for 300 ms.
        assert!(lost * 100 <= answered, "{lost} of {answered}");
        for notice in ["peer-unhealthy", "authentication-failing"] {
            assert_eq!(bench.notices(side, &mark, notice), 0, "{}: {notice}", side.label());
        }
        assert_eq!(bench.status(side).0["peers"][0]["authenticated"], true);
    }
    bench.assert_still(&mark, "three reloads with other secrets");
}

/// Both say so at once, and plain VRRP decides: one owner all the time, and a loss is noticed by missing adverts.
fn a_wrong_secret_is_told_and_plain_vrrp_decides(bench: &Bench) {
    let path = bench.daemon(Side::B).secret_path().with_file_name("new.key");
    let right = std::fs::read(&path).unwrap();
    let mark = bench.mark();
    write_secret(&path, b"a secret of somebody else's, which no gateway here has");
    bench.daemon(Side::B).cli_ok(&["reload"]).unwrap();
    for side in Side::BOTH {
        bench.wait_notice(side, &mark, "authentication-failing");
    }
    println!("authentication failing on both {:?} after the reload", mark.at.elapsed());
    std::thread::sleep(2 * SECOND);
    bench.assert_still(&mark, "a wrong secret");
    for side in Side::BOTH {
        assert_eq!(bench.status(side).0["peers"][0]["authenticated"], false);
        assert_eq!(bench.notices(side, &mark, "authentication-failing"), 1, "told once");
    }
    let lost = Moment::now();
    bench.lab.node_silent(Side::A).unwrap();
    eventually_true("B takes over", SOON, || bench.pair.is_active(Side::B)).unwrap();
    bench.wait_flow();
    let silent = bench.owners(Leg::Lan, lost).longest_unanswered;
    println!("plain VRRP: nobody answered for {silent:?}");
    assert_eq!(bench.pair.cause(Side::B, Leg::Lan).as_deref(), Some("advert-timeout"));
    bench.lab.node_restore(Side::A).unwrap();
    bench.pair.wait_active(Side::A, SOON).unwrap();

    write_secret(&path, &right);
    bench.daemon(Side::B).cli_ok(&["reload"]).unwrap();
    bench.settle(Side::A);
    for side in Side::BOTH {
        assert_eq!(bench.status(side).0["peers"][0]["authenticated"], true);
    }
}

#[test]
fn secrets_are_rotated_without_a_loss_and_a_wrong_one_is_told() {
    let bench = Bench::start(ADVERTS, &Peering::every(CHECKS));
    rotation_loses_nothing(&bench);
    a_wrong_secret_is_told_and_plain_vrrp_decides(&bench);
}
