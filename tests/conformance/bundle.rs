//! bundle.md, and config.md on the version and the root file system.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::{cases, check};
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    cases!["bundle":
        the_configuration_is_config_json_of_the_bundle,
        the_version_is_semver,
        root_is_required,
        root_path_is_absolute_or_relative_to_the_bundle,
        root_path_is_a_directory,
        root_readonly,
        json_is_utf8,
    ]
}

fn the_configuration_is_config_json_of_the_bundle(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "echo it ran")?;
    container.put("other.json", &container.config.to_string())?;
    container.create_as_is(&[])?.refused()?;
    check!(container.says()? == "it ran\n", "it did not run");
    Ok(())
}

fn the_version_is_semver(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    for good in ["1.0.0", "1.0.2-dev", "1.2.1"] {
        container.config["ociVersion"] = json!(good);
        container.run()?.ok().map_err(|why| format!("{good}: {why}"))?;
    }
    Ok(())
}

fn root_is_required(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    container.config.as_object_mut().expect("an object").remove("root");
    container.create()?.refused().map(drop)
}

fn root_path_is_absolute_or_relative_to_the_bundle(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "cat /etc/mark")?;
    container.put("rootfs/etc/mark", "marked\n")?;
    check!(container.says()? == "marked\n", "by a relative path");
    container.config["root"]["path"] = json!(container.folder().join("rootfs"));
    check!(container.says()? == "marked\n", "by an absolute path");
    Ok(())
}

fn root_path_is_a_directory(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    container.put("file", "")?;
    for path in ["no-such-folder", "file"] {
        container.config["root"]["path"] = json!(path);
        container.create()?.refused().map_err(|why| format!("{path}: {why}"))?;
    }
    Ok(())
}

fn root_readonly(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "echo a > /file && echo wrote")?;
    check!(container.says()? == "wrote\n", "it is read-only by default");
    container.config["root"]["readonly"] = json!(true);
    let ran = container.run()?;
    check!(ran.err.contains("ead-only file system"), "writing said {:?} {:?}", ran.out, ran.err);
    container.config["root"]["readonly"] = json!(false);
    check!(container.says()? == "wrote\n", "it is read-only though told not to be");
    Ok(())
}

fn json_is_utf8(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "echo $WORD; hostname")?;
    container.config["process"]["env"] = json!(["PATH=/bin", "WORD=žlutý 容器"]);
    let said = container.says()?;
    check!(said.starts_with("žlutý 容器\n"), "it said {said:?}");
    let text = container.config.to_string();
    let at = text.find('ž').ok_or("the letter")?;
    let broken = [&text.as_bytes()[..at], b"\xff", &text.as_bytes()[at + 'ž'.len_utf8()..]].concat();
    std::fs::write(container.folder().join("config.json"), broken).map_err(|e| e.to_string())?;
    container.create_as_is(&[])?.refused().map(drop)
}
