//! The user database of a container, parsed from its file: no name service of the node or the container takes part.

/// Home directory of a user, from the bytes of a passwd file.
///
/// * `passwd`: `name:password:uid:gid:comment:home:shell` lines; others are passed over.
///
/// Returns the first non-empty home of that user.
#[must_use]
pub fn home_of(passwd: &[u8], uid: u32) -> Option<String> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = std::str::from_utf8(line).ok()?.split(':');
        let found: u32 = fields.nth(2)?.parse().ok()?;
        let home = fields.nth(2)?;
        (found == uid && !home.is_empty()).then(|| home.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\nbad line\n\xff:x:7:7::/x:\nuser:x:1000:1000::/home/user:/bin/sh\nn:x:5:5:::\n";

    #[test]
    fn the_home_is_found_by_number() {
        assert_eq!(home_of(PASSWD, 1000).as_deref(), Some("/home/user"));
        assert_eq!(home_of(PASSWD, 0).as_deref(), Some("/root"));
    }

    #[test]
    fn a_user_without_a_home_has_none() {
        assert_eq!(home_of(PASSWD, 5), None);
        assert_eq!(home_of(PASSWD, 7), None);
        assert_eq!(home_of(b"", 0), None);
    }
}
