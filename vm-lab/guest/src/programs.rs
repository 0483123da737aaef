//! What this kernel makes of the BPF object: every program through the verifier one by one, then the data plane on an
//! interface by the product's own code.

use anyhow::{Context, Result};
use aya::programs::{Program, ProgramError, ProgramInfo};
use aya::{Ebpf, EbpfLoader};
use holdfast::bpf_object::OBJECT;
use holdfast::datapath::bpffs::PinDirectory;
use holdfast::datapath::{Datapath, XdpAttachMode};
use holdfast_vm_protocol::{AttachReport, ProgramReport, ProgramsReport, Refused, Verified};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// Pins of the check; none may be left by an earlier one.
const PINS: &str = "/sys/fs/bpf/holdfast-check";
/// The end of a verifier log says why; a whole one can have megabytes.
const LOG_KEPT: usize = 256 * 1024;

pub(crate) fn check(interface: &str) -> Result<ProgramsReport> {
    let mut object = EbpfLoader::new().load(OBJECT).map_err(|error| anyhow::anyhow!(chain(&error)))?;
    let programs = load_all(&mut object);
    drop(object);
    Ok(ProgramsReport { programs, attached: attach(interface).map_err(|error| format!("{error:#}")) })
}

fn load_all(object: &mut Ebpf) -> Vec<ProgramReport> {
    let mut reports: Vec<ProgramReport> = object
        .programs_mut()
        .map(|(name, program)| {
            let begin = Instant::now();
            let result = load(program).and_then(|()| measure(program, begin)).map_err(refused);
            ProgramReport { name: name.to_owned(), result }
        })
        .collect();
    reports.sort_by(|one, other| one.name.cmp(&other.name));
    reports
}

fn load(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        // The object has no others; one that comes must be added here.
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn measure(program: &Program, begin: Instant) -> Result<Verified, ProgramError> {
    let load_ms = begin.elapsed().as_millis() as u64;
    let info: ProgramInfo = program.info()?;
    Ok(Verified {
        instructions: info.verified_instruction_count().unwrap_or(0),
        translated_bytes: info.size_translated().unwrap_or(0),
        jited_bytes: info.size_jitted(),
        load_ms,
    })
}

fn refused(error: ProgramError) -> Refused {
    let ProgramError::LoadError { io_error, verifier_log } = &error else {
        return Refused { error: chain(&error), log: String::new() };
    };
    let log = verifier_log.to_string();
    let mut begin = log.len().saturating_sub(LOG_KEPT);
    while !log.is_char_boundary(begin) {
        begin += 1;
    }
    Refused { error: io_error.to_string(), log: log[begin..].to_owned() }
}

fn attach(interface: &str) -> Result<AttachReport> {
    let ifindex = nix::net::if_::if_nametoindex(interface).with_context(|| format!("no {interface}"))?;
    let pins = PinDirectory::open(Path::new(PINS))?;
    let egress_pin = pins.egress_link(ifindex);
    let (mut datapath, _ring) = Datapath::load(pins)?;
    let link = datapath.monitor(interface, ifindex)?;
    let ingress = match link.mode {
        XdpAttachMode::Native => "native",
        XdpAttachMode::Generic => "generic",
    };
    // A filter on a clsact qdisc has no pin.
    let egress = if egress_pin.exists() { "tcx" } else { "clsact" };
    datapath.unload()?;
    Ok(AttachReport { ingress: ingress.to_owned(), egress: egress.to_owned() })
}

fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
