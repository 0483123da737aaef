//! VRRP adverts as they pass an interface: who sends them, how often, with what in them.

use crate::clock::Moment;
use crate::forge::{self, ChecksumForm, Mac};
use crate::netns::Namespace;
use crate::packet_socket::{Frame, PacketSocket};
use crate::poll::eventually;
use anyhow::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A captured advert. Fields are as on the wire; nothing is judged but the checksum's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    pub at: Moment,
    pub source_mac: Mac,
    pub destination_mac: Mac,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    pub version: u8,
    pub kind: u8,
    pub vrid: u8,
    pub priority: u8,
    /// Max_Advertise_Interval (v3) or Advertisement_Interval (v2).
    pub interval: Duration,
    pub addresses: Vec<IpAddr>,
    /// Form of the checksum. VRRPv2, and IPv6, have one form: it shows as `Rfc9568` where it is right.
    pub checksum: ChecksumForm,
}

/// A running capture.
#[derive(Debug)]
pub struct AdvertCapture {
    heard: Arc<Mutex<Vec<Advert>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AdvertCapture {
    /// Captures the adverts that pass `interface` of `namespace`, in both directions.
    pub fn start(namespace: &Namespace, interface: &str) -> Result<Self> {
        Ok(Self::capture(PacketSocket::open(namespace, interface)?))
    }

    /// Captures the adverts from one hardware address alone, which a flood of others does not disturb.
    pub fn start_from(namespace: &Namespace, interface: &str, source: Mac) -> Result<Self> {
        let socket = PacketSocket::open(namespace, interface)?;
        socket.only_from(source)?;
        Ok(Self::capture(socket))
    }

    fn capture(socket: PacketSocket) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (heard, stop) = (Arc::clone(&heard), Arc::clone(&stop));
            move || {
                const SLICE: Duration = Duration::from_millis(20);
                while !stop.load(Ordering::Relaxed) {
                    let Ok(Some(frame)) = socket.receive(SLICE) else { continue };
                    if let Some(advert) = parse(&frame) {
                        heard.lock().unwrap_or_else(PoisonError::into_inner).push(advert);
                    }
                }
            }
        });
        AdvertCapture { heard, stop, thread: Some(thread) }
    }

    /// All adverts so far, oldest first.
    pub fn all(&self) -> Vec<Advert> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adverts captured since `moment`.
    pub fn since(&self, moment: Moment) -> Vec<Advert> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|advert| advert.at >= moment).cloned().collect()
    }

    /// Waits for an advert after `moment` that `wanted` accepts.
    pub fn wait_for(
        &self,
        what: &str,
        moment: Moment,
        deadline: Duration,
        wanted: impl Fn(&Advert) -> bool,
    ) -> Result<Advert> {
        eventually(what, deadline, || self.since(moment).into_iter().find(|advert| wanted(advert)))
    }

    /// The longest time between two adverts of `source` between the moments, both ends included.
    pub fn longest_gap(&self, source: IpAddr, from: Moment, to: Moment) -> Duration {
        let mut last = from;
        let mut longest = Duration::ZERO;
        let own = self.since(from).into_iter().filter(|advert| advert.source == source && advert.at <= to);
        for at in own.map(|advert| advert.at).chain([to]) {
            longest = longest.max(at.since(last));
            last = at;
        }
        longest
    }
}

impl Drop for AdvertCapture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads a frame as an advert; `None` if it is none or is cut short.
pub fn parse(frame: &Frame) -> Option<Advert> {
    const VRRP: u8 = 112;
    let bytes = &frame.bytes;
    let (source, destination, ttl, message): (IpAddr, IpAddr, u8, &[u8]) = match bytes.get(12..14)? {
        [0x08, 0x00] => {
            let header = bytes.get(14..34).filter(|header| header[9] == VRRP)?;
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let begin = 14 + usize::from(header[0] & 0xf) * 4;
            let address = |at: usize| Some(Ipv4Addr::from(*header[at..].first_chunk::<4>()?));
            (address(12)?.into(), address(16)?.into(), header[8], bytes.get(begin..14 + length)?)
        }
        [0x86, 0xdd] => {
            let header = bytes.get(14..54).filter(|header| header[6] == VRRP)?;
            let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
            let address = |at: usize| Some(Ipv6Addr::from(*header[at..].first_chunk::<16>()?));
            (address(8)?.into(), address(24)?.into(), header[7], bytes.get(54..54 + length)?)
        }
        _ => return None,
    };
    let head = message.get(..8)?;
    let version = head[0] >> 4;
    let interval = match version {
        2 => Duration::from_secs(head[5].into()),
        _ => Duration::from_millis(10 * u64::from(u16::from_be_bytes([head[4], head[5]]) & 0xfff)),
    };
    Some(Advert {
        at: frame.at,
        source_mac: *bytes[6..].first_chunk()?,
        destination_mac: *bytes.first_chunk()?,
        source,
        destination,
        ttl,
        version,
        kind: head[0] & 0xf,
        vrid: head[1],
        priority: head[2],
        interval,
        addresses: addresses(source.is_ipv4(), message, head[3]),
        checksum: checksum_form(version, source, destination, message),
    })
}

