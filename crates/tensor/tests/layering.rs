//! Checks the module dependencies described in ARCHITECTURE.md by reading the sources.
//!
//! A dependency is a path that begins with `crate`, `super` or `self`, in a `use` line or elsewhere, outside tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the lowest layer up: a module uses modules in lower layers only, and no other module in its own layer.
const LAYERS: &[&[&str]] = &[
    // Scalars.
    &["error", "ranges", "shape", "shared", "buffer_pool", "random", "cpu::simd", "cpu::math"],
    &["scalar", "parallel", "layout", "axes"],
    // Shapes and layouts; bytes on a GPU.
    &["memory_format", "shape_rules", "machine", "gpu"],
    // Storage, then tensors.
    &["device", "geometry"],
    &["storage"],
    &["tensor"],
    // Operations: parameters, kernel table, methods.
    &["parameters"],
    &["kernel"],
    &["element"],
    &["views", "print"],
    &["methods"],
    // The kernels, and their dispatch.
    &["cpu", "cuda"],
    &["dispatch"],
];

/// The text of a source without comments and tests.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = body.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths in a module's code that begin with `crate`, `super` or `self`, from the root of the crate. A list in braces is
/// expanded.
fn paths(module: &[String], code: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (start, _) in ["crate::", "super::", "self::"].iter().flat_map(|first| code.match_indices(first)) {
        let before = &code[..start];
        // Skip matches inside a path or a word, and visibilities such as `pub(in super::super)`.
        if before.ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)) || before.ends_with("in ") {
            continue;
        }
        let rest = &code[start..];
        let stem = &rest[..rest.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c))).unwrap_or(rest.len())];
        let mut base = module.to_vec();
        for name in stem.split("::").filter(|name| !name.is_empty() && *name != "self") {
            match name {
                "crate" => base.clear(),
                "super" => drop(base.pop()),
                name => base.push(name.to_owned()),
            }
        }
        let list = rest[stem.len()..].strip_prefix('{').map_or("", |list| list.split(';').next().unwrap_or_default());
        let mut depth = 0;
        let outer = list.split_inclusive(['{', '}', ',']).filter(|part| {
            let here = depth == 0;
            depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
            here
        });
        let names: Vec<&str> = outer.map(|part| part.trim_matches(['{', '}', ',', ' ', '\n'])).collect();
        for name in if names.is_empty() { &[""] } else { &names[..] } {
            let name = name.split(" as ").next().unwrap_or_default();
            let name = name.split("::").filter(|part| !part.is_empty() && *part != "self").map(str::to_owned);
            found.insert(base.iter().cloned().chain(name).collect());
        }
    }
    found
}

/// The module of a source file below `src`: `cpu/conv/mod.rs` is `cpu::conv`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

