//! Which archive the guest is installed from: the one that this machine's apt uses.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{program, read_output};

/// Debian 12, the system of the guest.
pub(crate) const SUITE: &str = "bookworm";

/// Reads the address of the Debian archive from apt's configuration.
///
/// # Errors
///
/// apt cannot be asked, or none of its sources is a Debian archive.
pub(crate) fn read_mirror() -> Result<String> {
    let listing = read_output(program("apt-get").args(["update", "--print-uris"]))?;
    find_mirror(&listing).context(
        "find a Debian archive in apt's sources (`apt-get update --print-uris` shows them): add one, or name it with --mirror",
    )
}

/// Gives a program the proxy that apt uses, unless the environment names one.
///
/// # Errors
///
/// apt's configuration cannot be read.
pub(crate) fn set_proxy(command: &mut Command) -> Result<()> {
    for (variable, key) in [
        ("http_proxy", "Acquire::http::Proxy"),
        ("https_proxy", "Acquire::https::Proxy"),
    ] {
        if std::env::var_os(variable).is_some() {
            continue;
        }
        let line = read_output(program("apt-config").args(["shell", "proxy", key]))?;
        if let Some(proxy) = parse_assignment(&line) {
            command.env(variable, proxy);
        }
    }
    Ok(())
}

/// Reads `proxy='VALUE'`; empty, `false` and `DIRECT` mean none.
fn parse_assignment(line: &str) -> Option<&str> {
    let value = line.trim().strip_prefix("proxy='")?.strip_suffix('\'')?;
    (!matches!(value, "" | "false" | "DIRECT")).then_some(value)
}

/// Tells whether an archive with these suites will do.
type Rule<'a> = dyn Fn(&[&str]) -> bool + 'a;

/// Picks the archive that has our suite and its updates, then one with our suite, then any with a suite and its updates.
fn find_mirror(listing: &str) -> Option<String> {
    let mut archives: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (base, suite) in listing.lines().filter_map(parse_release) {
        archives.entry(base).or_default().push(suite);
    }
    let updates = format!("{SUITE}-updates");
    let complete = |suites: &[&str]| suites.contains(&SUITE) && suites.contains(&updates.as_str());
    let named = |suites: &[&str]| suites.contains(&SUITE);
    let debian = |suites: &[&str]| {
        suites
            .iter()
            .any(|suite| suites.contains(&format!("{suite}-updates").as_str()))
    };
    let rules: [&Rule<'_>; 3] = [&complete, &named, &debian];
    rules.iter().find_map(|rule| {
        archives
            .iter()
            .find(|(_, suites)| rule(suites))
            .map(|(base, _)| (*base).to_owned())
    })
}

/// Splits `'BASE/dists/SUITE/InRelease' FILE SIZE` into base and suite.
fn parse_release(line: &str) -> Option<(&str, &str)> {
    let address = line.strip_prefix('\'')?.split('\'').next()?;
    address.strip_suffix("/InRelease")?.split_once("/dists/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listing: &[&str], expected: Option<&str>) {
        let listing: String = listing.iter().map(|uri| format!("'{uri}' some_file 0 \n")).collect();
        assert_eq!(find_mirror(&listing).as_deref(), expected);
    }

    #[test]
    fn archive_with_updates_wins_over_a_vendor_with_the_same_suite_name() {
        let vendor = "http://a.example/linux/debian/dists/bookworm/InRelease";
        let debian = "http://b.example/debian/dists/bookworm/InRelease";
        let updates = "http://b.example/debian/dists/bookworm-updates/InRelease";
        check(&[vendor, debian, updates], Some("http://b.example/debian"));
        check(&[vendor], Some("http://a.example/linux/debian"));
    }

    #[test]
    fn archive_of_a_newer_debian_is_used() {
        let other = "http://a.example/tool/dists/stable/InRelease";
        let trixie = "http://b.example/debian/dists/trixie/InRelease";
        let updates = "http://b.example/debian/dists/trixie-updates/InRelease";
        check(&[other, trixie, updates], Some("http://b.example/debian"));
        check(&[other], None);
    }

    #[test]
    fn lines_about_other_files_are_ignored() {
        check(
            &["http://b.example/debian/dists/bookworm/main/binary-amd64/Packages.xz"],
            None,
        );
        assert_eq!(find_mirror("Reading package lists...\n"), None);
    }

    #[test]
    fn proxy_is_read_from_a_shell_assignment() {
        assert_eq!(
            parse_assignment("proxy='http://p.example:3128'\n"),
            Some("http://p.example:3128")
        );
        for none in ["", "proxy=''", "proxy='DIRECT'", "proxy='false'"] {
            assert_eq!(parse_assignment(none), None, "{none:?}");
        }
    }
}
