//! The house has floors: each room of src/ uses only itself and those below, and no module uses another in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Item, ItemMod, ItemUse, Macro, UseTree};

/// The rooms from the top of the house to its bottom. `state` stands for the structs of the rooms above that are kept in a process's
/// page: `watch/state.rs` and its kin, which know nothing of their room.
const FLOORS: [&str; 12] =
    ["lib", "edge", "reclaim", "watch", "tell", "own", "state", "allocator", "options", "sys", "pure", "decide"];

/// A module's path in the crate; empty = lib.rs.
type Module = Vec<String>;
/// Who uses whom.
type Graph = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn each_room_uses_only_those_below() {
    for (module, used) in graph() {
        for other in used {
            assert!(
                floor(&module) <= floor(&other),
                "{} uses {}, which is on a higher floor ({FLOORS:?})",
                name(&module),
                name(&other)
            );
        }
    }
}

#[test]
fn no_module_uses_another_in_a_circle() {
    let graph = graph();
    assert!(graph.len() > 40, "the source was read: {} modules", graph.len());
    if let Some(circle) = circle(&graph) {
        panic!("a circle: {}", circle.iter().map(name).collect::<Vec<_>>().join(" → "));
    }
}

#[test]
fn what_is_pure_knows_nothing_of_the_rest() {
    for (module, used) in graph() {
        let room = module.first().cloned().unwrap_or_default();
        if room == "decide" || room == "pure" {
            let strangers =
                used.iter().filter(|other| !["decide", "pure"].contains(&name(other).split("::").next().unwrap_or("")));
            assert_eq!(strangers.map(name).collect::<Vec<_>>(), Vec::<String>::new(), "{} is pure", name(&module));
        }
    }
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let mut graph = Graph::new();
    graph.insert(module("a"), BTreeSet::from([module("b")]));
    graph.insert(module("b"), BTreeSet::from([module("c")]));
    graph.insert(module("c"), BTreeSet::new());
    assert_eq!(circle(&graph), None);
    graph.insert(module("c"), BTreeSet::from([module("b")]));
    assert_eq!(circle(&graph), Some(vec![module("b"), module("c"), module("b")]));
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    let source = r#"
        //! [`crate::unused`] in a comment is no use.
        mod child;
        use crate::{sys::{self, memory}, own::hints::Reason};
        use super::trim as other;
        use child::Thing;
        fn work() { sys::files::read(); crate::tell::log::say(); let _ = format!("{}", crate::pure::text::number()); }
        #[cfg(test)]
        mod tests { use crate::edge; }
    "#;
    let known = ["sys", "sys::memory", "sys::files", "own", "own::hints", "reclaim::trim", "reclaim::garbage::child"]
        .into_iter()
        .chain(["tell::log", "pure::text", "edge", "unused"])
        .map(|path| path.split("::").map(str::to_owned).collect())
        .collect();
    let used = uses(source, &["reclaim".to_owned(), "garbage".to_owned()], &known);
    let expected = [
        "own::hints",
        "pure::text",
        "reclaim::garbage::child",
        "reclaim::trim",
        "sys",
        "sys::files",
        "sys::memory",
        "tell::log",
    ];
    assert_eq!(used.iter().map(name).collect::<Vec<_>>(), expected);
}

fn name(module: &Module) -> String {
    if module.is_empty() { "lib".to_owned() } else { module.join("::") }
}

/// The number of a module's floor, from the top.
fn floor(module: &Module) -> usize {
    let room = match module.as_slice() {
        [] => "lib",
        [_, state] if state == "state" => "state",
        [room, ..] => room,
    };
    FLOORS.iter().position(|floor| *floor == room).unwrap_or_else(|| panic!("{room} has no floor in {FLOORS:?}"))
}

fn graph() -> Graph {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    read(&root, &root, &mut sources);
    let known: BTreeSet<Module> = sources.keys().cloned().collect();
    sources.iter().map(|(module, source)| (module.clone(), uses(source, module, &known))).collect()
}

/// All modules' sources, but for those of unit tests.
fn read(root: &Path, folder: &Path, sources: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).expect("src") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(root, &path, sources);
            continue;
        }
        let relative = path.strip_prefix(root).expect("below src").with_extension("");
        let module: Module = relative.iter().map(|part| part.to_str().expect("UTF-8").to_owned()).collect();
        let last = module.last().expect("a name");
        let is_test = module.iter().any(|part| part.ends_with("_tests")) || last == "properties";
        if !is_test {
            let source = fs::read_to_string(&path).expect("a source file");
            sources.insert(if module == ["lib"] { Module::new() } else { module }, source);
        }
    }
}

