//! What benches find out: figures over several trials, and what should not have happened in one of them.
//!
//! Bench programs get a [`Request`] as their only argument and leave their [`Results`] in the file it names; `cargo
//! xtask bench` joins and prints them. Nothing here measures.

use crate::gateway_pair::Product;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::PathBuf;

/// What a bench program is asked to measure.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Request {
    /// Names of benches; a program runs those it knows.
    pub benches: Vec<String>,
    /// Trials per figure, where every bench is to do the same number.
    pub trials: Option<usize>,
    /// Seconds per rung of the starvation ladder, if not the usual ones.
    pub rung_seconds: Option<u64>,
    pub products: Vec<Product>,
    /// Where the results go.
    pub results: PathBuf,
}

/// What a row of the results is about.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Subject {
    pub bench: String,
    /// What was done, e.g. `SIGTERM, adverts every 100 ms`.
    pub case: String,
    /// What it was done to; `None` where the data plane alone is run.
    pub product: Option<Product>,
}

/// One measure over all trials.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Figure {
    #[serde(flatten)]
    pub subject: Subject,
    /// What was measured and its unit, e.g. `outage` and `ms`.
    pub measure: String,
    pub unit: String,
    /// One value per trial; none where what was waited for never came.
    pub trials: Vec<Option<f64>>,
    pub median: Option<f64>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    /// Value that nine of ten, and 99 of a hundred, do not exceed; over [`MANY_TRIALS`] and more.
    pub p90: Option<f64>,
    pub p99: Option<f64>,
}

/// Trials a figure without a number of its own gets.
pub const USUAL_TRIALS: usize = 5;
/// From so many trials on a figure is a distribution.
pub const MANY_TRIALS: usize = 20;

/// A trial that broke a promise, or could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    #[serde(flatten)]
    pub subject: Subject,
    /// From 1.
    pub trial: usize,
    pub what: String,
    /// The last lines of the programs' logs.
    pub log_tails: String,
}

/// All figures and failures, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Results {
    pub figures: Vec<Figure>,
    pub failures: Vec<Failure>,
}

impl Request {
    /// Reads the request from a program's arguments; `None` if it was started in another way, such as by a plain
    /// `cargo test`.
    pub fn from_arguments() -> Result<Option<Self>> {
        let argument = std::env::args().nth(1).filter(|argument| argument.starts_with('{'));
        argument.map(|text| serde_json::from_str(&text).context("reading the request")).transpose()
    }

    /// True if the bench of this name is asked for.
    pub fn wants(&self, bench: &str) -> bool {
        self.benches.iter().any(|wanted| wanted == bench)
    }

    /// Trials of a figure that usually takes so many.
    pub fn trials(&self, usual: usize) -> usize {
        self.trials.unwrap_or(usual)
    }

    /// Leaves the results where the request wants them.
    pub fn deliver(&self, results: &Results) -> Result<()> {
        let text = serde_json::to_string(results)?;
        std::fs::write(&self.results, text).with_context(|| format!("writing {}", self.results.display()))
    }
}

impl Subject {
    /// For progress and failures: `graceful, SIGTERM, holdfast`.
    pub fn shown(&self) -> String {
        let product = self.product.map(|product| format!(", {}", product.name())).unwrap_or_default();
        format!("{}, {}{product}", self.bench, self.case)
    }
}

impl Figure {
    fn push(&mut self, value: Option<f64>) {
        self.trials.push(value);
        let mut sorted = self.trials.clone();
        // What never came is longer than all that did.
        let rank = |value: &Option<f64>| value.unwrap_or(f64::INFINITY);
        sorted.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        self.minimum = sorted.first().copied().flatten();
        self.maximum = sorted.last().copied().flatten();
        self.median = median(&sorted);
        if sorted.len() >= MANY_TRIALS {
            [self.p90, self.p99] = [90, 99].map(|percent| percentile(&sorted, percent));
        }
    }

