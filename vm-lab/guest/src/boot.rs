//! What an init does: file systems, modules, the loopback. Failures are collected and told, not fatal: what is missing
//! shows in what the guest is asked to do.

use holdfast_vm_protocol::{LOG_DIR, MODULE_DIR, MODULE_LIST};
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use std::fs::{self, File};
use std::path::Path;

/// Source and type, and where it belongs.
const MOUNTS: [(&str, &str); 6] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("bpf", "/sys/fs/bpf"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
];
const DIRECTORIES: [&str; 3] = ["/var/lib/holdfast", "/etc/holdfast", LOG_DIR];

/// Mounts, loads and makes directories; gives what did not work.
pub(crate) fn bring_up() -> Vec<String> {
    let mut complaints = Vec::new();
    for (kind, place) in MOUNTS {
        if let Err(error) = mount_at(kind, place) {
            complaints.push(format!("mounting {kind} on {place}: {error}"));
        }
    }
    for directory in DIRECTORIES {
        if let Err(error) = fs::create_dir_all(directory) {
            complaints.push(format!("making {directory}: {error}"));
        }
    }
    load_modules(&mut complaints);
    complaints
}

fn mount_at(kind: &str, place: &str) -> std::io::Result<()> {
    fs::create_dir_all(place)?;
    match mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>) {
        // The kernel may have mounted it itself.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Loads the modules in the order of the list, which names dependencies first.
fn load_modules(complaints: &mut Vec<String>) {
    let list = match fs::read_to_string(MODULE_LIST) {
        Ok(list) => list,
        Err(error) => return complaints.push(format!("reading {MODULE_LIST}: {error}")),
    };
    for name in list.lines() {
        let path = Path::new(MODULE_DIR).join(name);
        let loaded = File::open(&path).and_then(|file| {
            finit_module(&file, c"", ModuleInitFlags::empty()).map_err(std::io::Error::from)
        });
        match loaded {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::EEXIST as i32) => {}
            Err(error) => complaints.push(format!("loading module {name}: {error}")),
        }
    }
}
