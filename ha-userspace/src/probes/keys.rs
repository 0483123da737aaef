//! From cluster secrets to the keys of the probe: one key per ordered pair of nodes and secret.
//!
//! Secrets come from files, at most [`KEY_SLOTS`]; the first proves, all are accepted. A secret's bytes live only while its
//! file is read; what is derived is wiped when it is dropped. Nothing here prints or logs a secret or a key.
//!
//! To rotate: add the new secret behind the old one on every node, then put it first everywhere, then drop the old one.

use ha_common::maps::peers::{KEY_SLOTS, MacKey};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Fewest bytes of a secret.
pub const MIN_SECRET: usize = 32;
/// Most bytes of a secret; more is a mistaken file.
pub const MAX_SECRET: usize = 4096;
/// Permission bits that let anybody but the owner in.
const OTHERS_MASK: u32 = 0o077;
/// Name of every cluster, as long as none can be configured: secrets tell clusters apart. It must outlive any secret.
pub const CLUSTER_NAME: &str = "holdfast";
/// Sets our derivations apart from whatever else the same secret may be used for.
const SALT: &[u8] = b"holdfast cluster secret";
/// Version word of the labels; another derivation gets another word.
const VERSION_WORD: &[u8] = b"probe v1";
const KEY_LABEL: &[u8] = b"pair key";
const KEY_ID_LABEL: &[u8] = b"key id";
/// Bytes of an extracted secret: those of SHA-256.
const EXTRACT_LENGTH: usize = 32;
const KEY_LENGTH: usize = size_of::<MacKey>();

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeyError {
    #[error(
        "ha.secret_files names no file: name one that holds the cluster's secret, the same on every node"
    )]
    NoFile,
    #[error(
        "ha.secret_files names {count} files: at most {KEY_SLOTS} secrets are valid at a time, the new and the old"
    )]
    TooMany { count: usize },
    #[error(
        "cannot read the cluster secret {}: {source}; create it with `(umask 077; head -c {MIN_SECRET} /dev/urandom > \
         {})` and copy it to every node", path.display(), path.display()
    )]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the cluster secret {} is not a regular file: name the file with the secret", path.display())]
    NotAFile { path: PathBuf },
    #[error("the cluster secret {} has mode {mode:04o}: run `chmod 0600 {}`", path.display(), path.display())]
    Mode { path: PathBuf, mode: u32 },
    #[error(
        "the cluster secret {} has {length} bytes: use {MIN_SECRET} random bytes or more, the same on every node",
        path.display()
    )]
    TooShort { path: PathBuf, length: usize },
    #[error("the cluster secret {} has more than {MAX_SECRET} bytes: name the file with the secret", path.display())]
    TooLong { path: PathBuf },
    #[error(
        "the cluster secrets {} and {} give the same key id, so that no peer could tell them apart: if they are copies of \
         one secret, name it once; else make the newer one anew", first.display(), second.display()
    )]
    SameKeyId { first: PathBuf, second: PathBuf },
    #[error("cannot derive a key: {what}; this is a defect, please report it")]
    Derivation { what: &'static str },
}

/// 32-bit name of a cluster on the wire: the start of the name's SHA-256.
pub fn cluster_id(name: &str) -> u32 {
    let digest = Sha256::digest(name.as_bytes());
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// What is derived from the secrets. Cannot be copied out of here except as keys of a pair.
pub struct ClusterKeys {
    cluster: u32,
    /// In the order of the files: the first proves.
    secrets: Vec<Secret>,
}

struct Secret {
    /// Its name on the wire, never 0.
    key_id: u16,
    extract: Zeroizing<[u8; EXTRACT_LENGTH]>,
}

/// The keys between this node and a peer, by secret. An unused slot has key id 0, which no secret has.
#[derive(Clone, PartialEq, Eq)]
pub struct PairKeys {
    /// Of what we send.
    pub send: [MacKey; KEY_SLOTS],
    /// Of what the peer sends.
    pub receive: [MacKey; KEY_SLOTS],
    pub key_ids: [u16; KEY_SLOTS],
}

impl ClusterKeys {
    /// Reads the files of `ha.secret_files`, first the one that proves. Blocks on the disk.
    pub fn load(files: &[PathBuf]) -> Result<Self, KeyError> {
        match files.len() {
            0 => return Err(KeyError::NoFile),
            count if count > KEY_SLOTS => return Err(KeyError::TooMany { count }),
            _ => {}
        }
        let mut secrets: Vec<Secret> = Vec::with_capacity(files.len());
        for (place, file) in files.iter().enumerate() {
            let secret = Secret::of(&read_secret(file)?)?;
            if let Some(first) = secrets.iter().position(|known| known.key_id == secret.key_id) {
                return Err(KeyError::SameKeyId {
                    first: files[first].clone(),
                    second: files[place].clone(),
                });
            }
            secrets.push(secret);
        }
        Ok(Self { cluster: cluster_id(CLUSTER_NAME), secrets })
    }

    /// The cluster's name on the wire. It stays while secrets are rotated.
    pub fn cluster(&self) -> u32 {
        self.cluster
    }

    /// Names of the secrets on the wire, the proving one first.
    pub fn key_ids(&self) -> impl Iterator<Item = u16> {
        self.secrets.iter().map(|secret| secret.key_id)
    }

    /// The keys between node `own` and node `peer`. Each direction has its own, so that nothing can be played back to
    /// its sender.
    pub fn pair(&self, own: u16, peer: u16) -> Result<PairKeys, KeyError> {
        let mut keys = PairKeys::default();
        for (slot, secret) in self.secrets.iter().enumerate() {
            keys.send[slot] = secret.key(self.cluster, own, peer)?;
            keys.receive[slot] = secret.key(self.cluster, peer, own)?;
            keys.key_ids[slot] = secret.key_id;
        }
        Ok(keys)
    }
}

impl fmt::Debug for ClusterKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key_ids: Vec<u16> = self.key_ids().collect();
        formatter.debug_struct("ClusterKeys").field("key_ids", &key_ids).finish_non_exhaustive()
    }
}

