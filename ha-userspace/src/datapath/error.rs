//! What can go wrong with the data plane, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// Errors of loading, attaching, pinning and map access.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    #[error(
        "no permission to load BPF programs: run as root or with CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW and CAP_PERFMON"
    )]
    NoPrivilege,
    #[error("kernel {found} is too old: Holdfast needs {needed} or newer")]
    KernelTooOld { found: String, needed: String },
    #[error(
        "no BPF filesystem at {path}: {source}; mount one with `mount -t bpf bpf {path}` or set node.bpf_dir to a directory on one"
    )]
    NoBpfFilesystem { path: PathBuf, source: io::Error },
    #[error(
        "{path} is in use by another Holdfast daemon (pid file lock held); stop it or choose another node.bpf_dir"
    )]
    Locked { path: PathBuf },
    #[error("{call} {path}: {source}")]
    Pin { call: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "interface {interface}: another XDP program is attached ({occupant}); detach it first, Holdfast does not replace what is not its own"
    )]
    Occupied { interface: String, occupant: String },
    #[error("interface {interface}: cannot attach XDP in native or generic mode: {reason}")]
    Attach { interface: String, reason: String },
    #[error("interface {interface}: cannot attach the egress program: {reason}")]
    AttachEgress { interface: String, reason: String },
    #[error("loading the BPF object failed: {0}")]
    Load(String),
    #[error("BPF map {name}: {reason}")]
    Map { name: &'static str, reason: String },
    #[error("more than {limit} {what} are configured")]
    TooMany { what: &'static str, limit: u32 },
}
