//! Which kernels the lab runs, and where Debian has them.

use clap::ValueEnum;

/// A kernel of the supported range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// The oldest that is supported: Debian bookworm's.
    #[value(name = "6.1")]
    Oldest,
    /// Debian trixie's.
    #[value(name = "6.12")]
    Middle,
    /// The newest release that Debian has packaged. Its release candidates are left out: aya cannot read a version such
    /// as `7.3~rc7`, and takes the kernel for the oldest of all.
    #[value(name = "newest")]
    Newest,
}

impl Kernel {
    pub(crate) const ALL: [Kernel; 3] = [Kernel::Oldest, Kernel::Middle, Kernel::Newest];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Kernel::Oldest => "6.1",
            Kernel::Middle => "6.12",
            Kernel::Newest => "newest",
        }
    }

    /// The suite of Debian's archive that has it.
    pub(crate) fn suite(self) -> &'static str {
        match self {
            Kernel::Oldest => "bookworm",
            Kernel::Middle => "trixie",
            Kernel::Newest => "sid",
        }
    }
}

/// The package that always names the present kernel. Cloud kernels lack drivers for hardware, and boot in seconds.
pub(crate) const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// Modules a guest loads, with what they depend on; those that a kernel has built in are not looked for.
pub(crate) const MODULES: [&str; 9] = [
    "virtio_pci",
    "virtio_console",
    "virtio_net",
    "veth",
    "bridge",
    "tun",
    "macvlan",
    "sch_ingress",
    "cls_bpf",
];
