//! Writes every target's seeds and dictionary into the directory that is named, and prints the targets with the length of
//! the longest input worth trying, one on a line.
//!
//! `TARGET/seed-NN` are the seeds, `TARGET.dict` the words in libFuzzer's form.

use anyhow::{Context, Result};
use holdfast_fuzz::{TARGETS, seeds};
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let directory =
        std::env::args_os().nth(1).map(PathBuf::from).context("name the directory for the seeds")?;
    for target in TARGETS {
        let folder = directory.join(target.name);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        for (number, seed) in seeds::of(target.name).iter().enumerate() {
            write(&folder.join(format!("seed-{number:02}")), seed)?;
        }
        let words = seeds::dictionary(target.name);
        let lines: String = words.iter().map(|word| format!("\"{}\"\n", escaped(word))).collect();
        write(&directory.join(format!("{}.dict", target.name)), lines.as_bytes())?;
        println!("{} {}", target.name, target.longest);
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}

/// A word in the form of a dictionary: what is not printable, quotation marks and backslashes in hexadecimal.
fn escaped(word: &str) -> String {
    let plain = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && byte != b'"' && byte != b'\\';
    let escaped = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("\\x{byte:02x}") };
    word.bytes().map(escaped).collect()
}
