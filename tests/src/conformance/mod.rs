//! The table of what protocols ask of this router, and the page made of it.
//!
//! `tests/conformance/table.toml` holds one row per rule; `docs/conformance.md` is written from it and never by hand. What
//! a row claims is held against the sources: the tests it names exist, and whoever deviates says why. Whether a test
//! asserts its rule is for its reader to judge.

mod page;
mod sources;
mod table;

pub use page::render;
pub use sources::Sources;
pub use table::{Claim, Rule, Status, Table};

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Where the page stands in the repository.
pub const PAGE: &str = "docs/conformance.md";
/// Where the rows stand.
pub const TABLE: &str = "tests/conformance/table.toml";
/// What the page says before its tables.
const INTRODUCTION: &str = "tests/conformance/introduction.md";

/// The page as the data have it.
pub fn page(root: &Path) -> Result<String> {
    let introduction = read(&root.join(INTRODUCTION))?;
    Ok(render(&introduction, &load(root)?))
}

/// The rows.
pub fn load(root: &Path) -> Result<Table> {
    let path = root.join(TABLE);
    Table::parse(&read(&path)?)
        .with_context(|| format!("{} cannot be read as a table of rules", path.display()))
}

/// What is wrong with the rows and with the page, one line each; none if all is well.
pub fn problems(root: &Path) -> Result<Vec<String>> {
    let table = load(root)?;
    let mut problems = table.problems(&Sources::read(root)?);
    if read(&root.join(PAGE))? != page(root)? {
        problems.push(format!("{PAGE} is not what {TABLE} gives: run `cargo xtask conformance`"));
    }
    Ok(problems)
}

fn read(path: &PathBuf) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
