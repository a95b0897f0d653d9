//! `cargo xtask tidy`: the tables of ARCHITECTURE.md hold: levels between crates, and the closed list of outside crates. No
//! modules of a crate import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

mod cycles;

/// Check the edges between crates and the list of outside crates against ARCHITECTURE.md.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// What ARCHITECTURE.md says of our crates.
struct Ours {
    level: BTreeMap<String, u32>,
    folder: BTreeMap<String, String>,
}

/// Crates that only tools and tests use.
const TOOLS: u32 = 5;

pub(crate) fn run(_args: &Args) -> Result<ExitCode> {
    let text = fs::read_to_string("ARCHITECTURE.md").context("read ARCHITECTURE.md: start in the project's folder")?;
    let ours = levels(&text)?;
    let outside = names(table(&text, "dependencies")?);
    let mut faults = Vec::new();
    for (name, folder) in &ours.folder {
        let path = Path::new(folder).join("Cargo.toml");
        let manifest = fs::read_to_string(&path).with_context(|| format!("read {path:?}"))?;
        check_crate(name, &manifest, &ours, &outside, &mut faults);
        cycles::check(Path::new(folder), &manifest, &mut faults)?;
    }
    for fault in &faults {
        writeln!(std::io::stderr(), "tidy: {fault}").context("print")?;
    }
    Ok(if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The rows between `<!-- name -->` and `<!-- /name -->`, without heading and rule.
fn table<'a>(text: &'a str, name: &str) -> Result<Vec<Vec<&'a str>>> {
    let open = format!("<!-- {name} -->");
    let close = format!("<!-- /{name} -->");
    let inside = text
        .split_once(&open)
        .and_then(|(_, rest)| rest.split_once(&close))
        .map(|(inside, _)| inside);
    let Some(inside) = inside else {
        bail!("ARCHITECTURE.md has no table {name:?}")
    };
    let rows = inside.lines().filter(|line| line.starts_with('|')).skip(2);
    Ok(rows
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect())
}

fn names(rows: Vec<Vec<&str>>) -> BTreeSet<String> {
    rows.into_iter()
        .filter_map(|row| row.first().map(ToString::to_string))
        .collect()
}

fn levels(text: &str) -> Result<Ours> {
    let mut ours = Ours {
        level: BTreeMap::new(),
        folder: BTreeMap::new(),
    };
    for row in table(text, "levels")? {
        let [level, name, folder, ..] = row.as_slice() else {
            bail!("a row of the level table is too short: {row:?}")
        };
        let level = level.parse().with_context(|| format!("level of {name}"))?;
        ours.level.insert((*name).to_owned(), level);
        ours.folder.insert((*name).to_owned(), (*folder).to_owned());
    }
    Ok(ours)
}

fn check_crate(name: &str, manifest: &str, ours: &Ours, outside: &BTreeSet<String>, faults: &mut Vec<String>) {
    let own = ours.level.get(name).copied().unwrap_or(TOOLS);
    for dependency in dependencies(manifest) {
        match ours.level.get(&dependency) {
            Some(level) if *level >= own => {
                faults.push(format!("{name} (level {own}) imports {dependency} (level {level})"));
            }
            None if own < TOOLS && !outside.contains(&dependency) => {
                faults.push(format!(
                    "{name} imports {dependency}, which ARCHITECTURE.md does not list"
                ));
            }
            _ => {}
        }
    }
}

/// Names in the `[dependencies]` table.
fn dependencies(manifest: &str) -> Vec<String> {
    let lines = manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[dependencies]")
        .skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['.', '=', ' ']).next());
    names
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_the_names_of_their_table() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\nb = { version = \"1\" }\n\n[dev-dependencies]\nc = \"1\"\n";
        assert_eq!(dependencies(manifest), ["a", "b"]);
    }

    #[test]
    fn an_upward_edge_is_a_fault() {
        let text = "<!-- levels -->\n| level | crate | folder |\n|---|---|---|\n| 0 | a | a |\n| 1 | b | b |\n<!-- /levels -->";
        let ours = levels(text).unwrap();
        assert_eq!(ours.level.get("b"), Some(&1));
        assert!(table(text, "nosuch").is_err());
    }
}
