//! One value at a time: from what TOML holds to a type, or why not.
//!
//! Knows nothing of sections and places; the reader adds those. Never judges one value by another.

use super::schema::Setting;
use super::units;
use super::validated::VirtualAddress;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeValue;

/// Longest name of a node, peer, group, pair or virtual router, characters.
pub(super) const MAX_NAME: usize = 64;
/// Longest interface name (IFNAMSIZ less its terminator).
pub(super) const MAX_INTERFACE_NAME: usize = 15;
/// Longest free text, characters.
pub(super) const MAX_TEXT: usize = 1_024;
/// Prefix length that stands for the single address.
const HOST_PREFIX_V4: u8 = 32;
const HOST_PREFIX_V6: u8 = 128;

/// Why a value was refused, before its place is added.
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) help: String,
}

pub(super) fn refusal(message: impl Into<String>, help: impl Into<String>) -> Refusal {
    Refusal { message: message.into(), help: help.into() }
}

pub(super) fn wrong_type(found: &DeValue<'_>, expected: &str) -> Refusal {
    let found = match found {
        DeValue::String(text) => format!("the text \"{text}\""),
        DeValue::Integer(integer) => format!("the number {integer}"),
        DeValue::Float(float) => format!("the number {float}"),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    };
    refusal(format!("wrong type: {found}"), format!("write {expected}"))
}

/// The reader asked for a kind that the schema does not give the setting.
pub(super) fn mismatch(setting: &Setting) -> Refusal {
    refusal(format!("the schema has {} as {:?}", setting.key, setting.kind), "report this as a defect")
}

pub(super) fn out_of_range(setting: &Setting, written: &str, min: &str, max: &str) -> Refusal {
    let help = if setting.hint.is_empty() {
        format!("use {min} to {max}")
    } else {
        format!("use {min} to {max}; {}", setting.hint)
    };
    refusal(format!("{written} is out of range"), help)
}

pub(super) fn text<'v>(value: &'v DeValue<'_>, expected: &str) -> Result<&'v str, Refusal> {
    match value {
        DeValue::String(text) => Ok(text.as_ref()),
        other => Err(wrong_type(other, expected)),
    }
}

/// The text of a quantity; a bare number is told from other wrong types.
pub(super) fn quantity<'v>(value: &'v DeValue<'_>, help: &str) -> Result<&'v str, Refusal> {
    match value {
        DeValue::String(text) => Ok(text.as_ref()),
        DeValue::Integer(number) => Err(refusal(format!("the number {number} has no unit"), help)),
        DeValue::Float(number) => Err(refusal(format!("the number {number} has no unit"), help)),
        other => Err(refusal(wrong_type(other, "").message, help)),
    }
}

pub(super) fn bounded_duration(
    setting: &Setting,
    value: &DeValue<'_>,
    min: Duration,
    max: Duration,
) -> Result<Duration, Refusal> {
    let written = quantity(value, units::DURATION_HELP)?;
    let duration =
        units::duration(written).map_err(|error| refusal(error.to_string(), units::DURATION_HELP))?;
    if (min..=max).contains(&duration) {
        return Ok(duration);
    }
    Err(out_of_range(setting, written, &units::show_duration(min), &units::show_duration(max)))
}

/// A name of the operator's choosing.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, Refusal> {
    let name = text(value, "a name such as \"gw-a\"")?;
    if is_name(name) {
        return Ok(name.to_owned());
    }
    Err(refusal(
        format!("\"{name}\" is not a name"),
        format!("use 1 to {MAX_NAME} letters, digits, '.', '_' or '-'"),
    ))
}

pub(super) fn interface(value: &DeValue<'_>) -> Result<String, Refusal> {
    let name = text(value, "an interface name such as \"lan0\"")?;
    if name.len() > MAX_INTERFACE_NAME {
        let message = format!("\"{name}\" has {} characters; no interface has so many", name.len());
        return Err(refusal(message, format!("use at most {MAX_INTERFACE_NAME}")));
    }
    let sound = !matches!(name, "" | "." | "..")
        && name.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':');
    if sound {
        return Ok(name.to_owned());
    }
    Err(refusal(
        format!("\"{name}\" cannot be an interface"),
        "name it as `ip link` shows it, without the part after '@'",
    ))
}

