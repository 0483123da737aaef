//! Every map can be pinned by name and is found again by the next loader, as a daemon that takes over does.
//! Uses a BPF file system in a mount namespace that ends with its thread.

use aya::maps::Array;
use aya::{Ebpf, EbpfLoader};
use ha_common::maps::names;
use ha_common::maps::values::{Head, Lease};
use nix::sched::{CloneFlags, unshare};
use std::path::Path;
use std::process::Command;

fn mount(arguments: &[&str]) {
    let status = Command::new("mount").args(arguments).status().expect("run mount");
    assert!(status.success(), "mount {}", arguments.join(" "));
}

fn load(directory: &Path) -> Ebpf {
    let mut loader = EbpfLoader::new();
    for name in names::ALL_MAPS {
        loader.map_pin_path(name, directory.join(name));
    }
    loader.load(holdfast::bpf_object::OBJECT).expect("load the object")
}

fn takes_over(directory: &Path) {
    let mut first = load(directory);
    for name in names::ALL_MAPS {
        assert!(directory.join(name).exists(), "{name} is pinned");
    }
    let lease = Lease { head: Head::of::<Lease>(), reserved: 0, until_ns: 42 };
    let map = first.map_mut(names::LEASE).expect("lease");
    Array::<_, Lease>::try_from(map).expect("array").set(0, lease, 0).expect("lease");
    drop(first);

    let second = load(directory);
    let map = second.map(names::LEASE).expect("lease");
    let found = Array::<_, Lease>::try_from(map).expect("array").get(&0, 0).expect("lease");
    assert_eq!((found.until_ns, found.head), (42, Head::of::<Lease>()));
}

#[test]
fn every_map_is_pinned_and_taken_over() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().to_owned();
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("a mount namespace (as root)");
        mount(&["--make-rprivate", "/"]);
        mount(&["-t", "bpf", "bpf", path.to_str().expect("UTF-8")]);
        takes_over(&path);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
