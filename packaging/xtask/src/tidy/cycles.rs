//! Modules of a crate that import each other in a circle.
//!
//! Modules with the same parent are compared; what is below one of them counts as part of it. A module and its parent may
//! name each other. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::visit::{self, Visit};

/// The names from the crate's root to a module; empty for the root.
type Module = Vec<String>;

/// The modules of a crate and the names in them.
#[derive(Default)]
struct Krate {
    modules: BTreeSet<Module>,
    /// Paths that a module names, absolute.
    named: BTreeSet<(Module, Vec<String>)>,
    /// What a module takes in by `use`: its name there, and the path that it stands for.
    taken: BTreeMap<(Module, String), Vec<String>>,
}

/// Adds a line for every circle of modules in a crate.
///
/// * `folder`: of the crate.
/// * `manifest`: its Cargo.toml, which names programs that are elsewhere than in `src/main.rs`.
pub(super) fn check(folder: &Path, manifest: &str, faults: &mut Vec<String>) -> Result<()> {
    let named = manifest.lines().filter_map(|line| line.strip_prefix("path = \""));
    let roots = ["src/lib.rs", "src/main.rs"]
        .into_iter()
        .chain(named.map(|line| line.trim_end_matches('"')));
    for root in roots.map(|root| folder.join(root)) {
        if !root.is_file() {
            continue;
        }
        let mut krate = Krate::default();
        krate.read(&root, Vec::new())?;
        faults.extend(krate.circles().into_iter().map(|circle| {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            format!("{}: modules import each other: {}", root.display(), names.join(" -> "))
        }));
    }
    Ok(())
}

impl Krate {
    fn read(&mut self, file: &Path, module: Module) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("read {file:?}"))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("parse {file:?}"))?;
        self.modules.insert(module.clone());
        let mut found = Found {
            krate: self,
            module: module.clone(),
            children: Vec::new(),
        };
        found.visit_file(&parsed);
        for child in found.children {
            let path = file_of(file, &module, &child);
            let child = [module.clone(), vec![child]].concat();
            self.read(&path, child)?;
        }
        Ok(())
    }

    /// The module in which a path ends: through `pub use` where a name stands for another path.
    fn resolve(&self, path: &[String], patience: u8) -> Module {
        let mut module = Module::new();
        for (index, name) in path.iter().enumerate() {
            let deeper = [module.clone(), vec![name.clone()]].concat();
            if self.modules.contains(&deeper) {
                module = deeper;
                continue;
            }
            let stands_for = self.taken.get(&(module.clone(), name.clone()));
            return match stands_for.filter(|_| patience > 0) {
                Some(target) => {
                    let rest = path.get(index + 1..).unwrap_or_default();
                    self.resolve(&[target.as_slice(), rest].concat(), patience - 1)
                }
                None => module,
            };
        }
        module
    }

    /// Which module imports which, among modules with one parent.
    fn edges(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        const PATIENCE: u8 = 16;
        let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (from, path) in &self.named {
            let to = self.resolve(path, PATIENCE);
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            let sides = (from.get(..=shared), to.get(..=shared));
            if let (Some(from), Some(to)) = sides {
                edges.entry(from.to_vec()).or_default().insert(to.to_vec());
            }
        }
        edges
    }

    /// One circle for each group of modules that import each other, its first module told again at the end.
    fn circles(&self) -> Vec<Vec<Module>> {
        let edges = self.edges();
        let mut told = BTreeSet::new();
        let mut circles = Vec::new();
        for start in edges.keys() {
            if told.contains(start) {
                continue;
            }
            if let Some(circle) = way_back(start, &edges) {
                told.extend(circle.iter().cloned());
                circles.push(circle);
            }
        }
        circles
    }
}

/// The shortest way from a module back to itself.
fn way_back(start: &Module, edges: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    let mut next = 0;
    while let Some(way) = ways.get(next).cloned() {
        next += 1;
        for to in way.last().and_then(|last| edges.get(last)).into_iter().flatten() {
            let longer = [way.clone(), vec![to.clone()]].concat();
            if to == start {
                return Some(longer);
            }
            if seen.insert(to.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}

/// Where a module's file is: beside the root's, or in the folder that bears its parent's name.
fn file_of(parent_file: &Path, parent: &[String], child: &str) -> PathBuf {
    let folder = parent_file.parent().unwrap_or(Path::new(""));
    match parent.last() {
        None => folder.join(format!("{child}.rs")),
        Some(parent) => folder.join(parent).join(format!("{child}.rs")),
    }
}

/// Collects what one file names.
struct Found<'a> {
    krate: &'a mut Krate,
    module: Module,
    children: Vec<String>,
}

impl Found<'_> {
    /// A path from the crate's root; `None` for one that leads out of the crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&self.module, rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let base = self.module.get(..self.module.len().checked_sub(ups)?)?;
                Some([base, path.get(ups..)?].concat())
            }
            // A child, or a name taken in before.
            _ => Some([&self.module, path].concat()),
        }
    }

    fn name(&mut self, path: &[String]) {
        if let Some(path) = self.absolute(path) {
            self.krate.named.insert((self.module.clone(), path));
        }
    }

    fn take(&mut self, prefix: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                let prefix = [prefix, &[path.ident.to_string()]].concat();
                self.take(&prefix, &path.tree);
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.take(prefix, tree)),
            syn::UseTree::Glob(_) => self.name(prefix),
            syn::UseTree::Name(name) => self.take_as(prefix, &name.ident, &name.ident),
            syn::UseTree::Rename(rename) => self.take_as(prefix, &rename.ident, &rename.rename),
        }
    }

    fn take_as(&mut self, prefix: &[String], name: &syn::Ident, known_as: &syn::Ident) {
        let (path, known_as) = match (prefix.split_last(), name == "self") {
            (Some((last, _)), true) => (prefix.to_vec(), last.clone()),
            _ => ([prefix, &[name.to_string()]].concat(), known_as.to_string()),
        };
        self.name(&path);
        let itself = [self.module.as_slice(), std::slice::from_ref(&known_as)].concat();
        if let Some(path) = self.absolute(&path).filter(|path| *path != itself) {
            self.krate.taken.insert((self.module.clone(), known_as), path);
        }
    }
}