    /// `median (minimum to maximum)`, with what lies between where there are many trials.
    pub fn cell(&self) -> String {
        let [median, minimum, maximum] = [self.median, self.minimum, self.maximum].map(number);
        match self.trials.len() {
            1 => median,
            MANY_TRIALS.. => {
                let [p90, p99] = [self.p90, self.p99].map(number);
                format!("{median} ({minimum} to {maximum}; 90 %: {p90}, 99 %: {p99})")
            }
            _ => format!("{median} ({minimum} to {maximum})"),
        }
    }
}

/// The smallest of sorted values that this share of them does not exceed.
fn percentile(sorted: &[Option<f64>], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    *sorted.get(rank.max(1) - 1)?
}

/// The middle of sorted values; the mean of the middle two where their number is even.
fn median(sorted: &[Option<f64>]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = (*sorted.get(middle)?)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some((sorted[middle - 1]? + upper) / 2.0)
}

/// A value as readers want it: whole from 1000 on, with one digit below; `never` where there is none.
fn number(value: Option<f64>) -> String {
    const WHOLE_FROM: f64 = 1000.0;
    match value {
        None => "never".to_owned(),
        Some(value) if value.fract() == 0.0 || value.abs() >= WHOLE_FROM => format!("{value:.0}"),
        Some(value) => format!("{value:.1}"),
    }
}

impl Results {
    /// Adds one trial's value of a measure; `None` if what was waited for never came.
    pub fn add(&mut self, subject: &Subject, measure: &str, unit: &str, value: Option<f64>) {
        let known = |figure: &Figure| figure.subject == *subject && figure.measure == measure;
        let place = self.figures.iter().position(known).unwrap_or_else(|| {
            let (subject, measure, unit) = (subject.clone(), measure.to_owned(), unit.to_owned());
            let (trials, [median, minimum, maximum, p90, p99]) = (Vec::new(), [None; 5]);
            self.figures.push(Figure { subject, measure, unit, trials, median, minimum, maximum, p90, p99 });
            self.figures.len() - 1
        });
        self.figures[place].push(value);
    }

    /// Adds what another program found out.
    pub fn append(&mut self, other: Results) {
        self.figures.extend(other.figures);
        self.failures.extend(other.failures);
    }

    /// True if the product, or its data plane, kept all promises. What the other product did does not matter.
    pub fn passed(&self) -> bool {
        self.failures.iter().all(|failure| failure.subject.product == Some(Product::Keepalived))
    }

    /// Tables for people, one per bench, the products side by side.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut benches: Vec<&str> = Vec::new();
        for figure in &self.figures {
            if !benches.contains(&figure.subject.bench.as_str()) {
                benches.push(&figure.subject.bench);
            }
        }
        for bench in benches {
            let figures: Vec<&Figure> =
                self.figures.iter().filter(|figure| figure.subject.bench == bench).collect();
            text += &bench_table(bench, &figures);
        }
        text
    }
}

/// Least width of a column of values.
const CELL: usize = 28;
/// Heads the column of what was measured on neither product.
const NO_PRODUCT: &str = "measured";

