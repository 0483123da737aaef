//! Wires over a switch that only remembers.

use super::*;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Maps {
    log: Vec<String>,
    /// Slots that are ends of a wire.
    connected: BTreeSet<u32>,
    engaged: BTreeSet<u32>,
    lease_over: bool,
    refuses: bool,
}

#[derive(Clone, Default)]
struct FakeSwitch(Arc<Mutex<Maps>>);

impl FakeSwitch {
    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().log)
    }
}

impl WireSwitch for FakeSwitch {
    fn connect(&mut self, wire: &Wire, engaged: bool) -> Result<(), DatapathError> {
        let mut maps = self.0.lock().unwrap();
        if maps.refuses {
            return Err(DatapathError::Map { name: "BYPASS_LINKS", reason: "no".into() });
        }
        maps.log.push(format!("connect {} {} {engaged}", wire.inside.slot, wire.outside.slot));
        maps.connected.extend([wire.inside.slot, wire.outside.slot]);
        if engaged {
            maps.engaged.insert(wire.pair)
        } else {
            maps.engaged.remove(&wire.pair)
        };
        Ok(())
    }

    fn disconnect(&mut self, wire: &Wire) -> Result<(), DatapathError> {
        let mut maps = self.0.lock().unwrap();
        maps.log.push(format!("disconnect {} {}", wire.inside.slot, wire.outside.slot));
        maps.connected.remove(&wire.inside.slot);
        maps.connected.remove(&wire.outside.slot);
        Ok(())
    }

    fn switch(&mut self, wire: &Wire, engaged: bool) -> Result<(), DatapathError> {
        let mut maps = self.0.lock().unwrap();
        maps.log.push(format!("switch {} {engaged}", wire.pair));
        if engaged {
            maps.engaged.insert(wire.pair)
        } else {
            maps.engaged.remove(&wire.pair)
        };
        Ok(())
    }

    fn read(&self, wire: &Wire) -> Result<WireState, DatapathError> {
        let maps = self.0.lock().unwrap();
        Ok(WireState {
            ordered: maps.engaged.contains(&wire.pair),
            abandoned: wire.on_controller_loss && maps.lease_over,
            connected: maps.connected.contains(&wire.inside.slot),
        })
    }

    fn into_maps(self) -> Option<BypassMaps> {
        None
    }
}

fn pair(name: &str) -> PortPair {
    PortPair { name: name.into(), ..PortPair::default() }
}

fn port(slot: u32, mode: XdpAttachMode) -> Option<WirePort> {
    Some(WirePort { name: format!("eth{slot}"), slot, ifindex: slot + 10, mode })
}

fn ports(name: &str, inside: u32, outside: u32) -> WirePorts {
    let native = XdpAttachMode::Native;
    WirePorts { pair: name.into(), inside: port(inside, native), outside: port(outside, native) }
}

fn driver(on_controller_loss: bool) -> (XdpDriver<FakeSwitch>, FakeSwitch) {
    let switch = FakeSwitch::default();
    (XdpDriver::new(switch.clone(), &[pair("a"), pair("b")], on_controller_loss), switch)
}

#[test]
fn one_write_switches_a_wire() {
    let (mut driver, switch) = driver(false);
    driver.rewire(&[ports("a", 0, 1), ports("b", 2, 3)]).unwrap();
    assert_eq!(switch.log(), ["connect 0 1 false", "connect 2 3 false"]);
    assert_eq!(driver.engage(&pair("b")).unwrap(), "engaged = 1 to wire 1 of the data plane");
    assert_eq!(switch.log(), ["switch 1 true"]);
    assert_eq!(driver.read_back(&pair("b")).reading, Reading::Engaged);
    assert_eq!(driver.read_back(&pair("a")).reading, Reading::Released);
    driver.release(&pair("b")).unwrap();
    assert_eq!(driver.read_back(&pair("b")).reading, Reading::Released);
}

