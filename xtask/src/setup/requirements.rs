//! The table of everything that is needed: for what, how its presence is seen, and where it comes from.

use super::{Purpose, toolchain};
use crate::process::find;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// One thing that must be there.
#[derive(Debug)]
pub(super) struct Requirement {
    pub(super) name: &'static str,
    pub(super) purpose: Purpose,
    pub(super) why: &'static str,
    /// Looks at files only.
    pub(super) present: fn() -> bool,
    /// Debian packages that bring it.
    pub(super) apt: &'static [&'static str],
    /// What else to try, once the packages are in.
    pub(super) install: Option<fn() -> Result<()>>,
    /// What the reader can do if nothing of that worked.
    pub(super) by_hand: &'static str,
}

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        name: "C compiler",
        purpose: Purpose::Build,
        why: "Rust programs are linked by it",
        present: || find("cc").is_some(),
        apt: &["gcc", "libc6-dev"],
        install: None,
        by_hand: "install gcc or clang with your package manager",
    },
    Requirement {
        name: "Rust core for BPF",
        purpose: Purpose::Build,
        why: "the XDP programs are compiled against it",
        present: toolchain::has_bpf_core,
        apt: &["rustc-web", "libstd-rust-web-dev-bpf"],
        install: Some(toolchain::install_nightly),
        by_hand: "rustup toolchain install nightly --profile minimal --component rust-src",
    },
    Requirement {
        name: "bpf-linker",
        purpose: Purpose::Build,
        why: "it links the XDP programs into one BPF object",
        present: || find("bpf-linker").is_some(),
        apt: &[],
        install: Some(toolchain::install_bpf_linker),
        by_hand: "cargo install bpf-linker (see https://github.com/aya-rs/bpf-linker)",
    },
    Requirement {
        name: "ip",
        purpose: Purpose::Lab,
        why: "the lab makes its namespaces and wires with it",
        present: || find("ip").is_some(),
        apt: &["iproute2"],
        install: None,
        by_hand: "install iproute2 with your package manager",
    },
    Requirement {
        name: "BPF file system",
        purpose: Purpose::Lab,
        why: "the daemon pins its programs and maps on /sys/fs/bpf",
        present: bpf_file_system_mounted,
        apt: &[],
        install: Some(mount_bpf_file_system),
        by_hand: "as root: mount -t bpf bpf /sys/fs/bpf",
    },
    Requirement {
        name: "nft",
        purpose: Purpose::Test,
        why: "the lab loses one direction of a wire with it",
        present: || find("nft").is_some(),
        apt: &["nftables"],
        install: None,
        by_hand: "install nftables with your package manager",
    },
    Requirement {
        name: "keepalived",
        purpose: Purpose::Test,
        why: "interop tests and benches run against the real one",
        present: || find("keepalived").is_some(),
        apt: &["keepalived"],
        install: None,
        by_hand: "install keepalived with your package manager",
    },
    Requirement {
        name: "FRR's vrrpd",
        purpose: Purpose::Test,
        why: "interop tests run against the real one",
        present: || Path::new("/usr/lib/frr/vrrpd").is_file(),
        apt: &["frr"],
        install: None,
        by_hand: "install FRR (with vrrpd) with your package manager",
    },
    Requirement {
        name: "C++ compiler",
        purpose: Purpose::Test,
        why: "the fuzzer (libFuzzer) is written in C++",
        present: || find("c++").is_some(),
        apt: &["g++"],
        install: None,
        by_hand: "install g++ or clang++ with your package manager",
    },
    Requirement {
        name: "rustfmt",
        purpose: Purpose::Checks,
        why: "the form of the code is checked with it",
        present: || toolchain::has_component("cargo-fmt"),
        apt: &[],
        install: Some(|| toolchain::add_component("rustfmt")),
        by_hand: "rustup component add rustfmt",
    },
    Requirement {
        name: "clippy",
        purpose: Purpose::Checks,
        why: "the code is linted with it",
        present: || toolchain::has_component("cargo-clippy"),
        apt: &[],
        install: Some(|| toolchain::add_component("clippy")),
        by_hand: "rustup component add clippy",
    },
    Requirement {
        name: "QEMU for x86-64",
        purpose: Purpose::VmLab,
        why: "the VM lab's guests run in it",
        present: || find("qemu-system-x86_64").is_some(),
        apt: &["qemu-system-x86"],
        install: None,
        by_hand: "install QEMU 7.2 or newer with your package manager",
    },
    Requirement {
        name: "apt and dpkg-deb",
        purpose: Purpose::VmLab,
        why: "the VM lab's kernels are Debian's packages",
        present: || ["apt-get", "dpkg", "dpkg-deb"].iter().all(|program| find(program).is_some()),
        apt: &["apt", "dpkg"],
        install: None,
        by_hand: "run the VM lab on Debian or a distribution made from it, or install apt and dpkg",
    },
    Requirement {
        name: "Debian's archive keys",
        purpose: Purpose::VmLab,
        why: "packages of kernels are verified with them",
        present: || Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").is_file(),
        apt: &["debian-archive-keyring"],
        install: None,
        by_hand: "install debian-archive-keyring with your package manager",
    },
    Requirement {
        name: "depmod",
        purpose: Purpose::VmLab,
        why: "it says which modules of a guest's kernel need which",
        present: || find("depmod").is_some(),
        apt: &["kmod"],
        install: None,
        by_hand: "install kmod with your package manager",
    },
    Requirement {
        name: "xz",
        purpose: Purpose::VmLab,
        why: "modules of newer kernels are compressed",
        present: || find("xz").is_some(),
        apt: &["xz-utils"],
        install: None,
        by_hand: "install xz-utils with your package manager",
    },
    Requirement {
        name: "strip and ldd",
        purpose: Purpose::VmLab,
        why: "programs are put into a guest without debug information and with their libraries",
        present: || find("strip").is_some() && find("ldd").is_some(),
        apt: &["binutils", "libc-bin"],
        install: None,
        by_hand: "install binutils with your package manager",
    },
];

const BPF_MOUNT_POINT: &str = "/sys/fs/bpf";

fn bpf_file_system_mounted() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next() == Some(BPF_MOUNT_POINT) && words.next() == Some("bpf")
    })
}

fn mount_bpf_file_system() -> Result<()> {
    let mut mount = Command::new("mount");
    mount.args(["-t", "bpf", "bpf", BPF_MOUNT_POINT]);
    crate::process::output(&mut mount)
        .context("mounting the BPF file system needs root and a kernel with BPF (CONFIG_BPF_SYSCALL)")?;
    eprintln!("setup: mounted the BPF file system on {BPF_MOUNT_POINT}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_says_how_to_get_it() {
        for requirement in REQUIREMENTS {
            assert!(!requirement.why.is_empty() && !requirement.by_hand.is_empty(), "{}", requirement.name);
        }
    }
}
