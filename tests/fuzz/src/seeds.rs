//! Where the fuzzer begins: the conformance vectors and one of everything that is written, in each target's own form.

use ha_common::maps::values::Head;
use ha_common::ring_events::{AdvertEvent, PeerEvent};
use ha_common::wire::probe::{MAGIC, Message, VERSION, kind};
use holdfast::config::schema::{Kind, SECTIONS};
use holdfast::effects::frames::{AdvertContent, MacAddress, announcement};
use holdfast_engine::{ChecksumForm, Duration, Version};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// VRRP messages of the conformance vectors T1 to T7.
const MESSAGES_V4: &[&str] = &[
    "213364010001b8c8c00002010000000000000000",
    "313364010064a865c0000201",
    "31336401006405cbc0000201",
    "3133000100640c66c0000201",
    "31330001006469cbc0000201",
    "3133c8020fff72c6c0000201c0000202",
    "3133c8020fffd027c0000201c0000202",
    "31336401f064b864c0000201",
];
const MESSAGE_V6: &str = "3133640200643febfe80000000000000000000000000000120010db8000000000000000000000001";
const HEADER_V4: &str = "45c000000000000000ff700000c000020be0000012";
const HEADER_V6: &str = "60000000002870fffe800000000000000000000000000011ff020000000000000000000000000012";

/// The seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "frames" => frames(),
        "adverts" => adverts(),
        "own_frames" => own_frames(),
        "probes" => probes(),
        "ring_records" => ring_records(),
        "engine_inputs" => engine_inputs(),
        "netlink_events" => NETLINK.iter().map(|text| hex(text)).collect(),
        "control_requests" => texts(REQUESTS),
        "control_answers" => texts(ANSWERS),
        "configuration" => texts(CONFIGURATIONS),
        "quantities" => texts(QUANTITIES),
        "flap_latch" => texts(FLAPS),
        "address_record" => texts(ADDRESSES),
        "incarnation" => texts(&["{\"format\":1,\"starts\":1700000000}", "{\"format\":2,\"starts\":1}"]),
        "journal" => vec![JOURNAL.join("\n").into_bytes()],
        _ => Vec::new(),
    }
}

/// Words that an input of the target is made of; the fuzzer puts them in where it sees fit.
pub fn dictionary(target: &str) -> BTreeSet<String> {
    let seeds = of(target);
    let texts = seeds.iter().filter_map(|seed| std::str::from_utf8(seed).ok());
    // Every second piece between quotation marks is a quoted one.
    let mut words: BTreeSet<String> =
        texts.flat_map(|text| text.split('"').skip(1).step_by(2)).map(str::to_owned).collect();
    if target == "configuration" {
        for section in SECTIONS {
            words.insert(format!("\n{}\n", section.header()));
            for setting in section.settings {
                words.insert(format!("\n{} = ", setting.key));
                if let Kind::Choice { options, .. } = setting.kind {
                    words.extend(options.iter().map(|option| format!("\"{option}\"")));
                }
            }
        }
    }
    words.retain(|word| !word.is_empty() && word.is_ascii());
    words
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    digits.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// An IPv4 packet to the group; its header checksum is left to the target.
fn packet_v4(message: &[u8]) -> Vec<u8> {
    let mut packet = hex("45c0000000000000ff700000c000020be0000012");
    packet.extend_from_slice(message);
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet
}

fn content(version: Version, v6: bool) -> AdvertContent {
    let parse = |text: &str| text.parse::<IpAddr>().unwrap_or(IpAddr::from([0; 4]));
    let (addresses, source) = if v6 {
        (vec![parse("fe80::1"), parse("2001:db8::1")], parse("fe80::11"))
    } else {
        (vec![parse("192.0.2.1")], parse("192.0.2.11"))
    };
    let interval = Duration::from_secs(1);
    AdvertContent { version, vrid: 51, addresses, interval, source, checksum: ChecksumForm::Rfc9568 }
}

fn frames() -> Vec<Vec<u8>> {
    let mac = MacAddress([2, 0, 0, 0, 0, 0x0b]);
    let adverts = [(Version::V3, false), (Version::V2, false), (Version::V3, true)];
    let adverts =
        adverts.iter().filter_map(|(version, v6)| content(*version, *v6).multicast_frame(100, mac).ok());
    let announced = [IpAddr::from([192, 0, 2, 1]), content(Version::V3, true).addresses[0]];
    let mut frames: Vec<Vec<u8>> =
        adverts.chain(announced.map(|address| announcement(mac, address))).collect();
    let tagged = |frame: &[u8], tags: &str| [&frame[..12], &hex(tags), &frame[12..]].concat();
    frames.push(tagged(&frames[0], "8100e033"));
    frames.push(tagged(&frames[3], "88a80007810000c9"));
    frames.push(tagged(&frames[2], "8100000181000002810000030"));
    let mut fragment = frames[0].clone();
    fragment[20] = 0x20;
    frames.push(fragment);
    let probe = [
        hex("02000000000a02000000000b080045000074000040"),
        vec![0],
        hex("ff110000c000020bc000020a21a421a400680000"),
    ];
    frames.push([probe.concat(), vec![0x48; 96]].concat());
    let mut extended = frames[2].clone();
    extended[20] = 43;
    frames.push(extended);
    frames
}

fn adverts() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, message) in MESSAGES_V4.iter().enumerate() {
        let kind = if number == 0 { 2 } else { 0 };
        let with_pseudo_header = if [2, 4, 6].contains(&number) { 7 } else { 3 };
        for flags in [0, 1, 4] {
            seeds.push([vec![kind, flags, with_pseudo_header, 0x80], packet_v4(&hex(message))].concat());
        }
    }
    for flags in [0, 2, 8] {
        seeds.push([vec![1, flags, 0, 0], hex(HEADER_V6), hex(MESSAGE_V6)].concat());
    }
    seeds.push([vec![0, 0, 0, 0], hex(HEADER_V4)].concat());
    seeds
}