impl Secret {
    fn of(bytes: &[u8]) -> Result<Self, KeyError> {
        let (mut prk, hkdf) = Hkdf::<Sha256>::extract(Some(SALT), bytes);
        let mut extract = Zeroizing::new([0; EXTRACT_LENGTH]);
        extract.copy_from_slice(&prk);
        prk.as_mut_slice().zeroize();
        let mut id = [0; 2];
        hkdf.expand_multi_info(&[VERSION_WORD, KEY_ID_LABEL], &mut id)
            .map_err(|_| KeyError::Derivation { what: "the key id's length is refused" })?;
        Ok(Self { key_id: u16::from_le_bytes(id).max(1), extract })
    }

    fn key(&self, cluster: u32, from: u16, to: u16) -> Result<MacKey, KeyError> {
        let hkdf = Hkdf::<Sha256>::from_prk(self.extract.as_slice())
            .map_err(|_| KeyError::Derivation { what: "the extract's length is refused" })?;
        let (cluster, from, to) = (cluster.to_le_bytes(), from.to_le_bytes(), to.to_le_bytes());
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        hkdf.expand_multi_info(&[VERSION_WORD, KEY_LABEL, &cluster, &from, &to], bytes.as_mut_slice())
            .map_err(|_| KeyError::Derivation { what: "the key's length is refused" })?;
        let mut words = bytes
            .chunks_exact(8)
            .map(|word| word.iter().rev().fold(0u64, |value, byte| (value << 8) | u64::from(*byte)));
        Ok([words.next().unwrap_or(0), words.next().unwrap_or(0)])
    }
}

impl PairKeys {
    /// What signs our messages, with its name on the wire.
    pub fn proving(&self) -> (u16, MacKey) {
        (self.key_ids[0], self.send[0])
    }
}

impl Default for PairKeys {
    fn default() -> Self {
        Self { send: [[0; 2]; KEY_SLOTS], receive: [[0; 2]; KEY_SLOTS], key_ids: [0; KEY_SLOTS] }
    }
}

impl Drop for PairKeys {
    fn drop(&mut self) {
        self.send.zeroize();
        self.receive.zeroize();
    }
}

impl fmt::Debug for PairKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PairKeys").field("key_ids", &self.key_ids).finish_non_exhaustive()
    }
}

