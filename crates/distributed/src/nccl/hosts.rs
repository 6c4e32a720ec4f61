//! Slurm's lists of hosts, such as `node[07-09,12],gpu3`.

/// The first host of a list. `None` if the list is not well formed.
pub(super) fn first(list: &str) -> Option<String> {
    let mut host = String::new();
    let mut rest = list.trim();
    loop {
        let end = rest.find([',', '[']).unwrap_or(rest.len());
        host.push_str(&rest[..end]);
        let Some(bracket) = rest[end..].strip_prefix('[') else { break };
        // The first number keeps its zeros: Slurm pads the numbers of a range to one width.
        let (ranges, after) = bracket.split_once(']')?;
        let number = ranges.split([',', '-']).next()?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        host.push_str(number);
        rest = after;
    }
    (!host.is_empty() && !host.contains(|c: char| c == ']' || c.is_whitespace())).then_some(host)
}

/// The number of tasks on a node in a list such as `4(x2),3`, by the number of the node.
pub(super) fn tasks(list: &str, node: usize) -> Option<usize> {
    let mut first = 0;
    for part in list.trim().split(',') {
        let (tasks, nodes) = match part.split_once("(x") {
            Some((tasks, nodes)) => (tasks, nodes.strip_suffix(')')?.parse().ok()?),
            None => (part, 1),
        };
        let tasks = tasks.parse().ok()?;
        first += nodes;
        if node < first {
            return Some(tasks);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_host_of_lists() {
        for (list, host) in [
            ("gpu3", "gpu3"),
            ("node[07-09,12],gpu3", "node07"),
            ("node[12,07-09]", "node12"),
            ("gpu3,node[07-09]", "gpu3"),
            ("rack[1-2]n[003-004]", "rack1n003"),
            ("n[5]-ib.cluster.org", "n5-ib.cluster.org"),
        ] {
            assert_eq!(first(list).as_deref(), Some(host), "{list}");
        }
        for list in ["", "node[", "node[]", "node[a-b]", "node7]", "node 7", ",node7"] {
            assert_eq!(first(list), None, "{list}");
        }
    }

    #[test]
    fn the_tasks_of_each_node() {
        let all: Vec<_> = (0..5).map(|node| tasks("4(x2),3,1", node)).collect();
        assert_eq!(all, [Some(4), Some(4), Some(3), Some(1), None]);
        for list in ["", "x", "4(x", "4(x2", "4(xa)", "-1"] {
            assert_eq!(tasks(list, 0), None, "{list}");
        }
    }
}
