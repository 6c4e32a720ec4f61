//! Which module may use which: ARCHITECTURE.md, held by reading the sources.
//!
//! Paths that begin with `crate`, `super` or `self` count, in `use` lines and elsewhere; tests do not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the ground up: a module uses what lies on lower floors, and nothing else on its own.
const FLOORS: &[&[&str]] = &[
    // Scalars.
    &["error", "shape", "shared", "buffer_pool", "random", "cpu::simd", "cpu::math"],
    &["scalar", "parallel", "layout", "axes"],
    // Shapes and layouts; bytes on a GPU.
    &["memory_format", "shape_rules", "machine", "gpu"],
    // Storage, then tensors.
    &["device", "geometry"],
    &["storage"],
    &["tensor"],
    // What there is to compute.
    &["parameters"],
    &["kernel"],
    &["element"],
    &["views", "print"],
    &["methods"],
    // The kernels, and the choice between them.
    &["cpu", "cuda"],
    &["dispatch"],
];

/// The text of a source without comments and tests.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = body.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths in a module's code that begin with `crate`, `super` or `self`, from the root of the crate; of a list in braces
/// each one.
fn paths(module: &[String], code: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (start, _) in ["crate::", "super::", "self::"].iter().flat_map(|first| code.match_indices(first)) {
        let before = &code[..start];
        // In the middle of a path or a word, or where something may be seen: `pub(in super::super)`.
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

/// The floor and the name of the unit that a path belongs to: the longest name that it begins with.
fn unit(path: &[String]) -> Option<(usize, &'static str)> {
    let whole = path.join("::") + "::";
    let of_floor =
        |(floor, units): (usize, &&[&'static str])| units.iter().map(|&unit| (floor, unit)).collect::<Vec<_>>();
    let all = FLOORS.iter().enumerate().flat_map(of_floor);
    all.filter(|(_, unit)| whole.starts_with(&format!("{unit}::"))).max_by_key(|(_, unit)| unit.len())
}

/// What in these sources breaks the order of the floors.
fn violations(sources: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in sources {
        let module = module_of(file);
        if file == "lib.rs" {
            continue;
        }
        let Some((floor, name)) = unit(&module) else {
            found.push(format!("src/{file} is on no floor: add it to FLOORS and to ARCHITECTURE.md"));
            continue;
        };
        for path in paths(&module, &code(text)) {
            if let Some((of, used)) = unit(&path)
                && used != name
                && of >= floor
            {
                found.push(format!("src/{file} (floor {floor}) uses crate::{} (floor {of})", path.join("::")));
            }
        }
    }
    found
}

/// The files that a circle of uses ties together, if there is one. A module's `mod.rs`, which its files may use, is apart.
fn circle(sources: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let files: BTreeMap<Vec<String>, &str> = sources.keys().map(|file| (module_of(file), file.as_str())).collect();
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (file, text) in sources.iter().filter(|(file, _)| *file != "lib.rs") {
        let module = module_of(file);
        let of_path = |path: Vec<String>| (1..=path.len()).rev().find_map(|len| files.get(&path[..len]).copied());
        let used = paths(&module, &code(text)).into_iter().filter_map(of_path);
        uses.insert(file, used.filter(|used| used != file && !module.starts_with(&module_of(used))).collect());
    }
    // What uses only files that are in no circle is in none either: what is left in the end are the circles and their users.
    loop {
        let left: BTreeSet<&str> = uses.keys().copied().collect();
        let before = uses.len();
        uses.retain(|_, used| used.iter().any(|used| left.contains(used)));
        if uses.len() == before {
            break;
        }
    }
    // From any of them a walk comes round.
    let mut walk = vec![*uses.keys().next()?];
    loop {
        let last = walk[walk.len() - 1];
        let next = *uses[last].iter().find(|next| uses.contains_key(*next)).expect("it uses one that is left");
        if let Some(at) = walk.iter().position(|file| *file == next) {
            return Some(walk[at..].iter().map(|file| (*file).to_owned()).collect());
        }
        walk.push(next);
    }
}

fn read(folder: &Path, prefix: &str, sources: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
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
fn modules_use_lower_floors_only() {
    let found = violations(&sources());
    assert!(found.is_empty(), "a module may use what lies on lower floors only:\n  {}", found.join("\n  "));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let found = circle(&sources());
    assert!(found.is_none(), "these files use each other in a circle: {}", found.unwrap_or_default().join(" → "));
}

#[test]
fn what_breaks_the_order_is_found() {
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
        "src/layout.rs (floor 1) uses crate::tensor::TensorOf (floor 5)"
    );
    assert!(
        one("storage.rs", "\nuse crate::{\n    cuda::CudaBuffer,\n    shape::Shape,\n};\n")
            .contains("crate::cuda::CudaBuffer")
    );
    assert!(one("gpu/memory.rs", "\nfn f() { crate::cuda::stats(0); }\n").contains("crate::cuda::stats"));
    assert!(one("cuda/conv.rs", "\nuse crate::cpu::images::Images;\n").contains("crate::cpu::images"));
    assert!(one("cpu/math/erf.rs", "\nuse super::super::images;\n").contains("crate::cpu::images"));
    assert!(one("stray.rs", "\n").contains("src/stray.rs is on no floor"));
    assert!(
        violations(&with("layout.rs", "\n#[cfg(test)]\nmod tests {\n    use crate::tensor::Tensor;\n}\n")).is_empty()
    );

    let tied = with("gpu/heap.rs", "\nuse super::memory::Block;\n");
    assert_eq!(violations(&tied), [] as [String; 0], "one floor");
    let files = circle(&tied).expect("memory.rs uses heap.rs");
    assert!(files.iter().any(|file| file == "gpu/heap.rs"), "{files:?}");
}
