//! Pins on the BPF filesystem: where they lie, the lock on them, and their removal.
//!
//! Layout: `bpf_dir/v<LAYOUT_VERSION>/maps/<NAME>` and `.../links/{xdp,egress}-<ifindex>`. The lock is an advisory
//! `flock` on `bpf_dir` itself, held by an open descriptor for the life of the daemon.

use super::DatapathError;
use ha_common::maps::layout::LAYOUT_VERSION;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel's convention puts the BPF filesystem.
const BPF_MOUNT_POINT: &str = "/sys/fs/bpf";
const LINKS: &str = "links";
const MAPS: &str = "maps";
const INGRESS_PREFIX: &str = "xdp-";

/// A locked pin directory.
#[derive(Debug)]
pub struct PinDirectory {
    root: PathBuf,
    _lock: Flock<File>,
}

impl PinDirectory {
    /// Creates `root` where missing, mounting the BPF filesystem at its usual place if nothing is mounted there,
    /// and takes the lock.
    pub fn open(root: &Path) -> Result<Self, DatapathError> {
        ensure_bpf_filesystem(root)?;
        fs::create_dir_all(root).map_err(|source| pin_error("creating", root, source))?;
        let directory = File::open(root).map_err(|source| pin_error("opening", root, source))?;
        let lock = Flock::lock(directory, FlockArg::LockExclusiveNonblock)
            .map_err(|_| DatapathError::Locked { path: root.into() })?;
        Ok(Self { root: root.into(), _lock: lock })
    }

    /// Makes the directories of the present layout.
    pub fn prepare(&self) -> Result<(), DatapathError> {
        for directory in [self.maps(), self.links()] {
            fs::create_dir_all(&directory).map_err(|source| pin_error("creating", &directory, source))?;
        }
        Ok(())
    }

    pub fn ingress_link(&self, ifindex: u32) -> PathBuf {
        self.links().join(format!("{INGRESS_PREFIX}{ifindex}"))
    }

    pub fn egress_link(&self, ifindex: u32) -> PathBuf {
        self.links().join(format!("egress-{ifindex}"))
    }

    /// Indexes of the interfaces that have an ingress pin, in every layout.
    pub fn pinned_interfaces(&self) -> Result<Vec<u32>, DatapathError> {
        let mut interfaces = Vec::new();
        for layout in entries(&self.root)?.into_iter().filter(|entry| is_layout(entry)) {
            let pins = entries(&layout.join(LINKS))?;
            interfaces.extend(pins.iter().filter_map(|pin| ingress_interface(pin)));
        }
        Ok(interfaces)
    }

    /// Removes every pin of every layout: links first, so that no program runs on with its maps unpinned. Removing
    /// a link's last pin detaches its program. Returns how many pins there were.
    pub fn clear(&self) -> Result<usize, DatapathError> {
        let mut removed = 0;
        for layout in entries(&self.root)?.into_iter().filter(|entry| is_layout(entry)) {
            for part in [LINKS, MAPS] {
                removed += clear_directory(&layout.join(part))?;
            }
            fs::remove_dir(&layout).map_err(|source| pin_error("removing", &layout, source))?;
        }
        Ok(removed)
    }

    /// Removes the directory itself after [`Self::clear`]; the lock dies with `self`.
    pub fn remove(self) -> Result<(), DatapathError> {
        match fs::remove_dir(&self.root) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(pin_error("removing", &self.root, source)),
        }
    }

    fn layout(&self) -> PathBuf {
        self.root.join(format!("v{LAYOUT_VERSION}"))
    }

    /// Where the maps are pinned.
    pub fn maps(&self) -> PathBuf {
        self.layout().join(MAPS)
    }

    fn links(&self) -> PathBuf {
        self.layout().join(LINKS)
    }
}

/// Whether a path is named like one of our layouts: whatever else lies in `bpf_dir` is not ours.
fn is_layout(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix('v').is_some_and(|number| number.parse::<u16>().is_ok())
}

/// The interface that an ingress pin belongs to.
fn ingress_interface(pin: &Path) -> Option<u32> {
    pin.file_name()?.to_str()?.strip_prefix(INGRESS_PREFIX)?.parse().ok()
}

fn clear_directory(directory: &Path) -> Result<usize, DatapathError> {
    let pins = entries(directory)?;
    for pin in &pins {
        fs::remove_file(pin).map_err(|source| pin_error("removing", pin, source))?;
    }
    match fs::remove_dir(directory) {
        Ok(()) => Ok(pins.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(pins.len()),
        Err(source) => Err(pin_error("removing", directory, source)),
    }
}

/// Entries of a directory; none if it does not exist.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, DatapathError> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(pin_error("reading", directory, source)),
    };
    listing
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()
        .map_err(|source| pin_error("reading", directory, source))
}

/// Checks that `path`, or its nearest existing ancestor, lies on a BPF filesystem; mounts one at the usual place if
/// that is where `path` belongs and nothing is there yet.
fn ensure_bpf_filesystem(path: &Path) -> Result<(), DatapathError> {
    if on_bpf_filesystem(path) {
        return Ok(());
    }
    let usual = Path::new(BPF_MOUNT_POINT);
    if !path.starts_with(usual) {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is on another kind of filesystem");
        return Err(DatapathError::NoBpfFilesystem { path: path.into(), source });
    }
    mount(Some("bpf"), usual, Some("bpf"), MsFlags::empty(), None::<&str>)
        .map_err(|errno| DatapathError::NoBpfFilesystem { path: usual.into(), source: errno.into() })?;
    tracing::info!("mounted the BPF filesystem at {BPF_MOUNT_POINT}");
    if in_private_mount_namespace() {
        tracing::warn!(
            "this process has a mount namespace of its own (`ip netns exec` makes one), and the BPF filesystem just \
             mounted goes with it: should the daemon be killed, nothing would fence the addresses it leaves; enter the \
             network namespace with `nsenter --net=FILE` instead"
        );
    }
    Ok(())
}

/// Whether our mounts vanish with us. Where it cannot be told, they are taken for the host's.
fn in_private_mount_namespace() -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    of("1").zip(of("self")).is_some_and(|(host, own)| host != own)
}

fn on_bpf_filesystem(path: &Path) -> bool {
    let existing = path.ancestors().find(|ancestor| ancestor.exists());
    existing
        .and_then(|ancestor| statfs(ancestor).ok())
        .is_some_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

fn pin_error(call: &'static str, path: &Path, source: io::Error) -> DatapathError {
    DatapathError::Pin { call, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::{ingress_interface, is_layout};
    use std::path::Path;

    #[test]
    fn only_layouts_are_ours() {
        for (name, ours) in
            [("v1", true), ("v65535", true), ("v", false), ("vpn", false), ("links", false), ("1", false)]
        {
            assert_eq!(is_layout(&Path::new("/sys/fs/bpf/holdfast").join(name)), ours, "{name}");
        }
    }

    #[test]
    fn ingress_pins_name_their_interface() {
        let links = Path::new("/sys/fs/bpf/holdfast/v1/links");
        for (name, interface) in [("xdp-7", Some(7)), ("egress-7", None), ("xdp-", None), ("xdp-lan", None)] {
            assert_eq!(ingress_interface(&links.join(name)), interface, "{name}");
        }
    }
}
