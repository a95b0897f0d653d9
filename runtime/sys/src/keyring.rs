//! The session keyring of a container's processes.

use std::ffi::CString;
use std::io;

/// Which holders may search the keyring: decided by whether the container has a user namespace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Searchable {
    /// The keys' owner: the container shares the runtime's user namespace.
    ByOwner,
    /// Everyone who can name it: the container's user is not the user that made it.
    ByOthers,
}

/// Whether the process got a keyring of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// It has this keyring now, by serial number.
    Keyring(i32),
    /// The kernel has no keyrings, and there is nothing to protect.
    Unsupported,
}

/// A keyring step that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The name holds a NUL byte.
    #[error("session keyring name {name:?} holds a NUL byte")]
    Name {
        /// The name.
        name: String,
    },
    /// The kernel refused, for instance with `EDQUOT` when the user has too many keys.
    #[error("join session keyring {name:?}")]
    Join {
        /// The name.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The new keyring's permissions could not be read.
    #[error("describe session keyring {serial}")]
    Describe {
        /// The keyring.
        serial: i32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel's description has no permission field.
    #[error("parse the description of session keyring {serial}: {text:?}")]
    Parse {
        /// The keyring.
        serial: i32,
        /// The description.
        text: String,
    },
    /// The new keyring's permissions could not be set.
    #[error("set permissions of session keyring {serial}")]
    SetPermissions {
        /// The keyring.
        serial: i32,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// The name of a container's session keyring, the same that runc gives it.
#[must_use]
pub fn session_name(container: &str) -> String {
    format!("_ses.{container}")
}

/// Leaves the inherited session keyring for one of the given name, made when it is not there.
///
/// * `name`: from [`session_name`]. Others can join it by name too; that is what `exec` does.
///
/// The keyring is this process's and its later children's; call it in the process that becomes init.
///
/// # Errors
///
/// * [`KeyringError::Name`].
/// * [`KeyringError::Join`]: any answer but `ENOSYS`, which gives [`Joined::Unsupported`].
///
/// Kernel: `keyctl(2)`, `KEYCTL_JOIN_SESSION_KEYRING`.
pub fn join_session(name: &str) -> Result<Joined, KeyringError> {
    let text = CString::new(name).map_err(|_has_nul| KeyringError::Name { name: name.to_owned() })?;
    // SAFETY: the text is NUL-terminated and lives through the call.
    let serial = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::c_long::from(libc::KEYCTL_JOIN_SESSION_KEYRING),
            text.as_ptr(),
        )
    };
    match i32::try_from(serial) {
        Ok(serial) if serial >= 0 => Ok(Joined::Keyring(serial)),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(Joined::Unsupported),
            source => Err(KeyringError::Join {
                name: name.to_owned(),
                source,
            }),
        },
    }
}

/// Joins a new container's session keyring and makes it searchable, as runc's init does.
///
/// * `container`: the container id.
///
/// # Errors
///
/// As [`join_session`] and [`allow_search`].
pub fn join_new_session(container: &str, searchable: Searchable) -> Result<Joined, KeyringError> {
    let joined = join_session(&session_name(container))?;
    if let Joined::Keyring(serial) = joined {
        allow_search(serial, searchable)?;
    }
    Ok(joined)
}

/// Adds the search permission to a keyring and keeps the others.
///
/// # Errors
///
/// [`KeyringError::Describe`], [`KeyringError::Parse`], [`KeyringError::SetPermissions`].
///
/// Kernel: `keyctl(2)`, `KEYCTL_DESCRIBE` and `KEYCTL_SETPERM`; `keyrings(7)` for the bits.
pub fn allow_search(serial: i32, searchable: Searchable) -> Result<(), KeyringError> {
    const OWNER_SEARCH: u32 = 0x0008_0000;
    const OTHER_SEARCH: u32 = 0x0000_0008;
    let bit = match searchable {
        Searchable::ByOwner => OWNER_SEARCH,
        Searchable::ByOthers => OTHER_SEARCH,
    };
    let text = describe(serial)?;
    let permissions = parse_permissions(&text).ok_or(KeyringError::Parse { serial, text })? | bit;
    let (command, key) = (libc::c_long::from(libc::KEYCTL_SETPERM), libc::c_long::from(serial));
    // SAFETY: SETPERM takes two numbers and no pointer.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, command, key, libc::c_ulong::from(permissions)) };
    if result == 0 {
        Ok(())
    } else {
        Err(KeyringError::SetPermissions {
            serial,
            source: io::Error::last_os_error(),
        })
    }
}

/// Five fields: type, uid, gid, permissions in hexadecimal, name.
fn describe(serial: i32) -> Result<String, KeyringError> {
    let mut buffer = vec![0_u8; 4096];
    let (command, key) = (libc::c_long::from(libc::KEYCTL_DESCRIBE), libc::c_long::from(serial));
    // SAFETY: the buffer is writable for the length that is passed with it, and lives through the call.
    let length = unsafe { libc::syscall(libc::SYS_keyctl, command, key, buffer.as_mut_ptr(), buffer.len()) };
    match usize::try_from(length) {
        Ok(length) => {
            buffer.truncate(length.saturating_sub(1));
            Ok(String::from_utf8_lossy(&buffer).into_owned())
        }
        Err(_negative) => Err(KeyringError::Describe {
            serial,
            source: io::Error::last_os_error(),
        }),
    }
}

fn parse_permissions(text: &str) -> Option<u32> {
    let fields: Vec<&str> = text.splitn(5, ';').collect();
    let [_, _, _, permissions, _] = fields.as_slice() else {
        return None;
    };
    u32::from_str_radix(permissions, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_the_fourth_field() {
        assert_eq!(parse_permissions("keyring;0;0;3f1b0000;_ses.a;b"), Some(0x3f1b_0000));
        assert_eq!(parse_permissions("keyring;0;0;3f1b0000"), None);
        assert_eq!(parse_permissions("keyring;0;0;zz;n"), None);
    }

    #[test]
    fn a_thread_joins_a_keyring_of_its_own_that_is_searchable() {
        // Keyrings belong to threads: the other tests keep theirs.
        let joined = std::thread::spawn(|| {
            let joined = join_new_session(&format!("nexcage-test-{}", std::process::id()), Searchable::ByOthers)?;
            let Joined::Keyring(serial) = joined else {
                return Ok(None);
            };
            Ok::<_, KeyringError>(Some((
                describe(serial)?,
                join_session(&session_name("nexcage-test-b"))?,
                serial,
            )))
        });
        let Some((text, second, serial)) = joined.join().unwrap().unwrap() else {
            println!("not run: this kernel has no keyrings");
            return;
        };
        assert!(
            text.ends_with(&format!(";_ses.nexcage-test-{}", std::process::id())),
            "{text}"
        );
        assert_eq!(parse_permissions(&text).unwrap() & 8, 8);
        assert_ne!(second, Joined::Keyring(serial));
    }

    #[test]
    fn a_name_with_nul_is_refused() {
        assert!(matches!(join_session("a\0b"), Err(KeyringError::Name { .. })));
    }
}
