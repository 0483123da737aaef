//! Rules about `[bypass]` that hold for every driver, and the drivers of few keys; `sysfs` has the rest.

use super::super::problem::Report;
use super::super::raw::{DriverName, Raw, RawBypass};
use super::super::reader::{Field, key_of};
use super::super::units::show_duration;
use super::super::validated::{Bypass, BypassDriver, CommandBypass, GpioBypass, Mode, Topology, Watchdog};
use super::{commands, sysfs};
use std::time::Duration;

/// Pets that must fit into the watchdog's time: one may be lost, and one late, without harm.
const PETS_PER_TIMEOUT: u32 = 3;

pub(super) fn bypass(raw: &Raw, report: &mut Report) -> Option<Bypass> {
    let section = &raw.bypass;
    let driver = section.driver.value?;
    if driver == DriverName::None {
        idle_keys(section, report);
        return Some(Bypass {
            driver: BypassDriver::None,
            topology: Topology::Inline,
            on_controller_loss: false,
            watchdog: None,
        });
    }
    keys_of_other_drivers(section, driver, report);
    if raw.link_pairs.is_empty() {
        report.error(
            &section.driver.path,
            format!("\"{}\" joins the ports of link pairs, and none is configured", driver.word()),
            "add [[link_pair]], or set it to \"none\"",
        );
    }
    let topology = topology(section, driver, report);
    let watchdog = watchdog(section, report);
    acts_alone_beside_a_peer(section, report);
    peers_are_asked(raw, driver, report);
    let driver = match driver {
        DriverName::None => Some(BypassDriver::None),
        DriverName::Xdp => Some(BypassDriver::Xdp),
        DriverName::Sysfs => sysfs::sysfs(raw, report).map(BypassDriver::Sysfs),
        DriverName::Gpio => gpio(raw, report).map(BypassDriver::Gpio),
        DriverName::Command => command(section, report).map(BypassDriver::Command),
    };
    Some(Bypass {
        driver: driver?,
        topology: topology?,
        on_controller_loss: section.on_controller_loss.value?,
        watchdog: watchdog?,
    })
}

/// Places of all keys that stand in the file and are not for every driver.
fn given_of_drivers(section: &RawBypass) -> impl Iterator<Item = &str> {
    [
        section.on_controller_loss.given_at(),
        section.watchdog.given_at(),
        section.pet_interval.given_at(),
        section.chip.given_at(),
        section.active_low.given_at(),
        section.command.given_at(),
        section.command_timeout.given_at(),
    ]
    .into_iter()
    .flatten()
    .chain(section.sysfs.given())
}

/// The drivers that know a key.
fn drivers_of(key: &str) -> &'static [DriverName] {
    match key {
        "on_controller_loss" => &[DriverName::Xdp],
        "watchdog" | "pet_interval" => &[DriverName::Sysfs, DriverName::Command],
        "chip" | "active_low" => &[DriverName::Gpio],
        "command" | "command_timeout" => &[DriverName::Command],
        _ => &[DriverName::Sysfs],
    }
}

fn idle_keys(section: &RawBypass, report: &mut Report) {
    let common = [section.topology.given_at(), section.accept_parallel.given_at()];
    for place in common.into_iter().flatten().chain(given_of_drivers(section)) {
        report.warning(
            place,
            "it does nothing while bypass.driver is \"none\"",
            "set bypass.driver, or remove it",
        );
    }
}

fn keys_of_other_drivers(section: &RawBypass, driver: DriverName, report: &mut Report) {
    for place in given_of_drivers(section) {
        let owners = drivers_of(key_of(place));
        if owners.contains(&driver) {
            continue;
        }
        let words: Vec<_> = owners.iter().map(|owner| format!("\"{}\"", owner.word())).collect();
        let words = words.join(" and ");
        report.error(
            place,
            format!(
                "`{}` is for the driver {words}, and bypass.driver is \"{}\"",
                key_of(place),
                driver.word()
            ),
            "remove it, or set bypass.driver to the one that has it",
        );
    }
}

fn topology(section: &RawBypass, driver: DriverName, report: &mut Report) -> Option<Topology> {
    let field = &section.topology;
    if !field.given {
        report.error(
            &field.path,
            format!("missing, and bypass.driver is \"{}\"", driver.word()),
            "add `topology = \"inline\"` where all traffic of a pair passes this node's ports, \"parallel\" where \
             another way joins the same segments",
        );
    }
    let topology = field.value?;
    let accepted = section.accept_parallel.value?;
    if topology == Topology::Parallel && !accepted {
        report.error(
            &field.path,
            "\"parallel\": a wire here beside a peer that forwards closes a loop between the two segments",
            "add `accept_parallel = true` if the network stands that (spanning tree, storm control)",
        );
    }
    if topology == Topology::Inline && accepted {
        report.warning(
            &section.accept_parallel.path,
            "it does nothing while bypass.topology is \"inline\"",
            "remove it",
        );
    }
    Some(topology)
}

