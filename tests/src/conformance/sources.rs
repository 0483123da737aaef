//! The tests of the repository, as its sources have them.
//!
//! Read as text, by the habits of this repository: `#[test]` stands above the function, other attributes between them, and
//! the rows of table-driven tests are named by string literals.

use super::table::Claim;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Folders that hold tests.
const FOLDERS: [&str; 4] = ["ha-common", "ha-userspace", "tests", "xtask"];

/// What there is to be named.
#[derive(Debug, Default)]
pub struct Sources {
    /// Names of the tests by file.
    tests: BTreeMap<String, BTreeSet<String>>,
    /// String literals of all files that hold tests or what tests read.
    literals: BTreeSet<String>,
}

impl Sources {
    /// Reads every Rust file below the root's folders.
    pub fn read(root: &Path) -> Result<Self> {
        let mut sources = Sources::default();
        let mut open: Vec<_> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
        while let Some(directory) = open.pop() {
            let entries = std::fs::read_dir(&directory)
                .with_context(|| format!("reading the folder {}", directory.display()))?;
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path)
                        .with_context(|| format!("reading {}", path.display()))?;
                    let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                    sources.add(shown, &text);
                }
            }
        }
        Ok(sources)
    }

    /// Takes up one file.
    pub fn add(&mut self, file: String, text: &str) {
        self.literals.extend(literals(text));
        self.tests.insert(file, tests(text));
    }

    /// What is wrong with a claim, if anything.
    pub fn objection(&self, claim: &Claim<'_>) -> Option<String> {
        let Claim { file, test, case } = claim;
        let Some(tests) = self.tests.get(*file) else { return Some(format!("there is no file {file}")) };
        if !tests.contains(*test) {
            return Some(format!("{file} has no #[test] named {test}"));
        }
        let case = case.filter(|case| !self.literals.contains(*case))?;
        Some(format!("no test has a row \"{case}\", which {test} is said to have"))
    }
}

/// Names of the functions that `#[test]` stands above.
fn tests(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut marked = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| marked) {
            found.extend(rest.split(['(', '<']).next().map(str::to_owned));
            marked = false;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            marked = false;
        }
    }
    found
}

/// What stands between double quotes on a line. Escapes and raw strings are not looked into: rows are named plainly.
fn literals(text: &str) -> impl Iterator<Item = String> {
    let plain = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    plain.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "tests/a.rs";
    const TEXT: &str = "#[test]\n#[allow(dead_code)]\n// why\nfn first() {\n    check(\"V-001 row\");\n}\n\n\
                        fn helper() {}\n\n    #[test]\n    fn second() {}\n// \"V-002 remark\"\n";

    fn objection(claim: &str) -> Option<String> {
        let mut sources = Sources::default();
        sources.add(FILE.to_owned(), TEXT);
        sources.objection(&Claim::parse(claim).unwrap())
    }

    #[test]
    fn tests_are_told_from_other_functions() {
        assert_eq!(tests(TEXT), ["first", "second"].map(str::to_owned).into());
    }

    #[test]
    fn only_what_exists_is_accepted() {
        assert_eq!(objection("tests/a.rs::first"), None);
        assert_eq!(objection("tests/a.rs::first[V-001 row]"), None);
        assert_eq!(objection("tests/b.rs::first").as_deref(), Some("there is no file tests/b.rs"));
        assert_eq!(
            objection("tests/a.rs::helper").as_deref(),
            Some("tests/a.rs has no #[test] named helper")
        );
        assert!(objection("tests/a.rs::first[V-002 remark]").is_some(), "a remark is no row");
    }
}
