//! The page: an introduction, a count, and one table per set of rules.

use super::table::{Claim, Rule, Status, Table};
use std::fmt::Write;

/// Sets and their headings.
const HEADINGS: [(&str, &str); 2] = [("V", "VRRP"), ("P", "The keyed probe")];

/// The whole page.
pub fn render(introduction: &str, table: &Table) -> String {
    let mut page = format!("{}\n", introduction.trim_end());
    page += "\n| Status | VRRP | Probe |\n|---|---|---|\n";
    for status in Status::ALL {
        let count = |letter| table.set(letter).filter(|rule| rule.status == status).count();
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| {status} | {} | {} |", count("V"), count("P"));
    }
    for (letter, heading) in HEADINGS {
        let _ = write!(
            page,
            "\n## {heading}\n\n| Id | Rule | Source | Status | Tests | Reason, or what to know |\n|---|---|---|---|---|---|\n"
        );
        for rule in table.set(letter) {
            page += &row(rule);
        }
    }
    page
}

fn row(rule: &Rule) -> String {
    let tests: Vec<String> = rule.tests.iter().map(|text| shown(text)).collect();
    let remark = [rule.reason.as_str(), rule.note.as_str()];
    let remark: Vec<&str> = remark.into_iter().filter(|text| !text.is_empty()).collect();
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        rule.id,
        rule.rule,
        rule.section,
        rule.status,
        tests.join(", "),
        remark.join("; ")
    )
}

/// A test with the file it stands in; a row of it by its name.
fn shown(text: &str) -> String {
    match Claim::parse(text) {
        Ok(Claim { file, test, case }) => {
            let case = case.map_or_else(String::new, |case| format!(" (\"{case}\")"));
            format!("[`{test}`](../{file}){case}")
        }
        Err(_) => format!("`{text}`"),
    }
}