fn own_frames() -> Vec<Vec<u8>> {
    let mac = hex("02000000000b");
    let announce = |kind: u8, address: &str| [vec![kind], mac.clone(), hex(address)].concat();
    let advertise = |kind: u8, rest: &str| [vec![kind], mac.clone(), hex(rest)].concat();
    vec![
        announce(0, "c0000201"),
        announce(2, "fe800000000000000000000000000001"),
        advertise(1, "330064c000020b0001c000020164"),
        advertise(17, "330064c000020b0002c0000201c000020264"),
        advertise(5, "330064c000020b0001c000020164"),
        advertise(3, "330064fe8000000000000000000000000000110001fe80000000000000000000000000000164"),
        advertise(9, "33000000003b9aca00c000020b0001c000020164"),
    ]
}

fn probes() -> Vec<Vec<u8>> {
    let kinds = [kind::REQUEST, kind::REPLY, kind::CHALLENGE, kind::ADDRESS];
    let message = |kind| Message {
        magic: MAGIC,
        version: VERSION,
        kind,
        key_id: 0x4b95,
        cluster: 0x2d0d_58d1,
        from: 1,
        to: 2,
        prober_incarnation: 0x6553_f100_1234_5678,
        sequence: 0x21,
        t1_ns: 7_000_000_000,
        ..Message::default()
    };
    let front = hex("000102030405060708090a0b0c0d0e0f00070021a4");
    let seed = |kind| [front.as_slice(), bytemuck::bytes_of(&message(kind))].concat();
    kinds.map(seed).to_vec()
}

fn ring_records() -> Vec<Vec<u8>> {
    let advert = AdvertEvent {
        at_ns: 7_000_000_000,
        epoch: 5,
        source: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 11],
        router: 7,
        ifindex: 5,
        interval: 100,
        flags: 1,
        priority: 100,
        version: 3,
        checksum: 1,
        address_count: 1,
        head: Head::of::<AdvertEvent>(),
        reserved: 0,
    };
    let peer = PeerEvent {
        at_ns: 7_000_000_000,
        owned_before: 0,
        owned: 1,
        head: Head::of::<PeerEvent>(),
        peer: 1,
        path: 2,
        kind: 1,
        reserved: 0,
    };
    let stale = PeerEvent { head: Head { version: 1, size: 40 }, ..peer };
    [bytemuck::bytes_of(&advert), bytemuck::bytes_of(&peer), bytemuck::bytes_of(&stale)]
        .map(<[u8]>::to_vec)
        .to_vec()
}

