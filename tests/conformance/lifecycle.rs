//! runtime.md: what a container goes through, and the five operations on it.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::{cases, check};
use serde_json::json;

/// A program that says it runs and goes on until it is ended.
const LASTING: &str = "echo started; exec sleep 1000";

pub(crate) fn cases() -> Vec<Case> {
    cases!["lifecycle":
        every_operation_is_there,
        create_makes_what_is_configured_and_runs_nothing,
        create_fails_where_the_environment_cannot_be_made,
        a_failed_create_leaves_nothing,
        a_failed_operation_changes_nothing,
        a_change_of_the_configuration_after_create_has_no_effect,
        start_runs_the_program,
        a_warning_does_not_stop_the_operation,
        state_needs_an_id,
        state_of_an_unknown_container_is_an_error,
        create_needs_an_id,
        create_needs_a_bundle,
        create_refuses_a_name_in_use,
        create_refuses_a_name_that_is_none,
        start_needs_an_id,
        start_of_a_running_container_is_an_error,
        start_of_a_stopped_container_is_an_error,
        start_without_a_process_is_an_error,
        kill_needs_an_id,
        kill_of_a_stopped_container_is_an_error,
        kill_sends_the_signal,
        kill_reaches_a_created_container,
        delete_needs_an_id,
        delete_of_a_running_container_is_an_error,
        delete_removes_what_create_made,
        delete_leaves_what_create_did_not_make,
        a_name_is_free_after_delete,
    ]
}

fn every_operation_is_there(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, LASTING)?;
    container.create()?.ok()?;
    container.state()?;
    container.start()?.ok()?;
    container.kill("KILL")?.ok()?;
    container.stopped()?;
    container.delete()?.ok()?;
    Ok(())
}

fn create_makes_what_is_configured_and_runs_nothing(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "echo started > /root/started", |config| {
        config["hostname"] = json!("conformance");
        config["mounts"].as_array_mut().expect("mounts").push(json!({
            "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"],
        }));
        config["linux"]["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    })?;
    container.create()?.ok()?;
    let pid = container.pid()?;
    check!(!container.groups().is_empty(), "no group of the container's name");
    for namespace in ["pid", "mnt", "uts", "ipc"] {
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{namespace}")).map_err(|e| e.to_string());
        check!(of(&pid.to_string())? != of("thread-self")?, "{namespace} is not a namespace of its own");
    }
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).map_err(|e| e.to_string())?;
    check!(mounts.contains(" /tmp "), "/tmp is not mounted: {mounts}");
    std::thread::sleep(std::time::Duration::from_millis(100));
    check!(!container.inside("/root/started").exists(), "the program ran before start");
    container.start()?.ok()?;
    container.stopped()?;
    check!(container.inside("/root/started").exists(), "the program did not run after start");
    Ok(())
}

fn create_fails_where_the_environment_cannot_be_made(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "true", |config| {
        config["mounts"] = json!([{ "destination": "/mnt", "type": "no-such-file-system", "source": "none" }]);
    })?;
    container.create()?.refused()?;
    check!(!container.call(&["state", &container.id])?.succeeded(), "there is a container after a create that failed");
    Ok(())
}

fn a_failed_create_leaves_nothing(bench: Bench<'_>) -> Verdict {
    let mut container = Container::with(bench, "true", |config| {
        config["linux"]["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
        config["mounts"].as_array_mut().expect("mounts").push(json!({
            "destination": "/mnt", "type": "none", "source": "/no/such/folder", "options": ["bind"],
        }));
    })?;
    container.create()?.refused()?;
    let left = container.groups();
    check!(left.is_empty(), "groups are left: {left:?}");
    // The name is as free as before.
    container.config["mounts"].as_array_mut().expect("mounts").pop();
    container.create()?.ok()?;
    Ok(())
}

fn a_failed_operation_changes_nothing(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, LASTING)?;
    container.launch()?;
    let before = container.state()?;
    container.start()?.refused()?;
    container.kill("NOSUCHSIGNAL")?.refused()?;
    container.delete()?.refused()?;
    let after = container.state()?;
    check!(before == after, "{before} became {after}");
    Ok(())
}

