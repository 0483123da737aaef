//! The programs on a real device: a veth pair in a network namespace that ends with its thread. Test-run shows what
//! happens to a frame; this shows that the programs attach, and that what they send arrives.

use super::fixture::{as_answering_owner, as_owner};
use super::frames::{advert_of_priority, our_advert};
use super::plane::{Plane, V4};
use ha_common::maps::names;
use ha_common::verdict_reasons::VerdictReason;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use std::process::Command;
use std::time::{Duration, Instant};

const NEAR_END: &str = "hf0";
const FAR_END: &str = "hf1";
const DEADLINE: Duration = Duration::from_secs(5);
const ANY_PROTOCOL: u16 = libc::ETH_P_ALL as u16;

fn in_own_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (as root)");
        ip(&["link", "add", NEAR_END, "type", "veth", "peer", "name", FAR_END]);
        for device in [NEAR_END, FAR_END] {
            ip(&["link", "set", device, "up"]);
        }
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("run ip");
    assert!(status.success(), "ip {}", arguments.join(" "));
}

/// A raw socket on one interface.
struct Port(libc::c_int);

impl Port {
    fn open(interface: &str) -> Self {
        let index = if_nametoindex(interface).expect("interface");
        // SAFETY: plain system calls on an address that outlives them.
        unsafe {
            let socket = libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                i32::from(ANY_PROTOCOL.to_be()),
            );
            assert!(socket >= 0, "packet socket");
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = ANY_PROTOCOL.to_be();
            address.sll_ifindex = index as i32;
            let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            assert_eq!(libc::bind(socket, (&raw const address).cast(), length), 0, "bind");
            Port(socket)
        }
    }

    /// Returns whether the frame got past the egress program.
    fn send(&self, frame: &[u8]) -> bool {
        // SAFETY: the buffer is as long as said.
        unsafe { libc::send(self.0, frame.as_ptr().cast(), frame.len(), 0) == frame.len() as isize }
    }

    /// Waits for exactly this frame.
    fn expect(&self, frame: &[u8]) {
        let until = Instant::now() + DEADLINE;
        let mut buffer = [0; 2048];
        while Instant::now() < until {
            let mut poll = libc::pollfd { fd: self.0, events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid entry; the buffer is as long as said.
            let length = unsafe {
                libc::poll(&mut poll, 1, 100);
                libc::recv(self.0, buffer.as_mut_ptr().cast(), buffer.len(), 0)
            };
            if usize::try_from(length).is_ok_and(|length| &buffer[..length] == frame) {
                return;
            }
        }
        panic!("the frame did not arrive");
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and not used afterwards.
        unsafe { libc::close(self.0) };
    }
}

#[test]
fn an_answer_reaches_the_sender() {
    in_own_namespace(|| {
        let mut plane = Plane::new();
        plane.attach_xdp(names::PROGRAM_INGRESS, FAR_END);
        // A veth delivers what its far end transmits from XDP only where XDP runs here, too.
        plane.attach_xdp(names::PROGRAM_PASS, NEAR_END);
        as_answering_owner(&mut plane);
        let port = Port::open(NEAR_END);
        assert!(port.send(&advert_of_priority(50)));
        port.expect(&our_advert());
        assert_eq!(plane.verdict(VerdictReason::AdvertAnswered), 1);
    });
}

#[test]
fn the_egress_fence_holds_on_a_device() {
    in_own_namespace(|| {
        let mut plane = Plane::new();
        plane.attach_egress(NEAR_END);
        let far = Port::open(FAR_END);
        let port = Port::open(NEAR_END);
        port.send(&our_advert());
        assert_eq!(plane.verdict(VerdictReason::FenceAdvertOut), 1);
        assert_eq!(plane.state(V4).adverts_sent, 0);

        as_owner(&mut plane);
        assert!(port.send(&our_advert()));
        far.expect(&our_advert());
        assert_eq!(plane.state(V4).adverts_sent, 1);
        assert_eq!(plane.verdict(VerdictReason::FenceAdvertOut), 1);
    });
}
