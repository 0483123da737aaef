//! What a guest starts from: an initramfs with the agent as its first process, the product, `ip` and `tc`, the libraries
//! they are linked with, and a kernel's modules. Programs and libraries are this host's.

use super::cpio::Cpio;
use super::kernel_files::KernelFiles;
use crate::process::{self, find};
use crate::workspace::{cargo, target_dir};
use anyhow::{Context, Result};
use holdfast_vm_protocol::{MODULE_DIR, MODULE_LIST};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const GUEST_PACKAGE: &str = "holdfast-vm-guest";
const EXECUTABLE: u32 = 0o755;
const READABLE: u32 = 0o644;
/// Programs of the host that a guest needs, and those that are welcome.
const TOOLS: [&str; 1] = ["ip"];
const OPTIONAL_TOOLS: [&str; 2] = ["tc", "ping"];

/// The programs of all guests.
#[derive(Debug)]
pub(crate) struct Userland {
    /// Path in the guest and content.
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Userland {
    /// Builds the agent and collects everything.
    pub(crate) fn collect(product: &Path, release: bool, work: &Path) -> Result<Self> {
        let agent = build_agent(release)?;
        let mut userland = Userland { files: Vec::new() };
        userland.stripped(&agent, "/init", work)?;
        userland.stripped(product, "/usr/bin/holdfast", work)?;
        for tool in TOOLS {
            let path = find(tool).with_context(|| format!("no {tool} on this host"))?;
            userland.program(&path, &format!("/usr/bin/{tool}"))?;
        }
        for (tool, path) in OPTIONAL_TOOLS.iter().filter_map(|tool| Some((tool, find(tool)?))) {
            userland.program(&path, &format!("/usr/bin/{tool}"))?;
        }
        Ok(userland)
    }

    /// Adds a program of ours without its debug information, which would be most of the image.
    fn stripped(&mut self, source: &Path, path: &str, work: &Path) -> Result<()> {
        let lean = work.join(source.file_name().unwrap_or(source.as_os_str()));
        process::output(Command::new("strip").arg("-o").arg(&lean).arg(source))?;
        self.program(&lean, path)
    }

    /// Adds a program and the libraries it is linked with, these at the paths where the host has them.
    fn program(&mut self, source: &Path, path: &str) -> Result<()> {
        let libraries = process::output(Command::new("ldd").arg(source))?;
        for library in libraries.lines().filter_map(library_path) {
            self.add(Path::new(library), PathBuf::from(library))?;
        }
        self.add(source, PathBuf::from(path))
    }

    fn add(&mut self, source: &Path, path: PathBuf) -> Result<()> {
        if self.files.iter().all(|(known, _)| *known != path) {
            let content = fs::read(source).with_context(|| format!("reading {}", source.display()))?;
            self.files.push((path, content));
        }
        Ok(())
    }

    /// Writes the image for a kernel.
    pub(crate) fn write_image(&self, kernel: &KernelFiles, image: &Path) -> Result<()> {
        let mut archive = Cpio::default();
        for (path, content) in &self.files {
            archive.file(path, EXECUTABLE, content);
        }
        let mut order = String::new();
        for module in &kernel.modules {
            let name = module.file_name().unwrap_or(module.as_os_str()).to_string_lossy();
            let content = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
            archive.file(&Path::new(MODULE_DIR).join(&*name), READABLE, &content);
            order += &format!("{name}\n");
        }
        archive.file(Path::new(MODULE_LIST), READABLE, order.as_bytes());
        fs::write(image, archive.finish()).with_context(|| format!("writing {}", image.display()))
    }
}

fn build_agent(release: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", GUEST_PACKAGE]);
    if release {
        build.arg("--release");
    }
    process::run(&mut build)?;
    Ok(target_dir().join(if release { "release" } else { "debug" }).join(GUEST_PACKAGE))
}

/// The file in a line of `ldd`: `libc.so.6 => /lib/libc.so.6 (0x...)` or `/lib64/ld-linux-x86-64.so.2 (0x...)`.
fn library_path(line: &str) -> Option<&str> {
    let file = line.split_once("=> ").map_or(line, |(_, file)| file).trim();
    file.split(' ').next().filter(|file| file.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        assert_eq!(library_path("\tlibc.so.6 => /lib/libc.so.6 (0x7f)"), Some("/lib/libc.so.6"));
        assert_eq!(library_path("\t/lib64/ld-linux-x86-64.so.2 (0x7f)"), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(library_path("\tlinux-vdso.so.1 (0x7f)"), None);
        assert_eq!(library_path("\tstatically linked"), None);
    }
}