fn a_change_of_the_configuration_after_create_has_no_effect(bench: Bench<'_>) -> Verdict {
    let mut container = Container::with(bench, "echo $WHICH; hostname", |config| {
        config["process"]["env"] = json!(["PATH=/bin", "WHICH=first"]);
        config["hostname"] = json!("first");
        config["annotations"] = json!({ "org.example.which": "first" });
    })?;
    container.create()?.ok()?;
    container.config["process"]["env"] = json!(["PATH=/bin", "WHICH=second"]);
    container.config["process"]["args"] = json!(["/bin/echo", "third"]);
    container.config["hostname"] = json!("second");
    container.config["annotations"] = json!({ "org.example.which": "second" });
    container.write()?;
    let state = container.state()?;
    check!(state["annotations"]["org.example.which"] == "first", "annotations are new: {state}");
    container.start()?.ok()?;
    container.stopped()?;
    check!(container.output() == "first\nfirst\n", "the program said {:?}", container.output());
    Ok(())
}

fn start_runs_the_program(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "", |config| {
        config["process"]["args"] = json!(["echo", "one", "two  words", ""]);
    })?;
    container.create()?.ok()?;
    check!(container.output().is_empty(), "said before start: {:?}", container.output());
    container.start()?.ok()?;
    container.until_it_says("one two  words \n")
}

fn a_warning_does_not_stop_the_operation(bench: Bench<'_>) -> Verdict {
    // A poststop hook that fails is worth a warning.
    let mut container = Container::new(bench, "true")?;
    let hook = container.program("hook", "exit 1")?;
    container.config["hooks"] = json!({ "poststop": [{ "path": hook }] });
    container.launch()?;
    container.stopped()?;
    container.delete()?.ok()?;
    check!(!container.call(&["state", &container.id])?.succeeded(), "the container is there");
    Ok(())
}

fn state_needs_an_id(bench: Bench<'_>) -> Verdict {
    Container::new(bench, "true")?.call(&["state"])?.refused().map(drop)
}

fn state_of_an_unknown_container_is_an_error(bench: Bench<'_>) -> Verdict {
    Container::new(bench, "true")?.call(&["state", "nobody"])?.refused().map(drop)
}

fn create_needs_an_id(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "true")?;
    container.write()?;
    container.call(&["create", "--bundle", &container.folder().to_string_lossy()])?.refused().map(drop)
}

/// The path may be left out on these command lines, which then take the working folder: one without a bundle is an error.
fn create_needs_a_bundle(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "true")?;
    container.call(&["create", &container.id])?.refused()?;
    container.call(&["create", "--bundle", "/no/such/folder", &container.id])?.refused().map(drop)
}

fn create_refuses_a_name_in_use(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, LASTING)?;
    container.launch()?;
    let before = container.state()?;
    container.create_as_is(&[])?.refused()?;
    let after = container.state()?;
    check!(before == after, "{before} became {after}");
    Ok(())
}

fn create_refuses_a_name_that_is_none(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "true")?;
    container.write()?;
    for name in ["", "../up", "a/b"] {
        let bundle = container.folder().to_string_lossy();
        let ran = container.call(&["create", "--bundle", &bundle, name])?;
        if ran.succeeded() {
            container.call(&["delete", "--force", name])?;
            return Err(format!("{name:?} is taken for a name"));
        }
    }
    Ok(())
}

fn start_needs_an_id(bench: Bench<'_>) -> Verdict {
    Container::new(bench, "true")?.call(&["start"])?.refused().map(drop)
}

fn start_of_a_running_container_is_an_error(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, LASTING)?;
    container.launch()?;
    container.until_it_says("started")?;
    container.start()?.refused()?;
    check!(container.status()? == "running", "it is {} then", container.status()?);
    check!(container.output() == "started\n", "it said {:?} then", container.output());
    Ok(())
}

