//! The exact words about `[bandwidth]`, links, pairs and `[bypass]`, and what the presets fill in.

use super::refusals::only;
use super::{ROUTER, parse, problems, warnings};
use crate::config::validated::*;
use std::time::Duration;

const PAIR: &str = "[[link_pair]]\nname = \"edge\"\ninside = \"lan0\"\noutside = \"wan0\"\n";
const SECOND_PAIR: &str = "[[link_pair]]\nname = \"core\"\ninside = \"lan1\"\noutside = \"wan1\"\n";

/// Somebody to ask; stands at the end, so that it moves no line.
const PEER: &str = "[node]\nid = 1\nname = \"gw-a\"\n[ha]\nsecret_files = [\"/k\"]\n\
                    [[peer]]\nname = \"gw-b\"\nid = 2\naddresses = [\"192.0.2.3\"]\n";

/// An inline bypass with these keys (from line 4 on), a pair and a peer.
fn inline(driver: &str, keys: &str) -> String {
    format!("[bypass]\ndriver = \"{driver}\"\ntopology = \"inline\"\n{keys}{PAIR}{ROUTER}{PEER}")
}

fn bypass(text: &str) -> Bypass {
    parse(text, "t.toml").unwrap_or_else(|problems| panic!("{text}\n{problems:?}")).config.bypass
}

