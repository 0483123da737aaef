//! Chooses the corpus that is kept in the repository: few, short inputs that together reach what all of them reach.
//!
//! libFuzzer tells which features of the program each input exercises; the choice is greedy, by what an input adds, the
//! shorter one first.

use super::Places;
use super::build::Target;
use super::session::TARGET_VARIABLE;
use anyhow::{Context, Result, ensure};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Files kept of a target.
const MOST_FILES: usize = 48;
/// Longest file that is kept, bytes; as in `holdfast_fuzz::LONGEST_KEPT`.
const LONGEST_FILE: usize = 4096;

/// An input and what it exercises.
#[derive(Debug, Default)]
struct Candidate {
    path: PathBuf,
    size: usize,
    features: BTreeSet<u64>,
}

/// Replaces the kept corpus of `target` by the best of seeds, kept files and what was found.
pub(super) fn choose_anew(fuzzer: &Path, target: &Target, places: &Places) -> Result<()> {
    let folder = places.corpus.join(&target.name);
    let from = [places.found.join(&target.name), folder.clone(), places.seeds.join(&target.name)];
    let candidates = candidates(fuzzer, target, &from, &places.logs)?;
    let (of, chosen) = (candidates.len(), choose(candidates));
    // Read before the folder is emptied: some of them lie in it.
    let contents = chosen.iter().map(|chosen| fs::read(&chosen.path)).collect::<Result<Vec<_>, _>>();
    let contents = contents.context("reading the chosen inputs")?;
    fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    fs::create_dir_all(&folder)?;
    for (number, content) in contents.iter().enumerate() {
        let path = folder.join(format!("{number:02}"));
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    println!("{}: kept {} of {of} inputs", target.name, contents.len());
    Ok(())
}

fn candidates(fuzzer: &Path, target: &Target, from: &[PathBuf], logs: &Path) -> Result<Vec<Candidate>> {
    let control = logs.join(format!("{}.merge", target.name));
    let merged = logs.join(format!("{}.merged", target.name));
    for old in [&control, &merged] {
        let _ = fs::remove_file(old);
        let _ = fs::remove_dir_all(old);
    }
    fs::create_dir_all(&merged)?;
    let mut command = Command::new(fuzzer);
    command.env(TARGET_VARIABLE, &target.name).args(["-set_cover_merge=1", "-use_value_profile=0"]);
    command.arg(format!("-max_len={}", target.longest.min(LONGEST_FILE)));
    command.arg(format!("-merge_control_file={}", control.display())).arg(&merged).args(from);
    let status =
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().context("starting the fuzzer")?;
    ensure!(status.success(), "the fuzzer could not compare the inputs of {}", target.name);
    let told = fs::read_to_string(&control).with_context(|| format!("reading {}", control.display()))?;
    Ok(read_control(&told).into_iter().filter(|candidate| candidate.size <= LONGEST_FILE).collect())
}

/// Reads libFuzzer's account of a merge: two counts, the files, then lines `STARTED n size` and `FT n features`.
fn read_control(told: &str) -> Vec<Candidate> {
    let mut lines = told.lines();
    let count = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or(0);
    let files: Vec<PathBuf> = lines.by_ref().skip(1).take(count).map(PathBuf::from).collect();
    let mut found: BTreeMap<usize, Candidate> = BTreeMap::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let (Some(kind), Some(index)) = (words.next(), words.next().and_then(|word| word.parse().ok()))
        else {
            continue;
        };
        let mut numbers = words.filter_map(|word| word.parse::<u64>().ok());
        let Some(path) = files.get(index) else { continue };
        let candidate = found.entry(index).or_default();
        candidate.path.clone_from(path);
        match kind {
            "STARTED" => {
                candidate.size = numbers.next_back().and_then(|size| usize::try_from(size).ok()).unwrap_or(0)
            }
            "FT" => candidate.features = numbers.collect(),
            _ => {}
        }
    }
    found.into_values().collect()
}

fn choose(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut chosen = Vec::new();
    while chosen.len() < MOST_FILES {
        let ranks = candidates.iter().map(|candidate| (candidate.features.len(), Reverse(candidate.size)));
        let best = ranks.enumerate().max_by_key(|(_, rank)| *rank);
        let Some((position, (1.., _))) = best else { break };
        let best = candidates.swap_remove(position);
        // What is left of each is what it would add.
        for candidate in &mut candidates {
            candidate.features.retain(|feature| !best.features.contains(feature));
        }
        chosen.push(best);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "3\n0\n/c/a\n/c/b\n/c/d\nSTARTED 0 40\nFT 0 1 2 3\nCOV 0 9\nSTARTED 1 7\nFT 1 1 2 3\nSTARTED 2 9\nFT 2 3 4\n";

    #[test]
    fn the_shorter_of_equals_is_chosen_and_what_adds_nothing_is_not() {
        let candidates = read_control(TOLD);
        let sizes: Vec<usize> = candidates.iter().map(|candidate| candidate.size).collect();
        assert_eq!(sizes, [40, 7, 9]);
        let chosen: Vec<PathBuf> = choose(candidates).into_iter().map(|candidate| candidate.path).collect();
        assert_eq!(chosen, [PathBuf::from("/c/b"), PathBuf::from("/c/d")]);
    }
}
