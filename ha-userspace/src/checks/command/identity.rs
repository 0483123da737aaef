//! Whom a command runs as: the ids of a user of this host.

use nix::unistd::{Gid, Uid, User, getgrouplist};
use std::ffi::CString;
use thiserror::Error;

/// Why a user cannot be had.
#[derive(Debug, Error)]
pub(super) enum IdentityError {
    #[error("there is no user {0:?} on this host: create it, or name another one in `user`")]
    Unknown(String),
    #[error("user {user:?} cannot be looked up: {error}")]
    Lookup { user: String, error: nix::Error },
}

/// The ids that a process takes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// The group of the user's own included.
    pub(super) groups: Vec<Gid>,
}

impl Identity {
    /// Looks the user up; blocks as long as the host's name services do. `None`: this process is that user already and
    /// could not become another one.
    pub(super) fn of(user: &str) -> Result<Option<Self>, IdentityError> {
        let failed = |error| IdentityError::Lookup { user: user.to_owned(), error };
        let unknown = || IdentityError::Unknown(user.to_owned());
        let entry = User::from_name(user).map_err(failed)?.ok_or_else(unknown)?;
        let effective = Uid::effective();
        if entry.uid == effective && !effective.is_root() {
            return Ok(None);
        }
        let name = CString::new(user).map_err(|_| unknown())?;
        let groups = getgrouplist(&name, entry.gid).map_err(failed)?;
        Ok(Some(Self { name: user.to_owned(), uid: entry.uid, gid: entry.gid, groups }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_looked_up() {
        let root = User::from_name("root").unwrap().unwrap();
        if let Some(identity) = Identity::of("root").unwrap() {
            assert_eq!((identity.uid, identity.gid), (root.uid, root.gid));
            assert!(identity.groups.contains(&root.gid));
        }
        let unknown = Identity::of("hf-no-such-user").unwrap_err().to_string();
        assert!(unknown.contains("there is no user") && unknown.contains("create it"), "{unknown}");
        assert!(Identity::of("no\0body").is_err());
    }
}