/// The layer and the name of the unit that contains a path: the longest name that is a prefix of the path.
fn unit(path: &[String]) -> Option<(usize, &'static str)> {
    let whole = path.join("::") + "::";
    let of_layer =
        |(layer, units): (usize, &&[&'static str])| units.iter().map(|&unit| (layer, unit)).collect::<Vec<_>>();
    let all = LAYERS.iter().enumerate().flat_map(of_layer);
    all.filter(|(_, unit)| whole.starts_with(&format!("{unit}::"))).max_by_key(|(_, unit)| unit.len())
}

/// The dependencies in these sources that violate the order of the layers.
fn violations(sources: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in sources {
        let module = module_of(file);
        if file == "lib.rs" {
            continue;
        }
        let Some((layer, name)) = unit(&module) else {
            found.push(format!("src/{file} is in no layer: add it to LAYERS and to ARCHITECTURE.md"));
            continue;
        };
        for path in paths(&module, &code(text)) {
            if let Some((of, used)) = unit(&path)
                && used != name
                && of >= layer
            {
                found.push(format!("src/{file} (layer {layer}) uses crate::{} (layer {of})", path.join("::")));
            }
            // A re-export of lib.rs would hide the module.
            if path.first().is_some_and(|first| first.starts_with(char::is_uppercase)) {
                found.push(format!("src/{file} uses crate::{}: name it by its module", path.join("::")));
            }
        }
    }
    found
}

/// A dependency cycle between files, if there is one. A module's `mod.rs` is excluded, since its files may use it.
fn cycle(sources: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let files: BTreeMap<Vec<String>, &str> = sources.keys().map(|file| (module_of(file), file.as_str())).collect();
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (file, text) in sources.iter().filter(|(file, _)| *file != "lib.rs") {
        let module = module_of(file);
        let of_path = |path: Vec<String>| (1..=path.len()).rev().find_map(|len| files.get(&path[..len]).copied());
        let used = paths(&module, &code(text)).into_iter().filter_map(of_path);
        uses.insert(file, used.filter(|used| used != file && !module.starts_with(&module_of(used))).collect());
    }
    // Repeatedly remove files without dependencies: the rest are the files in cycles and those that depend on them.
    loop {
        let left: BTreeSet<&str> = uses.keys().copied().collect();
        let before = uses.len();
        uses.retain(|_, used| used.iter().any(|used| left.contains(used)));
        if uses.len() == before {
            break;
        }
    }
    // A walk from any of them ends in a cycle.
    let mut walk = vec![*uses.keys().next()?];
    loop {
        let last = walk[walk.len() - 1];
        let next =
            *uses[last].iter().find(|next| uses.contains_key(*next)).expect("each remaining file uses another one");
        if let Some(at) = walk.iter().position(|file| *file == next) {
            return Some(walk[at..].iter().map(|file| (*file).to_owned()).collect());
        }
        walk.push(next);
    }
}

fn read(folder: &Path, prefix: &str, sources: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("the sources exist") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            read(&path, &format!("{prefix}{name}/"), sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") && name != "tests.rs" {
            sources.insert(format!("{prefix}{name}"), fs::read_to_string(&path).expect("it is text"));
        }
    }
}

fn sources() -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut sources);
    sources
}

#[test]
fn modules_use_lower_layers_only() {
    let found = violations(&sources());
    assert!(found.is_empty(), "a module may use lower layers only:\n  {}", found.join("\n  "));
}

#[test]
fn files_have_no_cyclic_dependencies() {
    let found = cycle(&sources());
    assert!(found.is_none(), "these files form a dependency cycle: {}", found.unwrap_or_default().join(" → "));
}

#[test]
fn violations_are_found() {
    let with = |file: &str, text: &str| {
        let mut sources = sources();
        sources.entry(file.to_owned()).or_default().push_str(text);
        sources
    };
    let one = |file: &str, text: &str| {
        let found = violations(&with(file, text));
        assert_eq!(found.len(), 1, "{file}: {text}: {found:?}");
        found[0].clone()
    };
    assert_eq!(
        one("layout.rs", "\nuse crate::tensor::TensorOf;\n"),
        "src/layout.rs (layer 1) uses crate::tensor::TensorOf (layer 5)"
    );
    assert!(
        one("storage.rs", "\nuse crate::{\n    cuda::CudaBuffer,\n    shape::Shape,\n};\n")
            .contains("crate::cuda::CudaBuffer")
    );
    assert!(one("gpu/memory.rs", "\nfn f() { crate::cuda::stats(0); }\n").contains("crate::cuda::stats"));
    assert!(one("cuda/conv.rs", "\nuse crate::cpu::images::Images;\n").contains("crate::cpu::images"));
    assert!(one("cpu/math/erf.rs", "\nuse super::super::images;\n").contains("crate::cpu::images"));
    assert!(one("gpu/memory.rs", "\nuse crate::TensorOf;\n").contains("crate::TensorOf: name it by its module"));
    assert!(one("stray.rs", "\n").contains("src/stray.rs is in no layer"));
    assert!(
        violations(&with("layout.rs", "\n#[cfg(test)]\nmod tests {\n    use crate::tensor::Tensor;\n}\n")).is_empty()
    );

    let cyclic = with("gpu/heap.rs", "\nuse super::memory::Block;\n");
    assert_eq!(violations(&cyclic), [] as [String; 0], "one layer");
    let files = cycle(&cyclic).expect("memory.rs uses heap.rs");
    assert!(files.iter().any(|file| file == "gpu/heap.rs"), "{files:?}");
}
