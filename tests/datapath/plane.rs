//! The data plane under test: the object loaded without pins, its maps arranged and read back.

use super::frames::{self, address_v6, hex};
use aya::maps::xdp::DevMap;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::tc::TcAttachType;
use aya::programs::xdp::XdpMode;
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use ha_common::maps::keys::{RouterKey, SourceKey, VipKey, filter_bit, mapped};
use ha_common::maps::names;
use ha_common::maps::values::{
    AdvertTemplate, BypassLink, BypassPair, Head, Lease, LinkCounters, LinkPolicy, MAX_ADVERT_FRAME,
    RouterPolicy, RouterState, RouterVerdicts, Settings, bypass_flag, checksum_form, fence, flag, role,
};
use ha_common::ring_events::{AdvertEvent, PeerEvent};
use ha_common::verdict_reasons::{REASON_SLOTS, VerdictReason};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

pub(crate) const LINK_SLOT: u32 = 3;
pub(crate) const IFINDEX: u32 = 5;
/// Slot of the other port of the bypass pair.
const PARTNER_SLOT: u32 = 6;
/// The bypass pair under test.
const PAIR: u32 = 2;
/// The loopback interface: a port that exists everywhere. A test run does not send to it.
const LOOPBACK: u32 = 1;
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// The VRRPv3 IPv4 router with VRID 51.
pub(crate) const V4: u32 = 7;
/// The VRRPv3 IPv6 router with VRID 51.
pub(crate) const V6: u32 = 9;
/// The VRRPv2 router: VRID 51 on VLAN 20.
pub(crate) const V2: u32 = 11;
/// VLAN of the VRRPv2 router.
pub(crate) const V2_VLAN: u16 = 20;
pub(crate) const EPOCH: u64 = 5;
/// Longer than any frame that is fed.
const FRAME_ROOM: usize = 16 * 1024;

/// Result of one run.
pub(crate) struct Run {
    pub(crate) code: u32,
    pub(crate) frame: Vec<u8>,
}

pub(crate) struct Plane {
    ebpf: Ebpf,
}

pub(crate) fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) }, 0);
    time.tv_sec as u64 * SECOND_NS + time.tv_nsec as u64
}

impl Plane {
    /// A Backup of three routers, with the controller's lease valid and `fence = "vip"`.
    pub(crate) fn new() -> Self {
        let mut ebpf = EbpfLoader::new()
            .override_global(names::CONST_LINK_SLOT, &LINK_SLOT, true)
            .load(holdfast::bpf_object::OBJECT)
            .expect("load the object (as root)");
        for name in [names::PROGRAM_INGRESS, names::PROGRAM_PASS] {
            let program: &mut Xdp = ebpf.program_mut(name).expect(name).try_into().expect("XDP");
            program.load().unwrap_or_else(|error| panic!("{name}: {error:#?}"));
        }
        let egress = ebpf.program_mut(names::PROGRAM_EGRESS).expect("egress program");
        let egress: &mut SchedClassifier = egress.try_into().expect("classifier");
        egress.load().unwrap_or_else(|error| panic!("egress: {error:#?}"));
        let mut plane = Plane { ebpf };
        plane.arrange();
        plane
    }

    /// Back to what [`Plane::new`] gave; counters go on.
    pub(crate) fn reset(&mut self) {
        self.clear::<[u8; 16]>(names::LOCAL_ADDRESSES);
        self.forget_sources();
        self.clear::<RouterKey>(names::ROUTER_SLOTS);
        for slot in [V4, V6, V2] {
            self.set(names::ROUTER_STATES, slot, RouterState::default());
            self.template(slot, &[]);
        }
        self.forget_peers();
        self.drain_ring();
        self.arrange();
    }

    pub(crate) fn clear<K: Pod>(&mut self, name: &str) {
        let mut map = self.hash::<K>(name);
        let keys: Vec<K> = map.keys().collect::<Result<_, _>>().expect("keys");
        for key in &keys {
            map.remove(key).expect("key");
        }
    }

    fn arrange(&mut self) {
        self.lease_until(now_ns() + 60 * SECOND_NS);
        self.fence(fence::VIP);
        self.link(3, 0);
        self.no_wire();
        for (slot, version, family, vlan) in [(V4, 3, 4, 0), (V6, 3, 6, 0), (V2, 2, 4, u32::from(V2_VLAN))] {
            self.router_key(slot, vlan, family);
            self.set(names::ROUTER_POLICIES, slot, policy(version, family, vlan));
        }
        self.virtual_address(V4, 0, mapped(frames::VIP));
        self.virtual_address(V6, IFINDEX, address_v6(frames::VIP_LINK_LOCAL));
        self.virtual_address(V6, 0, address_v6(frames::VIP_GLOBAL));
    }

