//! The one table of verdict reasons. Counters, the CLI, metrics and the manual are all made from it.

/// What happens to a frame that is counted under a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Handed to the kernel.
    Pass,
    /// Discarded.
    Drop,
    /// Sent back out of the interface it came in on.
    Transmit,
    /// Sent out of the other port of its pair.
    Redirect,
}

/// Slots per counter array; more than there are reasons, so that a new one does not change the layout.
pub const REASON_SLOTS: usize = 64;

macro_rules! verdict_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal, $verdict:ident;)*) => {
        /// Why a frame was not simply counted and passed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum VerdictReason {
            $($(#[doc = $doc])+ $name = $number,)*
        }

        impl VerdictReason {
            /// Every reason, in numeric order.
            pub const ALL: &[VerdictReason] = &[$(VerdictReason::$name,)*];

            /// Name in status, metrics and the manual.
            pub const fn name(self) -> &'static str {
                match self { $(VerdictReason::$name => $text,)* }
            }

            /// What happens to the frame.
            pub const fn verdict(self) -> Verdict {
                match self { $(VerdictReason::$name => Verdict::$verdict,)* }
            }

            /// One sentence for the manual.
            pub const fn description(self) -> &'static str {
                match self { $(VerdictReason::$name => concat!($($doc),+),)* }
            }
        }
    };
}

