use std::collections::BTreeMap;

use nexcage_plugin_types::Manifest;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::order;

/// Plugins by name, version, dependencies and conflicts.
fn ordered(plugins: &[(&str, &str, Value, Value)]) -> Result<String, String> {
    let manifests: Vec<Manifest> = plugins
        .iter()
        .map(|(name, version, dependencies, conflicts)| {
            let manifest = json!({
                "name": name, "version": version, "description": "a plugin", "api": "^1", "nexcage_version": "*",
                "dependencies": dependencies, "conflicts": conflicts,
            });
            Manifest::parse("m", manifest.to_string().as_bytes()).unwrap()
        })
        .collect();
    let all: BTreeMap<_, _> = manifests
        .iter()
        .map(|manifest| (manifest.name.clone(), manifest))
        .collect();
    match order(&all) {
        Ok(order) => Ok(order.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        Err(error) => Err(error.to_string()),
    }
}

fn needs(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), json!({"version": "*"})))
        .collect()
}

#[track_caller]
fn check(plugins: &[(&str, &str, Value, Value)], expected: Result<&str, &str>) {
    let found = ordered(plugins);
    assert_eq!(found.as_deref().map_err(String::as_str), expected);
}

#[test]
fn each_comes_after_what_it_needs_and_the_rest_by_name() {
    let none = || json!({});
    check(
        &[
            ("a", "1.0.0", needs(&["d", "c"]), none()),
            ("b", "1.0.0", none(), none()),
            ("c", "1.0.0", needs(&["e"]), none()),
            ("d", "1.0.0", needs(&["c"]), none()),
            ("e", "1.0.0", none(), none()),
        ],
        Ok("e c d a b"),
    );
    check(&[], Ok(""));
}

#[test]
fn what_is_missing_is_told_with_the_chain() {
    check(
        &[
            ("a", "1.0.0", needs(&["b"]), json!({})),
            ("b", "1.0.0", needs(&["c"]), json!({})),
        ],
        Err("load a -> b: plugin \"c\" is not there: install it, or remove what needs it"),
    );
}

#[test]
fn another_version_is_told_with_both() {
    let needs = json!({"b": {"version": "^2.1"}});
    check(
        &[("a", "1.0.0", needs, json!({})), ("b", "2.0.9", json!({}), json!({}))],
        Err("load a: plugin \"b\" has version 2.0.9, ^2.1 is needed"),
    );
}

#[test]
fn an_optional_dependency_counts_when_it_fits() {
    let optional = || json!({"b": {"version": "^2", "optional": true}});
    check(&[("a", "1.0.0", optional(), json!({}))], Ok("a"));
    check(
        &[
            ("a", "1.0.0", optional(), json!({})),
            ("b", "2.0.0", json!({}), json!({})),
        ],
        Ok("b a"),
    );
    check(
        &[
            ("a", "1.0.0", optional(), json!({})),
            ("b", "1.0.0", json!({}), json!({})),
        ],
        Ok("a b"),
    );
}

#[test]
fn a_circle_is_told_whole_and_alone() {
    check(
        &[
            ("a", "1.0.0", needs(&["b"]), json!({})),
            ("b", "1.0.0", needs(&["c"]), json!({})),
            ("c", "1.0.0", needs(&["d"]), json!({})),
            ("d", "1.0.0", needs(&["b"]), json!({})),
        ],
        Err("load b -> c -> d -> b: these plugins need each other"),
    );
}

#[test]
fn a_conflict_counts_for_the_versions_it_names() {
    let conflicts = || json!({"b": "<2"});
    check(
        &[
            ("a", "1.0.0", json!({}), conflicts()),
            ("b", "1.9.0", json!({}), json!({})),
        ],
        Err("load plugin \"a\": it conflicts with \"b\" <2, and version 1.9.0 is there: disable one of them"),
    );
    check(
        &[
            ("a", "1.0.0", json!({}), conflicts()),
            ("b", "2.0.0", json!({}), json!({})),
        ],
        Ok("a b"),
    );
    check(&[("a", "1.0.0", json!({}), conflicts())], Ok("a"));
}

proptest! {
    #[test]
    fn an_order_has_each_once_and_after_its_needs(edges in prop::collection::vec((0_usize..8, 0_usize..8), 0..12)) {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let plugins: Vec<(&str, &str, Value, Value)> = names
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let of_it = edges.iter().filter(|(from, to)| *from == index && to != from);
                let needed: Vec<&str> = of_it.map(|(_, to)| names[*to]).collect();
                (*name, "1.0.0", needs(&needed), json!({}))
            })
            .collect();
        match ordered(&plugins) {
            Ok(order) => {
                let order: Vec<&str> = order.split(' ').collect();
                prop_assert_eq!(order.len(), names.len());
                let place = |index: usize| order.iter().position(|name| *name == names[index]).unwrap();
                for (from, to) in edges.iter().filter(|(from, to)| from != to) {
                    prop_assert!(place(*to) < place(*from));
                }
            }
            Err(error) => prop_assert!(error.ends_with("these plugins need each other"), "{}", error),
        }
    }
}
