//! Rules about `[[check]]`: what each kind needs, and what a check bears on.

use super::super::problem::Report;
use super::super::raw::{KindName, Raw, RawCheck};
use super::super::reader::{Field, key_of};
use super::super::schema::{MAX_CHECKS, OWNER_PRIORITY};
use super::super::units::show_duration;
use super::super::validated::{Check, CheckKind, CheckScope};
use super::{commands, routers};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Longest `comm` of a process, bytes (TASK_COMM_LEN less its terminator).
const MAX_COMM: usize = 15;
/// Time after which a check has failed where none is given and the interval is not shorter.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
/// Answers that pass where `status` is not given.
const DEFAULT_STATUS: std::ops::RangeInclusive<u16> = 200..=399;

pub(super) fn checks(raw: &Raw, report: &mut Report) -> Option<Vec<Check>> {
    if raw.checks.len() > MAX_CHECKS {
        report.error(
            "check",
            format!("{} checks are more than one daemon carries", raw.checks.len()),
            format!("use at most {MAX_CHECKS}"),
        );
    }
    let checks: Vec<_> = raw.checks.iter().map(|check| one_check(raw, check, report)).collect();
    checks.into_iter().collect()
}

fn one_check(raw: &Raw, check: &RawCheck, report: &mut Report) -> Option<Check> {
    let timeout = timeout(check, report);
    let scope = scope(raw, check, report);
    let kind = check.kind.value.and_then(|kind| {
        keys_of_other_kinds(check, kind, report);
        of_kind(check, kind, report)
    });
    Some(Check {
        name: check.name.value.clone()?,
        kind: kind?,
        interval: check.interval.value?,
        timeout: timeout?,
        rise: check.rise.value?,
        fall: check.fall.value?,
        weight: check.weight.value?,
        scope: scope?,
    })
}

fn timeout(check: &RawCheck, report: &mut Report) -> Option<Duration> {
    let interval = check.interval.value?;
    if !check.timeout.given {
        return Some(interval.min(DEFAULT_TIMEOUT));
    }
    let timeout = check.timeout.value?;
    if timeout > interval {
        report.error(
            &check.timeout.path,
            format!("{} is longer than the interval ({})", show_duration(timeout), show_duration(interval)),
            "shorten it or lengthen the interval: a check runs once at a time",
        );
    }
    Some(timeout)
}

fn scope(raw: &Raw, check: &RawCheck, report: &mut Report) -> Option<CheckScope> {
    let (group, router) = (&check.group, &check.virtual_router);
    if group.given && router.given {
        report.error(
            &router.path,
            "the check has `group` and `virtual_router`",
            "keep one of the two; without any it bears on the whole node",
        );
        return None;
    }
    if group.given {
        let name = group.value.clone()?;
        let mut groups = raw.virtual_routers.iter().map(|router| &router.group);
        let all_known = groups.clone().all(|group| !group.given || group.value.is_some());
        if all_known && groups.all(|group| group.value.as_ref() != Some(&name)) {
            report.error(
                &group.path,
                format!("no virtual router is in a group \"{name}\""),
                "correct the name, or give the virtual routers this group",
            );
        }
        return Some(CheckScope::Group(name));
    }
    if router.given {
        let name = router.value.clone()?;
        names_a_router(raw, check, &name, report);
        return Some(CheckScope::VirtualRouter(name));
    }
    Some(CheckScope::Node)
}

fn names_a_router(raw: &Raw, check: &RawCheck, name: &str, report: &mut Report) {
    let names: Vec<_> = raw.virtual_routers.iter().map(routers::name).collect();
    let Some(position) = names.iter().position(|known| known.as_deref() == Some(name)) else {
        if names.iter().all(Option::is_some) {
            let known: Vec<_> = names.into_iter().flatten().collect();
            report.error(
                &check.virtual_router.path,
                format!("no virtual router is called \"{name}\""),
                format!("use one of {}", known.join(", ")),
            );
        }
        return;
    };
    let owner = raw.virtual_routers[position].priority.value == Some(OWNER_PRIORITY);
    if owner && check.weight.value.is_some_and(|weight| weight != 0) {
        report.warning(
            &check.weight.path,
            format!("\"{name}\" owns its addresses (priority {OWNER_PRIORITY}), which no weight changes"),
            "remove it, or use a priority below 255",
        );
    }
}

fn keys_of_other_kinds(check: &RawCheck, kind: KindName, report: &mut Report) {
    for place in check.given_of_kinds() {
        let key = key_of(place);
        let owner = KindName::ALL.into_iter().find(|owner| owner.keys().contains(&key));
        let Some(owner) = owner.filter(|owner| *owner != kind) else { continue };
        report.error(
            place,
            format!(
                "`{key}` is for the kind \"{}\", and this check is of kind \"{}\"",
                owner.word(),
                kind.word()
            ),
            format!("remove it, or set kind = \"{}\"", owner.word()),
        );
    }
}

