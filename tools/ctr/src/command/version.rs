//! `ctr version`: docker's two halves, which here are one program.

use super::Context;
use crate::format::{Template, Value as Shown};
use cli::failure::Outcome;
use serde_json::{Value, json};

pub(super) mod shapes;

/// Options of `ctr version`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output using a custom template: 'json', or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

/// The version of docker's API whose words and fields ours are.
pub(crate) const API: &str = "1.50";

/// Go's name for this processor.
pub(crate) fn architecture() -> String {
    spec::Platform::machine().architecture
}

pub(crate) fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

pub(crate) fn run(args: Args, _: &Context) -> Outcome {
    let value = value();
    let shown = Shown::shaped(&shapes::VERSION_INFO, &value);
    Template::show("version", args.format.as_deref(), &shown, || plain(&value))
}

fn value() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "Client": {
            "Platform": { "Name": "veneer" }, "Version": version, "ApiVersion": API, "DefaultAPIVersion": API,
            "GitCommit": "", "GoVersion": "", "Os": "linux", "Arch": architecture(), "BuildTime": "", "Context": "default",
        },
        "Server": {
            "Platform": { "Name": "veneer (no daemon)" },
            "Components": [{ "Name": "Engine", "Version": version, "Details": {
                "ApiVersion": API, "Arch": architecture(), "KernelVersion": kernel(), "MinAPIVersion": "1.24", "Os": "linux",
            } }],
            "Version": version, "ApiVersion": API, "MinAPIVersion": "1.24", "GitCommit": "", "GoVersion": "",
            "Os": "linux", "Arch": architecture(), "KernelVersion": kernel(), "BuildTime": "",
        },
    })
}

fn plain(value: &Value) -> String {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!(
        "Client: {}\n Version:           {}\n API version:       {}\n OS/Arch:           linux/{}\n Context:           default\n\n\
         Server: {}\n Engine:\n  Version:          {}\n  API version:      {} (minimum version {})\n  OS/Arch:          linux/{}\n  \
         Kernel Version:   {}\n",
        text("/Client/Platform/Name"),
        text("/Client/Version"),
        text("/Client/ApiVersion"),
        text("/Client/Arch"),
        text("/Server/Platform/Name"),
        text("/Server/Version"),
        text("/Server/ApiVersion"),
        text("/Server/MinAPIVersion"),
        text("/Server/Arch"),
        text("/Server/KernelVersion"),
    )
}
