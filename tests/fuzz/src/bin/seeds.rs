//! Writes every target's seeds into the directory that is named: one folder per target, one file per seed.

use anyhow::{Context, Result};
use holdfast_fuzz::{TARGETS, seeds};
use std::fs;
use std::path::PathBuf;

fn main() -> Result<()> {
    let directory =
        std::env::args_os().nth(1).map(PathBuf::from).context("name the directory for the seeds")?;
    for target in TARGETS {
        let folder = directory.join(target.name);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        for (number, seed) in seeds::of(target.name).iter().enumerate() {
            let path = folder.join(format!("seed-{number:02}"));
            fs::write(&path, seed).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}