fn sysfs(keys: &str) -> SysfsBypass {
    match bypass(&inline("sysfs", keys)).driver {
        BypassDriver::Sysfs(sysfs) => sysfs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bandwidth_needs_a_minimum() {
    only(
        &format!("[bandwidth]\nenabled = true\n{ROUTER}"),
        "t.toml:2: bandwidth.enabled: no minimum is configured, so no link could be too slow (add `minimum = \"10Mbps\"` \
         to [bandwidth], or [[link]] with bandwidth_minimum)",
    );
    let one_link = "[[link]]\ninterface = \"lan0\"\nbandwidth_minimum = \"1Gbps\"\n";
    let config = parse(&format!("[bandwidth]\nenabled = true\n{one_link}{ROUTER}"), "t.toml").unwrap().config;
    assert_eq!((config.bandwidth.enabled, config.bandwidth.minimum_bps), (true, None));
    let link = Link { interface: "lan0".to_owned(), bandwidth_minimum_bps: Some(1_000_000_000) };
    assert_eq!(config.link_settings, [link]);
    assert_eq!(problems(&format!("[bandwidth]\nenabled = true\nminimum = \"1Mbps\"\n{ROUTER}")), [""; 0]);
}

#[test]
fn links_are_those_of_routers_and_pairs() {
    let link = |interface: &str| format!("[[link]]\ninterface = \"{interface}\"\n");
    assert_eq!(problems(&format!("{}{}{PAIR}{ROUTER}", link("lan0"), link("wan0"))), [""; 0]);
    only(
        &format!("{}{PAIR}{ROUTER}", link("lan9")),
        "t.toml:2: link[0].interface: lan9 belongs to no virtual router and no link pair, so nothing is measured there \
         (correct the name, or add a [[virtual_router]] or [[link_pair]] with it)",
    );
    only(
        &format!("{}{}{ROUTER}", link("lan0"), link("lan0")),
        "t.toml:4: link[1].interface: lan0 is already link[0].interface (write one [[link]] for each interface)",
    );
    // What is wrong elsewhere is not said twice.
    assert_eq!(problems(&format!("{}{PAIR}{}", link("lan9"), ROUTER.replace("lan0", "a/b"))).len(), 1);
}

#[test]
fn what_a_pair_has_is_its_own() {
    let keys = "device = \"d\"\ngpio_line = 1\n";
    assert_eq!(
        problems(&format!(
            "{PAIR}{keys}gpio_sense_line = 2\n{SECOND_PAIR}{keys}gpio_sense_line = 1\n{ROUTER}"
        )),
        [
            "t.toml:12: link_pair[1].device: d is already link_pair[0].device (a device belongs to one pair)",
            "t.toml:13: link_pair[1].gpio_line: line 1 is already link_pair[0].gpio_line (a line has one purpose)",
            "t.toml:14: link_pair[1].gpio_sense_line: line 1 is already link_pair[0].gpio_line (a line has one purpose)",
        ]
    );
    let pair = parse(&format!("{PAIR}{keys}{ROUTER}"), "t.toml").unwrap().config.link_pairs.remove(0);
    assert_eq!((pair.device.as_deref(), pair.gpio_line, pair.gpio_sense_line), (Some("d"), Some(1), None));
}

#[test]
fn without_a_driver_nothing_is_engaged() {
    let none = Bypass {
        driver: BypassDriver::None,
        topology: Topology::Inline,
        on_controller_loss: false,
        watchdog: None,
    };
    assert_eq!(bypass(ROUTER), none);
    let text = format!("[bypass]\ndriver = \"none\"\ntopology = \"parallel\"\nwatchdog = \"5s\"\n{ROUTER}");
    assert_eq!(bypass(&text), none);
    assert_eq!(
        warnings(&text),
        [
            "t.toml:3: bypass.topology: it does nothing while bypass.driver is \"none\" (set bypass.driver, or remove it)",
            "t.toml:4: bypass.watchdog: it does nothing while bypass.driver is \"none\" (set bypass.driver, or remove it)",
        ]
    );
}

#[test]
fn every_driver_needs_pairs_and_a_topology() {
    for (driver, keys) in [
        ("xdp", ""),
        ("sysfs", "preset = \"silicom\"\n"),
        ("gpio", "chip = \"/dev/gpiochip0\"\n"),
        ("command", "command = [\"/a\"]\n"),
    ] {
        let text = format!("[bypass]\ndriver = \"{driver}\"\n{keys}{ROUTER}");
        assert_eq!(
            problems(&text),
            [
                "t.toml:1: bypass.topology: missing, and bypass.driver is \"DRIVER\" (add `topology = \"inline\"` where all \
                 traffic of a pair passes this node's ports, \"parallel\" where another way joins the same segments)",
                "t.toml:2: bypass.driver: \"DRIVER\" joins the ports of link pairs, and none is configured (add \
                 [[link_pair]], or set it to \"none\")",
            ]
            .map(|line| line.replace("DRIVER", driver))
        );
    }
}

#[test]
fn a_parallel_topology_is_acknowledged() {
    let parallel = |keys: &str| {
        format!("[bypass]\ndriver = \"xdp\"\ntopology = \"parallel\"\n{keys}{PAIR}{ROUTER}{PEER}")
    };
    only(
        &parallel(""),
        "t.toml:3: bypass.topology: \"parallel\": a wire here beside a peer that forwards closes a loop between the two \
         segments (add `accept_parallel = true` if the network stands that (spanning tree, storm control))",
    );
    let accepted = parallel("accept_parallel = true\n");
    assert_eq!(bypass(&accepted).topology, Topology::Parallel);
    assert_eq!(warnings(&accepted), [""; 0]);
    assert_eq!(
        warnings(&parallel("accept_parallel = true\non_controller_loss = true\n")),
        [
            "t.toml:5: bypass.on_controller_loss: it engages without asking whether a peer forwards, which in the topology \
             \"parallel\" closes a loop (remove it unless the network stands that)"
        ]
    );
    let hardware = parallel("accept_parallel = true\nwatchdog = \"5s\"\ncommand = [\"/a\"]\n");
    assert_eq!(
        warnings(&hardware.replace("xdp", "command")),
        [
            "t.toml:5: bypass.watchdog: it engages without asking whether a peer forwards, which in the topology \
             \"parallel\" closes a loop (remove it unless the network stands that)"
        ]
    );
    assert_eq!(
        warnings(&inline("xdp", "accept_parallel = true\n")),
        ["t.toml:4: bypass.accept_parallel: it does nothing while bypass.topology is \"inline\" (remove it)"]
    );
}

#[test]
fn without_peers_nobody_can_be_asked() {
    let alone = |text: &str| text.replace(PEER, "");
    let parallel = format!(
        "[bypass]\ndriver = \"xdp\"\ntopology = \"parallel\"\naccept_parallel = true\n{PAIR}{ROUTER}"
    );
    only(
        &parallel,
        "t.toml:3: bypass.topology: \"parallel\" needs to know whether the other node forwards, and no peer is configured \
         to ask (add [[peer]], or set ha.mode to \"standalone\" where there is no other node)",
    );
    assert_eq!(problems(&format!("{parallel}[ha]\nmode = \"standalone\"\n")), [""; 0]);
    only(
        &alone(&inline("command", "command = [\"/a\"]\nwatchdog = \"5s\"\n")),
        "t.toml:5: bypass.watchdog: it is petted only while peers answer probes, and no peer is configured: the hardware \
         would go to bypass (add [[peer]], or remove it)",
    );
    assert_eq!(problems(&alone(&inline("xdp", ""))), [""; 0]);
}

#[test]
fn keys_belong_to_drivers() {
    let help = "(remove it, or set bypass.driver to the one that has it)";
    for (driver, key, owners) in [
        ("sysfs", "on_controller_loss = true", "driver \"xdp\""),
        ("xdp", "watchdog = \"5s\"", "driver \"sysfs\" and \"command\""),
        ("gpio", "watchdog = \"5s\"", "driver \"sysfs\" and \"command\""),
        ("xdp", "chip = \"/dev/x\"", "driver \"gpio\""),
        ("command", "active_low = false", "driver \"gpio\""),
        ("gpio", "command = [\"/a\"]", "driver \"command\""),
        ("xdp", "command_timeout = \"1s\"", "driver \"command\""),
        ("xdp", "preset = \"custom\"", "driver \"sysfs\""),
        ("xdp", "control_path = \"/a\"", "driver \"sysfs\""),
        ("xdp", "released_readings = [\"a\"]", "driver \"sysfs\""),
    ] {
        let needs = match driver {
            "sysfs" => "preset = \"silicom\"\n",
            "gpio" => "chip = \"/dev/gpiochip0\"\n",
            "command" => "command = [\"/a\"]\n",
            _ => "",
        };
        let text = inline(driver, &format!("{key}\n{needs}")).replace("wan0\"\n", "wan0\"\ngpio_line = 1\n");
        let key = key.split(' ').next().unwrap();
        only(
            &text,
            &format!(
                "t.toml:4: bypass.{key}: `{key}` is for the {owners}, and bypass.driver is \"{driver}\" {help}"
            ),
        );
    }
    let xdp = bypass(&inline("xdp", "on_controller_loss = true\n"));
    assert_eq!((xdp.driver, xdp.on_controller_loss), (BypassDriver::Xdp, true));
}

#[test]
fn a_watchdog_has_time_for_three_pets() {
    let command = |keys: &str| inline("command", &format!("command = [\"/a\"]\n{keys}"));
    assert_eq!(
        bypass(&command("watchdog = \"5s\"\n")).watchdog,
        Some(Watchdog { timeout: Duration::from_secs(5), pet_interval: Duration::from_millis(1_666) })
    );
    let pets = bypass(&command("watchdog = \"6s\"\npet_interval = \"2s\"\n")).watchdog.unwrap().pet_interval;
    assert_eq!(pets, Duration::from_secs(2));
    assert_eq!(bypass(&command("")).watchdog, None);
    only(
        &command("watchdog = \"5s\"\npet_interval = \"2s\"\n"),
        "t.toml:6: bypass.pet_interval: 2s is more than a third of bypass.watchdog (5s) (use at most 1.666s, so that one \
         late pet does not trip the hardware)",
    );
    only(
        &command("pet_interval = \"2s\"\n"),
        "t.toml:5: bypass.pet_interval: it does nothing without bypass.watchdog (add `watchdog = \"5s\"` to [bypass], or \
         remove it)",
    );
    only(
        &command("watchdog = \"2500500us\"\n"),
        "t.toml:5: bypass.watchdog: 2.5005s cannot be set: watchdogs count milliseconds (use whole milliseconds)",
    );
    only(
        &command("watchdog = \"2s\"\n"),
        "t.toml:1: bypass.command_timeout: 2s is not shorter than bypass.watchdog (2s): one slow call would trip the \
         hardware (shorten it or lengthen bypass.watchdog)",
    );
    only(
        &inline("sysfs", "preset = \"silicom\"\npet_value = \"1\"\n"),
        "t.toml:5: bypass.pet_value: it does nothing without bypass.watchdog (add `watchdog = \"5s\"` to [bypass], or \
         remove it)",
    );
}

#[test]
fn presets_fill_in_what_is_not_written() {
    let silicom = sysfs("preset = \"silicom\"\nwatchdog = \"6s\"\n");
    assert_eq!(silicom.control_path, "/proc/net/bypass/bypass_{inside}/bypass");
    assert_eq!((silicom.engage_value.as_str(), silicom.release_value.as_str()), ("on", "off"));
    let watchdog = silicom.watchdog.unwrap();
    assert_eq!(watchdog.pet_path, "/proc/net/bypass/bypass_{inside}/reset_bypass_wd");
    assert_eq!(watchdog.pet_value, None);

    let chelsio =
        sysfs("preset = \"chelsio\"\nwatchdog = \"6s\"\nengaged_readings = [\"bypass\", \"drop\"]\n");
    assert_eq!(chelsio.read_path, "/sys/class/net/{inside}/bypass/current_mode");
    assert_eq!(chelsio.engaged_readings, ["bypass", "drop"]);
    assert_eq!(chelsio.released_readings, ["normal"]);
    assert_eq!(chelsio.watchdog.unwrap().pet_value.as_deref(), Some("1"));
    assert_eq!(sysfs("preset = \"chelsio\"\n").watchdog, None);

    let device = |keys: &str| inline("sysfs", keys).replace("wan0\"\n", "wan0\"\ndevice = \"g3bp0\"\n");
    let BypassDriver::Sysfs(caswell) = bypass(&device("preset = \"caswell\"\n")).driver else { panic!() };
    assert_eq!(caswell.control_path, "/sys/class/bypass/{device}/bypass");
    assert_eq!(
        (caswell.engaged_readings, caswell.released_readings),
        (vec!["b".to_owned()], vec!["n".to_owned()])
    );
    only(
        &inline("sysfs", "preset = \"caswell\"\n"),
        "t.toml:5: link_pair[0].device: missing, and bypass.control_path has {device} (add `device = ...` to this \
         [[link_pair]], as the driver of the hardware names the pair)",
    );
    let missing = |key: &str| {
        format!(
            "t.toml:1: bypass.{key}: missing, and the preset \"caswell\" has none (add `{key} = ...` to [bypass], or set \
             bypass.preset to hardware that has it)"
        )
    };
    assert_eq!(
        problems(&device("preset = \"caswell\"\nwatchdog = \"6s\"\n")),
        ["arm_path", "arm_value", "disarm_value", "pet_path"].map(missing)
    );
    assert_eq!(
        warnings(&inline("sysfs", "preset = \"silicom\"\n").replace("wan0\"\n", "wan0\"\ndevice = \"d\"\n")),
        [
            "t.toml:9: link_pair[0].device: no path and no value of [bypass] has {device}, so it does nothing (write \
             {device} where it belongs, or remove it)"
        ]
    );
}

const CUSTOM: &str = "control_path = \"/c/{pair}\"\nengage_value = \"1\"\nrelease_value = \"0\"\nread_path = \"/r/{pair}\"\n\
                      engaged_readings = [\"1\"]\nreleased_readings = [\"0\"]\n";
const CUSTOM_WATCHDOG: &str = "arm_path = \"/w/{pair}\"\narm_value = \"{timeout_s}\"\ndisarm_value = \"0\"\n\
                               pet_path = \"/p/{pair}\"\n";

#[test]
fn custom_hardware_is_described_whole() {
    assert_eq!(sysfs(CUSTOM).engaged_readings, ["1"]);
    let whole = sysfs(&format!("watchdog = \"6s\"\n{CUSTOM}{CUSTOM_WATCHDOG}"));
    assert_eq!(whole.watchdog.unwrap().pet_value, None);
    let missing = |key: &str| {
        format!(
            "t.toml:1: bypass.{key}: missing, and bypass.preset is \"custom\" (add `{key} = ...` to [bypass], or set \
             bypass.preset to hardware that has it)"
        )
    };
    let switch = [
        "control_path",
        "engage_value",
        "release_value",
        "read_path",
        "engaged_readings",
        "released_readings",
    ];
    assert_eq!(problems(&inline("sysfs", "")), switch.map(missing));
    for line in CUSTOM_WATCHDOG.lines() {
        let keys =
            format!("watchdog = \"6s\"\n{CUSTOM}{}", CUSTOM_WATCHDOG.replace(&format!("{line}\n"), ""));
        only(&inline("sysfs", &keys), &missing(line.split(' ').next().unwrap()));
    }
}

#[test]
fn paths_and_values_of_hardware() {
    let custom = |from: &str, to: &str| inline("sysfs", &CUSTOM.replace(from, to));
    let known = "{inside}, {outside}, {pair}, {device}";
    for (from, to, expected) in [
        (
            "\"/c/{pair}",
            "\"c/{pair}",
            "4: bypass.control_path: \"c/{pair}\" is not an absolute path (begin it with '/')",
        ),
        (
            "\"/c/{pair}",
            "\"/c/../{pair}",
            "4: bypass.control_path: \"/c/../{pair}\" leads upwards (write the path without \"..\")",
        ),
        (
            "\"/c/{pair}",
            "\"/c/{pair}{port}",
            "4: bypass.control_path: \"{port}\" is not a placeholder that is filled here (use KNOWN)",
        ),
        (
            "\"/c/{pair}",
            "\"/c/{pair}/{timeout_s}",
            "4: bypass.control_path: \"{timeout_s}\" is not a placeholder that is filled here (use KNOWN)",
        ),
        (
            "engage_value = \"1\"",
            "engage_value = \"{on}\"",
            "5: bypass.engage_value: \"{on}\" is not a placeholder that is filled here (use KNOWN, {timeout_ms}, \
             {timeout_s})",
        ),
        (
            "release_value = \"0\"",
            "release_value = \"1\"",
            "6: bypass.release_value: \"1\" is also bypass.engage_value (write what releases the hardware)",
        ),
        (
            "readings = [\"0\"]",
            "readings = [\"0\", \"1\"]",
            "9: bypass.released_readings: \"1\" is also in bypass.engaged_readings (a reading means one of the two)",
        ),
        (
            "readings = [\"0\"]",
            "readings = []",
            "9: bypass.released_readings: no reading is listed (list what the file holds then)",
        ),
        (
            "readings = [\"0\"]",
            "readings = [\"0 \"]",
            "9: bypass.released_readings[0]: \"0 \" begins or ends with a blank, and readings are compared without (write \
             it without)",
        ),
    ] {
        only(&custom(from, to), &format!("t.toml:{}", expected.replace("KNOWN", known)));
    }
    let watchdog = |timeout: &str, from: &str, to: &str| {
        let keys = CUSTOM_WATCHDOG.replace(from, to);
        inline("sysfs", &format!("watchdog = \"{timeout}\"\n{CUSTOM}{keys}"))
    };
    only(
        &watchdog("5500ms", "", ""),
        "t.toml:4: bypass.watchdog: 5.5s cannot be written as {timeout_s} (use whole seconds, or {timeout_ms} if the \
         hardware counts those)",
    );
    only(
        &watchdog("5s", "\"{timeout_s}\"", "\"0\""),
        "t.toml:13: bypass.disarm_value: \"0\" is also bypass.arm_value (write what stops the watchdog)",
    );
    assert_eq!(problems(&watchdog("5500ms", "{timeout_s}", "{timeout_ms}")), [""; 0]);
}

#[test]
fn two_pairs_have_two_files() {
    let two = |keys: &str| format!("{}{SECOND_PAIR}", inline("sysfs", keys));
    assert_eq!(problems(&two(CUSTOM)), [""; 0]);
    only(
        &two(&CUSTOM.replace("/r/{pair}", "/r")),
        "t.toml:7: bypass.read_path: /r is the same file for all 2 link pairs (tell the pairs apart with {inside}, \
         {outside}, {pair}, {device})",
    );
    assert_eq!(problems(&inline("sysfs", &CUSTOM.replace("/r/{pair}", "/r"))), [""; 0]);
}

#[test]
fn relays_need_a_chip_and_lines() {
    assert_eq!(
        problems(&inline("gpio", "")),
        [
            "t.toml:1: bypass.chip: missing, and bypass.driver is \"gpio\" (add `chip = ...` to [bypass], such as \
             \"/dev/gpiochip0\")",
            "t.toml:4: link_pair[0].gpio_line: missing, and bypass.driver is \"gpio\" (add `gpio_line = ...` to this \
             [[link_pair]]: the line of bypass.chip that drives its relay)",
        ]
    );
    let lines = |lines: &str| {
        inline("gpio", "chip = \"/dev/gpiochip0\"\nactive_low = true\n")
            .replace("wan0\"\n", &format!("wan0\"\n{lines}"))
    };
    assert_eq!(
        warnings(&lines("gpio_line = 1\n")),
        [
            "t.toml:6: link_pair[0].gpio_sense_line: without it only the order to the relay is read back: a relay that \
             sticks goes unnoticed (add the line that shows where the relay stands, if the hardware has one)"
        ]
    );
    let both = lines("gpio_line = 1\ngpio_sense_line = 2\n");
    assert_eq!(warnings(&both), [""; 0]);
    let chip = std::path::PathBuf::from("/dev/gpiochip0");
    assert_eq!(bypass(&both).driver, BypassDriver::Gpio(GpioBypass { chip, active_low: true }));
}

#[test]
fn commands_are_programs() {
    only(
        &inline("command", ""),
        "t.toml:1: bypass.command: missing, and bypass.driver is \"command\" (add `command = ...` to [bypass], such as \
         [\"/usr/local/sbin/bypass\"])",
    );
    only(
        &inline("command", "command = []\n"),
        "t.toml:4: bypass.command: no program is listed (list the program and then its arguments, one by one)",
    );
    only(
        &inline("command", "command = [\"relay\", \"on\"]\n"),
        "t.toml:4: bypass.command[0]: \"relay\" is not an absolute path: no search path is used (begin it with '/', and \
         list each argument by itself)",
    );
    let BypassDriver::Command(command) =
        bypass(&inline("command", "command = [\"/a\", \"b c\"]\ncommand_timeout = \"500ms\"\n")).driver
    else {
        panic!()
    };
    assert_eq!(
        (command.argv, command.timeout),
        (vec!["/a".to_owned(), "b c".to_owned()], Duration::from_millis(500))
    );
}
