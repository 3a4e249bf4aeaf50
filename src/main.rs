//! The program `ctr`, which answers to all five names: by the name it is called under (`nsrun` as a
//! link to this file), or by its first word (`ctr nsrun …`). The only place that knows all five tools;
//! the crate `tools/ctr` itself reaches the others by executing them.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

type Main = fn(Vec<OsString>) -> ExitCode;

fn tool(name: &str) -> Option<Main> {
    Some(match name {
        "ovl-mount" | "mount.ovl-mount" | "mount.fuse.ovl-mount" => ovl_mount::main,
        "unpack" => unpack::main,
        "nsrun" => nsrun::main,
        "netwire" => netwire::main,
        _ => return None,
    })
}

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let called = args.first().and_then(|a| Path::new(a).file_name()?.to_str().map(str::to_owned));
    if let Some(main) = called.as_deref().and_then(tool) {
        return main(args);
    }
    // A link in a folder of CNI plugins.
    if called.as_deref().is_some_and(netwire::cni::is_plugin) {
        return netwire::main(args);
    }
    if let Some(main) = args.get(1).and_then(|a| tool(a.to_str()?)) {
        args.remove(0);
        return main(args);
    }
    ctr::main(args)
}
