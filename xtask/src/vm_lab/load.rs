//! `load`: every program of the BPF object through the verifier of each kernel, and the data plane attached natively to
//! an emulated virtio network card. What the verifier walked is recorded; a refused program's log is kept.

use super::machine::{Hardware, Machine, Nic};
use anyhow::{Context, Result, bail};
use holdfast_vm_protocol::{Answer, AttachReport, Order, ProgramsReport, Refused, Verified};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

const INTERFACE: &str = "lan0";
/// Time for the verifier under emulation.
const CHECK_WITHIN: Duration = Duration::from_secs(300);
/// The kernel's limit of instructions walked.
const INSTRUCTION_LIMIT: u32 = 1_000_000;
/// The programs that the product attaches.
const INGRESS: &str = "holdfast_xdp";
const EGRESS: &str = "holdfast_tcx";

/// What one kernel made of the object.
#[derive(Clone, Debug)]
pub(crate) struct LoadResult {
    /// As asked for: `6.1`, `6.12`, `newest`.
    pub(crate) kernel: &'static str,
    pub(crate) release: String,
    /// Debian's version.
    pub(crate) version: String,
    pub(crate) report: ProgramsReport,
}

impl LoadResult {
    /// Every program loaded, and the data plane runs in the driver.
    pub(crate) fn passed(&self) -> bool {
        let loaded = self.report.programs.iter().all(|program| program.result.is_ok());
        loaded && self.report.attached.as_ref().is_ok_and(|attached| attached.ingress == "native")
    }
}

/// Boots a guest and asks it.
pub(crate) fn run(hardware: &Hardware, kernel: &'static str, version: &str) -> Result<LoadResult> {
    let nic = Nic { interface: INTERFACE, mac: "52:54:00:00:00:01".to_owned(), wire: None };
    let nics = [nic];
    let mut guest = Machine::start(hardware, "load", &nics)?;
    let release = guest.wait_started()?;
    guest.name_interfaces(&nics)?;
    guest.agent.ip(&format!("link set dev {INTERFACE} up"))?;
    let order = Order::CheckPrograms { interface: INTERFACE.to_owned() };
    let answer = guest.agent.order_within(order, CHECK_WITHIN).with_context(|| guest.last_words())?;
    let Answer::Programs(report) = answer else { bail!("the guest answered {answer:?}") };
    keep_logs(&report, &hardware.log_dir, kernel)?;
    Ok(LoadResult { kernel, release, version: version.to_owned(), report })
}

fn keep_logs(report: &ProgramsReport, log_dir: &Path, kernel: &str) -> Result<()> {
    for program in &report.programs {
        let path = log_dir.join(format!("{kernel}-{}.verifier", program.name));
        match &program.result {
            // A log of an earlier run would speak of another object.
            Ok(_) => drop(fs::remove_file(&path)),
            Err(refused) => {
                fs::write(&path, &refused.log).with_context(|| format!("writing {}", path.display()))?;
                eprintln!(
                    "vm-lab: kernel {kernel} refuses {}: {}; the end of the verifier's log is in {}",
                    program.name,
                    refused.error,
                    path.display()
                );
            }
        }
    }
    if let Err(error) = &report.attached {
        eprintln!("vm-lab: kernel {kernel}: the data plane does not attach: {error}");
    }
    Ok(())
}

/// The results as a table in Markdown, one line per kernel and program.
pub(crate) fn table(results: &[LoadResult]) -> String {
    let mut table = String::from(
        "| Kernel | Release | Program | Instructions verified | of the limit | Machine code | Attached |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for result in results {
        for program in &result.report.programs {
            let figures = match &program.result {
                Ok(verified) => figures(verified),
                Err(refused) => format!("{} | |", refusal(refused)),
            };
            let attached = attached(&program.name, result.report.attached.as_ref().ok());
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {} | {} ({}) | `{}` | {figures} | {attached} |",
                result.kernel, result.release, result.version, program.name
            );
        }
    }
    table
}

