//! Placeholders in the paths and values of the sysfs bypass driver.

use super::super::problem::Report;
use super::super::raw::Raw;
use super::super::reader::Field;

/// What stands for something of the link pair.
const OF_PAIR: [&str; 4] = ["{inside}", "{outside}", "{pair}", "{device}"];
/// The placeholder that `link_pair.device` fills.
pub(super) const DEVICE: &str = "{device}";
/// The watchdog's time in milliseconds and in seconds.
pub(super) const TIMEOUT_MS: &str = "{timeout_ms}";
pub(super) const TIMEOUT_S: &str = "{timeout_s}";

/// Where a text stands, which decides what it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Value,
}

/// The text names the pair in some way, so that two pairs get different ones.
pub(super) fn names_the_pair(text: &str) -> bool {
    OF_PAIR.iter().any(|placeholder| text.contains(placeholder))
}

/// Reports what is wrong with a text of the file; presets need no judging.
pub(super) fn check(field: &Field<String>, place: Place, report: &mut Report) {
    let (Some(text), true) = (&field.value, field.given) else { return };
    if place == Place::Path {
        path(&field.path, text, report);
    }
    if let Some(unknown) = unknown_placeholder(text, place) {
        let known: Vec<_> = known(place).collect();
        report.error(
            &field.path,
            format!("\"{unknown}\" is not a placeholder that is filled here"),
            format!("use {}", known.join(", ")),
        );
    }
}

fn path(place: &str, text: &str, report: &mut Report) {
    if !text.starts_with('/') {
        report.error(place, format!("\"{text}\" is not an absolute path"), "begin it with '/'");
    } else if text.split('/').any(|part| part == "..") {
        report.error(place, format!("\"{text}\" leads upwards"), "write the path without \"..\"");
    }
}

fn known(place: Place) -> impl Iterator<Item = &'static str> {
    let times: &[&str] = if place == Place::Value { &[TIMEOUT_MS, TIMEOUT_S] } else { &[] };
    OF_PAIR.into_iter().chain(times.iter().copied())
}

/// The first thing in braces, or stray brace, that nothing fills.
fn unknown_placeholder(text: &str, place: Place) -> Option<&str> {
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let found = &rest[at..];
        if let Some(placeholder) = known(place).find(|placeholder| found.starts_with(placeholder)) {
            rest = &found[placeholder.len()..];
            continue;
        }
        let end = if found.starts_with('{') { found.find('}').map_or(found.len(), |end| end + 1) } else { 1 };
        return Some(&found[..end]);
    }
    None
}

/// Reports pairs without `device` where a text needs it, and pairs that would share one file.
pub(super) fn fill_from_pairs(texts: &[(&str, &str, Place)], raw: &Raw, report: &mut Report) {
    if let Some((place, ..)) = texts.iter().find(|(_, text, _)| text.contains(DEVICE)) {
        for pair in raw.link_pairs.iter().filter(|pair| !pair.device.given) {
            report.error(
                &pair.device.path,
                format!("missing, and {place} has {DEVICE}"),
                "add `device = ...` to this [[link_pair]], as the driver of the hardware names the pair",
            );
        }
    } else {
        for device in raw.link_pairs.iter().filter_map(|pair| pair.device.given_at()) {
            report.warning(
                device,
                format!("no path and no value of [bypass] has {DEVICE}, so it does nothing"),
                format!("write {DEVICE} where it belongs, or remove it"),
            );
        }
    }
    if raw.link_pairs.len() < 2 {
        return;
    }
    for (place, text, _) in
        texts.iter().filter(|(_, text, kind)| *kind == Place::Path && !names_the_pair(text))
    {
        report.error(
            place,
            format!("{text} is the same file for all {} link pairs", raw.link_pairs.len()),
            format!("tell the pairs apart with {}", OF_PAIR.join(", ")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_filled_counts_as_a_placeholder() {
        let cases = [
            ("/a/{inside}/{device}", Place::Path, None),
            ("{timeout_ms}", Place::Value, None),
            ("{timeout_ms}", Place::Path, Some("{timeout_ms}")),
            ("/a/{other}/b", Place::Path, Some("{other}")),
            ("/a/{inside", Place::Path, Some("{inside")),
            ("/a/inside}", Place::Path, Some("}")),
            ("{{inside}}", Place::Value, Some("{{inside}")),
            ("plain", Place::Value, None),
        ];
        for (text, place, expected) in cases {
            assert_eq!(unknown_placeholder(text, place), expected, "{text}");
        }
    }
}