verdict_reasons! {
    /// A valid advert that changed nothing; its time was noted.
    AdvertAbsorbed = 0, "advert-absorbed", Drop;
    /// A valid advert that changed something; the controller was told.
    AdvertReported = 1, "advert-reported", Drop;
    /// A losing advert, answered at once with ours (V-105).
    AdvertAnswered = 2, "advert-answered", Transmit;
    /// A losing advert left unanswered because the answers of this interval were used up (V-107).
    AdvertAnswerLimited = 3, "advert-answer-limited", Drop;
    /// A lower-priority advert that a preempting Backup ignores (V-098).
    AdvertLowerIgnored = 4, "advert-lower-ignored", Drop;
    /// A winning advert that ended our ownership in the data plane.
    AdvertRevoked = 5, "advert-revoked", Drop;
    /// An advert for a router that is in Initialize (V-092).
    AdvertInitialize = 6, "advert-initialize", Drop;
    /// Our own advert came back (V-072).
    AdvertSelf = 7, "advert-self", Drop;
    /// An advert for a VRID that is not configured on this interface; left to other daemons.
    VridUnknown = 8, "vrid-unknown", Pass;
    /// TTL or hop limit other than 255 (V-006, V-007).
    TtlInvalid = 9, "ttl-invalid", Drop;
    /// VRRP version other than the configured one (V-064, V-052).
    VersionInvalid = 10, "version-invalid", Drop;
    /// VRRP type other than 1 (V-045).
    TypeInvalid = 11, "type-invalid", Drop;
    /// The message is shorter than its header and addresses (V-042), or has a length no advert of its version has.
    LengthInvalid = 12, "length-invalid", Drop;
    /// The VRRP checksum is wrong in every form that is accepted (V-033 to V-036, V-050).
    ChecksumInvalid = 13, "checksum-invalid", Drop;
    /// The advert lists no address (V-026).
    CountZero = 14, "count-zero", Drop;
    /// The advert announces interval 0 (V-031).
    IntervalZero = 15, "interval-zero", Drop;
    /// VRRPv2 interval different from ours (V-053).
    IntervalMismatch = 16, "interval-mismatch", Drop;
    /// VRRPv2 authentication type other than 0 (V-048).
    AuthTypeInvalid = 17, "auth-type-invalid", Drop;
    /// First IPv6 address not link-local, under strict (V-040).
    FirstAddressNotLinkLocal = 18, "first-address-not-link-local", Drop;
    /// A fragment of an advert (V-018).
    Fragment = 19, "fragment", Drop;
    /// VRRP behind an IPv6 extension header; left to the kernel (V-019).
    ExtensionHeader = 20, "extension-header", Pass;
    /// Sent to a unicast address where the group is expected, or the reverse (V-073, V-168).
    DestinationInvalid = 21, "destination-invalid", Drop;
    /// The sender is not one this router listens to (V-166).
    SourceUntrusted = 22, "source-untrusted", Drop;
    /// A VRRP packet whose IP header is malformed, or that lies outside the linear part of the frame.
    HeaderInvalid = 23, "header-invalid", Drop;
    /// More than two VLAN tags; left to the kernel.
    VlanTooDeep = 24, "vlan-too-deep", Pass;
    /// The event ring was full; the controller reads the state map instead.
    RingOverflow = 25, "ring-overflow", Drop;
    /// Advisory: the advert listed other addresses than ours; processed (V-068).
    NoteAddressesDiffer = 26, "note-addresses-differ", Pass;
    /// Advisory: the advert announced another interval than ours; processed (V-067).
    NoteIntervalDiffers = 27, "note-interval-differs", Pass;
    /// Advisory: bytes followed the last address; processed (V-044).
    NoteTrailingBytes = 28, "note-trailing-bytes", Pass;
    /// Advisory: VRRPv3 over IPv4 with the RFC 5798 checksum form; processed (V-034).
    NoteLegacyChecksum = 29, "note-legacy-checksum", Pass;
    /// Advisory: first IPv6 address not link-local; processed (V-040).
    NoteFirstNotLinkLocal = 30, "note-first-not-link-local", Pass;
    /// ARP request for a virtual address that this node does not own.
    FenceArpIn = 31, "fence-arp-in", Drop;
    /// Neighbour solicitation for a virtual address that this node does not own.
    FenceNdIn = 32, "fence-nd-in", Drop;
    /// Packet to a virtual address that this node does not own.
    FenceIpIn = 33, "fence-ip-in", Drop;
    /// Frame to the virtual MAC of a router that this node does not own (V-130).
    FenceMacIn = 34, "fence-mac-in", Drop;
    /// Transit on an interface where this node owns nothing, under fence = "forwarding".
    FenceTransitIn = 35, "fence-transit-in", Drop;
    /// Packet to a virtual address of an owned router with accept = false (V-132).
    AcceptOff = 36, "accept-off", Drop;
    /// Outgoing ARP that claims a virtual address not owned.
    FenceArpOut = 37, "fence-arp-out", Drop;
    /// Outgoing neighbour discovery that claims a virtual address not owned.
    FenceNdOut = 38, "fence-nd-out", Drop;
    /// Outgoing packet from a virtual address not owned.
    FenceIpOut = 39, "fence-ip-out", Drop;
    /// Outgoing frame from the virtual MAC of a router not owned.
    FenceMacOut = 40, "fence-mac-out", Drop;
    /// Our own advert, stopped because the router is not owned.
    FenceAdvertOut = 41, "fence-advert-out", Drop;
    /// An advert in a peer's name that no authenticated message of that peer bears out; it changed nothing.
    AdvertUncorroborated = 42, "advert-uncorroborated", Drop;
    /// A peer's probe, answered in the data plane.
    ProbeAnswered = 43, "probe-answered", Transmit;
    /// A peer's probe that knew another run of this node; answered with a challenge, nothing learned.
    ProbeChallenged = 44, "probe-challenged", Transmit;
    /// A probe that was answered before; answered again, nothing learned.
    ProbeRepeated = 45, "probe-repeated", Transmit;
    /// As probe-repeated, beyond the rate of such answers.
    ProbeRepeatLimited = 46, "probe-repeat-limited", Drop;
    /// A reply or challenge to a probe of ours; its time was noted.
    ProbeReplyAbsorbed = 47, "probe-reply-absorbed", Drop;
    /// A reply or challenge that answers no open probe of ours: too late, repeated, or of another run.
    ProbeReplyUnmatched = 48, "probe-reply-unmatched", Drop;
    /// A peer told its link-local address.
    ProbeAddress = 49, "probe-address", Drop;
    /// A packet to the HA port between addresses that are no configured path; left to the kernel.
    ProbePathUnknown = 50, "probe-path-unknown", Pass;
    /// A probe with the wrong TTL, length, magic, version, cluster or node numbers.
    ProbeHeaderInvalid = 51, "probe-header-invalid", Drop;
    /// A probe under a key that is not in use.
    ProbeKeyUnknown = 52, "probe-key-unknown", Drop;
    /// A probe whose MAC is wrong.
    ProbeMacInvalid = 53, "probe-mac-invalid", Drop;
    /// A probe of an earlier run of its sender.
    ProbeOldIncarnation = 54, "probe-old-incarnation", Drop;
    /// A probe that was sent on another path than the one it came in on.
    ProbePathMismatch = 55, "probe-path-mismatch", Drop;
    /// Sent as it is to the other port of an engaged bypass pair.
    Bypassed = 56, "bypassed", Redirect;
    /// The pair is in bypass, but its other port does not exist.
    BypassPortMissing = 57, "bypass-port-missing", Drop;
}

const _: () = assert!(VerdictReason::ALL.len() <= REASON_SLOTS);

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_are_dense_and_names_unique() {
        let names: HashSet<_> = VerdictReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), VerdictReason::ALL.len());
        for (position, reason) in VerdictReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, position, "{}", reason.name());
        }
    }
}