fn engine_inputs() -> Vec<Vec<u8>> {
    let node = hex("000001000000000000006364000063640000636400");
    let heard = hex("000064010000000bc8006400000000000000000101");
    let report = hex("05000a01000000c9000000000000000100000000000000010203e8006464");
    vec![
        [node.clone(), heard.clone(), heard.clone()].concat(),
        [node.clone(), hex("000fff"), report, heard].concat(),
        [node, hex("7f0fff01017f0fff0203")].concat(),
    ]
}

/// RTM_NEWLINK of `lan0` (index 9), RTM_NEWADDR of 192.0.2.10/24 and of fe80::10/64 on it, RTM_DELLINK.
const NETLINK: &[&str] = &[
    concat!(
        "40000000100000000000000000000000",
        "00000100090000004310010000000000",
        "090003006c616e3000000000",
        "08000400dc050000",
        "0a0001000200000000010000",
        "28000000140000000000000000000000",
        "0218000009000000",
        "08000200c000020a",
        "08000100c000020a"
    ),
    concat!(
        "40000000100000000000000000000000",
        "00000100090000004310010000000000",
        "090003006c616e3000000000",
        "08000400dc050000",
        "0a0001000200000000010000",
        "2c000000140000000000000000000000",
        "0a4080fd09000000",
        "14000100fe800000000000000000000000000010"
    ),
    // With IFLA_LINKINFO: kind "vlan", number 7, on interface 4.
    concat!(
        "50000000100000000000000000000000",
        "00000100090000004310010000000000",
        "0b0003006c616e302e370000",
        "0800050004000000",
        "1c001200",
        "09000100766c616e00000000",
        "0c000200",
        "0600010007000000"
    ),
    "2000000011000000000000000000000000000100090000000000000000000000",
];

const REQUESTS: &[&str] = &[
    "{\"request\":\"status\"}\n",
    "{\"request\":\"events\",\"follow\":true,\"since\":7}",
    "{\"request\":\"why\",\"router\":\"lan\"}",
    "{\"request\":\"reload\"}",
    "{\"request\":\"failover\",\"group\":\"gateway\"}",
    "{\"request\":\"maintenance\",\"on\":true}",
    "{\"request\":\"bypass\",\"action\":\"engage\",\"pair\":\"edge\"}",
];

const ANSWERS: &[&str] = &[
    "{\"response\":\"done\",\"message\":\"reloaded\",\"warnings\":[\"x\"]}",
    "{\"response\":\"refused\",\"reason\":\"no\"}",
    "{\"response\":\"missed\",\"events\":3}",
    "{\"response\":\"end-of-events\"}",
    concat!(
        "{\"response\":\"event\",",
        "\"seq\":4,\"at\":\"2023-11-14T22:13:20.000Z\",\"boot_ns\":7,\"event\":\"notice\",\"notice\":\"peer-healthy\",\"peer\":\"gw-b\"}"
    ),
    concat!(
        "{\"response\":\"why\",\"explanations\":[{\"router\":\"lan\",\"sentences\":[\"s\"],\"record\":{\"seq\":4,",
        "\"at\":\"2023-11-14T22:13:20.000Z\",\"boot_ns\":7,\"event\":\"transition\",\"router\":\"lan\",\"from\":\"backup\",",
        "\"to\":\"active\",\"cause\":\"advert-timeout\",\"last_advert_age_ns\":3,\"peer\":\"192.0.2.3\",\"peer_priority\":200,",
        "\"deadline_ns\":3,\"lateness_ns\":1}}]}"
    ),
];

