//! The targets, one file per room whose parsers they hold to their word.

mod adverts;
mod configuration;
mod control;
mod frames;
mod kernel_records;
mod netlink;
mod own_frames;
mod probes;
mod state_files;

/// A function over bytes that panics when a property is broken.
#[derive(Debug)]
pub struct Target {
    /// Also the name of its corpus.
    pub name: &'static str,
    /// Longest input worth trying, bytes.
    pub longest: usize,
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "frames", longest: 512, run: frames::run },
    Target { name: "adverts", longest: 1500, run: adverts::run },
    Target { name: "own_frames", longest: 512, run: own_frames::run },
    Target { name: "probes", longest: 256, run: probes::run },
    Target { name: "ring_records", longest: 64, run: kernel_records::ring },
    Target { name: "engine_inputs", longest: 1024, run: kernel_records::engine_inputs },
    Target { name: "netlink_events", longest: 2048, run: netlink::run },
    Target { name: "control_requests", longest: 4096, run: control::requests },
    Target { name: "control_answers", longest: 4096, run: control::answers },
    Target { name: "configuration", longest: 4096, run: configuration::file },
    Target { name: "quantities", longest: 64, run: configuration::quantities },
    Target { name: "flap_latch", longest: 2048, run: state_files::flap_latch },
    Target { name: "address_record", longest: 2048, run: state_files::address_record },
    Target { name: "incarnation", longest: 128, run: state_files::incarnation },
    Target { name: "journal", longest: 4096, run: state_files::journal },
];

/// The target called `name`.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