fn figures(verified: &Verified) -> String {
    let percent = f64::from(verified.instructions) * 100.0 / f64::from(INSTRUCTION_LIMIT);
    let code = match verified.jited_bytes {
        0 => "interpreted".to_owned(),
        bytes => format!("{bytes} bytes"),
    };
    format!("{} | {percent:.1} % | {code}", verified.instructions)
}

/// Why a program was refused: the last line of the verifier's log before its statistics, and how far it came.
fn refusal(refused: &Refused) -> String {
    let reason = refused.log.lines().rev().find(|line| !line.is_empty() && !is_statistics(line));
    let reason = reason.unwrap_or(&refused.error);
    let walked = refused.log.lines().find_map(|line| line.strip_prefix("processed ")?.split(' ').next());
    match walked {
        Some(walked) => format!("refused after {walked}: {reason}"),
        None => format!("refused: {reason}"),
    }
}

fn is_statistics(line: &str) -> bool {
    ["verification time ", "stack depth ", "processed "].iter().any(|word| line.starts_with(word))
}

/// Where the product attached the program.
fn attached(program: &str, report: Option<&AttachReport>) -> String {
    match (program, report) {
        (INGRESS, Some(report)) => format!("XDP, {}", report.ingress),
        (EGRESS, Some(report)) => report.egress.clone(),
        (INGRESS | EGRESS, None) => "refused".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_vm_protocol::ProgramReport;

    fn result(attached: Result<AttachReport, String>) -> LoadResult {
        let verified = Verified { instructions: 512_000, translated_bytes: 9, jited_bytes: 7, load_ms: 3 };
        LoadResult {
            kernel: "6.1",
            release: "6.1.0-1".to_owned(),
            version: "6.1.1-1".to_owned(),
            report: ProgramsReport {
                programs: vec![ProgramReport { name: "holdfast_xdp".to_owned(), result: Ok(verified) }],
                attached,
            },
        }
    }

    fn attach(ingress: &str) -> Result<AttachReport, String> {
        Ok(AttachReport { ingress: ingress.to_owned(), egress: "tcx".to_owned() })
    }

    #[test]
    fn a_kernel_passes_with_all_programs_loaded_and_native() {
        assert!(result(attach("native")).passed());
        assert!(!result(attach("generic")).passed());
        assert!(!result(Err("refused".to_owned())).passed());
        let mut refused = result(attach("native"));
        refused.report.programs[0].result = Err(Refused { error: "E2BIG".to_owned(), log: String::new() });
        assert!(!refused.passed());
    }

    #[test]
    fn a_refusal_says_why_and_how_far_it_came() {
        let log = "12: (85) call pc+3\ncombined stack size of 2 calls is 544. Too large\n\
                   verification time 9 usec\nstack depth 104+400\nprocessed 257992 insns (limit 1000000)\n";
        let refused = Refused { error: "Permission denied".to_owned(), log: log.to_owned() };
        assert_eq!(
            refusal(&refused),
            "refused after 257992: combined stack size of 2 calls is 544. Too large"
        );
        assert_eq!(refusal(&Refused { log: String::new(), ..refused }), "refused: Permission denied");
    }

    #[test]
    fn a_line_has_the_figures_and_the_place() {
        let table = table(&[result(attach("native"))]);
        assert!(table.contains("| `holdfast_xdp` | 512000 | 51.2 % | 7 bytes | XDP, native |"), "{table}");
        let columns = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| columns(line) == columns(table.lines().next().unwrap())), "{table}");
        let mut refused = result(Err("no".to_owned()));
        refused.report.programs[0].result = Err(Refused { error: "E2BIG".to_owned(), log: String::new() });
        let refused = super::table(&[refused]);
        assert!(refused.lines().all(|line| columns(line) == 8), "{refused}");
    }
}
