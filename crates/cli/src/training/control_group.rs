//! The memory limits of Linux control groups.

use std::path::Path;

/// The bytes left to the control group of this process and to the groups that it is in, by the lines of /proc/self/cgroup;
/// `None` if no group has a limit.
pub fn memory_left(groups: &str, root: &Path) -> Option<(u64, String)> {
    let mut least: Option<(u64, String)> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        // Version 2 has one hierarchy, without a name; version 1 has one for memory.
        let (folder, names) = match controllers {
            "" => (root.to_owned(), ["memory.max", "memory.current", "active_file", "inactive_file"]),
            _ if controllers.split(',').any(|name| name == "memory") => (
                root.join("memory"),
                ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_active_file", "total_inactive_file"],
            ),
            _ => continue,
        };
        for group in Path::new(path).ancestors() {
            let folder = folder.join(group.strip_prefix("/").unwrap_or(group));
            let number = |name: &str| std::fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
            // The file has the word `max` where there is no limit.
            let (Some(limit), Some(used)) = (number(names[0]), number(names[1])) else { continue };
            // Pages of files count as used, but make room when it is needed.
            let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let bytes = |name: &str| {
                let of_line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok();
                stat.lines().find_map(of_line).unwrap_or(0)
            };
            let cache = bytes(names[2]) + bytes(names[3]);
            let left = limit.saturating_sub(used.saturating_sub(cache));
            if least.as_ref().is_none_or(|(bytes, _)| left < *bytes) {
                least = Some((left, format!("the control group {}", group.display())));
            }
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files in a directory.
    fn files(list: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in list {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_tightest_group_of_version_2_counts() {
        let root = files(&[
            ("user/memory.max", "8000\n"),
            ("user/memory.current", "5000\n"),
            ("user/memory.stat", "anon 3000\nactive_file 500\ninactive_file 1000\n"),
            ("user/job/memory.max", "max\n"),
            ("user/job/memory.current", "4000\n"),
        ]);
        let found = memory_left("0::/user/job\n", root.path());
        assert_eq!(found, Some((4500, "the control group /user".into())));
        assert_eq!(memory_left("0::/\n", root.path()), None);
    }

    #[test]
    fn the_memory_group_of_version_1_counts() {
        let root = files(&[
            ("memory/box/memory.limit_in_bytes", "1000\n"),
            ("memory/box/memory.usage_in_bytes", "900\n"),
            ("memory/box/memory.stat", "inactive_file 7\ntotal_inactive_file 50\n"),
        ]);
        let found = memory_left("9:cpu,cpuacct:/\n4:memory:/box\n0::/\n", root.path());
        assert_eq!(found, Some((150, "the control group /box".into())));
    }
}