fn start_of_a_stopped_container_is_an_error(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "echo started")?;
    container.launch()?;
    container.stopped()?;
    container.start()?.refused()?;
    check!(container.status()? == "stopped", "it is {} then", container.status()?);
    check!(container.output() == "started\n", "it said {:?} then", container.output());
    Ok(())
}

/// An implementation may find out before: `create` may check the configuration.
fn start_without_a_process_is_an_error(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    container.config.as_object_mut().expect("an object").remove("process");
    if container.create()?.succeeded() {
        container.start()?.refused()?;
    }
    Ok(())
}

fn kill_needs_an_id(bench: Bench<'_>) -> Verdict {
    Container::new(bench, "true")?.call(&["kill"])?.refused().map(drop)
}

fn kill_of_a_stopped_container_is_an_error(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "true")?;
    container.launch()?;
    container.stopped()?;
    let before = container.state()?;
    container.kill("TERM")?.refused()?;
    let after = container.state()?;
    check!(before == after, "{before} became {after}");
    Ok(())
}

fn kill_sends_the_signal(bench: Bench<'_>) -> Verdict {
    let script = "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'echo term; exit 0' TERM
        echo started; while :; do sleep 0.05; done";
    let container = Container::new(bench, script)?;
    container.launch()?;
    container.until_it_says("started")?;
    for (signal, said) in [("USR1", "usr1"), ("1", "hup"), ("SIGTERM", "term")] {
        container.kill(signal)?.ok()?;
        container.until_it_says(said)?;
    }
    container.stopped()
}

fn kill_reaches_a_created_container(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, LASTING)?;
    container.create()?.ok()?;
    container.kill("KILL")?.ok()?;
    container.stopped()
}

fn delete_needs_an_id(bench: Bench<'_>) -> Verdict {
    Container::new(bench, "true")?.call(&["delete"])?.refused().map(drop)
}

fn delete_of_a_running_container_is_an_error(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, LASTING)?;
    container.launch()?;
    let before = container.state()?;
    container.delete()?.refused()?;
    let after = container.state()?;
    check!(before == after, "{before} became {after}");
    Ok(())
}

fn delete_removes_what_create_made(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, LASTING, |config| {
        config["linux"]["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    })?;
    container.launch()?;
    let pid = container.pid()?;
    check!(!container.groups().is_empty(), "no group of the container's name");
    container.kill("KILL")?.ok()?;
    container.stopped()?;
    container.delete()?.ok()?;
    check!(container.groups().is_empty(), "groups are left: {:?}", container.groups());
    check!(!container.call(&["state", &container.id])?.succeeded(), "there is still a state");
    check!(!std::path::Path::new(&format!("/proc/{pid}/root/bin")).exists(), "the process is left");
    let state = container.folder().join("state");
    let left: Vec<_> = std::fs::read_dir(state).into_iter().flatten().flatten().map(|e| e.file_name()).collect();
    check!(left.is_empty(), "the state folder holds {left:?}");
    Ok(())
}

fn delete_leaves_what_create_did_not_make(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "echo inside > /vol/new")?;
    let volume = container.folder().join("volume");
    std::fs::create_dir(&volume).map_err(|e| e.to_string())?;
    container.put("volume/old", "outside\n")?;
    let mounts = container.config["mounts"].as_array_mut().expect("mounts");
    mounts.push(json!({ "destination": "/vol", "type": "none", "source": volume, "options": ["bind"] }));
    container.launch()?;
    container.stopped()?;
    container.delete()?.ok()?;
    check!(container.read("volume/old") == "outside\n", "the volume's file is gone");
    check!(container.read("volume/new") == "inside\n", "the program's file is gone");
    check!(container.folder().join("config.json").exists(), "the configuration is gone");
    check!(container.inside("/bin/busybox").exists(), "the root file system is gone");
    Ok(())
}

fn a_name_is_free_after_delete(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "true")?;
    for _ in 0..2 {
        container.launch()?;
        container.stopped()?;
        container.delete()?.ok()?;
    }
    Ok(())
}