/// The value of a key that the kind cannot do without.
fn required<T: Clone>(field: &Field<T>, kind: KindName, report: &mut Report) -> Option<T> {
    if !field.given {
        report.error(
            &field.path,
            format!("missing, and the check is of kind \"{}\"", kind.word()),
            format!("add `{} = ...` to this [[check]]", field.key()),
        );
    }
    field.value.clone()
}

fn of_kind(check: &RawCheck, kind: KindName, report: &mut Report) -> Option<CheckKind> {
    match kind {
        KindName::Interface => {
            Some(CheckKind::Interface { interface: required(&check.interface, kind, report)? })
        }
        KindName::Command => command(check, report),
        KindName::Process => process(check, report),
        KindName::File => file(check, report),
        KindName::Tcp => Some(CheckKind::Tcp { address: required(&check.address, kind, report)? }),
        KindName::Http => http(check, report),
    }
}

fn command(check: &RawCheck, report: &mut Report) -> Option<CheckKind> {
    let elements = required(&check.command, KindName::Command, report)?;
    let shell = check.shell.value?;
    let argv = if shell && check.command.given && check.command.refused == 0 {
        let [line] = &elements[..] else {
            report.error(
                &check.command.path,
                format!("{} elements, and a shell takes one line", elements.len()),
                "write the whole line as one element, or set shell = false",
            );
            return None;
        };
        vec![line.value.clone()]
    } else {
        commands::program(&check.command, report)?
    };
    Some(CheckKind::Command { argv, shell, user: check.user.value.clone()? })
}

fn process(check: &RawCheck, report: &mut Report) -> Option<CheckKind> {
    let process = required(&check.process, KindName::Process, report)?;
    let is_path = process.contains('/');
    if is_path && !process.starts_with('/') {
        report.error(
            &check.process.path,
            format!("\"{process}\" is neither a name nor an absolute path"),
            "write the name, or the path of the executable from '/' on",
        );
    } else if !is_path && process.len() > MAX_COMM {
        let kept = process.char_indices().map(|(at, letter)| at + letter.len_utf8());
        let end = kept.take_while(|end| *end <= MAX_COMM).last().unwrap_or(0);
        report.error(
            &check.process.path,
            format!("\"{process}\" has {} bytes, and the kernel keeps {MAX_COMM} of a name", process.len()),
            format!("write \"{}\", or the path of the executable", &process[..end]),
        );
    }
    Some(CheckKind::Process { process, minimum_count: check.minimum_count.value? })
}

fn file(check: &RawCheck, report: &mut Report) -> Option<CheckKind> {
    let path = required(&check.file, KindName::File, report)?;
    if let Some(content) = &check.content.value
        && content.trim() != content
    {
        report.error(
            &check.content.path,
            format!("\"{content}\" begins or ends with a blank, and contents are compared without"),
            "write it without",
        );
    }
    if check.content.given && check.content.value.is_none() {
        return None;
    }
    Some(CheckKind::File { path, content: check.content.value.clone() })
}

fn http(check: &RawCheck, report: &mut Report) -> Option<CheckKind> {
    let url = required(&check.url, KindName::Http, report)?;
    if let Err((message, help)) = http_url(&url) {
        report.error(&check.url.path, message, help);
    }
    let status = if check.status.given {
        let elements = check.status.value.as_ref()?;
        if elements.is_empty() && check.status.refused == 0 {
            report.error(&check.status.path, "no status is listed", "list those that pass, or remove it");
        }
        elements.iter().map(|element| element.value).collect()
    } else {
        DEFAULT_STATUS.collect()
    };
    if check.body.given && check.body.value.is_none() {
        return None;
    }
    Some(CheckKind::Http { url, status, body: check.body.value.clone() })
}

/// `http://ADDRESS[:PORT][/...]`: a check must neither wait for a name server nor need certificates.
fn http_url(url: &str) -> Result<(), (String, &'static str)> {
    const HELP: &str = "write it as \"http://192.0.2.9:8080/health\"";
    let Some(rest) = url.strip_prefix("http://") else {
        return Err((format!("\"{url}\" does not begin with http://"), HELP));
    };
    if url.contains(|letter: char| letter.is_whitespace() || !letter.is_ascii()) || url.contains('#') {
        return Err((
            format!("\"{url}\" has a character that no request can carry"),
            "write it percent-encoded",
        ));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let bare = authority.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let address = match bare {
        Some(inner) => inner.parse().ok().filter(IpAddr::is_ipv6),
        None => authority.parse().ok().filter(IpAddr::is_ipv4),
    };
    let with_port = || authority.parse::<SocketAddr>().ok().filter(|found| found.port() != 0);
    if address.is_some() || with_port().is_some() {
        return Ok(());
    }
    Err((format!("\"{authority}\" is not an IP address, with or without port"), HELP))
}
