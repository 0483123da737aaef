//! The manual against the code: every cause, notice, status field and error message has its line, every link
//! leads somewhere, and the way in stays two commands. The conformance page has a suite of its own.
//!
//! Reads sources as text. What is asserted is presence, not wording: a new variant fails here until the manual has it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at its first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files whose error messages an operator may read.
const ERROR_SOURCES: [&str; 17] = [
    "ha-userspace/src/datapath/error.rs",
    "ha-userspace/src/runtime/instance.rs",
    "ha-userspace/src/runtime/wiring.rs",
    "ha-userspace/src/effects/clean_up.rs",
    "ha-userspace/src/effects/executor.rs",
    "ha-userspace/src/effects/frames.rs",
    "ha-userspace/src/effects/latch.rs",
    "ha-userspace/src/effects/macvlan.rs",
    "ha-userspace/src/effects/netlink.rs",
    "ha-userspace/src/effects/record.rs",
    "ha-userspace/src/control/client.rs",
    "ha-userspace/src/probes/keys.rs",
    "ha-userspace/src/probes/incarnation.rs",
    "ha-userspace/src/checks/runner.rs",
    "ha-userspace/src/bypass/driver.rs",
    "ha-userspace/src/bypass/program.rs",
    "ha-userspace/src/bypass/service.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `AdvertTimeout` as `advert-timeout`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}

/// Names of an enum's variants, which stand one level in.
fn variants(source: &str, name: &str) -> Vec<String> {
    let (_, body) = source.split_once(&format!("pub enum {name} {{")).unwrap_or_else(|| panic!("no {name}"));
    let body = body.split("\n}").next().unwrap_or("");
    let at_level = |line: &&str| line.starts_with("    ") && !line.starts_with("     ");
    let identifier = |line: &str| {
        let word: String = line.trim().chars().take_while(|letter| letter.is_alphanumeric()).collect();
        word.chars().next().is_some_and(char::is_uppercase).then_some(word)
    };
    let found: Vec<String> = body.lines().filter(at_level).filter_map(identifier).collect();
    assert!(found.len() > 1, "{name}: the parser found {found:?}");
    found
}

/// The `pub` fields of every struct before the test module.
fn fields(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or("");
    let field = |line: &str| Some(line.strip_prefix("    pub ")?.split_once(':')?.0.to_owned());
    code.lines().filter(|line| !line.contains("pub fn ")).filter_map(field).collect()
}

/// A format string and the variant that carries it.
struct Message {
    text: String,
    variant: String,
}

/// The `#[error("...")]` attributes of a file, escapes resolved; transparent ones have no words.
fn messages(source: &str) -> Vec<Message> {
    let mut found = Vec::new();
    for part in source.split("#[error(").skip(1) {
        let Some(quoted) = part.trim_start().strip_prefix('"') else { continue };
        let (text, rest) = literal(quoted);
        let (_, after) = rest.split_once(")]").unwrap();
        let variant = after.trim_start().chars().take_while(|letter| letter.is_alphanumeric()).collect();
        found.push(Message { text, variant });
    }
    found
}

/// A string literal up to its closing quote, and what follows.
fn literal(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut letters = quoted.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (text, &quoted[at + 1..]),
            '\\' => match letters.next() {
                Some((_, '\n')) => while letters.next_if(|(_, next)| next.is_whitespace()).is_some() {},
                Some((_, escaped)) => text.push(escaped),
                None => break,
            },
            _ => text.push(letter),
        }
    }
    panic!("a string literal without an end: {text}");
}

/// The first two or more words of a message that stand together, without what varies.
fn beginning(text: &str) -> Option<String> {
    let mut fixed = vec![String::new()];
    let mut depth = 0;
    for letter in text.chars() {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                fixed.push(String::new());
            }
            _ if depth == 0 => fixed.last_mut().unwrap().push(letter),
            _ => {}
        }
    }
    let clauses = fixed.iter().flat_map(|part| part.split([';', ':', '(', ')', '`', ',']));
    clauses.map(str::trim).find(|clause| clause.contains(' ')).map(str::to_owned)
}

#[test]
fn every_cause_and_notice_is_in_the_manual() {
    let (actions, events) =
        (read("ha-userspace/engine/src/action.rs"), read("ha-userspace/src/journal/event.rs"));
    let manual = read("docs/operate.md");
    for (source, name) in [(&actions, "Cause"), (&actions, "Notice"), (&events, "NoticeEvent")] {
        for variant in variants(source, name) {
            let row = format!("| `{}` |", kebab(&variant));
            assert!(
                manual.lines().any(|line| line.starts_with(&row)),
                "docs/operate.md has no row for {name}::{variant}; it begins with {row}"
            );
        }
    }
}

#[test]
fn every_field_of_status_is_in_the_manual() {
    let manual = read("docs/operate.md");
    let mut fields = fields(&read("ha-userspace/src/control/status.rs"));
    fields.extend(self::fields(&read("ha-userspace/src/control/status/fitness.rs")));
    assert!(fields.len() > 40, "the parser found {fields:?}");
    for field in fields {
        assert!(
            manual.contains(&format!("`{field}`")),
            "docs/operate.md does not explain `{field}` of status"
        );
    }
}

#[test]
fn every_error_message_is_in_the_manual() {
    let manual = read("docs/troubleshooting.md");
    for source in ERROR_SOURCES {
        let messages = messages(&read(source));
        assert!(!messages.is_empty(), "{source}: no messages found");
        for Message { text, variant } in messages {
            match beginning(&text) {
                Some(words) => assert!(
                    manual.contains(&words),
                    "docs/troubleshooting.md does not have \"{words}\" of {variant} in {source}"
                ),
                None => assert!(
                    manual.contains(&format!("`{variant}`")),
                    "{variant} in {source} has no words of its own: docs/troubleshooting.md must name it"
                ),
            }
        }
    }
}

#[test]
fn every_link_of_the_manual_leads_to_a_file() {
    let mut pages: Vec<PathBuf> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.extend(["README.md", "ARCHITECTURE.md"].map(|page| root().join(page)));
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or("");
            if file.is_empty() || file.starts_with("http") {
                continue;
            }
            assert!(page.parent().unwrap().join(file).exists(), "{}: {target} leads nowhere", page.display());
        }
    }
}

#[test]
fn the_way_in_is_two_commands() {
    let readme = read("README.md");
    let (_, section) =
        readme.split_once("## Two commands").expect("README.md has a section \"Two commands\"");
    let section = section.split("\n## ").next().unwrap();
    let block = section.split("```").nth(1).expect("the section has a code block");
    let commands: Vec<String> = block
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(commands, ["cargo xtask demo", "cargo xtask test"]);
}

#[test]
fn the_parsers_of_this_file_see_what_they_should() {
    let source =
        "#[error(\"interface {name}: \\\n     cannot do \\\"it\\\": {0}\", name.x())]\n    Thing { x: u8 },";
    let found = messages(source);
    assert_eq!(found[0].text, "interface {name}: cannot do \"it\": {0}");
    assert_eq!(found[0].variant, "Thing");
    assert_eq!(beginning(&found[0].text).as_deref(), Some("cannot do \"it\""));
    assert_eq!(beginning("{call} {path}: {source}"), None);
    assert_eq!(kebab("AdvertTimeout"), "advert-timeout");
}