impl Visit<'_> for Found<'_> {
    fn visit_item_mod(&mut self, item: &syn::ItemMod) {
        if is_test(&item.attrs) {
            return;
        }
        match &item.content {
            None => self.children.push(item.ident.to_string()),
            Some(_) => visit::visit_item_mod(self, item),
        }
    }

    fn visit_item_fn(&mut self, item: &syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.take(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.name(&names);
        visit::visit_path(self, path);
    }
}

/// Whether an item is there in tests only.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::check;

    /// Writes files of a crate, and returns what is wrong with its modules.
    fn faults(name: &str, files: &[(&str, &str)]) -> Vec<String> {
        let folder = std::env::temp_dir().join(format!("xtask-cycles-{}-{name}", std::process::id()));
        for (file, text) in files {
            let path = match file.strip_prefix("../") {
                Some(file) => folder.join(file),
                None => folder.join("src").join(file),
            };
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            #[expect(clippy::disallowed_methods, reason = "a file of the test's own folder")]
            fs::write(path, text).unwrap();
        }
        let mut faults = Vec::new();
        check(&folder, "[[bin]]\npath = \"guest/main.rs\"\n", &mut faults).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let root = format!("{}/src/", folder.display());
        faults.into_iter().map(|fault| fault.replace(&root, "")).collect()
    }

    #[track_caller]
    fn check_circle(name: &str, files: &[(&str, &str)], circle: &str) {
        assert_eq!(
            faults(name, files),
            [format!("lib.rs: modules import each other: {circle}")]
        );
    }

    #[test]
    fn modules_that_import_each_other_are_found() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use super::a;"),
        ];
        check_circle("plain", &files, "a -> b -> a");
    }

    #[test]
    fn a_name_in_the_code_is_an_import_too() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "fn f() { crate::b::f() }"),
            ("b.rs", "use crate::a;"),
        ];
        check_circle("path", &files, "a -> b -> a");
    }

    #[test]
    fn what_is_below_a_module_is_part_of_it() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod c;"),
            ("a/c.rs", "use crate::b;"),
            ("b.rs", "use crate::a::A;"),
        ];
        check_circle("below", &files, "a -> b -> a");
    }

    #[test]
    fn a_name_that_the_root_gives_on_leads_to_its_module() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::A;"),
        ];
        check_circle("given_on", &files, "a -> b -> a");
    }

    #[test]
    fn children_of_one_module_are_compared() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod x; mod y; mod z; use x::X;"),
            ("a/x.rs", "use super::y::Y; use super::A;"),
            ("a/y.rs", "use super::z::Z;"),
            ("a/z.rs", "use crate::a::x::X;"),
        ];
        check_circle("children", &files, "a::x -> a::y -> a::z -> a::x");
    }

    #[test]
    fn programs_elsewhere_are_read_too() {
        let files = [
            ("../guest/main.rs", "mod a; mod b;"),
            ("../guest/a.rs", "use crate::b;"),
            ("../guest/b.rs", "use crate::a;"),
        ];
        let [fault] = faults("elsewhere", &files).try_into().unwrap();
        assert!(
            fault.ends_with("guest/main.rs: modules import each other: a -> b -> a"),
            "{fault}"
        );
    }

    #[test]
    fn a_parent_and_tests_are_no_circle() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use b::B; #[cfg(test)] mod tests;"),
            ("a.rs", "use crate::b; mod c; use c::C; use std::fmt;"),
            ("a/c.rs", "use super::A; use super::super::b::B;"),
            ("b.rs", "use serde::a; #[cfg(test)] mod tests { use crate::a::A; }"),
        ];
        assert_eq!(faults("parent", &files), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(check(&folder.join("nosuch"), "", &mut Vec::new()).is_ok());
        let error = super::Krate::default()
            .read(Path::new("nosuch.rs"), Vec::new())
            .unwrap_err();
        assert_eq!(error.to_string(), "read \"nosuch.rs\"");
    }
}
