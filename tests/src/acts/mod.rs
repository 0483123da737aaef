//! Short plays on a stage of their own: a setting at work, from the blow to calm, and what the hosts notice of it.
//!
//! Each act builds its lab, starts real daemons, and ends them. It judges what it saw; showing it is the caller's part.

mod bandwidth;
mod flap_storm;
mod link_pair;
mod peers;
mod stage;

use anyhow::Result;

/// What can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The Active is lost to everyone; its peer finds out by checks of three speeds.
    Peers,
    /// The link of the primary, which lies inline, comes and goes until it latches into bypass.
    FlapStorm,
    /// The Active goes on answering for the address and passes nothing on.
    Bandwidth,
    /// A port of the Active's link pair loses its carrier, and gets it back.
    LinkPair,
}

impl Act {
    pub const ALL: [Act; 4] = [Act::Peers, Act::FlapStorm, Act::Bandwidth, Act::LinkPair];

    pub fn name(self) -> &'static str {
        match self {
            Act::Peers => "peers",
            Act::FlapStorm => "flap-storm",
            Act::Bandwidth => "bandwidth",
            Act::LinkPair => "link-pair",
        }
    }

    /// What happens, in one line.
    pub fn heading(self) -> &'static str {
        match self {
            Act::Peers => {
                "a node is lost; adverts every 1s, its peer checks it and takes over at three misses"
            }
            Act::FlapStorm => {
                "a primary between two segments loses its link again and again: bypass, and a second gateway serves"
            }
            Act::Bandwidth => "the Active answers for the address and passes nothing on",
            Act::LinkPair => "a port of the Active's link pair loses its carrier, and gets it back",
        }
    }
}

impl std::str::FromStr for Act {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Act::ALL.into_iter().find(|act| act.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Act::ALL.iter().map(|act| act.name()).collect();
            format!("unknown act {name:?}; known are {}", known.join(", "))
        })
    }
}

/// What an act did to the hosts.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ActReport {
    pub act: Act,
    pub scenes: Vec<Scene>,
    /// Lines of `holdfast status` that show it.
    pub status: Vec<String>,
    /// What kept the act from its end.
    pub error: Option<String>,
    pub passed: bool,
}

/// A part of an act, from one event to calm. Times in milliseconds.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Scene {
    pub name: String,
    /// The gateway it happened to.
    pub node: &'static str,
    /// The gateway that is Active afterwards.
    pub active: &'static str,
    pub outage_ms: f64,
    pub sent: usize,
    pub lost: usize,
    /// Milliseconds with two answering owners, on the worse side.
    pub contested_ms: usize,
    /// What the gateways concerned say of it, the new owner last.
    pub reasons: Vec<Reason>,
    /// Further figures, in words.
    pub figures: Vec<String>,
    /// What is not as it must be.
    pub faults: Vec<String>,
}

/// Why a gateway changed its role.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Reason {
    pub node: &'static str,
    /// As status names it.
    pub cause: String,
    /// As `holdfast why` puts it.
    pub why: String,
}

/// Called with what happens next, for a live view.
pub type Tell<'a> = &'a mut dyn FnMut(&str);

/// What an act gathers on its way; it is shown even if the act breaks off.
#[derive(Debug, Default)]
pub(crate) struct Script {
    scenes: Vec<Scene>,
    status: Vec<String>,
}

/// Plays an act. It has not passed if it broke off or if anything is not as it must be.
pub fn play(act: Act, tell: Tell<'_>) -> ActReport {
    let mut script = Script::default();
    let played: Result<()> = match act {
        Act::Peers => peers::play(&mut script, tell),
        Act::FlapStorm => flap_storm::play(&mut script, tell),
        Act::Bandwidth => bandwidth::play(&mut script, tell),
        Act::LinkPair => link_pair::play(&mut script, tell),
    };
    let error = played.err().map(|error| format!("{error:#}"));
    let passed = error.is_none() && script.scenes.iter().all(|scene| scene.faults.is_empty());
    ActReport { act, scenes: script.scenes, status: script.status, error, passed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_read_by_name() {
        for act in Act::ALL {
            assert_eq!(act.name().parse(), Ok(act));
        }
        assert!("tragedy".parse::<Act>().unwrap_err().contains("flap-storm"));
    }
}
