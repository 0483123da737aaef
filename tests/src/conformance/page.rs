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
    let remark = [rule.reason.as_str(), rule.note.as_str()];
    let remark: Vec<&str> = remark.into_iter().filter(|text| !text.is_empty()).collect();
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        rule.id,
        rule.rule,
        rule.section,
        rule.status,
        shown(&rule.tests),
        remark.join("; ")
    )
}

/// The tests with the files they stand in, each with its rows.
fn shown(tests: &[String]) -> String {
    let claims: Vec<Claim<'_>> = tests.iter().filter_map(|text| Claim::parse(text).ok()).collect();
    let named = |claims: &[Claim<'_>]| {
        let Claim { file, test, .. } = claims[0];
        let cases: Vec<String> =
            claims.iter().filter_map(|claim| claim.case).map(|case| format!("\"{case}\"")).collect();
        let cases = if cases.is_empty() { String::new() } else { format!(" ({})", cases.join(", ")) };
        format!("[`{test}`](../{file}){cases}")
    };
    let groups = claims.chunk_by(|one, next| (one.file, one.test) == (next.file, next.test));
    groups.map(named).collect::<Vec<_>>().join(", ")
}
