//! Secrets change under load, node by node, and no probe is lost for it.

use crate::bench::{Bench, FarSide, OWN_NODE, PEER, in_fresh_namespace, mirrored, path, settings};
use holdfast::probes::keys::{ClusterKeys, PairKeys};
use holdfast_engine::{Duration, Health};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration as StdDuration;

const INTERVAL: Duration = Duration::from_millis(2);

fn secret(folder: &Path, name: &str, fill: u8) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, [fill; 32]).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

fn load(files: &[&PathBuf]) -> PairKeys {
    let files: Vec<PathBuf> = files.iter().map(|file| (*file).clone()).collect();
    ClusterKeys::load(&files).unwrap().pair(OWN_NODE, PEER.0).unwrap()
}

#[test]
fn secrets_rotate_under_load_without_a_lost_probe() {
    in_fresh_namespace(|| {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (secret(folder.path(), "old", 1), secret(folder.path(), "new", 2));
        let far = FarSide::new();
        far.join("lan0", "192.0.2.10/24", "peer0", "192.0.2.11/24");
        let bench = Bench::start(far, &[("192.0.2.11".parse().unwrap(), "peer0")]);
        let lan = path(0, "lan0", "192.0.2.10", "192.0.2.11");
        let ours = |files: &[&PathBuf]| {
            bench.tap.set_keys(load(files));
            bench.sender.configure(settings(INTERVAL, load(files), vec![lan.clone()]));
        };
        let theirs = |files: &[&PathBuf]| bench.peer.lock().unwrap().keys = mirrored(&load(files));

        theirs(&[&old]);
        ours(&[&old]);
        assert_eq!(bench.peer_health().0, Health::Healthy);
        // Each node takes the new secret in, then proves with it, then drops the old one.
        let steps: [&[&PathBuf]; 3] = [&[&old, &new], &[&new, &old], &[&new]];
        for files in steps {
            theirs(files);
            std::thread::sleep(StdDuration::from_millis(200));
            ours(files);
            std::thread::sleep(StdDuration::from_millis(200));
        }
        let path = bench.path_status(0);
        bench.tap.assert_fair(&path, INTERVAL);
        assert!(path.view.counts.answered > 200, "{path:?}");
        let model = bench.peer.lock().unwrap();
        assert!(model.refused.is_empty(), "{:?}", model.refused);
        assert_eq!(model.accepted.last().unwrap().key_id, load(&[&new]).key_ids[0]);
        assert_eq!(path.view.health, Health::Healthy);
    });
}