/// A way round, if there is one: its first module is its last.
fn circle(graph: &Graph) -> Option<Vec<Module>> {
    fn follow(graph: &Graph, module: &Module, way: &mut Vec<Module>, done: &mut BTreeSet<Module>) -> bool {
        if let Some(at) = way.iter().position(|passed| passed == module) {
            way.drain(..at);
            way.push(module.clone());
            return true;
        }
        if done.contains(module) {
            return false;
        }
        way.push(module.clone());
        if graph.get(module).into_iter().flatten().any(|other| follow(graph, other, way, done)) {
            return true;
        }
        way.pop();
        done.insert(module.clone());
        false
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|module| {
        let mut way = Vec::new();
        follow(graph, module, &mut way, &mut done).then_some(way)
    })
}

/// The modules of `known` that the source of `module` uses.
fn uses(source: &str, module: &[String], known: &BTreeSet<Module>) -> BTreeSet<Module> {
    let file = syn::parse_file(source).expect("Rust");
    let mut uses = Uses { module, known, names: BTreeMap::new(), used: BTreeSet::new() };
    // First what names stand for, then where they are used.
    for item in &file.items {
        if let Item::Mod(ItemMod { ident, content: None, .. }) = item {
            let child = module.iter().cloned().chain([ident.to_string()]).collect();
            uses.names.insert(ident.to_string(), child);
        }
    }
    for item in &file.items {
        if let Item::Use(ItemUse { tree, .. }) = item {
            uses.tree(&mut Vec::new(), tree);
        }
    }
    uses.visit_file(&file);
    uses.used.remove(module);
    uses.used
}

struct Uses<'a> {
    module: &'a [String],
    known: &'a BTreeSet<Module>,
    /// What names in this file stand for modules.
    names: BTreeMap<String, Module>,
    used: BTreeSet<Module>,
}

impl Uses<'_> {
    fn tree(&mut self, before: &mut Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(before, &path.tree);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(before, item)),
            UseTree::Glob(_) => self.path(before),
            UseTree::Name(name) => self.named(before, &name.ident.to_string(), None),
            UseTree::Rename(name) => self.named(before, &name.ident.to_string(), Some(name.rename.to_string())),
        }
    }

    fn named(&mut self, before: &[String], ident: &str, rename: Option<String>) {
        let mut path = before.to_vec();
        if ident != "self" {
            path.push(ident.to_owned());
        }
        self.path(&path);
        let meant = self.absolute(&path).filter(|meant| self.known.contains(meant));
        if let (Some(meant), Some(last)) = (meant, path.last()) {
            self.names.insert(rename.unwrap_or_else(|| last.clone()), meant);
        }
    }

    /// Where a path leads, from lib.rs; `None` = out of the crate.
    fn absolute(&self, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Module::new(),
            "self" => self.module.to_vec(),
            "super" => self.module.split_last()?.1.to_vec(),
            name => self.names.get(name)?.clone(),
        };
        module.extend(rest.iter().cloned());
        Some(module)
    }

    /// The innermost module on a path is used; lib.rs only by its own items.
    fn path(&mut self, path: &[String]) {
        let Some(mut module) = self.absolute(path) else { return };
        while !module.is_empty() && !self.known.contains(&module) {
            module.pop();
        }
        if !module.is_empty() || path.first().is_some_and(|first| first == "crate") {
            self.used.insert(module);
        }
    }
}

impl<'ast> Visit<'ast> for Uses<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        let is_test = attributes.iter().any(|attribute| {
            attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
        });
        if !is_test {
            visit::visit_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let path_names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if path_names.len() > 1 {
            self.path(&path_names);
        }
        visit::visit_path(self, path);
    }

    /// What stands in a macro's call is no syntax yet: paths of the crate are found by their beginning.
    fn visit_macro(&mut self, call: &'ast Macro) {
        for path in call.tokens.to_string().split("crate ::").skip(1) {
            let names = path.split("::").map_while(|part| part.split_whitespace().next());
            let path: Vec<_> = ["crate"].into_iter().chain(names).map(str::to_owned).collect();
            self.path(&path);
        }
        visit::visit_macro(self, call);
    }
}
