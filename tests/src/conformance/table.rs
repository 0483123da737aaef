//! Rows as they stand in the data, and what a row must have.

use super::sources::Sources;
use anyhow::{Result, bail};
use serde::Deserialize;
use std::fmt;

/// Sets of rules, and how many each has.
const SETS: [(&str, usize); 2] = [("V", 170), ("P", 67)];

/// All rules, in the order of the data.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// One rule and how it is kept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Such as `V-001`.
    pub id: String,
    /// The rule in a few words.
    pub rule: String,
    /// Where it comes from: RFC and section, erratum, or `practice`.
    pub section: String,
    pub status: Status,
    /// `path::test`, or `path::test[case]` for one row of a table-driven test.
    #[serde(default)]
    pub tests: Vec<String>,
    /// Why it is not met or does not apply.
    #[serde(default)]
    pub reason: String,
    /// What a reader should know although it is met.
    #[serde(default)]
    pub note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Met,
    Deviation,
    NotApplicable,
}

impl Status {
    pub const ALL: [Status; 3] = [Status::Met, Status::Deviation, Status::NotApplicable];
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Status::Met => "met",
            Status::Deviation => "deviation",
            Status::NotApplicable => "not applicable",
        })
    }
}

/// A test that a row names, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    pub file: &'a str,
    pub test: &'a str,
    pub case: Option<&'a str>,
}

impl<'a> Claim<'a> {
    /// Takes `path::test` or `path::test[case]` apart.
    pub fn parse(text: &'a str) -> Result<Self> {
        let Some((file, rest)) = text.split_once("::") else { bail!("`{text}` is not `path::test`") };
        let (test, case) = match rest.split_once('[') {
            Some((test, case)) => match case.strip_suffix(']') {
                Some(case) => (test, Some(case)),
                None => bail!("`{text}` has a [ without a ]"),
            },
            None => (rest, None),
        };
        Ok(Claim { file, test, case })
    }
}

impl Table {
    pub fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// The rows of one set, such as `V`.
    pub fn set<'a>(&'a self, letter: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| rule.id.split('-').next() == Some(letter))
    }

    /// What is wrong with the rows, one line each.
    pub fn problems(&self, sources: &Sources) -> Vec<String> {
        let expected: Vec<String> = SETS
            .iter()
            .flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}-{number:03}")))
            .collect();
        let mut problems = Vec::new();
        for id in &expected {
            match self.rules.iter().filter(|rule| rule.id == *id).count() {
                0 => problems.push(format!("{id} is missing")),
                1 => {}
                times => problems.push(format!("{id} stands there {times} times")),
            }
        }
        for rule in &self.rules {
            if !expected.contains(&rule.id) {
                problems.push(format!("{} is no rule's number", rule.id));
            }
            problems.extend(rule.problems(sources).into_iter().map(|what| format!("{}: {what}", rule.id)));
        }
        problems
    }
}

impl Rule {
    fn problems(&self, sources: &Sources) -> Vec<String> {
        let mut problems = Vec::new();
        let mut ask = |right: bool, what: &str| {
            if !right {
                problems.push(what.to_owned());
            }
        };
        ask(!self.rule.is_empty() && !self.section.is_empty(), "the rule's words or its section are missing");
        match self.status {
            Status::Met => {
                ask(!self.tests.is_empty(), "it is said to be met and names no test");
                ask(
                    self.reason.is_empty(),
                    "it is met and gives a reason: write a note, or say how it deviates",
                );
            }
            Status::Deviation => ask(!self.reason.is_empty(), "it deviates and gives no reason"),
            Status::NotApplicable => {
                ask(!self.reason.is_empty(), "it does not apply and gives no reason");
                ask(self.tests.is_empty(), "it does not apply and names tests");
            }
        }
        let printable = [&self.rule, &self.section, &self.reason, &self.note];
        ask(
            !printable.iter().any(|text| text.contains(['|', '\n'])),
            "a bar or a line break would break the page",
        );
        let claims = self.tests.iter().filter_map(|text| match Claim::parse(text) {
            Ok(claim) => sources.objection(&claim),
            Err(error) => Some(error.to_string()),
        });
        problems.extend(claims);
        problems
    }
}
