//! The demo on a terminal: a few lines redrawn in place, or one line per change where the output is no terminal; and
//! the tables of events and acts.

use holdfast_lab::acts::{ActReport, Scene};
use holdfast_lab::clock::Moment;
use holdfast_lab::episode::{Report, Rig};
use holdfast_lab::gateway_pair::State;
use holdfast_lab::topology::{LAN_VIP, Leg, Side};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Time between two looks at the gateways.
const PERIOD: Duration = Duration::from_millis(200);

/// The live view, on standard error, so that standard output carries results alone.
pub(crate) struct View {
    terminal: bool,
    quiet: bool,
    begun: Moment,
    last_look: Option<Moment>,
    drawn_lines: usize,
    headline: String,
    last_line: String,
}

impl View {
    /// A view; without a terminal it is silent if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        View {
            terminal: std::io::stderr().is_terminal(),
            quiet,
            begun: Moment::now(),
            last_look: None,
            drawn_lines: 0,
            headline: String::new(),
            last_line: String::new(),
        }
    }

    /// Says what is going on.
    pub(crate) fn headline(&mut self, text: &str) {
        self.headline = text.to_owned();
        if self.terminal {
            self.redraw(&[self.title()]);
        } else if !self.quiet {
            eprintln!("{:7.1}s  {text}", self.begun.elapsed().as_secs_f64());
        }
    }

    /// Shows both gateways, at most five times a second.
    pub(crate) fn refresh(&mut self, rig: &mut Rig) {
        if self.last_look.is_some_and(|look| look.elapsed() < PERIOD) || (self.quiet && !self.terminal) {
            return;
        }
        self.last_look = Some(Moment::now());
        let states = Side::BOTH.map(|side| Leg::BOTH.map(|leg| rig.pair.state(side, leg)));
        let answering = rig.answering().map_or("nobody", Side::label);
        if self.terminal {
            self.draw(rig, &states, answering);
        } else {
            self.print_change(&states, answering);
        }
    }

    fn draw(&mut self, rig: &Rig, states: &[[State; 2]; 2], answering: &str) {
        let (sent, lost) = rig.last_second();
        let mut lines = vec![self.title()];
        for (side, [lan, wan]) in Side::BOTH.into_iter().zip(states) {
            lines.push(format!("  {}   lan {}   wan {}", side.label(), painted(*lan), painted(*wan)));
        }
        lines.push(format!(
            "  {LAN_VIP} is answered by {answering}; last second: {sent} datagrams, {lost} lost"
        ));
        self.redraw(&lines);
    }

    fn title(&self) -> String {
        format!("\x1b[1mHoldfast\x1b[0m  {}", self.headline)
    }

    fn redraw(&mut self, lines: &[String]) {
        self.erase();
        self.drawn_lines = lines.len();
        let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
    }

    fn print_change(&mut self, states: &[[State; 2]; 2], answering: &str) {
        let [[a_lan, a_wan], [b_lan, b_wan]] = states.map(|legs| legs.map(name));
        let line = format!(
            "gwA lan {a_lan} wan {a_wan}, gwB lan {b_lan} wan {b_wan}, {LAN_VIP} answered by {answering}"
        );
        if line != self.last_line {
            eprintln!("{:7.1}s    {line}", self.begun.elapsed().as_secs_f64());
            self.last_line = line;
        }
    }

    fn erase(&mut self) {
        if self.drawn_lines > 0 {
            let _ = write!(std::io::stderr(), "\x1b[{}A\x1b[J", self.drawn_lines);
            self.drawn_lines = 0;
        }
    }

    /// Takes the live lines away.
    pub(crate) fn end(&mut self) {
        self.erase();
    }
}

fn name(state: State) -> &'static str {
    match state {
        State::Down => "down",
        State::Initialize => "initialize",
        State::Backup => "backup",
        State::Active => "active",
    }
}

fn painted(state: State) -> String {
    let color = match state {
        State::Down => 31,
        State::Initialize => 33,
        State::Backup => 36,
        State::Active => 32,
    };
    format!("\x1b[{color}m{:<10}\x1b[0m", name(state))
}

/// The table of the events, one line each.
pub(crate) fn print_table(reports: &[Report]) {
    println!(
        "{:<10} {:>5} {:>7} {:>10} {:>6} {:>11} {:>12}  {:<9} cause",
        "event", "node", "active", "outage ms", "lost", "two owners", "after fence", "recovered"
    );
    for report in reports {
        println!(
            "{:<10} {:>5} {:>7} {:>10.1} {:>6} {:>8} ms {:>9} ms  {:<9} {}",
            report.event.name(),
            report.node,
            report.active,
            report.outage_ms,
            report.lost,
            report.contested_ms,
            report.contested_after_fence_ms,
            if report.recovered { "yes" } else { "NO" },
            report.cause.as_deref().unwrap_or("-"),
        );
    }
    for report in reports {
        if let Some(why) = &report.why {
            println!("\n{} ({}):\n  {}", report.event.name(), report.explained_by, why.replace('\n', "\n  "));
        }
    }
    if reports.iter().all(Report::passed) {
        println!("\nEvery event recovered, and nobody answered beside the owner after the fence.");
    } else {
        println!("\nNot every event passed: see the columns `recovered` and `after fence`.");
    }
}

/// An act: its heading, a line per scene, and what the gateways say of them.
pub(crate) fn print_act(report: &ActReport) {
    println!("\n{}: {}\n", report.act.name(), report.act.heading());
    println!(
        "{:<13} {:>5} {:>7} {:>10} {:>6} {:>11}  {:<7} cause",
        "scene", "node", "active", "outage ms", "lost", "two owners", ""
    );
    report.scenes.iter().for_each(print_scene);
    for scene in &report.scenes {
        scene.figures.iter().for_each(|figure| println!("{}: {figure}", scene.name));
        scene.faults.iter().for_each(|fault| println!("FAULT in {}: {fault}", scene.name));
    }
    for line in &report.status {
        println!("{line}");
    }
    for scene in &report.scenes {
        for reason in &scene.reasons {
            println!("\n{} ({}):\n  {}", scene.name, reason.node, reason.why.replace('\n', "\n  "));
        }
    }
    if let Some(error) = &report.error {
        println!("\nThe act broke off: {error}");
    }
    println!("\n{}: {}", report.act.name(), if report.passed { "passed" } else { "FAILED" });
}

fn print_scene(scene: &Scene) {
    let causes: Vec<String> =
        scene.reasons.iter().map(|reason| format!("{} {}", reason.node, reason.cause)).collect();
    println!(
        "{:<13} {:>5} {:>7} {:>10.1} {:>6} {:>8} ms  {:<7} {}",
        scene.name,
        scene.node,
        scene.active,
        scene.outage_ms,
        scene.lost,
        scene.contested_ms,
        if scene.faults.is_empty() { "passed" } else { "FAILED" },
        causes.join(", "),
    );
}