    /// Lets VRID 51 on a VLAN mean the router in `slot`.
    pub(crate) fn router_key(&mut self, slot: u32, vlan: u32, family: u8) {
        let key = RouterKey { ifindex: IFINDEX, vlan, vrid: 51, family, reserved: [0; 2] };
        self.hash(names::ROUTER_SLOTS).insert(key, slot, 0).expect("router slot");
    }

    pub(crate) fn array<T: Pod>(&mut self, name: &str) -> Array<&mut MapData, T> {
        Array::try_from(self.ebpf.map_mut(name).expect(name)).expect(name)
    }

    pub(crate) fn hash<K: Pod>(&mut self, name: &str) -> HashMap<&mut MapData, K, u32> {
        HashMap::try_from(self.ebpf.map_mut(name).expect(name)).expect(name)
    }

    pub(crate) fn set<T: Pod>(&mut self, name: &str, slot: u32, value: T) {
        self.array(name).set(slot, value, 0).expect(name);
    }

    pub(crate) fn lease_until(&mut self, until_ns: u64) {
        self.set(names::LEASE, 0, Lease { head: Head::of::<Lease>(), reserved: 0, until_ns });
    }

    pub(crate) fn fence(&mut self, fence: u32) {
        self.set(names::SETTINGS, 0, Settings { head: Head::of::<Settings>(), fence });
    }

    pub(crate) fn link(&mut self, routers: u32, owned: u32) {
        let head = Head::of::<LinkPolicy>();
        let policy =
            LinkPolicy { head, ifindex: IFINDEX, routers, owned, mac: frames::OUR_MAC, reserved: [0; 2] };
        self.set(names::LINKS, LINK_SLOT, policy);
    }

    /// Makes the interface an end of a wire, whose other end exists or not.
    pub(crate) fn wire(&mut self, partner: bool) {
        self.wire_of_interface(IFINDEX);
        let ports = self.ebpf.map_mut(names::BYPASS_PORTS).expect("ports");
        let mut ports = DevMap::try_from(ports).expect("device map");
        ports.set(LINK_SLOT, if partner { LOOPBACK } else { 0 }, None, 0).expect("port");
    }

    /// As [`Plane::wire`], written for an interface of that index; ports are left as they are.
    pub(crate) fn wire_of_interface(&mut self, ifindex: u32) {
        let head = Head::of::<BypassLink>();
        let flags = bypass_flag::PAIRED;
        let link = BypassLink { head, flags, ifindex, pair: PAIR, partner_slot: PARTNER_SLOT };
        self.set(names::BYPASS_LINKS, LINK_SLOT, link);
    }

    fn no_wire(&mut self) {
        self.wire(false);
        let head = Head::of::<BypassLink>();
        let link = BypassLink { head, flags: 0, ifindex: 0, pair: 0, partner_slot: 0 };
        self.set(names::BYPASS_LINKS, LINK_SLOT, link);
        self.bypass_pair(false, false);
    }

    /// The state of the pair.
    pub(crate) fn bypass_pair(&mut self, engaged: bool, on_controller_loss: bool) {
        let head = Head::of::<BypassPair>();
        let on_controller_loss = u32::from(on_controller_loss);
        let pair = BypassPair { head, engaged: u32::from(engaged), on_controller_loss };
        self.set(names::BYPASS_PAIRS, PAIR, pair);
    }

    pub(crate) fn virtual_address(&mut self, slot: u32, ifindex: u32, address: [u8; 16]) {
        self.hash(names::VIPS).insert(VipKey { ifindex, address }, slot, 0).expect("virtual address");
        let low = u32::from_be_bytes(address[12..].try_into().expect("four bytes"));
        let bit = filter_bit(low);
        let mut filter = self.array::<u64>(names::VIP_FILTER);
        let word = filter.get(&(bit / 64), 0).expect("filter word");
        filter.set(bit / 64, word | 1 << (bit % 64), 0).expect("filter word");
    }

    pub(crate) fn local_address(&mut self, address: [u8; 16]) {
        self.hash::<[u8; 16]>(names::LOCAL_ADDRESSES).insert(address, 1, 0).expect("local address");
    }

    /// Lets the router listen to a sender, whose word suffices.
    pub(crate) fn trust(&mut self, router: u32, address: [u8; 16]) {
        self.trust_as(router, address, 0);
    }

    /// Lets the router listen to a sender under a value of `ADVERT_SOURCES`.
    pub(crate) fn trust_as(&mut self, router: u32, address: [u8; 16], value: u32) {
        self.hash(names::ADVERT_SOURCES).insert(SourceKey { router, address }, value, 0).expect("source");
    }

