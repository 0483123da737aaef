//! What a sound configuration needs from this host: secret files and interfaces. Reads, never changes anything.

use super::validated::Config;
use super::{Lines, Problem};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
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
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return unreadable(error),
    };
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return unreadable(error),
    };
    if !metadata.is_file() {
        return Some((format!("{shown} is not a file"), "name the file with the secret".to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS_MASK != 0 {
        return Some((format!("{shown} has mode {mode:04o}"), format!("run `chmod 0600 {shown}`")));
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
        assert_eq!(problem, (format!("{shown} has mode 0644"), format!("run `chmod 0600 {shown}`")));

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
            format!("{} is not a file", directory.path().display())
        );
    }
}
