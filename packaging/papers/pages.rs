//! Man pages and completions of the five tools, made of their definitions.

use clap::Command;
use clap_complete::Shell;
use std::io;
use std::path::Path;

/// The five.
pub(crate) fn tools() -> [Command; 5] {
    let named =
        |command: Command, name: &'static str| command.name(name).bin_name(name).version(env!("CARGO_PKG_VERSION"));
    [
        named(ctr::definition(), "ctr"),
        named(ovl_mount::definition(), "ovl-mount"),
        named(unpack::definition(), "unpack"),
        named(nsrun::definition(), "nsrun"),
        named(netwire::definition(), "netwire"),
    ]
}

/// Writes all of them below `folder`.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    for name in ["man1", "bash", "zsh", "fish"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    for tool in tools() {
        pages(&tool, tool.get_name(), &folder.join("man1"))?;
        for (shell, kind) in [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)] {
            let name = tool.get_name().to_owned();
            let mut text = Vec::new();
            match ctr::completion(shell).filter(|_| name == "ctr") {
                Some(own) => text.extend_from_slice(own.as_bytes()),
                None => clap_complete::generate(kind, &mut tool.clone(), &name, &mut text),
            }
            let file = match kind {
                Shell::Zsh => format!("_{name}"),
                Shell::Fish => format!("{name}.fish"),
                _ => name,
            };
            std::fs::write(folder.join(shell).join(file), text)?;
        }
    }
    Ok(())
}

/// A page for a command and one for each below it: `ctr-run.1`.
fn pages(command: &Command, name: &str, folder: &Path) -> io::Result<()> {
    let title: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone().name(title)).title(title.to_uppercase()).render(&mut text)?;
    std::fs::write(folder.join(format!("{name}.1")), text)?;
    for below in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        pages(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(())
}
