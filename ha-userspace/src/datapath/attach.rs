//! Loading the object and attaching it, one instance of both programs per monitored interface.

use super::bpffs::PinDirectory;
use super::{DatapathError, MapSet, RingReader, clsact, occupant};
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode};
use aya::sys::SyscallError;
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfError, EbpfLoader};
use ha_common::maps::names;
use ha_common::maps::values::MAX_LINKS;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Oldest kernel the data plane is meant for: the oldest the object is loaded on in tests.
const OLDEST_KERNEL: KernelVersion = KernelVersion::new(6, 1, 0);
/// First kernel with TCX links.
const TCX_KERNEL: KernelVersion = KernelVersion::new(6, 6, 0);

/// How XDP runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpAttachMode {
    /// In the driver, before a socket buffer exists.
    Native,
    /// In the network core: correct, slower.
    Generic,
}

/// An interface the data plane runs on.
pub struct MonitoredLink {
    pub slot: u32,
    pub name: String,
    pub ifindex: u32,
    pub mode: XdpAttachMode,
    /// Holds both programs; a clsact filter on an old kernel is detached when it drops.
    _programs: Ebpf,
}

/// The loaded data plane.
pub struct Datapath {
    pins: PinDirectory,
    pub maps: MapSet,
    links: Vec<MonitoredLink>,
    spare: Option<SparePrograms>,
}

/// A loaded program pair that waits for an interface. Loading takes the verifier some tenths of a second, which the
/// controller cannot spare while it owns something.
pub struct SparePrograms {
    slot: u32,
    programs: Ebpf,
}

impl std::fmt::Debug for SparePrograms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SparePrograms").field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl Datapath {
    /// Loads the object over fresh maps. Whatever an earlier daemon left in `pins` must have been cleared.
    pub fn load(pins: PinDirectory) -> Result<(Self, RingReader), DatapathError> {
        refuse_older(KernelVersion::current().map_err(|error| DatapathError::Load(error.to_string()))?)?;
        pins.prepare()?;
        let mut first = load_object(&pins.maps(), 0)?;
        let (maps, ring) = MapSet::take(&mut first)?;
        let spare = Some(SparePrograms { slot: 0, programs: first });
        Ok((Self { pins, maps, links: Vec::new(), spare }, RingReader::new(ring)))
    }

    pub fn links(&self) -> &[MonitoredLink] {
        &self.links
    }

    pub fn link(&self, ifindex: u32) -> Option<&MonitoredLink> {
        self.links.iter().find(|link| link.ifindex == ifindex)
    }

    /// Attaches both programs to an interface, native mode first. Attached before is fine.
    pub fn monitor(&mut self, name: &str, ifindex: u32) -> Result<&MonitoredLink, DatapathError> {
        if let Some(position) = self.links.iter().position(|link| link.ifindex == ifindex) {
            return Ok(&self.links[position]);
        }
        let slot = self.free_slot()?;
        let mut programs = match self.spare.take() {
            Some(spare) if spare.slot == slot => spare.programs,
            _ => load_object(&self.pins.maps(), slot)?,
        };
        // Ingress first: its hook has room for one, so from here on the interface is ours alone among daemons.
        let mode = attach_ingress(&mut programs, &self.pins, name, ifindex)?;
        if let Err(error) = attach_egress(&mut programs, &self.pins, name, ifindex) {
            unpin(&self.pins.ingress_link(ifindex));
            return Err(error);
        }
        self.links.push(MonitoredLink { slot, name: name.into(), ifindex, mode, _programs: programs });
        Ok(&self.links[self.links.len() - 1])
    }

    /// What loads a program pair for the next interface; to be run on a thread that has the time. `None` while one is
    /// kept already or there is no room for another interface.
    pub fn spare_loader(
        &self,
    ) -> Option<impl FnOnce() -> Result<SparePrograms, DatapathError> + Send + use<>> {
        let slot = self
            .free_slot()
            .ok()
            .filter(|slot| self.spare.as_ref().is_none_or(|spare| spare.slot != *slot))?;
        let maps = self.pins.maps();
        Some(move || Ok(SparePrograms { slot, programs: load_object(&maps, slot)? }))
    }

    /// Keeps a program pair for the next interface.
    pub fn keep_spare(&mut self, spare: SparePrograms) {
        self.spare = Some(spare);
    }

    /// Detaches from an interface, or forgets one that is gone.
    pub fn forget(&mut self, ifindex: u32) {
        // A clsact filter goes with its program, and only while the ingress pin stands could others find it.
        self.links.retain(|link| link.ifindex != ifindex);
        unpin(&self.pins.ingress_link(ifindex));
        unpin(&self.pins.egress_link(ifindex));
    }

    /// Detaches everything and removes every pin. Addresses must be gone by now.
    pub fn unload(self) -> Result<(), DatapathError> {
        let Self { pins, maps, links, spare } = self;
        drop((links, spare));
        pins.clear()?;
        drop(maps);
        pins.remove()
    }

    /// Detaches what a dead daemon left and removes its pins. Returns how many pins there were.
    pub fn clear_left(pins: &PinDirectory) -> Result<usize, DatapathError> {
        if !has_tcx() {
            // No pin holds these, and the ingress pins tell where they are.
            for ifindex in pins.pinned_interfaces()? {
                clsact::detach(ifindex);
            }
        }
        pins.clear()
    }

    /// Name and kernel id of the entry program, for status.
    pub fn program(&self) -> String {
        names::PROGRAM_INGRESS.into()
    }

    fn free_slot(&self) -> Result<u32, DatapathError> {
        (0..MAX_LINKS)
            .find(|slot| self.links.iter().all(|link| link.slot != *slot))
            .ok_or(DatapathError::TooMany { what: "monitored interfaces", limit: MAX_LINKS })
    }
}

fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|kernel| kernel >= TCX_KERNEL)
}

fn refuse_older(found: KernelVersion) -> Result<(), DatapathError> {
    if found < OLDEST_KERNEL {
        return Err(DatapathError::KernelTooOld {
            found: found.to_string(),
            needed: OLDEST_KERNEL.to_string(),
        });
    }
    Ok(())
}

fn load_object(maps: &Path, slot: u32) -> Result<Ebpf, DatapathError> {
    let paths: Vec<(&str, PathBuf)> = names::ALL_MAPS.iter().map(|name| (*name, maps.join(name))).collect();
    let mut loader = EbpfLoader::new();
    loader.override_global(names::CONST_LINK_SLOT, &slot, true);
    for (name, path) in &paths {
        loader.map_pin_path(name, path.as_path());
    }
    let mut ebpf = loader.load(crate::bpf_object::OBJECT).map_err(load_error)?;
    ingress(&mut ebpf)?.load().map_err(program_error)?;
    egress(&mut ebpf)?.load().map_err(program_error)?;
    Ok(ebpf)
}

fn attach_ingress(
    ebpf: &mut Ebpf,
    pins: &PinDirectory,
    name: &str,
    ifindex: u32,
) -> Result<XdpAttachMode, DatapathError> {
    let program = ingress(ebpf)?;
    let occupied =
        || DatapathError::Occupied { interface: name.into(), occupant: occupant::describe(ifindex) };
    let mut refusals = Vec::new();
    for (mode, flags) in [(XdpAttachMode::Native, XdpMode::Driver), (XdpAttachMode::Generic, XdpMode::Skb)] {
        match program.attach_to_if_index(ifindex, flags) {
            Ok(id) => {
                let link = program.take_link(id).map_err(program_error)?;
                let link: FdLink = link.try_into().map_err(link_error)?;
                pin_link(link, pins.ingress_link(ifindex))?;
                if mode == XdpAttachMode::Generic {
                    tracing::warn!(
                        interface = name,
                        "native XDP is refused ({}); running in generic mode, which is slower",
                        refusals.join("; ")
                    );
                }
                return Ok(mode);
            }
            Err(ProgramError::SyscallError(SyscallError { io_error, .. })) => match io_error.raw_os_error() {
                Some(libc::EBUSY | libc::EEXIST) => return Err(occupied()),
                Some(libc::EPERM) => return Err(DatapathError::NoPrivilege),
                _ => refusals.push(io_error.to_string()),
            },
            Err(error) => refusals.push(error.to_string()),
        }
    }
    Err(DatapathError::Attach { interface: name.into(), reason: refusals.join("; ") })
}

fn attach_egress(
    ebpf: &mut Ebpf,
    pins: &PinDirectory,
    name: &str,
    ifindex: u32,
) -> Result<(), DatapathError> {
    let refused = |reason: String| DatapathError::AttachEgress { interface: name.into(), reason };
    let program = egress(ebpf)?;
    if !has_tcx() {
        clsact::detach(ifindex);
        return clsact::attach(program, name).map_err(refused);
    }
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program
        .attach_with_options(name, TcAttachType::Egress, order)
        .map_err(|error| refused(error.to_string()))?;
    let link = program.take_link(id).map_err(program_error)?;
    let link =
        <&FdLink>::try_from(&link).map(|_| ()).map_err(link_error).and_then(|()| into_fd_link(link))?;
    pin_link(link, pins.egress_link(ifindex))
}

fn into_fd_link(link: aya::programs::tc::SchedClassifierLink) -> Result<FdLink, DatapathError> {
    link.try_into().map_err(link_error)
}

fn pin_link(link: FdLink, path: PathBuf) -> Result<(), DatapathError> {
    // The pin keeps the program attached; the descriptor may close.
    link.pin(&path)
        .map(drop)
        .map_err(|error| DatapathError::Load(format!("pinning {}: {error}", path.display())))
}

fn unpin(path: &PathBuf) {
    match PinnedLink::from_pin(path) {
        Ok(link) => {
            if let Err(error) = link.unpin() {
                tracing::warn!("unpinning {}: {error}", path.display());
            }
        }
        Err(LinkError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("opening pin {}: {error}", path.display()),
    }
}

fn ingress(ebpf: &mut Ebpf) -> Result<&mut Xdp, DatapathError> {
    program(ebpf, names::PROGRAM_INGRESS)
}

fn egress(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, DatapathError> {
    program(ebpf, names::PROGRAM_EGRESS)
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, DatapathError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| DatapathError::Load(format!("program {name} is missing from the object")))
}

fn load_error(error: EbpfError) -> DatapathError {
    match permission_denied(&error) {
        true => DatapathError::NoPrivilege,
        false => DatapathError::Load(chain(&error)),
    }
}

fn program_error(error: ProgramError) -> DatapathError {
    match permission_denied(&error) {
        true => DatapathError::NoPrivilege,
        false => DatapathError::Load(chain(&error)),
    }
}

fn link_error(error: LinkError) -> DatapathError {
    DatapathError::Load(chain(&error))
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

fn permission_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(io) = current.downcast_ref::<std::io::Error>()
            && io.raw_os_error() == Some(libc::EPERM)
        {
            return true;
        }
        next = current.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_refused_by_name() {
        let refused = refuse_older(KernelVersion::new(5, 10, 200)).unwrap_err().to_string();
        assert_eq!(refused, "kernel 5.10.200 is too old: Holdfast needs 6.1.0 or newer");
        assert!(refuse_older(KernelVersion::new(6, 1, 0)).is_ok());
    }
}
