//! Strings of a known form: each is checked when it is made, so that nobody checks it again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A string that does not have the form of its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: {fix}")]
pub struct TextError {
    /// What was given.
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
    /// The form expected.
    pub fix: &'static str,
}

/// Makes a checked string type: its doc, its name, what errors call it, the form they ask for, and the test of the form.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $fix:literal, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                let is_valid: fn(&str) -> bool = $is_valid;
                if is_valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(TextError { text, what: $what, fix: $fix })
                }
            }
        }

        impl FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type!(
    /// The name of a plugin, which is also the name of its folder.
    PluginName, "plugin name", "use 1 to 64 of a-z, 0-9 and -, starting with a letter", is_name
);
text_type!(
    /// The name of a command in the operator's command table.
    CommandName, "command name", "use 1 to 64 of a-z, 0-9 and -, starting with a letter", is_name
);
text_type!(
    /// An absolute path with no `.`, no `..`, no empty part and no control character.
    AbsolutePath, "absolute path", "start with /, without \".\", \"..\", // or control characters", is_absolute
);
text_type!(
    /// A file of a package, relative to its folder.
    PackagePath, "path in the package", "name a file below the folder, without \".\", \"..\" or a leading /", is_relative
);
text_type!(
    /// A JSON pointer (RFC 6901).
    JsonPointer, "JSON pointer", "start with /, and write ~ as ~0 and / as ~1", is_pointer
);
text_type!(
    /// A network address as `HOST:PORT`; IPv6 hosts are in brackets.
    Endpoint, "endpoint", "write HOST:PORT, with a port from 1 to 65535", is_endpoint
);
text_type!(
    /// The SHA-256 of a file.
    Sha256, "SHA-256", "write 64 of 0-9 and a-f", |text| text.len() == 64
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
);

fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_absolute(text: &str) -> bool {
    text == "/" || text.strip_prefix('/').is_some_and(is_relative)
}

fn is_relative(text: &str) -> bool {
    text.len() < 4096
        && !text.contains(char::is_control)
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn is_pointer(text: &str) -> bool {
    let mut after_tilde = text.split('~').skip(1);
    text.starts_with('/') && after_tilde.all(|rest| rest.starts_with(['0', '1']))
}

fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match inner {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        }
    };
    is_port && is_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: FromStr>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text:?} is refused");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text:?} is taken");
        }
    }

    #[test]
    fn each_form_is_held() {
        check::<PluginName>(&["a", "hello-world", "a1"], &["", "1a", "A", "a/b", "a.b", "..", "a_b"]);
        check::<AbsolutePath>(
            &["/", "/a/b.c"],
            &["", "a", "//", "/a/", "/a//b", "/./a", "/a/..", "/a\n"],
        );
        check::<PackagePath>(&["a", "a/b"], &["", "/a", "a/", "..", "a/../b", "./a"]);
        check::<JsonPointer>(&["/", "/a~0b/~1"], &["", "a", "/~", "/~2"]);
        check::<Endpoint>(
            &["a.b:80", "127.0.0.1:1", "[::1]:65535"],
            &["a", "a:", ":1", "a:0", "a:65536", "a:+1", "::1:1", "[a]:1", "a b:1"],
        );
        let digest = "0123456789abcdef".repeat(4);
        check::<Sha256>(&[&digest], &["", &digest[1..], &digest.to_uppercase()]);
    }

    #[test]
    fn an_error_says_what_form_is_expected() {
        assert_eq!(
            "A".parse::<PluginName>().unwrap_err().to_string(),
            r#""A" is no plugin name: use 1 to 64 of a-z, 0-9 and -, starting with a letter"#
        );
    }
}