fn bench_table(bench: &str, figures: &[&Figure]) -> String {
    let mut products: Vec<Option<Product>> = Vec::new();
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for figure in figures {
        let row = (figure.subject.case.as_str(), figure.measure.as_str());
        if !products.contains(&figure.subject.product) {
            products.push(figure.subject.product);
        }
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    // Cases stay in their order, and each keeps its measures together, whichever product came first.
    let cases: Vec<&str> = rows.iter().map(|(case, _)| *case).collect();
    rows.sort_by_key(|(case, _)| cases.iter().position(|known| known == case));
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let case_width = width(&mut rows.iter().map(|(case, _)| case.len())).max(bench.len());
    let measure_width = width(&mut figures.iter().map(|one| one.measure.len() + one.unit.len() + 2));
    let cell_width = width(&mut figures.iter().map(|one| one.cell().chars().count())).max(CELL);
    let mut text = format!("{bench:case_width$}  {:measure_width$}", "");
    for product in &products {
        let name = product.map_or(NO_PRODUCT, Product::name);
        let _ = write!(text, "  {name:cell_width$}");
    }
    text = format!("{}\n", text.trim_end());
    let mut last_case = "";
    for (case, measure) in rows {
        let of = |product: &Option<Product>| {
            figures.iter().find(|figure| {
                (figure.subject.case.as_str(), figure.measure.as_str()) == (case, measure)
                    && figure.subject.product == *product
            })
        };
        let unit = products.iter().find_map(of).map_or("", |figure| &figure.unit);
        let label = format!("{measure}, {unit}");
        let shown_case = if case == last_case { "" } else { case };
        last_case = case;
        let mut line = format!("{shown_case:case_width$}  {label:measure_width$}");
        for product in &products {
            let _ =
                write!(line, "  {:cell_width$}", of(product).map_or("-".to_owned(), |figure| figure.cell()));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(case: &str, product: Product) -> Subject {
        Subject { bench: "kill9".to_owned(), case: case.to_owned(), product: Some(product) }
    }

    fn figure(values: &[Option<f64>]) -> Figure {
        let mut results = Results::default();
        values.iter().for_each(|value| results.add(&subject("x", Product::Holdfast), "outage", "ms", *value));
        results.figures.remove(0)
    }

    #[test]
    fn medians_are_the_middle() {
        assert_eq!(figure(&[Some(3.0), Some(1.0), Some(2.0)]).cell(), "2 (1 to 3)");
        assert_eq!(figure(&[Some(4.0), Some(1.0), Some(2.0), Some(3.0)]).median, Some(2.5));
        assert_eq!(figure(&[Some(1234.56)]).cell(), "1235");
    }

    #[test]
    fn many_trials_are_a_distribution() {
        let values: Vec<Option<f64>> = (1..=100).map(|value| Some(f64::from(value))).collect();
        assert_eq!(figure(&values).cell(), "50.5 (1 to 100; 90 %: 90, 99 %: 99)");
        let few = figure(&values[..MANY_TRIALS - 1]);
        assert_eq!((few.p90, few.p99), (None, None));
        let mut lost = values[..MANY_TRIALS].to_vec();
        lost[0] = None;
        assert_eq!((figure(&lost).p90, figure(&lost).p99), (Some(19.0), None));
    }

    #[test]
    fn what_never_came_is_the_longest() {
        assert_eq!(figure(&[None, Some(1.0), Some(2.0)]).cell(), "2 (1 to never)");
        assert_eq!(figure(&[None, Some(1.0)]).median, None);
    }

    #[test]
    fn products_stand_side_by_side() {
        let mut results = Results::default();
        for (product, value) in [(Product::Holdfast, 0.0), (Product::Keepalived, 4000.0)] {
            results.add(&subject("SIGKILL", product), "two owners", "ms", Some(value));
        }
        let table = results.table();
        let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["SIGKILL", "two", "owners,", "ms", "0", "4000"]);
    }

    #[test]
    fn a_case_keeps_its_measures_together() {
        let mut results = Results::default();
        for (case, measure) in [("a", "lost"), ("b", "lost"), ("a", "late")] {
            results.add(&subject(case, Product::Holdfast), measure, "ms", Some(1.0));
        }
        let table = results.table();
        let rows = table.lines().skip(1).filter(|line| !line.is_empty());
        let labels = rows.filter_map(|row| row.split_once(", ms")).map(|(label, _)| label);
        let words: Vec<Vec<&str>> = labels.map(|label| label.split_whitespace().collect()).collect();
        assert_eq!(words, [vec!["a", "lost"], vec!["late"], vec!["b", "lost"]]);
    }

    #[test]
    fn only_our_own_failures_count() {
        let failure = |product| Failure {
            subject: subject("x", product),
            trial: 1,
            what: String::new(),
            log_tails: String::new(),
        };
        let of = |product| Results { figures: Vec::new(), failures: vec![failure(product)] };
        assert!(of(Product::Keepalived).passed() && !of(Product::Holdfast).passed());
    }

    #[test]
    fn results_survive_their_file() {
        let mut results = Results::default();
        results.add(&subject("x", Product::Holdfast), "silent after", "ms", None);
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }
}