/// What engages without asking cannot know whether a peer forwards.
fn acts_alone_beside_a_peer(section: &RawBypass, report: &mut Report) {
    if section.topology.value != Some(Topology::Parallel) {
        return;
    }
    let on_loss =
        section.on_controller_loss.given_at().filter(|_| section.on_controller_loss.value == Some(true));
    for place in [on_loss, section.watchdog.given_at()].into_iter().flatten() {
        report.warning(
            place,
            "it engages without asking whether a peer forwards, which in the topology \"parallel\" closes a loop",
            "remove it unless the network stands that",
        );
    }
}

/// What a peer says decides: whether a wire would lie beside it, and whether the data plane still works.
fn peers_are_asked(raw: &Raw, driver: DriverName, report: &mut Report) {
    if !raw.peers.is_empty() {
        return;
    }
    let section = &raw.bypass;
    if section.watchdog.given && drivers_of("watchdog").contains(&driver) {
        report.error(
            &section.watchdog.path,
            "it is petted only while peers answer probes, and no peer is configured: the hardware would go to bypass",
            "add [[peer]], or remove it",
        );
    }
    let alone = raw.ha.mode.value == Some(Mode::Standalone);
    if section.topology.value == Some(Topology::Parallel)
        && section.accept_parallel.value == Some(true)
        && !alone
    {
        report.error(
            &section.topology.path,
            "\"parallel\" needs to know whether the other node forwards, and no peer is configured to ask",
            "add [[peer]], or set ha.mode to \"standalone\" where there is no other node",
        );
    }
}

/// `None` inside: none is configured.
fn watchdog(section: &RawBypass, report: &mut Report) -> Option<Option<Watchdog>> {
    let field = &section.watchdog;
    if !field.given {
        let idle = section.pet_interval.given_at().into_iter().chain(section.sysfs.given_watchdog());
        for place in idle {
            report.error(
                place,
                "it does nothing without bypass.watchdog",
                "add `watchdog = \"5s\"` to [bypass], or remove it",
            );
        }
        return Some(None);
    }
    let timeout = field.value?;
    if !timeout.as_nanos().is_multiple_of(Duration::from_millis(1).as_nanos()) {
        report.error(
            &field.path,
            format!("{} cannot be set: watchdogs count milliseconds", show_duration(timeout)),
            "use whole milliseconds",
        );
    }
    let longest = timeout / PETS_PER_TIMEOUT;
    let longest = Duration::from_millis(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX));
    let pet_interval = if section.pet_interval.given { section.pet_interval.value? } else { longest };
    if pet_interval > timeout / PETS_PER_TIMEOUT {
        report.error(
            &section.pet_interval.path,
            format!(
                "{} is more than a third of bypass.watchdog ({})",
                show_duration(pet_interval),
                show_duration(timeout)
            ),
            format!(
                "use at most {}, so that one late pet does not trip the hardware",
                show_duration(longest)
            ),
        );
    }
    Some(Some(Watchdog { timeout, pet_interval }))
}

fn gpio(raw: &Raw, report: &mut Report) -> Option<GpioBypass> {
    let section = &raw.bypass;
    missing(&section.chip, DriverName::Gpio, "such as \"/dev/gpiochip0\"", report);
    for pair in &raw.link_pairs {
        if !pair.gpio_line.given {
            report.error(
                &pair.gpio_line.path,
                "missing, and bypass.driver is \"gpio\"",
                "add `gpio_line = ...` to this [[link_pair]]: the line of bypass.chip that drives its relay",
            );
        }
        if !pair.gpio_sense_line.given {
            report.warning(
                &pair.gpio_sense_line.path,
                "without it only the order to the relay is read back: a relay that sticks goes unnoticed",
                "add the line that shows where the relay stands, if the hardware has one",
            );
        }
    }
    Some(GpioBypass { chip: section.chip.value.clone()?, active_low: section.active_low.value? })
}

fn command(section: &RawBypass, report: &mut Report) -> Option<CommandBypass> {
    let field = &section.command;
    missing(field, DriverName::Command, "such as [\"/usr/local/sbin/bypass\"]", report);
    let argv = commands::program(field, report);
    let timeout = section.command_timeout.value?;
    if let Some(watchdog) = section.watchdog.value
        && timeout >= watchdog
    {
        report.error(
            &section.command_timeout.path,
            format!(
                "{} is not shorter than bypass.watchdog ({}): one slow call would trip the hardware",
                show_duration(timeout),
                show_duration(watchdog)
            ),
            "shorten it or lengthen bypass.watchdog",
        );
    }
    Some(CommandBypass { argv: argv?, timeout })
}

fn missing<T>(field: &Field<T>, driver: DriverName, such_as: &str, report: &mut Report) {
    if !field.given {
        report.error(
            &field.path,
            format!("missing, and bypass.driver is \"{}\"", driver.word()),
            format!("add `{} = ...` to [bypass], {such_as}", field.key()),
        );
    }
}