/// One or more names with '/' between them: it becomes part of a path and must not lead out of it.
pub(super) fn device(value: &DeValue<'_>) -> Result<String, Refusal> {
    let device = text(value, "a device name such as \"g3bp0\"")?;
    let sound = device.len() <= MAX_NAME
        && device.split('/').all(|part| is_name(part) && part.chars().any(|letter| letter != '.'));
    if sound {
        return Ok(device.to_owned());
    }
    Err(refusal(
        format!("\"{device}\" is not a device name"),
        format!("use 1 to {MAX_NAME} letters, digits, '.', '_', '-', with '/' between names only"),
    ))
}

/// Text without control characters, of at least one character.
pub(super) fn free_text(value: &DeValue<'_>) -> Result<String, Refusal> {
    let written = text(value, "a text in quotes")?;
    if written.is_empty() {
        return Err(refusal("it is empty", "write at least one character"));
    }
    if written.chars().any(char::is_control) {
        return Err(refusal("it has control characters", "remove line breaks, tabs and the like"));
    }
    let length = written.chars().count();
    if length > MAX_TEXT {
        return Err(refusal(format!("it has {length} characters"), format!("use at most {MAX_TEXT}")));
    }
    Ok(written.to_owned())
}

pub(super) fn socket_address(value: &DeValue<'_>) -> Result<SocketAddr, Refusal> {
    const HELP: &str = "write the address and the port, such as \"192.0.2.9:443\" or \"[2001:db8::9]:443\"";
    let written = text(value, "an address with port such as \"192.0.2.9:443\"")?;
    let address: SocketAddr = written
        .parse()
        .map_err(|_| refusal(format!("\"{written}\" is not an IP address with port"), HELP))?;
    if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
        return Err(refusal(format!("nothing listens at {address}"), HELP));
    }
    Ok(address)
}

/// `T` holds whatever the bounds allow.
pub(super) fn integer<T: TryFrom<i64>>(
    setting: &Setting,
    value: &DeValue<'_>,
    min: i64,
    max: i64,
) -> Result<T, Refusal> {
    let DeValue::Integer(integer) = value else {
        return Err(wrong_type(value, &format!("a number from {min} to {max}")));
    };
    let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
    number
        .filter(|number| (min..=max).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| out_of_range(setting, &integer.to_string(), &min.to_string(), &max.to_string()))
}

pub(super) fn absolute_path(value: &DeValue<'_>) -> Result<PathBuf, Refusal> {
    let written = text(value, "an absolute path such as \"/run/holdfast\"")?;
    if written.contains('\0') {
        return Err(refusal("the path has a NUL byte", "remove it"));
    }
    if written.starts_with('/') {
        return Ok(PathBuf::from(written));
    }
    Err(refusal(format!("\"{written}\" is not an absolute path"), "begin it with '/'"))
}

pub(super) fn virtual_address(written: &str) -> Result<VirtualAddress, Refusal> {
    let (address, prefix) = match written.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (written, None),
    };
    let address: IpAddr = address.parse().map_err(|_| {
        refusal(format!("\"{written}\" is not an address with prefix length"), "write it as \"192.0.2.1/24\"")
    })?;
    let longest = if address.is_ipv4() { HOST_PREFIX_V4 } else { HOST_PREFIX_V6 };
    let prefix = match prefix {
        None => longest,
        Some(prefix) => prefix.parse().ok().filter(|bits| (1..=longest).contains(bits)).ok_or_else(|| {
            refusal(format!("\"{written}\" has a wrong prefix length"), format!("use /1 to /{longest}"))
        })?,
    };
    Ok(VirtualAddress { address, prefix })
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// `"a", "b" or "c"`.
pub(super) fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}
