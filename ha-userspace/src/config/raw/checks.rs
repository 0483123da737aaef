//! `[[check]]` as written.

use super::super::reader::{Field, SectionReader};
use super::List;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `check.kind` before its settings are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum KindName {
    Interface,
    Command,
    Process,
    File,
    Tcp,
    Http,
}

impl KindName {
    pub(in super::super) const ALL: [Self; 6] =
        [Self::Interface, Self::Command, Self::Process, Self::File, Self::Tcp, Self::Http];

    /// As the file has it.
    pub(in super::super) const fn word(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Command => "command",
            Self::Process => "process",
            Self::File => "file",
            Self::Tcp => "tcp",
            Self::Http => "http",
        }
    }

    /// Keys that only this kind has.
    pub(in super::super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Interface => &["interface"],
            Self::Command => &["command", "shell", "user"],
            Self::Process => &["process", "minimum_count"],
            Self::File => &["path", "content"],
            Self::Tcp => &["address"],
            Self::Http => &["url", "status", "body"],
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

pub(in super::super) struct RawCheck {
    /// Such as `check[0]`.
    pub(in super::super) path: String,
    pub(in super::super) name: Field<String>,
    pub(in super::super) kind: Field<KindName>,
    pub(in super::super) interval: Field<Duration>,
    pub(in super::super) timeout: Field<Duration>,
    pub(in super::super) rise: Field<u32>,
    pub(in super::super) fall: Field<u32>,
    pub(in super::super) weight: Field<i16>,
    pub(in super::super) group: Field<String>,
    pub(in super::super) virtual_router: Field<String>,
    pub(in super::super) interface: Field<String>,
    pub(in super::super) command: List<String>,
    pub(in super::super) shell: Field<bool>,
    pub(in super::super) user: Field<String>,
    pub(in super::super) process: Field<String>,
    pub(in super::super) minimum_count: Field<u32>,
    /// The key `path`, of a file.
    pub(in super::super) file: Field<PathBuf>,
    pub(in super::super) content: Field<String>,
    pub(in super::super) address: Field<SocketAddr>,
    pub(in super::super) url: Field<String>,
    pub(in super::super) status: List<u16>,
    pub(in super::super) body: Field<String>,
}

impl RawCheck {
    /// Places of the keys that stand in the file and belong to one kind only.
    pub(in super::super) fn given_of_kinds(&self) -> impl Iterator<Item = &str> {
        [
            self.interface.given_at(),
            self.command.given_at(),
            self.shell.given_at(),
            self.user.given_at(),
            self.process.given_at(),
            self.minimum_count.given_at(),
            self.file.given_at(),
            self.content.given_at(),
            self.address.given_at(),
            self.url.given_at(),
            self.status.given_at(),
            self.body.given_at(),
        ]
        .into_iter()
        .flatten()
    }
}

pub(super) fn read_check(reader: &mut SectionReader<'_, '_>) -> RawCheck {
    RawCheck {
        path: reader.section_path().to_owned(),
        name: reader.name("name"),
        kind: reader.choice("kind", KindName::from_word),
        interval: reader.duration("interval"),
        timeout: reader.duration("timeout"),
        rise: reader.integer("rise"),
        fall: reader.integer("fall"),
        weight: reader.integer("weight"),
        group: reader.name("group"),
        virtual_router: reader.name("virtual_router"),
        interface: reader.interface("interface"),
        command: reader.texts("command"),
        shell: reader.flag("shell"),
        user: reader.text("user"),
        process: reader.text("process"),
        minimum_count: reader.integer("minimum_count"),
        file: reader.path("path"),
        content: reader.text("content"),
        address: reader.socket_address("address"),
        url: reader.text("url"),
        status: reader.integers("status"),
        body: reader.text("body"),
    }
}
