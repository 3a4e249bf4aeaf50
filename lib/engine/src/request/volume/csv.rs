//! `--mount`: `key=value` fields with commas between them, a field in double quotes where it has a comma of its own.

use super::super::limits::size;
use super::super::wrong;
use super::{Below, Ids, Kind, Volume, destination, flags, no_volumes, path, refused};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Reads `--mount`'s value.
pub(super) fn parse(text: &str, current_dir: &Path) -> Result<Volume> {
    let bad = |why: String| wrong(format!("invalid argument {text:?} for \"--mount\" flag: {why}"));
    if text.trim().is_empty() {
        return Err(bad("EOF".into()));
    }
    let mut volume = Volume { strict: true, ..Volume::default() };
    let (mut kind, mut source, mut target) = ("volume".to_owned(), None, None);
    let (mut of_volumes, mut of_tmpfs, mut of_binds) = (false, false, false);
    for field in fields(text) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value.to_owned())),
            None => (field.to_lowercase(), None),
        };
        let plain = matches!(
            key.as_str(),
            "readonly"
                | "ro"
                | "volume-nocopy"
                | "bind-nonrecursive"
                | "idmap"
                | "u"
                | "chown"
                | "rro"
                | "noexec"
                | "nosuid"
                | "nodev"
        );
        let value = match value {
            Some(value) => value,
            None if plain => "true".into(),
            None => return Err(bad(format!("invalid field '{field}' must be a key=value pair"))),
        };
        let switch = || match value.as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(bad(format!("invalid value for {key}: {value}"))),
        };
        of_volumes |= key.starts_with("volume-");
        of_tmpfs |= key.starts_with("tmpfs-");
        of_binds |= key.starts_with("bind-");
        match key.as_str() {
            "type" => kind = value.to_lowercase(),
            "source" | "src" => source = Some(value),
            "target" | "dst" | "destination" => target = Some(value),
            "readonly" | "ro" => volume.read_only = switch()?,
            "rro" => (volume.read_only, volume.below) = (switch()?, Below::Readonly),
            "consistency" => {}
            "bind-propagation" => volume.propagation = Some(value.to_lowercase()),
            "bind-nonrecursive" => volume.below = if switch()? { Below::Disabled } else { Below::Enabled },
            "bind-recursive" => {
                volume.below = match value.as_str() {
                    "enabled" | "true" | "1" => Below::Enabled,
                    "disabled" | "false" | "0" => Below::Disabled,
                    "writable" => Below::Writable,
                    "readonly" => Below::Readonly,
                    _ => {
                        let known = r#"(must be "enabled", "disabled", "writable", or "readonly")"#;
                        return Err(bad(format!("invalid value for {key}: {value} {known}")));
                    }
                }
            }
            "tmpfs-size" => {
                let bytes = size(&value).map_err(|_| bad(format!("invalid value for {key}: {value}")))?;
                volume.options.push(format!("size={bytes}"));
            }
            "tmpfs-mode" => {
                let mode =
                    u32::from_str_radix(&value, 8).map_err(|_| bad(format!("invalid value for {key}: {value}")))?;
                volume.options.push(format!("mode={mode:o}"));
            }
            "noexec" | "nosuid" | "nodev" => {
                if switch()? {
                    volume.options.push(key);
                }
            }
            "u" | "chown" => volume.own = switch()?,
            "idmap" if value == "true" => volume.ids = Some(Ids { relative: true, ..Ids::default() }),
            "idmap" => {
                volume.ids = Some(flags::ids(&value).ok_or_else(|| bad(format!("invalid value for {key}: {value}")))?)
            }
            "relabel" | "volume-nocopy" | "volume-label" | "volume-driver" | "volume-opt" | "volume-subpath" => {}
            _ => return Err(bad(format!("unexpected key '{key}' in '{field}'"))),
        }
    }
    for (said, other, name) in
        [(of_volumes, "volume", "volume"), (of_binds, "bind", "bind"), (of_tmpfs, "tmpfs", "tmpfs")]
    {
        if said && kind != other {
            return Err(bad(format!("cannot mix '{name}-*' options with mount type '{kind}'")));
        }
    }
    if volume.below == Below::Readonly && !volume.read_only {
        return Err(bad("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction".into()));
    }
    if volume.below == Below::Readonly && volume.propagation.as_deref().is_some_and(|p| p != "rprivate") {
        return Err(bad(
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
                .into(),
        ));
    }
    let target = target.ok_or_else(|| bad("target is required".into()))?;
    finish(volume, &kind, source, &target, current_dir)
}