    /// Nobody is listened to by a router that restricts its senders.
    pub(crate) fn forget_sources(&mut self) {
        self.clear::<SourceKey>(names::ADVERT_SOURCES);
    }

    /// Changes a router's policy.
    pub(crate) fn policy(&mut self, slot: u32, change: impl FnOnce(&mut RouterPolicy)) {
        let mut map = self.array::<RouterPolicy>(names::ROUTER_POLICIES);
        let mut policy = map.get(&slot, 0).expect("policy");
        change(&mut policy);
        map.set(slot, policy, 0).expect("policy");
    }

    /// Makes the router ours, granted and advertised just now.
    pub(crate) fn own(&mut self, slot: u32) {
        self.grant(slot);
        self.set_state(slot, |state| state.last_sent_ns = now_ns());
    }

    /// Makes the router ours; nobody has been told yet.
    pub(crate) fn grant(&mut self, slot: u32) {
        self.policy(slot, |policy| {
            policy.role = role::ACTIVE;
            policy.epoch = EPOCH;
            policy.granted_at_ns = now_ns();
        });
    }

    pub(crate) fn template(&mut self, slot: u32, frame: &[u8]) {
        let mut template = AdvertTemplate {
            head: Head::of::<AdvertTemplate>(),
            length: frame.len() as u32,
            frame: [0; MAX_ADVERT_FRAME],
            reserved: [0; 6],
        };
        template.frame[..frame.len()].copy_from_slice(frame);
        self.set(names::ADVERT_TEMPLATES, slot, template);
    }

    pub(crate) fn state(&mut self, slot: u32) -> RouterState {
        self.array(names::ROUTER_STATES).get(&slot, 0).expect("state")
    }

    pub(crate) fn set_state(&mut self, slot: u32, change: impl FnOnce(&mut RouterState)) {
        let mut state = self.state(slot);
        change(&mut state);
        self.set(names::ROUTER_STATES, slot, state);
    }

    pub(crate) fn verdicts(&mut self) -> [u64; REASON_SLOTS] {
        let map = self.ebpf.map_mut(names::VERDICTS).expect("verdicts");
        let map: PerCpuArray<_, u64> = PerCpuArray::try_from(map).expect("per-CPU array");
        std::array::from_fn(|slot| map.get(&(slot as u32), 0).expect("counter").iter().sum())
    }

    pub(crate) fn router_verdicts(&mut self, slot: u32) -> [u64; REASON_SLOTS] {
        self.array::<RouterVerdicts>(names::ROUTER_VERDICTS).get(&slot, 0).expect("verdicts").counts
    }

    pub(crate) fn verdict(&mut self, reason: VerdictReason) -> u64 {
        self.verdicts()[reason as usize]
    }

    pub(crate) fn traffic(&mut self) -> LinkCounters {
        self.traffic_of(LINK_SLOT)
    }

    /// Traffic of the other port of the bypass pair.
    pub(crate) fn partner_traffic(&mut self) -> LinkCounters {
        self.traffic_of(PARTNER_SLOT)
    }

    fn traffic_of(&mut self, slot: u32) -> LinkCounters {
        let map = self.ebpf.map_mut(names::LINK_COUNTERS).expect("link counters");
        let map: PerCpuArray<_, LinkCounters> = PerCpuArray::try_from(map).expect("per-CPU array");
        map.get(&slot, 0).expect("counters").iter().fold(LinkCounters::default(), |sum, cpu| LinkCounters {
            rx_packets: sum.rx_packets + cpu.rx_packets,
            rx_bytes: sum.rx_bytes + cpu.rx_bytes,
            tx_packets: sum.tx_packets + cpu.tx_packets,
            tx_bytes: sum.tx_bytes + cpu.tx_bytes,
        })
    }

    /// Takes everything out of the event ring; what it says of peers is dropped.
    pub(crate) fn events(&mut self) -> Vec<AdvertEvent> {
        self.drain_ring().0
    }

    /// Takes everything out of the event ring; what it says of adverts is dropped.
    pub(crate) fn peer_events(&mut self) -> Vec<PeerEvent> {
        self.drain_ring().1
    }

    fn drain_ring(&mut self) -> (Vec<AdvertEvent>, Vec<PeerEvent>) {
        let map = self.ebpf.map_mut(names::EVENTS).expect("events");
        let mut ring = RingBuf::try_from(map).expect("ring");
        let (mut adverts, mut peers) = (Vec::new(), Vec::new());
        while let Some(record) = ring.next() {
            if record.len() == size_of::<PeerEvent>() {
                // SAFETY: a record of this size is a `PeerEvent`, for which any bytes are valid.
                peers.push(unsafe { record.as_ptr().cast::<PeerEvent>().read_unaligned() });
                continue;
            }
            assert_eq!(record.len(), size_of::<AdvertEvent>());
            // SAFETY: a record of this size is an `AdvertEvent`, for which any bytes are valid.
            adverts.push(unsafe { record.as_ptr().cast::<AdvertEvent>().read_unaligned() });
        }
        (adverts, peers)
    }

