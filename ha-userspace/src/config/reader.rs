//! A cursor over one section of the file: hands out typed values and reports whatever does not fit the schema.
//!
//! Every method looks its setting up in the schema, so types, bounds and defaults exist once. A value that is wrong
//! is reported here and then absent ([`Field::value`] is `None`), so that later stages judge only what is sound.

use super::problem::Report;
use super::schema::{self, Kind, Section, Setting};
use super::units;
use super::validated::VirtualAddress;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest name of a node, peer, group, pair or virtual router, characters.
const MAX_NAME: usize = 64;
/// Longest interface name (IFNAMSIZ less its terminator).
pub(super) const MAX_INTERFACE_NAME: usize = 15;
/// Prefix length that stands for the single address.
const HOST_PREFIX_V4: u8 = 32;
const HOST_PREFIX_V6: u8 = 128;

/// A setting as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field<T> {
    /// The value or its default; `None` where it is absent without a default, or wrong and reported.
    pub(super) value: Option<T>,
    /// Such as `ha.port`.
    pub(super) path: String,
    /// It stands in the file.
    pub(super) given: bool,
    /// Elements of a list that were wrong, reported and left out.
    pub(super) refused: usize,
}

/// One element of a list, with its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element<T> {
    pub(super) value: T,
    pub(super) path: String,
}

/// Reads one section.
pub(super) struct SectionReader<'t, 'r> {
    section: &'static Section,
    path: String,
    table: Option<&'t DeTable<'t>>,
    seen: BTreeSet<&'static str>,
    report: &'r mut Report,
}

impl<'t, 'r> SectionReader<'t, 'r> {
    /// `table` is `None` for a section that the file leaves out.
    pub(super) fn new(
        section: &'static Section,
        path: String,
        table: Option<&'t DeTable<'t>>,
        report: &'r mut Report,
    ) -> Self {
        if let Some(table) = table {
            for (key, _) in table {
                let line = report.line_at(key.span().start);
                report.place(&format!("{path}.{}", key.get_ref()), line);
            }
        }
        Self { section, path, table, seen: BTreeSet::new(), report }
    }

    /// Such as `virtual_router[0]`.
    pub(super) fn section_path(&self) -> &str {
        &self.path
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for (key, _) in table {
            let key = key.get_ref().as_ref();
            if !self.seen.contains(key) {
                let path = format!("{}.{key}", self.path);
                self.report.error(&path, "unknown key", unknown_key_help(self.section, key));
            }
        }
    }

    /// A name of the operator's choosing.
    pub(super) fn name(&mut self, key: &'static str) -> Field<String> {
        self.scalar(
            key,
            |_| None,
            |_, value| {
                let name = text(value, "a name such as \"gw-a\"")?;
                if is_name(name) {
                    return Ok(name.to_owned());
                }
                Err(refusal(
                    format!("\"{name}\" is not a name"),
                    format!("use 1 to {MAX_NAME} letters, digits, '.', '_' or '-'"),
                ))
            },
        )
    }

