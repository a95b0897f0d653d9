//! The clients: what each needs on the machine, how it is set up in a sandbox, and its table of cases.

use super::case::Case;
use super::cases;

/// A container client under which runtimes are tried.
#[derive(Debug)]
pub struct Client {
    /// Its name on the command line.
    pub name: &'static str,
    /// `$CLI`, the program that a user types.
    pub program: &'static str,
    /// `$RM`, which removes a container at once, also a running one.
    pub remove: &'static str,
    /// Debian packages and the program of each that must be there.
    pub packages: &'static [(&'static str, &'static str)],
    /// Shell script that readies the client in a fresh sandbox; it starts the daemon, if there is one.
    pub setup: &'static str,
    /// Shell line that removes what a failed case left behind.
    pub sweep: &'static str,
    /// Its cases, in the order in which they run.
    pub cases: &'static [&'static [Case]],
}

/// Packages that the sandbox needs for every client.
const BASE: &[(&str, &str)] = &[
    ("busybox-static", "busybox"),
    ("iproute2", "ip"),
    ("util-linux", "unshare"),
];

/// Every client that is known.
pub const CLIENTS: &[Client] = &[
    Client {
        name: "podman",
        program: "podman",
        remove: "podman rm -f -t 0",
        packages: &[("podman", "podman"), ("conmon", "conmon"), ("catatonit", "catatonit")],
        setup: include_str!("../../clients/podman.sh"),
        sweep: "podman pod rm -f -t 0 -a; podman rm -f -t 0 -a",
        cases: &[
            cases::ENGINE,
            cases::LIMITS,
            cases::SECURITY,
            cases::PODMAN,
            cases::LEFTOVERS,
        ],
    },
    Client {
        name: "buildah",
        program: "buildah",
        remove: "buildah rm",
        packages: &[("buildah", "buildah")],
        setup: include_str!("../../clients/buildah.sh"),
        sweep: "buildah rm -a",
        cases: &[cases::BUILDAH, cases::LEFTOVERS],
    },
    Client {
        name: "containerd",
        program: "ctr",
        remove: "ctr t rm -f",
        packages: &[("containerd", "containerd"), ("containerd", "ctr")],
        setup: concat!(
            include_str!("../../clients/layout.sh"),
            include_str!("../../clients/containerd.sh")
        ),
        sweep: "for c in $(ctr c ls -q); do ctr t rm -f $c; ctr c rm $c; done",
        cases: &[cases::CONTAINERD, cases::LEFTOVERS],
    },
    Client {
        name: "cri",
        program: "cri",
        remove: "cri rm",
        packages: &[("containerd", "containerd"), ("containerd", "ctr"), ("jq", "jq")],
        setup: concat!(
            include_str!("../../clients/layout.sh"),
            include_str!("../../clients/cri.sh")
        ),
        sweep: "away $(cri pods | jq -r '.items[].id')",
        cases: &[cases::CRI, cases::LEFTOVERS],
    },
    Client {
        name: "docker",
        program: "docker",
        remove: "docker rm -f",
        packages: &[
            ("docker.io", "dockerd"),
            ("docker.io", "docker"),
            ("containerd", "containerd"),
            ("tini", "tini"),
        ],
        setup: include_str!("../../clients/docker.sh"),
        sweep: "docker rm -f $(docker ps -aq)",
        cases: &[
            cases::ENGINE,
            cases::LIMITS,
            cases::SECURITY,
            cases::DOCKER,
            cases::LEFTOVERS,
        ],
    },
];

impl Client {
    /// The client of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        CLIENTS.iter().find(|client| client.name == name)
    }

    /// The Debian packages that are missing here, each once.
    #[must_use]
    pub fn missing_packages(&self) -> Vec<&'static str> {
        let mut missing: Vec<_> = BASE
            .iter()
            .chain(self.packages)
            .filter(|(_, program)| find_program(program).is_none())
            .map(|(package, _)| *package)
            .collect();
        missing.dedup();
        missing
    }

    /// Its cases whose id holds `filter`.
    pub fn matching(&self, filter: &str) -> impl Iterator<Item = &'static Case> {
        self.cases
            .iter()
            .flat_map(|table| table.iter())
            .filter(move |case| case.id.contains(filter))
    }
}

/// Where clients and runtimes are looked for; also the search path inside the sandbox.
pub const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";

/// The path of an installed program.
#[must_use]
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    SEARCH_PATH
        .split(':')
        .map(|dir| std::path::Path::new(dir).join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_within_a_client_and_fit_a_container_name() {
        for client in CLIENTS {
            let mut seen = HashSet::new();
            for case in client.matching("") {
                assert!(seen.insert(case.id), "{}: {:?} twice", client.name, case.id);
                assert!(
                    case.id
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                    "{:?}",
                    case.id
                );
                assert!(!case.steps.is_empty(), "{:?} does nothing", case.id);
            }
        }
    }

    #[test]
    fn a_missing_program_names_its_package_once() {
        let packages = &[
            ("no-such-package", "no-such-program"),
            ("no-such-package", "no-such-other"),
        ];
        let client = Client {
            name: "x",
            program: "x",
            remove: "",
            packages,
            setup: "",
            sweep: "",
            cases: &[],
        };
        let missing = client.missing_packages();
        assert_eq!(
            missing.iter().filter(|package| **package == "no-such-package").count(),
            1,
            "{missing:?}"
        );
    }
}
