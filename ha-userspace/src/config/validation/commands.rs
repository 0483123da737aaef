//! Argument lists of programs that are run without a shell.

use super::super::problem::Report;
use super::super::raw::List;

/// The arguments of a list that stands in the file, its first an absolute path; `None` where they are unsound.
pub(super) fn program(field: &List<String>, report: &mut Report) -> Option<Vec<String>> {
    if !field.given || field.refused > 0 {
        return None;
    }
    let elements = field.value.as_ref()?;
    let Some(first) = elements.first() else {
        report.error(
            &field.path,
            "no program is listed",
            "list the program and then its arguments, one by one",
        );
        return None;
    };
    if !first.value.starts_with('/') {
        report.error(
            &first.path,
            format!("\"{}\" is not an absolute path: no search path is used", first.value),
            "begin it with '/', and list each argument by itself",
        );
        return None;
    }
    Some(elements.iter().map(|element| element.value.clone()).collect())
}