#[test]
fn an_order_outlives_the_ports() {
    let (mut driver, switch) = driver(false);
    driver.rewire(&[ports("a", 0, 1)]).unwrap();
    driver.engage(&pair("a")).unwrap();
    let gone = WirePorts { outside: None, ..ports("a", 0, 1) };
    let said = driver.rewire(&[gone]).unwrap_err().to_string();
    assert_eq!(said, "link pair a: its outside interface is not there");
    assert!(matches!(driver.read_back(&pair("a")).reading, Reading::Unknown(_)));
    driver.rewire(&[ports("a", 0, 4)]).unwrap();
    assert_eq!(switch.log()[1..], ["switch 0 true", "disconnect 0 1", "connect 0 4 true"]);
    assert_eq!(driver.read_back(&pair("a")).reading, Reading::Engaged);
}

#[test]
fn a_slot_passes_from_one_pair_to_another() {
    let (mut driver, switch) = driver(false);
    driver.rewire(&[ports("a", 0, 1), ports("b", 2, 3)]).unwrap();
    switch.log();
    driver.rewire(&[ports("a", 0, 3), ports("b", 2, 1)]).unwrap();
    assert_eq!(switch.log(), ["disconnect 0 1", "disconnect 2 3", "connect 0 3 false", "connect 2 1 false"]);
    driver.rewire(&[ports("a", 0, 3), ports("b", 2, 1)]).unwrap();
    assert!(switch.log().is_empty(), "nothing has changed");
}

#[test]
fn modes_that_differ_make_no_wire() {
    let (mut driver, switch) = driver(false);
    let mixed = WirePorts { outside: port(1, XdpAttachMode::Generic), ..ports("a", 0, 1) };
    let said = driver.rewire(&[mixed]).unwrap_err().to_string();
    assert!(said.contains("native mode on eth0 and in generic mode on eth1"), "{said}");
    assert!(switch.log().is_empty());
    assert!(driver.engage(&pair("a")).unwrap_err().to_string().contains("needs the same on both"));
    driver.release(&pair("a")).unwrap();
    assert_eq!(driver.read_back(&pair("a")).reading, Reading::Released, "nothing is bridged");
}

#[test]
fn a_lease_that_is_over_reads_as_engaged_where_it_engages() {
    for on_controller_loss in [false, true] {
        let (mut driver, switch) = driver(on_controller_loss);
        driver.rewire(&[ports("a", 0, 1)]).unwrap();
        switch.0.lock().unwrap().lease_over = true;
        let expected = if on_controller_loss { Reading::Engaged } else { Reading::Released };
        assert_eq!(driver.read_back(&pair("a")).reading, expected);
    }
}

#[test]
fn a_port_that_has_gone_is_no_bypass() {
    let (mut driver, switch) = driver(false);
    driver.rewire(&[ports("a", 0, 1)]).unwrap();
    driver.engage(&pair("a")).unwrap();
    switch.0.lock().unwrap().connected.clear();
    let Reading::Unknown(reason) = driver.read_back(&pair("a")).reading else { panic!("not known") };
    assert!(reason.contains("its frames are dropped"), "{reason}");
}

#[test]
fn maps_that_refuse_are_tried_again_with_the_next_news() {
    let (mut driver, switch) = driver(false);
    switch.0.lock().unwrap().refuses = true;
    assert!(driver.rewire(&[ports("a", 0, 1)]).unwrap_err().to_string().contains("BYPASS_LINKS"));
    assert!(driver.engage(&pair("a")).is_err());
    switch.0.lock().unwrap().refuses = false;
    driver.rewire(&[ports("a", 0, 1)]).unwrap();
    assert_eq!(driver.read_back(&pair("a")).reading, Reading::Engaged);
    assert!(driver.arm_watchdog(&pair("a"), Duration::from_secs(1)).is_err());
    assert!(driver.pet(&pair("a")).is_err() && driver.disarm(&pair("a")).is_err());
}

#[test]
fn an_order_before_the_ports_are_told_waits_for_them() {
    let (mut driver, switch) = driver(false);
    driver.engage(&pair("a")).unwrap();
    assert!(matches!(driver.read_back(&pair("a")).reading, Reading::Unknown(_)));
    driver.rewire(&[ports("a", 0, 1)]).unwrap();
    assert_eq!(switch.log(), ["connect 0 1 true"], "never released in between");
    assert_eq!(driver.read_back(&pair("a")).reading, Reading::Engaged);
}
