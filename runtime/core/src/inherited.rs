//! Descriptors that the caller hands on: `--preserve-fds` and systemd's socket activation.

use std::io;

use nexcage_sys::fds;

/// What the container inherits besides 0-2.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inherited {
    /// Descriptors 3 to 2+n.
    pub count: u32,
    /// Variables for the process.
    pub env: Vec<String>,
}

/// Why descriptors cannot be handed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritedError {
    /// One that is to be preserved is not open.
    #[error("unable to stat preserved-fd {number} (of {count}): it is not open")]
    NotOpen {
        /// The descriptor.
        number: i32,
        /// How many are to be preserved.
        count: u32,
    },
    /// The kernel could not be asked.
    #[error("look at descriptor 3 and up")]
    Look(#[source] io::Error),
}

impl Inherited {
    /// Decides what is handed on.
    ///
    /// * `preserve_fds`: the value of `--preserve-fds`.
    /// * `listen_fds`: the value of `LISTEN_FDS`; what is no number counts as absent.
    ///
    /// A client that sets both for the same descriptors, as Podman 5 does, gets them handed on once: the activation's
    /// come first, and `--preserve-fds` adds those behind them only as far as they are open.
    ///
    /// # Errors
    ///
    /// [`InheritedError::NotOpen`].
    pub fn plan(preserve_fds: u32, listen_fds: Option<&str>) -> Result<Self, InheritedError> {
        let listen = listen_fds.and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
        let env = match listen {
            0 => Vec::new(),
            n => vec![format!("LISTEN_FDS={n}"), "LISTEN_PID=1".to_owned()],
        };
        let both = listen.saturating_add(preserve_fds);
        let count = match first_closed(both)? {
            None => both,
            Some(_) if listen > 0 && first_closed(listen.max(preserve_fds))?.is_none() => listen.max(preserve_fds),
            Some(number) => return Err(InheritedError::NotOpen { number, count: both }),
        };
        Ok(Self { count, env })
    }
}

fn first_closed(count: u32) -> Result<Option<i32>, InheritedError> {
    fds::find_closed(3, count).map_err(InheritedError::Look)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_handed_on_by_default() {
        assert_eq!(Inherited::plan(0, None).unwrap(), Inherited::default());
        assert_eq!(Inherited::plan(0, Some("x")).unwrap(), Inherited::default());
    }

    #[test]
    fn a_closed_descriptor_is_named() {
        let text = Inherited::plan(5000, None).unwrap_err().to_string();
        assert!(
            text.starts_with("unable to stat preserved-fd ") && text.contains("(of 5000)"),
            "{text}"
        );
    }
}
