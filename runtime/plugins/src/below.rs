//! Paths and JSON pointers, one below the other.

/// Whether a path or pointer is another one, or below it; parts count, not characters.
pub(crate) fn is_below(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || above.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn parts_count() {
        for (path, above, expected) in [
            ("/a/b", "/a", true),
            ("/a", "/a", true),
            ("/ab", "/a", false),
            ("/a", "/a/b", false),
            ("/a", "/", true),
            ("/", "/", true),
        ] {
            assert_eq!(is_below(path, above), expected, "{path} below {above}");
        }
    }
}
