//! What a sound configuration needs from this host: secret files, interfaces and their networks, users of checks.
//! Reads, never changes anything.

use super::validated::{CheckKind, Config};
use super::{Lines, Problem};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Fewest bytes of a cluster secret.
const MIN_SECRET: u64 = 32;
/// Most bytes of a cluster secret that are read; more is a mistaken file.
const MAX_SECRET: u64 = 4096;
/// Permission bits that let anybody but the owner in.
const OTHERS_MASK: u32 = 0o077;

/// Whatever is wrong with the files of `ha.secret_files`: absence, permissions, length.
pub fn secret_problems(config: &Config, lines: &Lines) -> Vec<Problem> {
    let inspect = |(position, file): (usize, &std::path::PathBuf)| {
        let path = format!("ha.secret_files[{position}]");
        let (message, help) = secret_problem(file)?;
        Some(Problem { file: lines.file.clone(), line: lines.of(&path), path, message, help })
    };
    config.ha.secret_files.iter().enumerate().filter_map(inspect).collect()
}

fn secret_problem(path: &Path) -> Option<(String, String)> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        let help = format!(
            "create it with `(umask 077; head -c {MIN_SECRET} /dev/urandom > {shown})` and copy it to every node"
        );
        Some((format!("{shown} cannot be read: {error}"), help))
    };
    // Without waiting: a named pipe would otherwise hold the daemon until somebody writes to it.
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) => return unreadable(error),
    };
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return unreadable(error),
    };
    if !metadata.is_file() {
        return Some((format!("{shown} is not a regular file"), "name the file with the secret".to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS_MASK != 0 {
        return Some((
            format!("{shown} has mode {mode:04o}, which lets others at the secret"),
            format!("run `chmod 0600 {shown}`"),
        ));
    }
    let mut secret = Vec::new();
    if let Err(error) = file.take(MAX_SECRET + 1).read_to_end(&mut secret) {
        return unreadable(error);
    }
    let length = u64::try_from(secret.len()).unwrap_or(u64::MAX);
    if length < MIN_SECRET {
        return Some((
            format!("{shown} has {length} bytes"),
            format!("use {MIN_SECRET} random bytes or more, the same on every node"),
        ));
    }
    (length > MAX_SECRET).then(|| {
        (format!("{shown} has more than {MAX_SECRET} bytes"), "name the file with the secret".to_owned())
    })
}

/// A warning for each configured interface that this host does not have now.
pub fn missing_interfaces(config: &Config, lines: &Lines) -> Vec<Problem> {
    let mut places: BTreeMap<&str, String> = BTreeMap::new();
    for (position, router) in config.virtual_routers.iter().enumerate() {
        places.entry(&router.interface).or_insert(format!("virtual_router[{position}].interface"));
    }
    for (position, pair) in config.link_pairs.iter().enumerate() {
        places.entry(&pair.inside).or_insert(format!("link_pair[{position}].inside"));
        places.entry(&pair.outside).or_insert(format!("link_pair[{position}].outside"));
    }
    for (position, check) in config.checks.iter().enumerate() {
        if let CheckKind::Interface { interface } = &check.kind {
            places.entry(interface).or_insert(format!("check[{position}].interface"));
        }
    }
    let mut problems: Vec<_> = places
        .into_iter()
        .filter(|(interface, _)| nix::net::if_::if_nametoindex(*interface).is_err())
        .map(|(interface, path)| Problem {
            file: lines.file.clone(),
            line: lines.of(&path),
            path,
            message: format!("this host has no interface {interface} now"),
            help: "correct the name, or bring the interface up before the daemon".to_owned(),
        })
        .collect();
    problems.sort_by_key(|problem| problem.line);
    problems
}

/// A network that an interface of this host is in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    interface: String,
    address: IpAddr,
    /// Length of the prefix, bits.
    prefix: u32,
}

impl Network {
    fn holds(&self, other: IpAddr) -> bool {
        let differing_from = match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing_from >= self.prefix
    }

    /// Link-local networks are on every link and tell nothing of where a peer is.
    fn tells_where(&self) -> bool {
        !matches!(self.address, IpAddr::V6(v6) if v6.is_unicast_link_local())
    }
}

/// Networks of this host's interfaces as they are now; empty where they cannot be read.
fn networks() -> Vec<Network> {
    let Ok(addresses) = getifaddrs() else { return Vec::new() };
    addresses
        .filter_map(|found| {
            let (address, mask) = (ip(&found.address?)?, ip(&found.netmask?)?);
            let prefix = match mask {
                IpAddr::V4(mask) => mask.to_bits().leading_ones(),
                IpAddr::V6(mask) => mask.to_bits().leading_ones(),
            };
            Some(Network { interface: found.interface_name, address, prefix })
        })
        .collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// A warning for each peer and interface of a virtual router between which no probe path runs, as far as the
/// interface's addresses of this moment tell.
pub fn peers_without_path(config: &Config, lines: &Lines) -> Vec<Problem> {
    without_path(config, lines, &networks())
}

fn without_path(config: &Config, lines: &Lines, networks: &[Network]) -> Vec<Problem> {
    let interfaces: BTreeSet<&str> =
        config.virtual_routers.iter().map(|router| router.interface.as_str()).collect();
    let mut problems = Vec::new();
    for interface in interfaces {
        let here: Vec<&Network> = networks
            .iter()
            .filter(|network| network.interface == interface && network.tells_where())
            .collect();
        if here.is_empty() {
            continue;
        }
        for (position, peer) in config.peers.iter().enumerate() {
            if peer.addresses.iter().any(|address| here.iter().any(|network| network.holds(*address))) {
                continue;
            }
            let path = format!("peer[{position}].addresses");
            problems.push(Problem {
                file: lines.file.clone(),
                line: lines.of(&path),
                path,
                message: format!(
                    "no address of {} lies in a network of {interface}, so no probe runs where that virtual router's \
                     adverts do",
                    peer.name
                ),
                help: format!("add the peer's address on {interface}"),
            });
        }
    }
    problems
}

/// A warning for each user that a check runs as and this host does not have.
pub fn missing_users(config: &Config, lines: &Lines) -> Vec<Problem> {
    let missing = |(position, check): (usize, &super::validated::Check)| {
        let CheckKind::Command { user, .. } = &check.kind else { return None };
        if !matches!(nix::unistd::User::from_name(user), Ok(None)) {
            return None;
        }
        let path = format!("check[{position}].user");
        Some(Problem {
            file: lines.file.clone(),
            line: lines.of(&path),
            path,
            message: format!("this host has no user {user}, so the check would fail"),
            help: "create it, or name one that exists".to_owned(),
        })
    };
    config.checks.iter().enumerate().filter_map(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    #[test]
    fn secrets_are_judged_by_presence_mode_and_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let shown = path.display();
        assert!(
            secret_problem(&path)
                .unwrap()
                .0
                .ends_with("cannot be read: No such file or directory (os error 2)")
        );

        fs::write(&path, [7; 32]).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let problem = secret_problem(&path).unwrap();
        assert_eq!(
            problem,
            (
                format!("{shown} has mode 0644, which lets others at the secret"),
                format!("run `chmod 0600 {shown}`")
            )
        );

        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(secret_problem(&path), None);
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(secret_problem(&path), None);

        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [7; 31]).unwrap();
        assert_eq!(secret_problem(&path).unwrap().0, format!("{shown} has 31 bytes"));
        fs::write(&path, [7; 5000]).unwrap();
        assert_eq!(secret_problem(&path).unwrap().0, format!("{shown} has more than 4096 bytes"));
        assert_eq!(
            secret_problem(directory.path()).unwrap().0,
            format!("{} is not a regular file", directory.path().display())
        );
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(secret_problem(&pipe).unwrap().0, format!("{} is not a regular file", pipe.display()));
    }

    const WITH_PEERS: &str = "
        [node]
        name = \"gw-a\"
        id = 1
        [ha]
        secret_files = [\"/k\"]
        [[peer]]
        name = \"gw-b\"
        id = 2
        addresses = [\"192.0.2.3\", \"2001:db8:2::3\"]
        [[virtual_router]]
        interface = \"lan0\"
        vrid = 51
        addresses = [\"192.0.2.1/24\"]
        [[virtual_router]]
        interface = \"wan0\"
        vrid = 52
        addresses = [\"198.51.100.1/24\"]
        [[virtual_router]]
        interface = \"dmz0\"
        vrid = 53
        addresses = [\"203.0.113.1/24\"]
    ";

    #[test]
    fn a_peer_without_a_path_over_an_interface_is_named() {
        let loaded = crate::config::parse(WITH_PEERS, "t.toml").unwrap();
        let network = |interface: &str, address: &str, prefix| Network {
            interface: interface.to_owned(),
            address: address.parse().unwrap(),
            prefix,
        };
        let networks = [
            network("lan0", "192.0.2.2", 24),
            network("wan0", "198.51.100.2", 24),
            network("wan0", "fe80::2", 64),
            // Nothing but a link-local address: nothing to judge by.
            network("dmz0", "fe80::2", 64),
        ];
        let shown: Vec<_> =
            without_path(&loaded.config, &loaded.lines, &networks).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "t.toml:10: peer[0].addresses: no address of gw-b lies in a network of wan0, so no probe runs where \
                 that virtual router's adverts do (add the peer's address on wan0)"
            ]
        );
        let reached = [networks[0].clone(), network("wan0", "2001:db8:2::2", 64)];
        assert_eq!(without_path(&loaded.config, &loaded.lines, &reached), []);
    }

    #[test]
    fn a_prefix_decides_what_is_near() {
        let near = |prefix, other: &str| {
            let network = Network { interface: "x".to_owned(), address: "10.1.2.3".parse().unwrap(), prefix };
            network.holds(other.parse().unwrap())
        };
        assert!(near(24, "10.1.2.99") && near(32, "10.1.2.3") && near(0, "192.0.2.1"));
        assert!(!near(24, "10.1.3.3") && !near(32, "10.1.2.4") && !near(0, "2001:db8::1"));
        let six = Network { interface: "x".to_owned(), address: "2001:db8::1".parse().unwrap(), prefix: 65 };
        assert!(six.holds("2001:db8::7fff:0:0:1".parse().unwrap()));
        assert!(!six.holds("2001:db8::8000:0:0:1".parse().unwrap()));
        let loopback = networks().into_iter().find(|network| network.interface == "lo");
        assert!(loopback.is_none_or(|network| network.address.is_loopback()));
    }

    #[test]
    fn users_of_checks_must_exist() {
        let check = |user: &str| {
            format!(
                "[[check]]\nname = \"c\"\nkind = \"command\"\ncommand = [\"/bin/true\"]\nuser = \"{user}\"\n{WITH_PEERS}"
            )
        };
        let shown = |user: &str| {
            let loaded = crate::config::parse(&check(user), "t.toml").unwrap();
            missing_users(&loaded.config, &loaded.lines).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown("root"), [""; 0]);
        assert_eq!(
            shown("no-such-user"),
            [
                "t.toml:5: check[0].user: this host has no user no-such-user, so the check would fail (create it, or \
                 name one that exists)"
            ]
        );
    }
}
