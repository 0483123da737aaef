//! A kernel on disk: its image and the modules a guest loads, prepared once from Debian's packages and kept.

use super::archive::Archive;
use super::kernels::{Kernel, META_PACKAGE, MODULES};
use crate::process;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a kernel is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KernelFiles {
    /// Debian's version of the package.
    pub(crate) version: String,
    pub(crate) image: PathBuf,
    /// Plain modules, in the order of loading.
    pub(crate) modules: Vec<PathBuf>,
}

const RECORD: &str = "kernel.json";

/// The files of a kernel: those prepared before, unless `refresh` asks for the present ones.
pub(crate) fn prepare(kernel: Kernel, work: &Path, mirror: &str, refresh: bool) -> Result<KernelFiles> {
    let home = work.join("kernels").join(kernel.label());
    let record = home.join(RECORD);
    if let Some(known) = read_record(&record).filter(|_| !refresh) {
        return Ok(known);
    }
    eprintln!("vm-lab: fetching kernel {} from {}", kernel.label(), kernel.suite());
    let archive = Archive::open(&home.join("apt"), mirror, kernel.suite())?;
    let version = archive.newest(META_PACKAGE)?;
    let tree = home.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("removing {}", tree.display()))?;
    }
    fs::create_dir_all(&tree).with_context(|| format!("making {}", tree.display()))?;
    for package in parts(&archive, &version)? {
        archive.unpack(&package, &version, &tree)?;
    }
    let (release, modules_at) = find_modules(&tree)?;
    let files = KernelFiles {
        image: find_image(&tree, &release)?,
        modules: collect_modules(&tree, &release, &modules_at, &home.join("modules"))?,
        version,
    };
    fs::write(&record, serde_json::to_string_pretty(&files)?)
        .with_context(|| format!("writing {}", record.display()))?;
    eprintln!("vm-lab: kernel {} is {release} ({})", kernel.label(), files.version);
    Ok(files)
}

fn read_record(path: &Path) -> Option<KernelFiles> {
    let known: KernelFiles = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    let complete = known.image.is_file() && known.modules.iter().all(|module| module.is_file());
    complete.then_some(known)
}

/// The packages with files of the kernel. Up to 6.12 it is one; later the image depends on its parts.
fn parts(archive: &Archive, version: &str) -> Result<Vec<String>> {
    let named = archive.exact_dependencies(META_PACKAGE, version)?;
    let image = named.into_iter().find(|name| name.starts_with("linux-image-"));
    let image =
        image.with_context(|| format!("{META_PACKAGE} {version} depends on no linux-image package"))?;
    let mut parts = archive.exact_dependencies(&image, version)?;
    parts.push(image);
    Ok(parts)
}

/// Release and directory of the modules.
fn find_modules(tree: &Path) -> Result<(String, PathBuf)> {
    for place in ["lib/modules", "usr/lib/modules"] {
        let Ok(mut entries) = fs::read_dir(tree.join(place)) else { continue };
        if let Some(Ok(entry)) = entries.next() {
            return Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    bail!("the kernel's packages brought no modules into {}", tree.display())
}

fn find_image(tree: &Path, release: &str) -> Result<PathBuf> {
    let places = [
        tree.join("boot").join(format!("vmlinuz-{release}")),
        tree.join("usr/lib/modules").join(release).join("vmlinuz"),
    ];
    places
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| format!("the packages of {release} brought no kernel image into {}", tree.display()))
}

/// Copies the wanted modules, decompressed and numbered in the order of loading.
fn collect_modules(tree: &Path, release: &str, at: &Path, into: &Path) -> Result<Vec<PathBuf>> {
    let base = at.ancestors().nth(3).unwrap_or(tree);
    process::output(Command::new("depmod").arg("--basedir").arg(base).arg(release))?;
    let table = at.join("modules.dep");
    let table = fs::read_to_string(&table).with_context(|| format!("reading {}", table.display()))?;
    if into.exists() {
        fs::remove_dir_all(into).with_context(|| format!("removing {}", into.display()))?;
    }
    fs::create_dir_all(into).with_context(|| format!("making {}", into.display()))?;
    let mut modules = Vec::new();
    for (number, path) in load_order(&table, &MODULES).iter().enumerate() {
        let source = at.join(path);
        let target = into.join(format!("{number:02}-{}.ko", module_name(path)));
        let content = plain_module(&source)?;
        fs::write(&target, content).with_context(|| format!("writing {}", target.display()))?;
        modules.push(target);
    }
    Ok(modules)
}

fn plain_module(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("reading {}", path.display())),
    };
    let output = Command::new(program).args(["--decompress", "--stdout"]).arg(path).output();
    let output = output.with_context(|| format!("starting {program} for {}", path.display()))?;
    anyhow::ensure!(output.status.success(), "{program} could not decompress {}", path.display());
    Ok(output.stdout)
}

/// `kernel/drivers/net/virtio_net.ko.xz` as `virtio_net`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// Paths of the wanted modules and of all they need, dependencies first. A line of the table has a module and its
/// dependencies, the nearest first.
fn load_order(table: &str, wanted: &[&str]) -> Vec<String> {
    let entries: BTreeMap<String, (&str, Vec<&str>)> = table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, needs)| (module_name(path), (path, needs.split_whitespace().collect())))
        .collect();
    let mut order: Vec<String> = Vec::new();
    for (path, needs) in wanted.iter().filter_map(|name| entries.get(*name)) {
        for path in needs.iter().rev().chain([path]) {
            if !order.iter().any(|known| known == path) {
                order.push((*path).to_owned());
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_loaded_first_and_once() {
        let table = "kernel/net/llc/llc.ko:\n\
                     kernel/net/802/stp.ko: kernel/net/llc/llc.ko\n\
                     kernel/net/bridge/bridge.ko.xz: kernel/net/802/stp.ko kernel/net/llc/llc.ko\n\
                     kernel/drivers/char/hw_random/virtio-rng.ko:\n";
        let order = load_order(table, &["bridge", "not_there", "virtio_rng", "llc"]);
        assert_eq!(
            order,
            [
                "kernel/net/llc/llc.ko",
                "kernel/net/802/stp.ko",
                "kernel/net/bridge/bridge.ko.xz",
                "kernel/drivers/char/hw_random/virtio-rng.ko"
            ]
        );
    }
}
