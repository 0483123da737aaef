//! `cargo xtask model` runs this: every configuration with one fault, and two close together; with `--deep` what takes longer.

use holdfast_model::settings::{FAST, ONE_FAULT, SLOW};
use holdfast_model::{Settings, check};
use std::process::ExitCode;
use std::time::Duration;

/// Two faults this close together are checked every time.
const NEAR: u8 = 2;
/// For one configuration.
const PATIENCE: Duration = Duration::from_secs(3600);
const THREADS: usize = 2;

fn main() -> ExitCode {
    let deep = std::env::args().any(|argument| argument == "--deep");
    let mut checks: Vec<Settings> = ONE_FAULT.to_vec();
    if deep {
        checks.extend(ONE_FAULT.map(|settings| settings.with(2, 6)));
        checks.extend([SLOW, FAST].map(|settings| settings.with(3, 2)));
    } else {
        checks.extend([SLOW, FAST].map(|settings| settings.with(2, NEAR)));
    }
    let mut good = true;
    for settings in checks {
        let report = check(settings, THREADS, PATIENCE);
        println!("{report}");
        good &= report.complete && report.breaches.is_empty();
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
