//! What is fixed for the length of a test: the peer's product, the protocol, and how both sides speak it.

use holdfast_lab::forge::Mac;
use holdfast_lab::topology::Segment;
use std::net::IpAddr;
use std::time::Duration;

/// VRID of the one virtual router.
pub(crate) const VRID: u8 = 51;
/// Name of the virtual router in our configuration, and of the instance in keepalived's.
pub(crate) const ROUTER: &str = "lan";
/// Advertisement interval of VRRPv3 tests.
pub(crate) const SHORT: Duration = Duration::from_millis(100);
/// Shortest interval of VRRPv2.
const SECOND: Duration = Duration::from_secs(1);

/// Whose VRRP runs on the other host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Keepalived,
    Frr,
}

/// The terms of a test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) product: Product,
    pub(crate) ipv6: bool,
    /// 2 or 3.
    pub(crate) version: u8,
    /// Ours; the peer's is the same unless a test says otherwise.
    pub(crate) interval: Duration,
    pub(crate) unicast: bool,
    /// `virtual_mac = true` on our side.
    pub(crate) our_virtual_mac: bool,
    /// keepalived's `use_vmac`. FRR knows nothing else.
    pub(crate) peer_virtual_mac: bool,
    /// Our host has the greater address of the two.
    pub(crate) our_address_is_greater: bool,
}

impl Setup {
    /// VRRPv3 over IPv4 against keepalived.
    pub(crate) const KEEPALIVED: Setup = Setup {
        product: Product::Keepalived,
        ipv6: false,
        version: 3,
        interval: SHORT,
        unicast: false,
        our_virtual_mac: false,
        peer_virtual_mac: false,
        our_address_is_greater: false,
    };

    /// VRRPv3 over IPv4 against FRR.
    pub(crate) const FRR: Setup =
        Setup { product: Product::Frr, peer_virtual_mac: true, ..Setup::KEEPALIVED };

    pub(crate) const fn ipv6(self) -> Self {
        Setup { ipv6: true, ..self }
    }

    pub(crate) const fn unicast(self) -> Self {
        Setup { unicast: true, ..self }
    }

    pub(crate) const fn our_virtual_mac(self) -> Self {
        Setup { our_virtual_mac: true, ..self }
    }

    pub(crate) const fn peer_virtual_mac(self) -> Self {
        Setup { peer_virtual_mac: true, ..self }
    }

    pub(crate) const fn our_address_is_greater(self) -> Self {
        Setup { our_address_is_greater: true, ..self }
    }

    pub(crate) const fn v2(self) -> Self {
        Setup { version: 2, interval: SECOND, ..self }
    }

    /// The virtual addresses with prefix length, the first one first.
    pub(crate) fn addresses(&self) -> &'static [&'static str] {
        if self.ipv6 { &["fe80::1/64", "2001:db8:1::1/64"] } else { &["192.0.2.1/24"] }
    }

    /// The virtual addresses alone.
    pub(crate) fn bare_addresses(&self) -> Vec<IpAddr> {
        let bare = |text: &&str| text.split('/').next().unwrap_or_default().parse().unwrap();
        self.addresses().iter().map(bare).collect()
    }

    /// The last virtual address, which hosts would have as their gateway or server.
    pub(crate) fn vip(&self) -> IpAddr {
        *self.bare_addresses().last().unwrap()
    }

    /// The address a host speaks VRRP from, unless it has one for that.
    pub(crate) fn host_address(&self, segment: &Segment, host: &str) -> IpAddr {
        if self.ipv6 { segment.link_local(host).into() } else { segment.address(host) }
    }

    /// The virtual router's MAC (RFC 9568 section 7.3).
    pub(crate) fn virtual_mac(&self) -> Mac {
        [0, 0, 0x5e, 0, if self.ipv6 { 2 } else { 1 }, VRID]
    }

    /// VRRPv3 over IPv4: the one case with two checksum forms.
    pub(crate) fn has_checksum_forms(&self) -> bool {
        self.version == 3 && !self.ipv6
    }

    /// Skew_Time of a router with this priority (RFC 9568 section 6.1). RFC 3768 section 6.1 takes a second in place of
    /// the interval, which is the same here.
    pub(crate) fn skew(&self, priority: u8) -> Duration {
        const WHOLE: u32 = 256;
        self.interval * (WHOLE - u32::from(priority)) / WHOLE
    }

    /// Active_Down_Interval of a router with this priority.
    pub(crate) fn active_down(&self, priority: u8) -> Duration {
        3 * self.interval + self.skew(priority)
    }

    /// Skew_Time as the peer counts it: FRR drops what is less than a centisecond.
    pub(crate) fn peers_skew(&self, priority: u8) -> Duration {
        const CENTISECOND: Duration = Duration::from_millis(10);
        match self.product {
            Product::Keepalived => self.skew(priority),
            Product::Frr => self.skew(priority).saturating_sub(CENTISECOND),
        }
    }

    /// Active_Down_Interval as the peer counts it.
    pub(crate) fn peers_active_down(&self, priority: u8) -> Duration {
        3 * self.interval + self.peers_skew(priority)
    }
}