/// The bytes of a secret's file, all of them: a newline at its end counts too.
fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
    // Not blocking: a FIFO under this name must not hold up the daemon.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(KeyError::NotAFile { path: path.to_owned() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS_MASK != 0 {
        return Err(KeyError::Mode { path: path.to_owned(), mode });
    }
    // Read in place: a buffer that grew would leave copies behind. One byte of room tells "too long".
    let mut bytes = Zeroizing::new(vec![0; MAX_SECRET + 1]);
    let mut length = 0;
    while length < bytes.len() {
        match (&file).read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    if length > MAX_SECRET {
        return Err(KeyError::TooLong { path: path.to_owned() });
    }
    if length < MIN_SECRET {
        return Err(KeyError::TooShort { path: path.to_owned(), length });
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn secret(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    fn message(files: &[PathBuf]) -> String {
        ClusterKeys::load(files).unwrap_err().to_string()
    }

    #[test]
    fn both_ends_of_a_pair_agree_and_directions_differ() {
        let folder = Folder::new();
        let files = [folder.secret("new", &[7; 32], 0o600), folder.secret("old", &[8; 40], 0o400)];
        let keys = ClusterKeys::load(&files).unwrap();
        let (one, two) = (keys.pair(1, 2).unwrap(), keys.pair(2, 1).unwrap());
        assert_eq!(one.send, two.receive);
        assert_eq!(one.receive, two.send);
        assert_eq!(one.key_ids, two.key_ids);
        assert_ne!(one.send, one.receive);
        assert_ne!(one.send[0], one.send[1]);
        assert_ne!(one.send, keys.pair(1, 3).unwrap().send);
        assert!(one.key_ids.iter().all(|id| *id != 0) && one.key_ids[0] != one.key_ids[1]);
        assert_eq!(one.proving(), (one.key_ids[0], one.send[0]));
    }

    /// HKDF-SHA256 (RFC 5869) computed apart from this code, with Python's hmac module.
    #[test]
    fn a_fixed_secret_gives_fixed_keys() {
        let folder = Folder::new();
        let keys = ClusterKeys::load(&[folder.secret("key", &[7; 32], 0o600)]).unwrap();
        let pair = keys.pair(1, 2).unwrap();
        assert_eq!(keys.cluster(), 0x2d0d_58d1);
        assert_eq!(pair.key_ids, [0x4b95, 0]);
        assert_eq!(pair.send[0], [0x0378_24cc_0833_88e5, 0x8b99_9d72_f601_ae2f]);
        assert_eq!(pair.send[1], [0; 2]);
    }

    #[test]
    fn rotation_changes_the_order_and_neither_cluster_nor_keys() {
        let folder = Folder::new();
        let (old, new) = (folder.secret("old", &[1; 32], 0o600), folder.secret("new", &[2; 32], 0o600));
        let load = |files: &[PathBuf]| ClusterKeys::load(files).unwrap();
        let (before, after) = (load(&[old.clone(), new.clone()]), load(&[new, old.clone()]));
        assert_eq!(before.cluster(), after.cluster());
        let (first, second) = (before.pair(1, 2).unwrap(), after.pair(1, 2).unwrap());
        assert_eq!(first.send[0], second.send[1]);
        assert_eq!(first.key_ids[1], second.key_ids[0]);
        assert_eq!(load(&[old]).pair(1, 2).unwrap().send[0], first.send[0]);
    }

    #[test]
    fn each_fault_of_a_file_is_said_with_its_remedy() {
        let folder = Folder::new();
        let absent = folder.0.path().join("absent");
        assert!(message(&[absent]).contains("head -c 32 /dev/urandom"));
        assert!(message(&[folder.0.path().to_owned()]).contains("not a regular file"));
        let open = folder.secret("open", &[7; 32], 0o640);
        assert!(
            message(&[open]).ends_with(&format!("chmod 0600 {}`", folder.0.path().join("open").display()))
        );
        assert!(message(&[folder.secret("short", &[7; 31], 0o600)]).contains("has 31 bytes"));
        assert!(message(&[folder.secret("long", &[7; 4097], 0o600)]).contains("more than 4096"));
        assert!(message(&[]).contains("names no file"));
        let good = folder.secret("good", &[7; 4096], 0o600);
        assert!(message(&[good.clone(), good.clone(), good.clone()]).contains("3 files"));
        assert!(message(&[good.clone(), good]).contains("same key id"));
        let fifo = folder.0.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(message(&[fifo]).contains("not a regular file"));
    }

    /// Ids have 16 bits, so two random secrets in 65,535 collide; here is such a pair.
    #[test]
    fn two_secrets_with_one_key_id_are_refused() {
        let id = |number: u32| Secret::of(&[number.to_le_bytes(); 8].concat()).unwrap().key_id;
        let mut seen = std::collections::HashMap::new();
        let (first, second) =
            (0..).find_map(|number| seen.insert(id(number), number).map(|first| (first, number))).unwrap();
        let folder = Folder::new();
        let file =
            |number: u32| folder.secret(&number.to_string(), &[number.to_le_bytes(); 8].concat(), 0o600);
        assert!(message(&[file(first), file(second)]).contains("same key id"));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let folder = Folder::new();
        let keys = ClusterKeys::load(&[folder.secret("key", &[7; 32], 0o600)]).unwrap();
        let pair = keys.pair(1, 2).unwrap();
        let shown = format!("{keys:?} {pair:?}");
        let id = pair.key_ids[0];
        assert_eq!(
            shown,
            format!("ClusterKeys {{ key_ids: [{id}], .. }} PairKeys {{ key_ids: [{id}, 0], .. }}")
        );
    }
}
