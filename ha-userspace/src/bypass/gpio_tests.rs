//! The logic over lines that are variables, and the real library against what is no GPIO chip.

use super::*;

#[derive(Default)]
struct Board {
    levels: BTreeMap<u32, bool>,
    /// A line that follows another one, as a sense line follows the relay.
    follows: BTreeMap<u32, u32>,
    stuck: bool,
}

impl Lines for Board {
    fn set(&mut self, line: u32, high: bool) -> Result<(), String> {
        if !self.stuck {
            self.levels.insert(line, high);
        }
        Ok(())
    }

    fn level(&mut self, line: u32) -> Result<bool, String> {
        let source = self.follows.get(&line).copied().unwrap_or(line);
        self.levels.get(&source).copied().ok_or_else(|| "no such line".into())
    }
}

fn config(active_low: bool) -> GpioBypass {
    GpioBypass { chip: "/dev/gpiochip0".into(), active_low }
}

fn pair(sense: Option<u32>) -> PortPair {
    PortPair { name: "wan".into(), gpio_line: Some(17), gpio_sense_line: sense, ..PortPair::default() }
}

#[test]
fn the_line_is_driven_to_the_level_that_bridges() {
    for active_low in [false, true] {
        let mut driver = GpioDriver::over(&config(active_low), Board::default());
        driver.engage(&pair(None)).unwrap();
        assert_eq!(driver.lines.levels[&17], !active_low);
        assert_eq!(driver.read_back(&pair(None)).reading, Reading::Engaged);
        let written = driver.release(&pair(None)).unwrap();
        assert_eq!(written, format!("level {} to line 17 of /dev/gpiochip0", u8::from(active_low)));
        assert_eq!(driver.lines.levels[&17], active_low);
        assert_eq!(driver.read_back(&pair(None)).reading, Reading::Released);
    }
}

#[test]
fn the_sense_line_is_believed_not_the_order() {
    let board = Board { levels: [(17, false)].into(), follows: [(18, 17)].into(), stuck: true };
    let mut driver = GpioDriver::over(&config(false), board);
    driver.engage(&pair(Some(18))).unwrap();
    let found = driver.read_back(&pair(Some(18)));
    assert_eq!(found.reading, Reading::Released);
    assert_eq!(found.evidence, "level 0 from sense line 18 of /dev/gpiochip0");
    driver.lines.stuck = false;
    driver.engage(&pair(Some(18))).unwrap();
    assert_eq!(driver.read_back(&pair(Some(18))).reading, Reading::Engaged);
}

#[test]
fn lines_that_are_not_there_are_named() {
    let mut driver = GpioDriver::over(&config(false), Board::default());
    let none = PortPair { name: "wan".into(), ..PortPair::default() };
    let said = driver.engage(&none).unwrap_err().to_string();
    assert_eq!(said, "link pair wan has no gpio_line: set link_pair.gpio_line to a line of the GPIO chip");
    let Reading::Unknown(reason) = driver.read_back(&pair(Some(40))).reading else { panic!("not known") };
    assert!(reason.starts_with("GPIO chip /dev/gpiochip0: sense line 40: no such line"), "{reason}");
}

#[test]
fn a_relay_has_no_watchdog() {
    let mut driver = GpioDriver::over(&config(false), Board::default());
    let said = driver.arm_watchdog(&pair(None), Duration::from_secs(1)).unwrap_err().to_string();
    assert_eq!(said, "the bypass driver gpio has no watchdog");
    assert!(driver.pet(&pair(None)).is_err() && driver.disarm(&pair(None)).is_err());
}

#[test]
fn what_is_no_gpio_chip_is_refused_by_the_library() {
    for chip in ["/dev/hf-no-such-chip", "/dev/null", "/etc/hostname", "/dev"] {
        let config = GpioBypass { chip: chip.into(), active_low: false };
        let mut driver = GpioDriver::new(&config);
        let said = driver.engage(&pair(None)).unwrap_err().to_string();
        assert!(said.starts_with(&format!("GPIO chip {chip}: line 17: ")), "{said}");
        let Reading::Unknown(reason) = driver.read_back(&pair(Some(18))).reading else {
            panic!("{chip} was read")
        };
        assert!(reason.starts_with(&format!("GPIO chip {chip}: sense line 18: ")), "{reason}");
    }
}