const CONFIGURATIONS: &[&str] = &[
    "[[virtual_router]]\ninterface = \"lan0\"\nvrid = 51\naddresses = [\"192.0.2.1/24\"]\n",
    "[[virtual_router]]\nname = \"six\"\ninterface = \"lan0\"\nvrid = 51\naddresses = [\"fe80::1\", \"2001:db8::1/64\"]\nversion = 3\n\
     priority = 255\nadvertisement_interval = \"250ms\"\npreempt_delay = \"30s\"\nvirtual_mac = true\nstrict = true\n",
    "[node]\nname = \"gw-a\"\nid = 1\nrun_dir = \"/run/h\"\n[ha]\nmode = \"active-passive\"\nprimary = true\n\
     secret_files = [\"/etc/k\"]\ntrust = \"peers\"\n[[peer]]\nname = \"gw-b\"\nid = 2\naddresses = [\"192.0.2.3\"]\n\
     [peer_check]\ninterval = \"100ms\"\nfailure_threshold = 3\n[[virtual_router]]\nname = \"lan\"\ninterface = \"lan0\"\n\
     vrid = 51\naddresses = [\"192.0.2.1/24\"]\ngroup = \"gateway\"\n",
    "[flaps]\nmaximum_allowed = 0\nwindow = \"10m\"\nrelease = \"30m\"\n[bandwidth]\nenabled = true\nminimum = \"10Mbps\"\n\
     [links]\nminimum_active_pairs = 1\n[[link]]\ninterface = \"wan0\"\n[[link_pair]]\nname = \"edge\"\ninside = \"lan0\"\n\
     outside = \"wan0\"\n[bypass]\ndriver = \"xdp\"\ntopology = \"inline\"\nwatchdog = \"2s\"\n\
     [[virtual_router]]\ninterface = \"lan0\"\nvrid = 51\nversion = 2\naddresses = [\"192.0.2.1/24\"]\n",
    "[[check]]\nname = \"dns\"\nkind = \"http\"\nurl = \"http://[2001:db8::1]:80/x\"\nstatus = [200]\nweight = -20\n\
     [[check]]\nname = \"c\"\nkind = \"command\"\ncommand = [\"/bin/true\"]\n[[check]]\nname = \"t\"\nkind = \"tcp\"\n\
     address = \"192.0.2.9:53\"\n[[virtual_router]]\ninterface = \"lan0\"\nvrid = 1\naddresses = [\"192.0.2.1\"]\n",
    "[bypass]\ndriver = \"sysfs\"\ncontrol_path = \"/sys/{device}/bypass\"\nengage_value = \"1\"\nrelease_value = \"0\"\n\
     read_path = \"/sys/{device}/state\"\nengaged_readings = [\"on\"]\nreleased_readings = [\"off\"]\n",
    "[[virtual_router]]\ninterfac = \"lan0\"\nvrid = 0x33\naddresses = [\"192.0.2.1/33\"]\nadvertisement_interval = 1\n",
];

const QUANTITIES: &[&str] =
    &["250ms", "40.95s", "1m 30s", "10Mbps", "1.5Gbps", "800 kbps", "0s", "7ns", "1bps", "2Tbps", "3us"];

const FLAPS: &[&str] = &[
    "{\"saved_at_unix\":1800000000,\"latch\":null,\"flap_ages\":[],\"last_move_age\":null,\"owned\":[],\"lost\":[]}",
    concat!(
        "{\"saved_at_unix\":1799999000,\"latch\":{\"age\":60000000000,\"reason\":{\"flaps\":4,\"maximum_allowed\":3,",
        "\"window\":600000000000}},\"flap_ages\":[5000000000,1000000000],\"last_move_age\":1000000000,\"owned\":[1,2],",
        "\"lost\":[3]}"
    ),
];

const ADDRESSES: &[&str] = &[concat!(
    "{\"format\":1,\"origin\":{\"boot\":\"b\",\"namespace\":\"net:[4026531840]\"},\"routers\":{\"lan\":{\"interface\":",
    "\"lan0\",\"ifindex\":9,\"macvlan\":\"vrrp.51\",\"addresses\":[{\"address\":\"192.0.2.1\",\"prefix\":24}]}},\"sysctls\":",
    "[{\"path\":\"ipv4/conf/lan0/arp_ignore\",\"before\":\"0\",\"set\":\"1\"}]}"
)];

const JOURNAL: &[&str] = &[
    concat!(
        "{\"seq\":1,\"at\":\"2023-11-14T22:13:20.000Z\",\"boot_ns\":7,\"event\":\"transition\",\"router\":\"lan\",\"from\":",
        "\"backup\",\"to\":\"active\",\"cause\":\"preemption\",\"last_advert_age_ns\":null,\"peer\":\"fe80::1\",",
        "\"peer_priority\":200,\"deadline_ns\":null,\"lateness_ns\":0}"
    ),
    concat!(
        "{\"seq\":2,\"at\":\"2023-11-14T22:13:20.000Z\",\"boot_ns\":7,\"event\":\"notice\",\"notice\":\"interval-differs\",",
        "\"router\":\"lan\",\"peer\":\"192.0.2.3\",\"interval_ns\":100000000}"
    ),
    "{\"seq\":3,\"at\":\"2023-11-14T22:13:20.000Z\",\"boot_ns\":7,\"event\":\"notice\",\"notice\":\"maintenance\",\"on\":true}",
    "torn",
];