    pub(super) fn interface(&mut self, key: &'static str) -> Field<String> {
        self.scalar(
            key,
            |_| None,
            |_, value| {
                let name = text(value, "an interface name such as \"lan0\"")?;
                if name.len() > MAX_INTERFACE_NAME {
                    let message =
                        format!("\"{name}\" has {} characters; no interface has so many", name.len());
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
            },
        )
    }

    pub(super) fn path(&mut self, key: &'static str) -> Field<PathBuf> {
        self.scalar(
            key,
            |kind| match kind {
                Kind::Path { default } => default.map(PathBuf::from),
                _ => None,
            },
            |_, value| absolute_path(value),
        )
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Field<bool> {
        self.scalar(
            key,
            |kind| match kind {
                Kind::Flag { default } => Some(*default),
                _ => None,
            },
            |_, value| match value {
                DeValue::Boolean(flag) => Ok(*flag),
                other => Err(wrong_type(other, "true or false")),
            },
        )
    }

    /// `T` holds whatever the schema's bounds allow.
    pub(super) fn integer<T: TryFrom<i64>>(&mut self, key: &'static str) -> Field<T> {
        self.scalar(
            key,
            |kind| match kind {
                Kind::Integer { default, .. } => default.and_then(|number| T::try_from(number).ok()),
                _ => None,
            },
            |setting, value| {
                let Kind::Integer { min, max, .. } = setting.kind else { return Err(mismatch(setting)) };
                let DeValue::Integer(integer) = value else {
                    return Err(wrong_type(value, &format!("a number from {min} to {max}")));
                };
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                number
                    .filter(|number| (min..=max).contains(number))
                    .and_then(|number| T::try_from(number).ok())
                    .ok_or_else(|| {
                        out_of_range(setting, &integer.to_string(), &min.to_string(), &max.to_string())
                    })
            },
        )
    }

    pub(super) fn duration(&mut self, key: &'static str) -> Field<Duration> {
        self.scalar(
            key,
            |kind| match kind {
                Kind::Duration { default, .. } => *default,
                _ => None,
            },
            |setting, value| {
                let Kind::Duration { min, max, .. } = setting.kind else { return Err(mismatch(setting)) };
                bounded_duration(setting, value, min, max)
            },
        )
    }

    /// `None` inside the value stands for the schema's word, which is also the default.
    pub(super) fn duration_or_word(&mut self, key: &'static str) -> Field<Option<Duration>> {
        self.scalar(
            key,
            |_| Some(None),
            |setting, value| {
                let Kind::DurationOr { word, min, max } = setting.kind else { return Err(mismatch(setting)) };
                if matches!(value, DeValue::String(text) if text.as_ref() == word) {
                    return Ok(None);
                }
                bounded_duration(setting, value, min, max).map(Some).map_err(|refused| Refusal {
                    help: format!("{}, or \"{word}\"", refused.help),
                    ..refused
                })
            },
        )
    }

    /// Bits per second.
    pub(super) fn rate(&mut self, key: &'static str) -> Field<u64> {
        self.scalar(
            key,
            |_| None,
            |setting, value| {
                let Kind::Rate { min, max } = setting.kind else { return Err(mismatch(setting)) };
                let written = quantity(value, units::RATE_HELP)?;
                let rate =
                    units::rate(written).map_err(|error| refusal(error.to_string(), units::RATE_HELP))?;
                if (min..=max).contains(&rate) {
                    return Ok(rate);
                }
                Err(out_of_range(setting, written, &units::show_rate(min), &units::show_rate(max)))
            },
        )
    }

    /// One of the words of the schema that are built, as `parse` turns it into a type.
    pub(super) fn choice<T>(&mut self, key: &'static str, parse: fn(&str) -> Option<T>) -> Field<T> {
        self.scalar(
            key,
            |kind| match kind {
                Kind::Choice { default, .. } => default.and_then(parse),
                _ => None,
            },
            |setting, value| {
                let Kind::Choice { options, later, .. } = setting.kind else { return Err(mismatch(setting)) };
                let built: Vec<_> =
                    options.iter().copied().filter(|option| !later.contains(option)).collect();
                let written = text(value, &format!("one of {}", alternatives(&built)))?;
                if later.contains(&written) {
                    return Err(refusal(
                        format!("\"{written}\" is not built yet"),
                        format!("remove it or set it to {}", alternatives(&built)),
                    ));
                }
                parse(written).ok_or_else(|| {
                    refusal(format!("\"{written}\" is not known"), format!("use {}", alternatives(&built)))
                })
            },
        )
    }

    pub(super) fn addresses(&mut self, key: &'static str) -> Field<Vec<Element<IpAddr>>> {
        self.list(key, "a list of addresses such as [\"192.0.2.3\"]", |value| {
            let written = text(value, "an address such as \"192.0.2.3\"")?;
            written.parse().map_err(|_| {
                refusal(
                    format!("\"{written}\" is not an IP address"),
                    "write it without prefix length, such as \"192.0.2.3\"",
                )
            })
        })
    }

    pub(super) fn virtual_addresses(&mut self, key: &'static str) -> Field<Vec<Element<VirtualAddress>>> {
        self.list(key, "a list of addresses such as [\"192.0.2.1/24\"]", |value| {
            virtual_address(text(value, "an address such as \"192.0.2.1/24\"")?)
        })
    }

    pub(super) fn paths(&mut self, key: &'static str) -> Field<Vec<Element<PathBuf>>> {
        let field = self.list(key, "a list of paths such as [\"/etc/holdfast/cluster.key\"]", absolute_path);
        if let Some(Setting { kind: Kind::Paths { max }, hint, .. }) = self.section.setting(key)
            && let Some(extra) = field.value.as_ref().and_then(|elements| elements.get(*max))
        {
            self.report.error(&extra.path, format!("more than {max} are listed"), *hint);
        }
        field
    }

    fn setting(&mut self, key: &'static str) -> Option<&'static Setting> {
        self.seen.insert(key);
        self.section.setting(key)
    }

    fn raw(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table?.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn scalar<T>(
        &mut self,
        key: &'static str,
        default: impl Fn(&Kind) -> Option<T>,
        read: impl Fn(&Setting, &DeValue<'_>) -> Result<T, Refusal>,
    ) -> Field<T> {
        let path = format!("{}.{key}", self.path);
        let Some(setting) = self.setting(key) else {
            return Field { value: None, path, given: false, refused: 0 };
        };
        let Some(raw) = self.raw(key) else {
            self.report_missing(setting, &path);
            return Field { value: default(&setting.kind), path, given: false, refused: 0 };
        };
        let value = match read(setting, raw.get_ref()) {
            Ok(value) => Some(value),
            Err(refused) => {
                self.report.error(&path, refused.message, refused.help);
                None
            }
        };
        Field { value, path, given: true, refused: 0 }
    }

    /// Wrong elements are reported and left out.
    fn list<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Refusal>,
    ) -> Field<Vec<Element<T>>> {
        let path = format!("{}.{key}", self.path);
        let Some(setting) = self.setting(key) else {
            return Field { value: None, path, given: false, refused: 0 };
        };
        let Some(raw) = self.raw(key) else {
            self.report_missing(setting, &path);
            return Field { value: (!setting.required).then(Vec::new), path, given: false, refused: 0 };
        };
        let DeValue::Array(array) = raw.get_ref() else {
            let refused = wrong_type(raw.get_ref(), expected);
            self.report.error(&path, refused.message, refused.help);
            return Field { value: None, path, given: true, refused: 0 };
        };
        let mut elements = Vec::new();
        for (position, item) in array.iter().enumerate() {
            let path = format!("{path}[{position}]");
            let line = self.report.line_at(item.span().start);
            self.report.place(&path, line);
            match read(item.get_ref()) {
                Ok(value) => elements.push(Element { value, path }),
                Err(refused) => self.report.error(&path, refused.message, refused.help),
            }
        }
        let refused = array.len() - elements.len();
        Field { value: Some(elements), path, given: true, refused }
    }

    fn report_missing(&mut self, setting: &Setting, path: &str) {
        if setting.required && self.table.is_some() {
            self.report.error(
                path,
                "missing",
                format!("add `{} = ...` to this {}", setting.key, self.section.header()),
            );
        }
    }
}

/// Why a value was refused, before its place is added.
struct Refusal {
    message: String,
    help: String,
}

fn refusal(message: impl Into<String>, help: impl Into<String>) -> Refusal {
    Refusal { message: message.into(), help: help.into() }
}

fn wrong_type(found: &DeValue<'_>, expected: &str) -> Refusal {
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
fn mismatch(setting: &Setting) -> Refusal {
    refusal(format!("the schema has {} as {:?}", setting.key, setting.kind), "report this as a defect")
}

fn out_of_range(setting: &Setting, written: &str, min: &str, max: &str) -> Refusal {
    let help = if setting.hint.is_empty() {
        format!("use {min} to {max}")
    } else {
        format!("use {min} to {max}; {}", setting.hint)
    };
    refusal(format!("{written} is out of range"), help)
}

fn text<'v>(value: &'v DeValue<'_>, expected: &str) -> Result<&'v str, Refusal> {
    match value {
        DeValue::String(text) => Ok(text.as_ref()),
        other => Err(wrong_type(other, expected)),
    }
}

/// The text of a quantity; a bare number is told from other wrong types.
fn quantity<'v>(value: &'v DeValue<'_>, help: &str) -> Result<&'v str, Refusal> {
    match value {
        DeValue::String(text) => Ok(text.as_ref()),
        DeValue::Integer(number) => Err(refusal(format!("the number {number} has no unit"), help)),
        DeValue::Float(number) => Err(refusal(format!("the number {number} has no unit"), help)),
        other => Err(refusal(wrong_type(other, "").message, help)),
    }
}

fn bounded_duration(
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

fn absolute_path(value: &DeValue<'_>) -> Result<PathBuf, Refusal> {
    let written = text(value, "an absolute path such as \"/run/holdfast\"")?;
    if written.contains('\0') {
        return Err(refusal("the path has a NUL byte", "remove it"));
    }
    if written.starts_with('/') {
        return Ok(PathBuf::from(written));
    }
    Err(refusal(format!("\"{written}\" is not an absolute path"), "begin it with '/'"))
}

fn virtual_address(written: &str) -> Result<VirtualAddress, Refusal> {
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
fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

fn unknown_key_help(section: &Section, key: &str) -> String {
    if let Some(near) = schema::nearest(key, section.settings.iter().map(|setting| setting.key)) {
        return format!("did you mean `{near}`?");
    }
    if let Some(home) = schema::SECTIONS.iter().find(|other| other.setting(key).is_some()) {
        return format!("`{key}` belongs in {}", home.header());
    }
    let keys: Vec<_> = section.settings.iter().map(|setting| setting.key).collect();
    format!("remove it; {} knows {}", section.header(), keys.join(", "))
}
