//! Second stage: what only the whole can show, and the configuration that the daemon runs on.
//!
//! Input is the raw stage. Each rule reports into the list and goes on, so that one run shows every problem; values
//! that the first stage refused are absent here and judged no further.

mod bypass;
mod checks;
mod cluster;
mod commands;
mod links;
mod presets;
mod routers;
mod sysfs;
mod templates;
mod uniqueness;

use super::problem::Report;
use super::raw::{Raw, RawFlaps, RawNode, RawPeerCheck};
use super::reader::Field;
use super::validated::{CONTROL_SOCKET, Config, FlapRelease, Flaps, Node, PeerCheck};
use std::path::Path;

/// Longest path of a Unix socket, bytes (`sun_path` less its terminator).
const MAX_SOCKET_PATH: usize = 107;
/// Name of a node whose host name cannot be one.
const UNNAMED_NODE: &str = "node";

/// Judges the whole; `None` where something that is needed is missing or wrong (and reported).
pub(super) fn validate(raw: &Raw, report: &mut Report) -> Option<Config> {
    let node = node(&raw.node, report);
    let routers = routers::virtual_routers(raw, report);
    let peers = cluster::peers(raw, report);
    let link_settings = links::link_settings(raw, report);
    let link_pairs = links::link_pairs(raw, report);
    let ha = cluster::ha(raw, report);
    let bandwidth = links::bandwidth(raw, report);
    let bypass = bypass::bypass(raw, report);
    let checks = checks::checks(raw, report);
    uniqueness::check(raw, report);
    Some(Config {
        node: node?,
        ha: ha?,
        peers: peers?,
        peer_check: peer_check(&raw.peer_check)?,
        flaps: flaps(&raw.flaps)?,
        bandwidth: bandwidth?,
        links: links::links(&raw.links)?,
        link_settings: link_settings?,
        link_pairs: link_pairs?,
        bypass: bypass?,
        checks: checks?,
        virtual_routers: routers?,
    })
}

pub(super) fn node(raw: &RawNode, report: &mut Report) -> Option<Node> {
    if let Some(run_dir) = &raw.run_dir.value {
        socket_path_fits(&raw.run_dir, run_dir, report);
    }
    distinct_directories(raw, report);
    let name = if raw.name.given { raw.name.value.clone() } else { Some(host_name(report)) };
    Some(Node {
        name: name?,
        id: raw.id.value,
        run_dir: raw.run_dir.value.clone()?,
        state_dir: raw.state_dir.value.clone()?,
        bpf_dir: raw.bpf_dir.value.clone()?,
    })
}

fn socket_path_fits<T>(field: &Field<T>, run_dir: &Path, report: &mut Report) {
    let length = run_dir.join(CONTROL_SOCKET).as_os_str().len();
    if length > MAX_SOCKET_PATH {
        report.error(
            &field.path,
            format!("{CONTROL_SOCKET} below it would have a path of {length} bytes"),
            format!("shorten it: the path of a Unix socket has at most {MAX_SOCKET_PATH}"),
        );
    }
}

/// The run and state directories hold files of our own; pins live on a file system of their own.
fn distinct_directories(raw: &RawNode, report: &mut Report) {
    for field in [&raw.run_dir, &raw.state_dir] {
        if let (Some(directory), Some(bpf_dir)) = (&field.value, &raw.bpf_dir.value)
            && directory == bpf_dir
        {
            report.error(
                &raw.bpf_dir.path,
                format!("{} is also {}", bpf_dir.display(), field.path),
                "give the pins a directory of their own on the BPF file system",
            );
        }
    }
}

fn host_name(report: &mut Report) -> String {
    let host_name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match host_name {
        Some(name) if !name.is_empty() && name.len() <= 64 && name.chars().all(allowed) => name,
        _ => {
            report.warning(
                "node.name",
                format!("the host name cannot be a node name; this node is called \"{UNNAMED_NODE}\""),
                "set node.name",
            );
            UNNAMED_NODE.to_owned()
        }
    }
}

fn peer_check(raw: &RawPeerCheck) -> Option<PeerCheck> {
    Some(PeerCheck {
        interval: raw.interval.value?,
        failure_threshold: raw.failure_threshold.value?,
        recovery_threshold: raw.recovery_threshold.value?,
    })
}

fn flaps(raw: &RawFlaps) -> Option<Flaps> {
    let release = raw.release.value?.map_or(FlapRelease::Manual, FlapRelease::After);
    Some(Flaps { maximum_allowed: raw.maximum_allowed.value?, window: raw.window.value?, release })
}
