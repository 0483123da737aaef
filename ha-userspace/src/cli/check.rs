//! `holdfast check`: every problem of a configuration, and what to know about it on this host.

use super::{Outcome, complain, eprint_line, print, print_json};
use crate::config::{self, Problem, environment};
use std::path::Path;

pub(super) fn check(path: &Path, json: bool) -> Outcome {
    let (problems, warnings) = match config::load(path) {
        Ok(loaded) => {
            let mut warnings = loaded.warnings;
            warnings.extend(environment::missing_interfaces(&loaded.config, &loaded.lines));
            warnings.extend(environment::peers_without_path(&loaded.config, &loaded.lines));
            warnings.extend(environment::missing_users(&loaded.config, &loaded.lines));
            warnings.sort_by_key(|warning| warning.line);
            (Vec::new(), warnings)
        }
        Err(problems) => (problems, Vec::new()),
    };
    let valid = problems.is_empty();
    if json {
        let shown =
            print_json(&serde_json::json!({ "valid": valid, "problems": problems, "warnings": warnings }));
        return if valid { shown } else { Outcome::Failed };
    }
    show(path, &problems, &warnings)
}

fn show(path: &Path, problems: &[Problem], warnings: &[Problem]) -> Outcome {
    for warning in warnings {
        eprint_line(&format!("warning: {warning}"));
    }
    for problem in problems {
        eprint_line(&problem.to_string());
    }
    if problems.is_empty() {
        return print(&format!("{} is valid\n", path.display()));
    }
    let plural = if problems.len() == 1 { "problem" } else { "problems" };
    complain(&format!("{} has {} {plural}", path.display(), problems.len()));
    Outcome::Failed
}
