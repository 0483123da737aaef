//! Debian's archive through apt, with sources, lists and downloads of our own: the host's packages are neither looked at
//! nor changed, its proxies and credentials for mirrors are used.

use crate::process;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where packages come from unless the host or the caller says otherwise.
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const HOST_SOURCES: &str = "/etc/apt/sources.list";
const HOST_SOURCE_PARTS: &str = "/etc/apt/sources.list.d";

/// A suite of a mirror.
#[derive(Debug)]
pub(crate) struct Archive {
    root: PathBuf,
}

/// The mirror the host itself uses for Debian; Debian's own where there is none.
pub(crate) fn host_mirror() -> String {
    let mut files = vec![PathBuf::from(HOST_SOURCES)];
    if let Ok(entries) = fs::read_dir(HOST_SOURCE_PARTS) {
        let mut parts: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        files.extend(parts.into_iter().filter(|path| {
            path.extension().is_some_and(|extension| extension == "list" || extension == "sources")
        }));
    }
    let texts = files.iter().filter_map(|path| fs::read_to_string(path).ok());
    texts.into_iter().find_map(|text| mirror_in(&text)).unwrap_or_else(|| DEFAULT_MIRROR.to_owned())
}

/// The first address of Debian's main archive in a sources file of either form.
fn mirror_in(text: &str) -> Option<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.contains("://") && word.ends_with("/debian"))
        .map(str::to_owned)
}

impl Archive {
    /// Prepares `root` and fetches the suite's list.
    pub(crate) fn open(root: &Path, mirror: &str, suite: &str) -> Result<Self> {
        for directory in
            ["sources", "preferences", "state/lists/partial", "cache/archives/partial", "packages"]
        {
            let path = root.join(directory);
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        }
        let sources = format!(
            "Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nArchitectures: amd64\nTargets: Packages\n\
             Signed-By: {KEYRING}\n"
        );
        for (name, content) in [
            ("sources/debian.sources", sources),
            ("apt.conf", configuration(root)),
            ("status", String::new()),
        ] {
            let path = root.join(name);
            fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        }
        let archive = Archive { root: root.to_owned() };
        process::output(archive.apt("apt-get").args(["--quiet", "update"])).with_context(|| {
            format!(
                "the packages of {suite} could not be listed from {mirror}: is there a network? `--mirror` names \
                 another place"
            )
        })?;
        Ok(archive)
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        apt.env("LC_ALL", "C").arg("--config-file").arg(self.root.join("apt.conf"));
        apt
    }

    /// The highest version of a package.
    pub(crate) fn newest(&self, package: &str) -> Result<String> {
        let shown = process::output(self.apt("apt-cache").args(["madison", package]))?;
        let mut newest: Option<String> = None;
        for version in shown.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim) {
            if newest.as_deref().is_none_or(|known| is_newer(version, known)) {
                newest = Some(version.to_owned());
            }
        }
        newest.with_context(|| format!("{package}: no such package; `--mirror` names another archive"))
    }

    /// Names of the packages that a version of a package depends on in exactly that version.
    pub(crate) fn exact_dependencies(&self, package: &str, version: &str) -> Result<Vec<String>> {
        let shown = process::output(self.apt("apt-cache").args(["show", &format!("{package}={version}")]))?;
        Ok(exact_dependencies(&shown, version))
    }

    /// Fetches a package, verified by its list, and unpacks it into `into`.
    pub(crate) fn unpack(&self, package: &str, version: &str, into: &Path) -> Result<()> {
        let packages = self.root.join("packages");
        let mut download = self.apt("apt-get");
        download.current_dir(&packages).args(["--quiet", "download", &format!("{package}={version}")]);
        process::output(&mut download)?;
        let prefix = format!("{package}_");
        for entry in fs::read_dir(&packages).with_context(|| format!("reading {}", packages.display()))? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)) {
                process::output(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(into))?;
                return fs::remove_file(&path).with_context(|| format!("removing {}", path.display()));
            }
        }
        bail!("apt-get downloaded {package} but {} does not have it", packages.display())
    }
}

/// Overrides the host's apt configuration in all that would touch the host or bring more than lists of packages.
fn configuration(root: &Path) -> String {
    let root = root.display();
    format!(
        "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n#clear DPkg::Post-Invoke;\n\
         Dir::State \"{root}/state\";\nDir::State::status \"{root}/status\";\n\
         Dir::Cache \"{root}/cache\";\nDir::Cache::pkgcache \"pkgcache.bin\";\n\
         Dir::Cache::srcpkgcache \"srcpkgcache.bin\";\n\
         Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{root}/sources\";\n\
         Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"{root}/preferences\";\n\
         APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\nAcquire::Languages \"none\";\n\
         APT::Sandbox::User \"root\";\nAPT::Update::Error-Mode \"any\";\n"
    )
}

fn is_newer(version: &str, than: &str) -> bool {
    Command::new("dpkg")
        .args(["--compare-versions", version, "gt", than])
        .status()
        .is_ok_and(|status| status.success())
}

fn exact_dependencies(shown: &str, version: &str) -> Vec<String> {
    let exactly = format!("(= {version})");
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    depends
        .split(", ")
        .filter(|dependency| dependency.ends_with(&exactly))
        .filter_map(|dependency| dependency.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_mirror_is_read_from_both_forms() {
        let list = "# deb http://old.example.org/debian sid main\n\
                    deb [signed-by=/a.gpg] http://mirror.example.org/debian/ bookworm main\n";
        assert_eq!(mirror_in(list).as_deref(), Some("http://mirror.example.org/debian"));
        let stanza = "Types: deb\nURIs: https://mirror.example.org/debian\nSuites: trixie\n";
        assert_eq!(mirror_in(stanza).as_deref(), Some("https://mirror.example.org/debian"));
        let others =
            "deb http://mirror.example.org/ubuntu noble main\nURIs: http://x.example.org/debian-security\n";
        assert_eq!(mirror_in(others), None);
    }

    #[test]
    fn only_dependencies_of_the_same_version_are_parts_of_the_kernel() {
        let shown = "Package: linux-image-7-cloud-amd64\n\
                     Depends: dracut | initramfs-tools (>= 0.120), linux-binary-7 (= 7.2-1), linux-modules-7 (= 7.2-1)\n";
        assert_eq!(exact_dependencies(shown, "7.2-1"), ["linux-binary-7", "linux-modules-7"]);
        assert!(exact_dependencies(shown, "7.3-1").is_empty());
    }
}