fn finish(mut volume: Volume, kind: &str, source: Option<String>, target: &str, current_dir: &Path) -> Result<Volume> {
    let config = |why: String| refused(format!("invalid mount config for type {kind:?}: {why}"));
    match kind {
        "bind" => {
            let source =
                source.filter(|s| !s.is_empty()).ok_or_else(|| config("field Source must not be empty".into()))?;
            let absolute = || config(format!("invalid mount path: '{source}' mount path must be absolute"));
            volume.source = path(&source, current_dir).ok_or_else(absolute)?;
            if let Some(propagation) = volume.propagation.as_ref().filter(|p| !flags::is_propagation(p)) {
                return Err(config(format!("invalid propagation mode: {propagation}")));
            }
        }
        "tmpfs" => {
            if source.is_some() {
                return Err(config("field Source must not be specified".into()));
            }
            (volume.kind, volume.source) = (Kind::Tmpfs, PathBuf::new());
            if volume.read_only {
                volume.options.push("ro".into());
            }
        }
        "volume" => return Err(no_volumes(source.as_deref().unwrap_or(target))),
        "image" | "npipe" | "cluster" | "devpts" | "glob" | "ramfs" => {
            return Err(config("mount type unknown".into()).hint("bind and tmpfs are known"));
        }
        _ => return Err::<_, Error>(config("mount type unknown".into()).hint("bind and tmpfs are known")),
    }
    volume.target = destination(target).map_err(config)?;
    Ok(volume)
}

/// The fields of a line of CSV.
fn fields(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        let last = all.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                all[last].push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(String::new()),
            c => all[last].push(c),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        parse(text, Path::new("/here")).unwrap_err().to_string()
    }

    #[test]
    fn fields_as_docker_reads_them() {
        let volume =
            parse("type=bind,\"src=/a,b\",dst=/c,readonly,bind-propagation=rslave", Path::new("/here")).unwrap();
        assert_eq!((volume.source.as_path(), volume.read_only), (Path::new("/a,b"), true));
        assert_eq!(volume.propagation.as_deref(), Some("rslave"));
        let volume = parse("type=tmpfs,dst=/c,tmpfs-size=1m,tmpfs-mode=0700", Path::new("/here")).unwrap();
        assert_eq!(volume.options, ["size=1048576", "mode=700"]);
        let volume = parse("type=tmpfs,dst=/c,tmpfs-size=1.5KiB", Path::new("/here")).unwrap();
        assert_eq!(volume.options, ["size=1536"]);
    }

    #[test]
    fn dockers_words() {
        let flag = |text: &str, why: &str| {
            assert_eq!(said(text), format!("invalid argument {text:?} for \"--mount\" flag: {why}"))
        };
        flag("", "EOF");
        flag("foo", "invalid field 'foo' must be a key=value pair");
        flag("type=bind,src=/a", "target is required");
        flag("type=bind,src=/a,dst=/b,foo=bar", "unexpected key 'foo' in 'foo=bar'");
        flag("type=bind,src=/a,dst=/b,readonly=maybe", "invalid value for readonly: maybe");
        flag("type=bind,src=/a,dst=/b,tmpfs-size=1", "cannot mix 'tmpfs-*' options with mount type 'bind'");
        flag("type=tmpfs,dst=/b,tmpfs-size=foo", "invalid value for tmpfs-size: foo");
        let config = |text: &str, why: &str| assert_eq!(said(text), format!("invalid mount config for type {why}"));
        config("type=foo,src=/a,dst=/b", "\"foo\": mount type unknown");
        config("type=bind,dst=/b", "\"bind\": field Source must not be empty");
        config("type=bind,src=v,dst=/b", "\"bind\": invalid mount path: 'v' mount path must be absolute");
        config("type=bind,src=/a,dst=/", "\"bind\": invalid specification: destination can't be '/'");
        config("type=bind,src=/a,dst=/b,bind-propagation=foo", "\"bind\": invalid propagation mode: foo");
        config("type=tmpfs,src=/a,dst=/b", "\"tmpfs\": field Source must not be specified");
    }
}
