//! A cursor over one section of the file: hands out typed values and reports whatever does not fit the schema.
//!
//! Every method looks its setting up in the schema, so types, bounds and defaults exist once. A value that is wrong
//! is reported here and then absent ([`Field::value`] is `None`), so that later stages judge only what is sound.

use super::problem::Report;
use super::schema::{self, Kind, Section, Setting};
use super::units;
use super::validated::VirtualAddress;
use super::values::{
    self, Refusal, absolute_path, alternatives, bounded_duration, mismatch, out_of_range, quantity, refusal,
    text, virtual_address, wrong_type,
};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

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

impl<T> Field<T> {
    /// The place of a key that stands in the file.
    pub(super) fn given_at(&self) -> Option<&str> {
        self.given.then_some(self.path.as_str())
    }

    /// The key itself, without its section.
    pub(super) fn key(&self) -> &str {
        key_of(&self.path)
    }
}

/// The key of a place such as `check[0].url`.
pub(super) fn key_of(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
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
        self.scalar(key, |_| None, |_, value| values::name(value))
    }

    pub(super) fn interface(&mut self, key: &'static str) -> Field<String> {
        self.scalar(key, |_| None, |_, value| values::interface(value))
    }

    /// A name that stands for `{device}` in paths.
    pub(super) fn device(&mut self, key: &'static str) -> Field<String> {
        self.scalar(key, |_| None, |_, value| values::device(value))
    }

    /// Free text of at least one character.
    pub(super) fn text(&mut self, key: &'static str) -> Field<String> {
        self.scalar(
            key,
            |kind| match kind {
                Kind::Text { default } => default.map(str::to_owned),
                _ => None,
            },
            |_, value| values::free_text(value),
        )
    }

    pub(super) fn socket_address(&mut self, key: &'static str) -> Field<SocketAddr> {
        self.scalar(key, |_| None, |_, value| values::socket_address(value))
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
                values::integer(setting, value, min, max)
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

    pub(super) fn texts(&mut self, key: &'static str) -> Field<Vec<Element<String>>> {
        self.list(key, "a list of texts such as [\"on\"]", values::free_text)
    }

    pub(super) fn integers<T: TryFrom<i64>>(&mut self, key: &'static str) -> Field<Vec<Element<T>>> {
        let setting = self.section.setting(key);
        self.list(key, "a list of numbers such as [200]", |value| match setting {
            Some(setting @ Setting { kind: Kind::Integers { min, max }, .. }) => {
                values::integer(setting, value, *min, *max)
            }
            Some(setting) => Err(mismatch(setting)),
            None => Err(refusal("the schema lacks it", "report this as a defect")),
        })
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
