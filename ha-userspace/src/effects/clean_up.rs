//! Takes away what a record names: addresses first, then macvlans, then changed settings.
//!
//! Used at start for what a crashed daemon left, by `unload`, and by tests. It removes only what the record of this boot
//! and this network namespace says is ours; anything else that looks like it belongs to somebody else.

use super::addresses;
use super::interfaces::Interfaces;
use super::link_monitor::snapshot;
use super::macvlan;
use super::netlink::{Netlink, NetlinkError, PIPELINE};
use super::record::{Origin, Record, RecordError, RouterRecord};
use super::sysctl;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why clean-up did not complete. What was removed stays removed, and the record stays for another attempt.
#[derive(Debug, Error)]
pub enum CleanUpError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("cannot reach the kernel's netlink: {0}")]
    Socket(#[from] io::Error),
    #[error("cannot read the interfaces: {0}")]
    Interfaces(#[source] NetlinkError),
    #[error("could not remove {what}: {source}; remove it by hand with `ip` and start again")]
    Remove { what: String, source: NetlinkError },
    #[error(
        "{path} names addresses in another network namespace ({namespace}), which still exists; run this in that \
         namespace, or choose another node.state_dir"
    )]
    OtherNamespace { path: PathBuf, namespace: String },
}

/// What clean-up did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CleanUpReport {
    /// As `address/prefix dev interface`.
    pub addresses: Vec<String>,
    pub macvlans: Vec<String>,
    /// Paths below /proc/sys/net.
    pub sysctls: Vec<String>,
    /// The record was of another boot, or of a network namespace that is gone: there was nothing to touch.
    pub elsewhere: bool,
}

impl CleanUpReport {
    /// Whether there was anything to do.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.macvlans.is_empty() && self.sysctls.is_empty()
    }
}

/// Removes what the record in `state_dir` names, in the calling thread's network namespace, then deletes the record. It
/// blocks, with a runtime of its own: for `unload` and before the threads start.
pub fn clean_up_blocking(state_dir: &Path) -> Result<CleanUpReport, CleanUpError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let netlink = Netlink::connect()?;
        clean_up(&netlink, state_dir).await
    })
}

pub(super) async fn clean_up(netlink: &Netlink, state_dir: &Path) -> Result<CleanUpReport, CleanUpError> {
    let mut report = CleanUpReport::default();
    let Some(record) = Record::load(state_dir)? else { return Ok(report) };
    let here = Origin::here()?;
    if record.origin == here {
        remove_recorded(netlink, &record, &mut report).await?;
    } else if record.origin.boot == here.boot && record.origin.namespace_exists() {
        let path = Record::path(state_dir);
        return Err(CleanUpError::OtherNamespace { path, namespace: record.origin.namespace });
    } else {
        report.elsewhere = true;
    }
    Record::delete(state_dir)?;
    Ok(report)
}

async fn remove_recorded(
    netlink: &Netlink,
    record: &Record,
    report: &mut CleanUpReport,
) -> Result<(), CleanUpError> {
    let interfaces = snapshot(netlink).await.map_err(CleanUpError::Interfaces)?;
    let found: Vec<_> = record.routers.values().flat_map(|router| standing(&interfaces, router)).collect();
    for chunk in found.chunks(PIPELINE) {
        let requests: Vec<_> = chunk
            .iter()
            .map(|found| netlink.remove_address(addresses::remove_message(found.0, found.1, found.2)))
            .collect();
        for (request, (_, address, prefix, device)) in requests.into_iter().zip(chunk) {
            let what = format!("{address}/{prefix} dev {device}");
            ignore_gone(request.done().await)
                .map_err(|source| CleanUpError::Remove { what: what.clone(), source })?;
            report.addresses.push(what);
        }
    }
    for router in record.routers.values() {
        let Some(name) = &router.macvlan else { continue };
        let Some(device) = interfaces.by_name(name) else { continue };
        if device.link.kind.as_deref() == Some("macvlan") && device.link.parent == Some(router.ifindex) {
            let removed = netlink.remove_link(macvlan::by_index(device.link.ifindex)).done().await;
            ignore_gone(removed).map_err(|source| CleanUpError::Remove { what: name.clone(), source })?;
            report.macvlans.push(name.clone());
        }
    }
    for change in &record.sysctls {
        match sysctl::restore(change) {
            Ok(true) => report.sysctls.push(change.path.clone()),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(path = change.path, %error, "a kernel setting could not be restored");
            }
        }
    }
    Ok(())
}

/// Recorded addresses that stand, under the recorded prefix or as host addresses: (ifindex, address, prefix, device).
fn standing(interfaces: &Interfaces, router: &RouterRecord) -> Vec<(u32, std::net::IpAddr, u8, String)> {
    let device = match &router.macvlan {
        Some(name) => interfaces.by_name(name),
        // Both must agree: a name may have moved to another device, and an index may have been given away.
        None => interfaces.by_index(router.ifindex).filter(|device| device.link.name == router.interface),
    };
    let Some(device) = device else { return Vec::new() };
    let ours = |known: &&super::interfaces::InterfaceAddress| {
        let host = if known.address.is_ipv4() { 32 } else { 128 };
        router.addresses.iter().any(|recorded| {
            recorded.address == known.address && (known.prefix == recorded.prefix || known.prefix == host)
        })
    };
    let found = device.addresses.iter().filter(ours);
    found.map(|known| (device.link.ifindex, known.address, known.prefix, device.link.name.clone())).collect()
}

/// What is gone already needs no removal.
pub(super) fn ignore_gone(outcome: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match outcome {
        Err(error) if matches!(error.errno(), Some(libc::EADDRNOTAVAIL | libc::ENOENT | libc::ENODEV)) => {
            Ok(())
        }
        outcome => outcome,
    }
}
