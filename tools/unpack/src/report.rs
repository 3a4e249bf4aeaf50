//! What has been done, told: a path or a line of JSON for each folder on standard output, what was left out on standard error.

use crate::TOOL;
use crate::plan::Output;
use cli::failure::Outcome;
use cli::{Failure, exit, output};
use layer::extract::Report;
use layer::folders::Folder;
use layer::source::Image;
use serde_json::{Value, json};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The folders of an image, which are below `directory`.
pub(crate) fn folders(output: Output, directory: &Path, folders: &[Folder]) -> io::Result<()> {
    let mut all = Vec::new();
    for folder in folders {
        let path = directory.join(&folder.name);
        match output {
            Output::Paths(end) => {
                all.extend_from_slice(path.as_os_str().as_bytes());
                all.push(end);
            }
            Output::Json => {
                let mut line = match &folder.report {
                    Some(report) => described(report),
                    None => json!({"diff_id": folder.layer.diff_id, "digest": folder.layer.digest}),
                };
                line["path"] = json!(path.to_string_lossy());
                line["chain_id"] = json!(folder.chain_id);
                line["unpacked"] = json!(folder.report.is_some());
                all.extend_from_slice(line.to_string().as_bytes());
                all.push(b'\n');
            }
        }
    }
    output::write(&all)
}

/// The one folder that the layers of an image went into.
pub(crate) fn flat(output: Output, directory: &Path, image: &Image, reports: &[Report]) -> io::Result<()> {
    match output {
        Output::Paths(end) => output::write(&[directory.as_os_str().as_bytes(), &[end]].concat()),
        Output::Json => image.chain_ids().iter().zip(reports).try_for_each(|(chain_id, report)| {
            let mut line = described(report);
            line["path"] = json!(directory.to_string_lossy());
            line["chain_id"] = json!(chain_id);
            output::json_line(&line)
        }),
    }
}

/// What a layer was, as members of a JSON object.
pub(crate) fn described(report: &Report) -> Value {
    json!({
        "digest": report.digest,
        "diff_id": report.diff_id,
        "blob_bytes": report.blob_bytes,
        "tar_bytes": report.tar_bytes,
        "entries": report.entries,
        "content_bytes": report.content_bytes,
        "shared_bytes": report.shared_bytes,
        "skipped": report.skipped_count,
        "skipped_lines": report.skipped,
    })
}

/// Says what was left out of a layer, and why.
pub(crate) fn tell_skipped(layer: &str, report: &Report) {
    tell_lines(&format!("layer {layer}: skipped"), &report.skipped, report.skipped_count);
}

/// Says `what` of each line, and of how many more there is no line.
pub(crate) fn tell_lines(what: &str, lines: &[String], count: u64) {
    for line in lines {
        output::complain(TOOL, &format!("{what} {line}"));
    }
    let more = count - lines.len() as u64;
    if more > 0 {
        output::complain(TOOL, &format!("{what} {more} more"));
    }
}

/// A reader of ours that has gone wants no more: that is no failure.
pub(crate) fn printed(result: io::Result<()>) -> Outcome {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(format_args!("stdout: {error}"))),
        _ => Ok(exit::DONE),
    }
}
