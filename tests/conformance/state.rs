//! runtime.md, "State": the document that `state` prints.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::{cases, check};
use serde_json::{Value, json};

pub(crate) fn cases() -> Vec<Case> {
    cases!["state":
        oci_version,
        id_and_bundle,
        status_through_life,
        pid_when_created_and_running,
        annotations,
        adheres_to_the_schema,
    ]
}

/// What schema/state-schema.json asks for.
pub(crate) fn adheres(state: &Value) -> Verdict {
    let text = |key: &str| state[key].as_str().ok_or_else(|| format!("{key} is no string: {state}"));
    let version = text("ociVersion")?;
    check!(version.split(['.', '-', '+']).take(3).all(|n| n.parse::<u32>().is_ok()), "ociVersion {version:?}");
    text("id")?;
    let status = text("status")?;
    check!(["creating", "created", "running", "stopped"].contains(&status), "status {status:?}");
    check!(text("bundle")?.starts_with('/'), "the bundle is not absolute: {state}");
    check!(state.get("pid").is_none_or(|pid| pid.as_i64().is_some_and(|pid| pid >= 0)), "pid: {state}");
    let strings = |value: &Value| value.as_object().is_some_and(|map| map.values().all(Value::is_string));
    check!(state.get("annotations").is_none_or(|a| a.is_null() || strings(a)), "annotations: {state}");
    Ok(())
}

fn oci_version(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "true")?;
    container.create()?.ok()?;
    let version = container.state()?["ociVersion"].as_str().unwrap_or_default().to_owned();
    check!(version.starts_with("1."), "ociVersion is {version:?}");
    Ok(())
}

fn id_and_bundle(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "true")?;
    container.write()?;
    // From a path that is relative the absolute one has to be made.
    let mut command = container.command();
    command.args(["create", "--bundle", ".", &container.id]);
    bench.runtime.run(container.folder(), command)?.ok()?;
    let state = container.state()?;
    check!(state["id"] == container.id.as_str(), "id is {}", state["id"]);
    check!(state["bundle"] == container.folder().to_string_lossy().as_ref(), "bundle is {}", state["bundle"]);
    Ok(())
}

fn status_through_life(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "echo started; exec sleep 1000")?;
    container.create()?.ok()?;
    let is = |wanted: &str| {
        let status = container.status()?;
        if status == wanted { Ok(()) } else { Err(format!("it is {status}, not {wanted}")) }
    };
    is("created")?;
    container.start()?.ok()?;
    container.until_it_says("started")?;
    is("running")?;
    container.kill("KILL")?.ok()?;
    container.stopped()?;
    is("stopped")
}

fn pid_when_created_and_running(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "echo started; exec sleep 1000")?;
    container.create()?.ok()?;
    let created = container.pid()?;
    let folder = std::fs::read_link(format!("/proc/{created}/root"));
    check!(folder.is_ok(), "{created} is no process");
    container.start()?.ok()?;
    container.until_it_says("started")?;
    let running = container.pid()?;
    check!(created == running, "{created} became {running}");
    let command = std::fs::read_to_string(format!("/proc/{running}/cmdline")).unwrap_or_default();
    check!(command.starts_with("sleep\0"), "{running} is {command:?}");
    let status = std::fs::read_to_string(format!("/proc/{running}/status")).unwrap_or_default();
    let inner = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    check!(inner.split_whitespace().last() == Some("1"), "it is not PID 1 inside: {inner}");
    Ok(())
}

fn annotations(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    container.create()?.ok()?;
    let none = container.state()?["annotations"].clone();
    check!(none.is_null() || none == json!({}), "without annotations there are {none}");
    container.call(&["delete", "--force", &container.id])?.ok()?;
    let given = json!({ "org.example.one": "1", "org.example.empty": "" });
    container.config["annotations"] = given.clone();
    container.create()?.ok()?;
    let said = container.state()?["annotations"].clone();
    check!(said == given, "annotations are {said}");
    Ok(())
}

fn adheres_to_the_schema(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "true", |config| config["annotations"] = json!({ "org.example.one": "1" }))?;
    container.create()?.ok()?;
    adheres(&container.state()?)?;
    container.start()?.ok()?;
    adheres(&container.state()?)?;
    container.stopped()?;
    adheres(&container.state()?)
}
