//! Small XDP programs as instruments: one that counts what arrives, one that cuts a node off at one instant, and one
//! that sends frames faster than any socket.
//!
//! They are attached to the lab's interfaces in native mode and stay as long as the interface. What they count is read
//! from their maps.

use crate::bpf::{self, Array, Code, LOOKUP, STORE_BYTES, XDP_DROP, XDP_PASS, XDP_TX};
use crate::fabric::Port;
use crate::link_ioctl;
use crate::netns::Namespace;
use crate::xdp_port;
use anyhow::{Context, Result, ensure};
use std::os::fd::OwnedFd;

/// A program that counts every frame that an interface takes in, and drops it.
#[derive(Debug)]
pub struct FrameMeter {
    count: Array,
}

impl FrameMeter {
    /// Attaches a meter to an interface of a host.
    pub fn attach(host: &Namespace, interface: &str) -> Result<Self> {
        let count = Array::create(size_of::<u64>(), 1)?;
        let mut code = Code::default();
        code.first_value(1, &count);
        code.set(2, 1);
        code.fetch_add(1, 2);
        code.end(XDP_DROP);
        let program = code.load().context("loading the meter")?;
        attach(host, interface, &program)?;
        Ok(FrameMeter { count })
    }

    /// Frames taken in so far.
    pub fn frames(&self) -> Result<u64> {
        Ok(self.count.first_word()?)
    }
}

/// Ports of a fabric that let nothing in from their hosts while the gate is shut: at one instant for all of them.
#[derive(Debug)]
pub struct Gate {
    shut: Array,
}

impl Gate {
    /// Puts a gate, open, in place of what the ports have. A port keeps it.
    pub fn attach(fabric: &Namespace, ports: &[Port]) -> Result<Self> {
        let shut = Array::create(size_of::<u64>(), 1)?;
        let mut code = Code::default();
        code.first_value(1, &shut);
        const LOAD_WORD: u8 = 0x61;
        const JUMP_IF_EQUAL: u8 = 0x15;
        code.push(LOAD_WORD, 1, 1, 0, 0);
        // Past the two instructions of an ending.
        code.push(JUMP_IF_EQUAL, 1, 0, 2, 0);
        code.end(XDP_DROP);
        code.end(XDP_PASS);
        let program = code.load().context("loading the gate")?;
        for port in ports {
            attach(fabric, &port.name, &program)?;
        }
        Ok(Gate { shut })
    }

    pub fn set_shut(&self, shut: bool) -> Result<()> {
        Ok(self.shut.set(0, &u64::from(shut).to_ne_bytes())?)
    }
}

/// Sends prepared frames in turn, from an interface, by the kernel's live test-run.
#[derive(Debug)]
pub struct FrameCannon {
    frames: Array,
    program: OwnedFd,
    /// Frames in turn; a power of two.
    turns: u32,
    first: Vec<u8>,
}

impl FrameCannon {
    /// Frames that are sent before the receiving side gets its turn on the same processor. Fewer than a veth's ring holds.
    const BATCH: u32 = 64;

    /// A cannon for `turns` frames, a power of two, all as long as this one, which stands in every place.
    pub fn load(frame: &[u8], turns: u32) -> Result<Self> {
        ensure!(turns.is_power_of_two(), "{turns} frames: must be a power of two");
        let frames = Array::create(room_for(frame), turns)?;
        let fired = Array::create(size_of::<u64>(), 1)?;
        const AND: u8 = 0x57;
        const STORE_WORD: u8 = 0x63;
        const ADD: u8 = 0x07;
        const JUMP_UNLESS_EQUAL: u8 = 0x55;
        let mut code = Code::default();
        code.copy(6, 1);
        code.first_value(1, &fired);
        code.set(2, 1);
        code.fetch_add(1, 2);
        code.push(AND, 2, 0, 0, (turns - 1) as i32);
        code.push(STORE_WORD, 10, 2, -4, 0);
        code.map(1, &frames);
        code.copy(2, 10);
        code.push(ADD, 2, 0, 0, -4);
        code.call(LOOKUP);
        code.push(JUMP_UNLESS_EQUAL, 0, 0, 2, 0);
        code.end(XDP_DROP);
        code.copy(3, 0);
        code.copy(1, 6);
        code.set(2, 0);
        code.set(4, frame.len() as i32);
        code.call(STORE_BYTES);
        code.end(XDP_TX);
        let program = code.load().context("loading the cannon")?;
        let cannon = FrameCannon { frames, program, turns, first: frame.to_vec() };
        for turn in 0..turns {
            cannon.set(turn, frame)?;
        }
        Ok(cannon)
    }

    pub fn turns(&self) -> u32 {
        self.turns
    }

    /// Exchanges the frame of a turn for one of the same length.
    pub fn set(&self, turn: u32, frame: &[u8]) -> Result<()> {
        ensure!(frame.len() == self.first.len(), "a cannon's frames are of one length");
        let mut room = vec![0; room_for(frame)];
        room[..frame.len()].copy_from_slice(frame);
        Ok(self.frames.set(turn, &room)?)
    }

    /// Sends `count` frames out by an interface of this thread's namespace, which must have XDP on. A call has a fixed cost of
    /// milliseconds.
    pub fn fire(&self, interface: &str, count: u32) -> Result<()> {
        let index = link_ioctl::index(interface)?;
        let fired = bpf::run_live(&self.program, index, &self.first, count, Self::BATCH);
        fired.with_context(|| format!("live frames on {interface}"))
    }
}

fn room_for(frame: &[u8]) -> usize {
    frame.len().next_multiple_of(size_of::<u64>())
}

fn attach(host: &Namespace, interface: &str, program: &OwnedFd) -> Result<()> {
    let attached = host.enter(|| xdp_port::attach_program(interface, program))?;
    attached.with_context(|| format!("attaching an instrument to {interface} in {}", host.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::attach_foreign_xdp;
    use crate::netns::LabName;

    fn frame(number: u8) -> Vec<u8> {
        const EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];
        let mut frame = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]].concat();
        frame.extend(EXPERIMENTAL);
        frame.resize(64, number);
        frame
    }

    #[test]
    fn what_the_cannon_fires_the_meter_counts() {
        let lab = LabName::unique();
        let (near, far) = (Namespace::create(&lab, "near").unwrap(), Namespace::create(&lab, "far").unwrap());
        crate::fabric::connect_hosts((&near, "eth0"), (&far, "eth0"), 1500).unwrap();
        attach_foreign_xdp(&near, "eth0").unwrap();
        let meter = FrameMeter::attach(&far, "eth0").unwrap();
        let cannon = FrameCannon::load(&frame(1), 4).unwrap();
        cannon.set(2, &frame(2)).unwrap();
        near.enter(|| cannon.fire("eth0", 640)).unwrap().unwrap();
        let counted = crate::eventually("the frames", std::time::Duration::from_secs(3), || {
            meter.frames().ok().filter(|count| *count >= 640)
        });
        // Neighbours may have been asked for meanwhile.
        assert!(counted.unwrap() < 660);
    }
}
