//! What launchers say of a process by environment variables.

use std::str::FromStr;

use super::hosts;
use super::place::Place;
use crate::error::DistributedError;

type Result<T, E = DistributedError> = std::result::Result<T, E>;
/// The value of a variable.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Names of variables: the rank, the number of processes, and the same on one machine.
struct Launcher {
    rank: &'static str,
    size: &'static str,
    local_rank: &'static str,
    local_size: LocalSize,
}

enum LocalSize {
    Variable(&'static str),
    /// Of Slurm: the tasks of all nodes, and the number of this one.
    OfNode {
        tasks: &'static str,
        node: &'static str,
    },
}

/// The first whose rank is set is taken: other launchers can run in an allocation of Slurm.
const LAUNCHERS: [Launcher; 3] = [
    Launcher {
        rank: "RANK",
        size: "WORLD_SIZE",
        local_rank: "LOCAL_RANK",
        local_size: LocalSize::Variable("LOCAL_WORLD_SIZE"),
    },
    Launcher {
        rank: "OMPI_COMM_WORLD_RANK",
        size: "OMPI_COMM_WORLD_SIZE",
        local_rank: "OMPI_COMM_WORLD_LOCAL_RANK",
        local_size: LocalSize::Variable("OMPI_COMM_WORLD_LOCAL_SIZE"),
    },
    Launcher {
        rank: "SLURM_PROCID",
        size: "SLURM_NTASKS",
        local_rank: "SLURM_LOCALID",
        local_size: LocalSize::OfNode { tasks: "SLURM_STEP_TASKS_PER_NODE", node: "SLURM_NODEID" },
    },
];

/// The process among all, and where rank 0 listens: `None` if NCCL itself reads the address.
pub(super) fn place_and_address(variables: Variables) -> Result<(Place, Option<String>)> {
    let Some(launcher) = LAUNCHERS.iter().find(|launcher| variables(launcher.rank).is_some()) else {
        let ranks = LAUNCHERS.map(|launcher| launcher.rank).join(", ");
        return Err(wrong(&format!("none of {ranks} is set"), "start the program with torchrun, srun or mpirun"));
    };
    let place = place(variables, launcher)?;
    if variables("NCCL_COMM_ID").is_some() {
        return Ok((place, None));
    }
    Ok((place, Some(address(variables)?)))
}

fn place(variables: Variables, launcher: &Launcher) -> Result<Place> {
    let below = |value: usize, name: &str, size: usize, of: &str| {
        if value < size {
            return Ok(());
        }
        Err(wrong(&format!("{name} is {value}, but {of} is {size}"), "ranks range from 0 to size − 1"))
    };
    let (rank, size) = (number(variables, launcher.rank)?, number(variables, launcher.size)?);
    below(rank, launcher.rank, size, launcher.size)?;
    let local_rank = number(variables, launcher.local_rank)?;
    let (local_size, of) = match launcher.local_size {
        LocalSize::Variable(name) => (number(variables, name)?, name),
        LocalSize::OfNode { tasks: name, node } => {
            let (list, node) = (text(variables, name)?, number(variables, node)?);
            let rule = "a list such as 4(x2),3";
            let tasks = hosts::tasks(&list, node)
                .ok_or_else(|| wrong(&format!("{name} is '{list}', which has no node {node}"), rule))?;
            (tasks, name)
        }
    };
    below(local_rank, launcher.local_rank, local_size, of)?;
    Ok(Place { rank, size, local: (local_rank, local_size) })
}

/// Where rank 0 listens.
fn address(variables: Variables) -> Result<String> {
    if variables("MASTER_ADDR").is_some() || variables("SLURM_JOB_ID").is_none() {
        let (host, port) = (text(variables, "MASTER_ADDR")?, number::<u16>(variables, "MASTER_PORT")?);
        // torchrun's own store listens at the port itself.
        let port = port.checked_add(1).ok_or_else(|| {
            wrong(&format!("MASTER_PORT is {port}"), "a port below 65535: rank 0 listens at the next one")
        })?;
        return Ok(with_port(&host, port));
    }
    let name = ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"];
    let name = name.into_iter().find(|name| variables(name).is_some()).unwrap_or(name[0]);
    let list = text(variables, name)?;
    let host = hosts::first(&list)
        .ok_or_else(|| wrong(&format!("{name} is '{list}'"), "a list of hosts such as node[07-09,12],gpu3"))?;
    // Below the ports that systems give to clients, another one for each of the jobs and steps that share a node.
    let (job, step) = (number::<u64>(variables, "SLURM_JOB_ID")?, number(variables, "SLURM_STEP_ID").unwrap_or(0));
    Ok(with_port(&host, (16384 + (job + step) % 16384) as u16))
}

fn with_port(host: &str, port: u16) -> String {
    // An address of IPv6 has colons itself.
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn text(variables: Variables, name: &str) -> Result<String> {
    variables(name).filter(|value| !value.is_empty()).ok_or_else(|| {
        wrong(
            &format!("{name} is not set"),
            "torchrun, srun and mpirun set the variables, except MASTER_ADDR and MASTER_PORT",
        )
    })
}

fn number<N: FromStr>(variables: Variables, name: &str) -> Result<N> {
    let value = text(variables, name)?;
    value.parse().map_err(|_| wrong(&format!("{name} is '{value}'"), "a number"))
}

fn wrong(what: &str, rule: &str) -> DistributedError {
    DistributedError::Unavailable(format!("processes of NCCL: {what}\n  rule: {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<(Place, Option<String>)> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        place_and_address(&find)
    }

    const TORCHRUN: [(&str, &str); 6] = [
        ("RANK", "5"),
        ("WORLD_SIZE", "8"),
        ("LOCAL_RANK", "1"),
        ("LOCAL_WORLD_SIZE", "4"),
        ("MASTER_ADDR", "node07"),
        ("MASTER_PORT", "29500"),
    ];
    const SLURM: [(&str, &str); 9] = [
        ("SLURM_PROCID", "5"),
        ("SLURM_NTASKS", "7"),
        ("SLURM_LOCALID", "1"),
        ("SLURM_NODEID", "1"),
        ("SLURM_STEP_TASKS_PER_NODE", "4,3"),
        ("SLURM_STEP_NODELIST", "node[07-09,12],gpu3"),
        ("SLURM_JOB_NODELIST", "node[01-12],gpu3"),
        ("SLURM_JOB_ID", "20000"),
        ("SLURM_STEP_ID", "2"),
    ];

    fn with<'a>(all: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
        all.iter().copied().filter(|(key, _)| *key != name).chain([(name, value)]).collect()
    }

    fn without<'a>(all: &[(&'a str, &'a str)], name: &str) -> Vec<(&'a str, &'a str)> {
        all.iter().copied().filter(|(key, _)| *key != name).collect()
    }

    fn at(local: (usize, usize), size: usize, address: &str) -> (Place, Option<String>) {
        (Place { rank: 5, size, local }, Some(address.into()))
    }

    #[test]
    fn each_launcher_says_the_place_and_the_address() {
        assert_eq!(of(&TORCHRUN).expect("all is set"), at((1, 4), 8, "node07:29501"));
        assert_eq!(of(&SLURM).expect("all is set"), at((1, 3), 7, "node07:20002"));
        let job = without(&SLURM, "SLURM_STEP_NODELIST");
        assert_eq!(of(&job).expect("all is set"), at((1, 3), 7, "node01:20002"));
        let named = [&SLURM[..], &TORCHRUN[4..]].concat();
        assert_eq!(of(&named).expect("all is set"), at((1, 3), 7, "node07:29501"));
        let open_mpi = [
            ("OMPI_COMM_WORLD_RANK", "5"),
            ("OMPI_COMM_WORLD_SIZE", "6"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "0"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
            ("MASTER_ADDR", "fe80::1"),
            ("MASTER_PORT", "4000"),
        ];
        assert_eq!(of(&open_mpi).expect("all is set"), at((0, 2), 6, "[fe80::1]:4001"));
        // In an allocation of Slurm, the launcher that was used there has the word.
        let both = [&SLURM[..], &TORCHRUN[..]].concat();
        assert_eq!(of(&both).expect("all is set"), at((1, 4), 8, "node07:29501"));
    }

    #[test]
    fn nccl_connects_the_processes_if_its_variable_is_set() {
        let all = with(&TORCHRUN[..4], "NCCL_COMM_ID", "node07:4000");
        assert_eq!(of(&all).expect("no address is needed"), (at((1, 4), 8, "").0, None));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let cases: [(Vec<(&str, &str)>, &str); 13] = [
            (vec![], "none of RANK, OMPI_COMM_WORLD_RANK, SLURM_PROCID is set"),
            (without(&TORCHRUN, "WORLD_SIZE"), "WORLD_SIZE is not set"),
            (without(&TORCHRUN, "LOCAL_WORLD_SIZE"), "LOCAL_WORLD_SIZE is not set"),
            (without(&TORCHRUN, "MASTER_ADDR"), "MASTER_ADDR is not set"),
            (with(&TORCHRUN, "MASTER_PORT", ""), "MASTER_PORT is not set"),
            (with(&TORCHRUN, "MASTER_PORT", "70000"), "MASTER_PORT is '70000'"),
            (with(&TORCHRUN, "MASTER_PORT", "65535"), "MASTER_PORT is 65535"),
            (with(&TORCHRUN, "RANK", "five"), "RANK is 'five'"),
            (with(&TORCHRUN, "RANK", "8"), "RANK is 8, but WORLD_SIZE is 8"),
            (with(&TORCHRUN, "LOCAL_RANK", "4"), "LOCAL_RANK is 4, but LOCAL_WORLD_SIZE is 4"),
            (with(&SLURM, "SLURM_NODEID", "2"), "SLURM_STEP_TASKS_PER_NODE is '4,3', which has no node 2"),
            (with(&SLURM, "SLURM_STEP_NODELIST", "node[07"), "SLURM_STEP_NODELIST is 'node[07'"),
            (with(&SLURM, "SLURM_JOB_ID", "x"), "SLURM_JOB_ID is 'x'"),
        ];
        for (variables, expected) in cases {
            let error = of(&variables).expect_err("something is wrong").to_string();
            assert!(error.contains(expected) && error.contains("\n  rule: "), "{error}\n{expected}");
        }
    }
}