    pub(crate) fn map_descriptor(&self, name: &str) -> BorrowedFd<'_> {
        let Map::Array(map) = self.ebpf.map(name).expect(name) else { panic!("{name} is no array") };
        map.fd().as_fd()
    }

    pub(crate) fn program_descriptor(&self, name: &str) -> BorrowedFd<'_> {
        self.ebpf.program(name).expect(name).fd().expect(name).as_fd()
    }

    pub(crate) fn ingress(&mut self, frame: &[u8]) -> Run {
        let program: &Xdp = self.ebpf.program(names::PROGRAM_INGRESS).expect("XDP").try_into().expect("XDP");
        test_run(program, frame)
    }

    pub(crate) fn egress(&mut self, frame: &[u8]) -> Run {
        let program = self.ebpf.program(names::PROGRAM_EGRESS).expect("classifier");
        let program: &SchedClassifier = program.try_into().expect("classifier");
        test_run(program, frame)
    }

    /// Attaches the egress program to an interface of this thread's network namespace.
    pub(crate) fn attach_egress(&mut self, interface: &str) {
        let program = self.ebpf.program_mut(names::PROGRAM_EGRESS).expect("classifier");
        let program: &mut SchedClassifier = program.try_into().expect("classifier");
        program.attach(interface, TcAttachType::Egress).expect("attach");
    }

    /// Attaches an XDP program to an interface of this thread's network namespace, in native mode.
    pub(crate) fn attach_xdp(&mut self, program: &str, interface: &str) {
        let program = self.ebpf.program_mut(program).expect("XDP");
        let program: &mut Xdp = program.try_into().expect("XDP");
        program.attach(interface, XdpMode::Driver).expect("attach");
    }

    /// Time per run of `program` on `frame`, as the kernel measures it.
    pub(crate) fn time(&mut self, program: &str, frame: &[u8], repeat: u32) -> Duration {
        let program = self.ebpf.program(program).expect("program");
        let program: &Xdp = program.try_into().expect("XDP");
        let options = TestRunOptions { data_in: Some(frame), repeat, ..Default::default() };
        program.test_run(options).expect("test run").duration
    }

    /// Instructions that the verifier looked at, by program.
    pub(crate) fn verified_instructions(&mut self) -> Vec<(String, u32)> {
        let programs = self.ebpf.programs();
        let counted = programs.map(|(name, program)| {
            let info = program.info().expect("program information");
            (name.to_owned(), info.verified_instruction_count().unwrap_or(0))
        });
        counted.collect()
    }
}

/// One run of a program on a frame.
pub(crate) fn test_run<P>(program: &P, frame: &[u8]) -> Run
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = aya::programs::TestRunResult>,
{
    let mut out = vec![0; FRAME_ROOM];
    let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..Default::default() };
    let result = program.test_run(options).expect("test run");
    out.truncate(result.data_size_out as usize);
    Run { code: result.return_value, frame: out }
}

fn policy(version: u8, family: u8, vlan: u32) -> RouterPolicy {
    let (list, source) = if family == 6 {
        let list = [hex(frames::VIP_LINK_LOCAL), hex(frames::VIP_GLOBAL)].concat();
        (list, address_v6(frames::OUR_LINK_LOCAL))
    } else {
        (frames::VIP.to_vec(), mapped(frames::OUR_ADDRESS))
    };
    RouterPolicy {
        head: Head::of::<RouterPolicy>(),
        ifindex: IFINDEX,
        epoch: 0,
        granted_at_ns: 0,
        grant_until_ns: u64::MAX,
        interval_ns: SECOND_NS,
        addresses_sum: addresses_sum(&list),
        source,
        vlan,
        answers_per_interval: 2,
        flags: flag::PREEMPT | flag::ACCEPT | flag::VIRTUAL_MAC,
        vrid: 51,
        family,
        version,
        role: role::BACKUP,
        priority: 100,
        checksum: checksum_form::ANY,
        address_count: if family == 6 { 2 } else { 1 },
        unit: ha_common::maps::peers::NO_UNIT,
        reserved: [0; 2],
        generation: 0,
    }
}

pub(crate) fn addresses_sum(list: &[u8]) -> u64 {
    list.chunks(4).map(|word| u64::from(u32::from_ne_bytes(word.try_into().expect("four bytes")))).sum()
}
