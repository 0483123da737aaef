//! Tables in the manual that are results: each stands between two marks, and is replaced as a whole.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Writes a table between the marks of its name.
pub(crate) fn record(page: &Path, name: &str, table: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let replaced = replace(&text, name, table)
        .with_context(|| format!("{} has no lines `{}` and `{}`", page.display(), begin(name), end(name)))?;
    fs::write(page, replaced).with_context(|| format!("writing {}", page.display()))
}

fn begin(name: &str) -> String {
    format!("<!-- {name} table: begin -->")
}

fn end(name: &str) -> String {
    format!("<!-- {name} table: end -->")
}

fn replace(text: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (begin(name), end(name));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_replaced_between_its_marks_alone() {
        let page = "# Page\n\n<!-- load table: begin -->\nstale\n<!-- load table: end -->\n\nafter\n";
        let replaced = replace(page, "load", "| new |\n").unwrap();
        assert_eq!(replaced, page.replace("stale", "| new |"));
        assert_eq!(replace(page, "other", "x"), None);
    }

    #[test]
    fn the_manual_has_the_marks_of_every_table() {
        let page = crate::workspace::root().join(super::super::MANUAL);
        let text = fs::read_to_string(page).unwrap();
        for name in ["load", "scenario"] {
            assert!(replace(&text, name, "").is_some(), "{name}");
        }
    }
}