fn addresses(is_ipv4: bool, message: &[u8], count: u8) -> Vec<IpAddr> {
    let list = &message[8..];
    let count = usize::from(count);
    if is_ipv4 {
        list.as_chunks::<4>().0.iter().take(count).map(|octets| Ipv4Addr::from(*octets).into()).collect()
    } else {
        list.as_chunks::<16>().0.iter().take(count).map(|octets| Ipv6Addr::from(*octets).into()).collect()
    }
}

fn checksum_form(version: u8, source: IpAddr, destination: IpAddr, message: &[u8]) -> ChecksumForm {
    const VRRP: u8 = 112;
    let pseudo = forge::pseudo_header(source, destination, VRRP, message.len());
    let plain = forge::checksum(&[], message) == 0;
    let full = forge::checksum(&pseudo, message) == 0;
    let one_form = version == 2 || source.is_ipv6();
    match (one_form, if source.is_ipv6() { full } else { plain }, full) {
        (_, true, _) => ChecksumForm::Rfc9568,
        (false, false, true) => ChecksumForm::Rfc5798,
        _ => ChecksumForm::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::AdvertSpec;

    const SOURCE_MAC: Mac = [2, 0, 0, 0, 0, 9];

    fn captured(spec: &AdvertSpec) -> Advert {
        parse(&Frame { at: Moment::now(), bytes: spec.frame(), outgoing: false }).unwrap()
    }

    #[test]
    fn what_is_forged_is_read_back() {
        let vip: IpAddr = "192.0.2.1".parse().unwrap();
        let spec = AdvertSpec::v3("192.0.2.11".parse().unwrap(), SOURCE_MAC, 51, 200, &[vip]);
        let advert = captured(&spec);
        assert_eq!(
            (advert.version, advert.kind, advert.vrid, advert.priority, advert.ttl),
            (3, 1, 51, 200, 255)
        );
        assert_eq!((advert.interval, advert.addresses), (Duration::from_secs(1), vec![vip]));
        assert_eq!((advert.source_mac, advert.checksum), (SOURCE_MAC, ChecksumForm::Rfc9568));
    }

    #[test]
    fn the_checksum_forms_are_told_apart() {
        let vip: IpAddr = "192.0.2.1".parse().unwrap();
        let mut spec = AdvertSpec::v3("192.0.2.11".parse().unwrap(), SOURCE_MAC, 51, 200, &[vip]);
        for form in [ChecksumForm::Rfc9568, ChecksumForm::Rfc5798, ChecksumForm::Wrong] {
            spec.checksum = form;
            assert_eq!(captured(&spec).checksum, form);
        }
    }

    #[test]
    fn version_2_and_ipv6_have_one_right_form() {
        let v2 = AdvertSpec::v2(
            "192.0.2.11".parse().unwrap(),
            SOURCE_MAC,
            51,
            100,
            &["192.0.2.1".parse().unwrap()],
        );
        assert_eq!(
            (captured(&v2).checksum, captured(&v2).interval),
            (ChecksumForm::Rfc9568, Duration::from_secs(1))
        );
        let v6 =
            AdvertSpec::v3("fe80::11".parse().unwrap(), SOURCE_MAC, 51, 100, &["fe80::1".parse().unwrap()]);
        assert_eq!(captured(&v6).checksum, ChecksumForm::Rfc9568);
        assert_eq!(captured(&v6).addresses, v6.addresses);
    }

    #[test]
    fn a_cut_advert_is_not_read() {
        let mut spec = AdvertSpec::v3("192.0.2.11".parse().unwrap(), SOURCE_MAC, 51, 200, &[]);
        spec.truncate = Some(7);
        assert!(parse(&Frame { at: Moment::now(), bytes: spec.frame(), outgoing: false }).is_none());
    }
}
