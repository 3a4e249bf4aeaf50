//! `update`'s command line: runc's, which is crun's too.

use clap::Args as ClapArgs;
use cli::Failure;
use serde_json::{Map, Value, json};
use spec::runtime::LinuxResources;
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Debug, ClapArgs)]
pub(crate) struct Update {
    pub(crate) id: String,
    /// A file with linux.resources, or - for stdin; other options are ignored then
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Block weight, 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,
    /// Period of the processor quota, in microseconds
    #[arg(long, value_name = "US")]
    cpu_period: Option<u64>,
    /// Processor time a period, in microseconds; -1 is no limit
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Processor time saved up beyond the quota, in microseconds
    #[arg(long, value_name = "US")]
    cpu_burst: Option<u64>,
    /// Weight against others, 2 to 262144
    #[arg(long, alias = "cpu-shares", value_name = "N")]
    cpu_share: Option<u64>,
    /// Real-time period, in microseconds
    #[arg(long, value_name = "US")]
    cpu_rt_period: Option<u64>,
    /// Real-time processor time a period, in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<i64>,
    /// 1: run only when nobody else wants to
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,
    /// Processors to use
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory limit; -1 is none
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<String>,
    /// Memory to be left with when it becomes scarce
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_reservation: Option<String>,
    /// Limit of memory and swap together; -1 is none
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Accepted: kernels have no such limit any more
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, hide = true)]
    kernel_memory: Option<String>,
    /// Accepted, as runc does
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, hide = true)]
    kernel_memory_tcp: Option<String>,
    /// Number of processes and threads; -1 is no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Intel RDT: schema of the level 3 cache
    #[arg(long, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,
    /// Intel RDT: schema of the memory bandwidth
    #[arg(long, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,
}

impl Update {
    /// The limits that were asked for; `read` gets what `--resources` names.
    pub(crate) fn resources(
        &self,
        read: impl FnOnce(&Path) -> Result<Vec<u8>, Failure>,
    ) -> Result<LinuxResources, Failure> {
        for (option, value, name) in [
            ("--l3-cache-schema", &self.l3_cache_schema, "Intel RDT/CAT: l3 cache schema"),
            ("--mem-bw-schema", &self.mem_bw_schema, "Intel RDT/MBA: memory bandwidth schema"),
        ] {
            if value.is_some() {
                return Err(Failure::new(format!("{option}: {name} is not enabled"))
                    .hint("a container's group of resctrl is chosen by linux.intelRdt of its config.json"));
            }
        }
        let document = match &self.resources {
            Some(path) => serde_json::from_slice(&read(path)?)
                .map_err(|e| Failure::new(format!("--resources {}: {e}", path.display())))?,
            None => self.document()?,
        };
        serde_json::from_value(document).map_err(|e| Failure::new(format!("--resources: {e}")))
    }

    fn document(&self) -> Result<Value, Failure> {
        let size = |option: &str, text: &Option<String>| match text.as_deref() {
            None => Ok(Value::Null),
            Some(text) => bytes_of(text)
                .map(Value::from)
                .ok_or_else(|| Failure::new(format!("{option} {text}: not a size such as 64m"))),
        };
        Ok(json!({
            "memory": given(&[
                ("limit", size("--memory", &self.memory)?),
                ("reservation", size("--memory-reservation", &self.memory_reservation)?),
                ("swap", size("--memory-swap", &self.memory_swap)?),
            ]),
            "cpu": given(&[
                ("shares", json!(self.cpu_share)),
                ("quota", json!(self.cpu_quota)),
                ("period", json!(self.cpu_period)),
                ("burst", json!(self.cpu_burst)),
                ("realtimePeriod", json!(self.cpu_rt_period)),
                ("realtimeRuntime", json!(self.cpu_rt_runtime)),
                ("idle", json!(self.cpu_idle)),
                ("cpus", json!(self.cpuset_cpus)),
                ("mems", json!(self.cpuset_mems)),
            ]),
            "blockIO": given(&[("weight", json!(self.blkio_weight))]),
            "pids": given(&[("limit", json!(self.pids_limit))]),
        }))
    }
}

/// The members that have a value.
fn given(members: &[(&str, Value)]) -> Map<String, Value> {
    let some = members.iter().filter(|(_, value)| !value.is_null());
    some.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// A number of bytes in docker's reading; -1 as it is.
fn bytes_of(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    // More than can be is as much as can be there.
    spec::size::in_1024(text).ok().filter(|bytes| *bytes < i64::MAX)
}

/// What `--resources` names.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path == Path::new("-") {
        let mut all = Vec::new();
        std::io::stdin().read_to_end(&mut all).map(|_| all)
    } else {
        std::fs::read(path)
    };
    read.map_err(|e| Failure::new(format!("read {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::{Update, bytes_of};
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        update: Update,
    }

    fn update(line: &str) -> Update {
        Line::try_parse_from(line.split(' ')).expect("parses").update
    }

    #[test]
    fn sizes_or_none() {
        assert_eq!(["64m", "1.5g", "-1"].map(bytes_of), [Some(64 << 20), Some(3 << 29), Some(-1)]);
        assert_eq!(["", "-2", "1x", "9999999p"].map(bytes_of), [None; 4]);
    }

    #[test]
    fn only_what_is_given_changes() {
        let line =
            "update x --memory 64m --memory-swap -1 --cpu-quota=-1 --cpuset-cpus 0 --pids-limit 7 --kernel-memory 1";
        let resources = update(line).resources(|_| panic!("no file")).expect("resources");
        let memory = resources.memory().as_ref().expect("memory");
        assert_eq!((memory.limit(), memory.swap(), memory.reservation()), (Some(64 << 20), Some(-1), None));
        let cpu = resources.cpu().as_ref().expect("cpu");
        assert_eq!((cpu.quota(), cpu.period(), cpu.cpus().as_deref()), (Some(-1), None, Some("0")));
        assert_eq!(resources.pids().expect("pids").limit(), 7);
    }

    #[test]
    fn a_file_wins_and_nonsense_is_named() {
        let read = |_: &std::path::Path| Ok(br#"{"pids":{"limit":3}}"#.to_vec());
        let resources = update("update -r - --pids-limit 9 x").resources(read).expect("resources");
        assert_eq!(resources.pids().expect("pids").limit(), 3);
        let broken = update("update --resources f x").resources(|_| Ok(b"{".to_vec())).expect_err("broken");
        assert!(broken.message.starts_with("--resources f: "), "{}", broken.message);
        let schema = update("update --l3-cache-schema L3:0=f x").resources(|_| Ok(Vec::new())).expect_err("no resctrl");
        assert_eq!(schema.message, "--l3-cache-schema: Intel RDT/CAT: l3 cache schema is not enabled");
        let size = update("update --memory lots x").resources(|_| Ok(Vec::new())).expect_err("no size");
        assert_eq!(size.message, "--memory lots: not a size such as 64m");
    }
}
