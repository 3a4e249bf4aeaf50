//! config-linux.md, "Seccomp", and the listener's socket with the container process state.
//!
//! What is filtered is `chmod`, of which busybox calls either of two; nothing a runtime needs on its way.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::terminal::receive;
use crate::{cases, check, state};
use serde_json::{Value, json};
use std::os::unix::net::UnixListener;
use std::time::Duration;

/// Calls, with the place of the mode among their arguments.
const CHMOD: [(&str, u32); 2] = [("chmod", 1), ("fchmodat", 2)];
const ACTIONS: [&str; 9] = ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG", "NOTIFY"];
const ARCHITECTURES: [&str; 23] = [
    "X86",
    "X86_64",
    "X32",
    "ARM",
    "AARCH64",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PPC",
    "PPC64",
    "PPC64LE",
    "S390",
    "S390X",
    "PARISC",
    "PARISC64",
    "RISCV64",
    "LOONGARCH64",
    "M68K",
    "SH",
    "SHEB",
];
/// Those that libseccomp 2.5 has no name for.
const NEWER_ARCHITECTURES: [&str; 4] = ["LOONGARCH64", "M68K", "SH", "SHEB"];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases!["seccomp":
        default_action,
        default_errno,
        action_unknown_is_an_error,
        default_action_is_required,
        names_are_required,
        errno_of_a_rule,
        errno_where_the_action_has_none_is_an_error,
        operator_unknown_is_an_error,
        architectures,
        architectures_of_libseccomp_2_6,
        architecture_unknown_is_an_error,
        flags,
        flag_wait_killable_recv,
        flag_unknown_is_an_error,
        listener_gets_the_process_state,
        listener_gets_one_state_a_connection,
        listener_missing_is_an_error,
        listener_is_ignored_without_notify,
        listener_metadata_needs_a_listener,
    ];
    all.extend(
        ACTIONS.map(|name| Case::new(format!("seccomp::action_{}", name.to_lowercase()), move |b| action(b, name))),
    );
    let operators = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    all.extend(
        operators.map(|op| Case::new(format!("seccomp::operator_{}", op.to_lowercase()), move |b| operator(b, op))),
    );
    all
}

fn rules(action: &str, more: &Value) -> Value {
    let rule = |(name, _): (&str, u32)| {
        let mut rule = json!({ "names": [name], "action": action });
        for (key, value) in more.as_object().into_iter().flatten() {
            rule[key] = value.clone();
        }
        rule
    };
    json!(CHMOD.map(rule))
}

fn filtered<'a>(bench: Bench<'a>, script: &str, profile: &Value) -> Result<Container<'a>, String> {
    Container::with(bench, script, |config| config["linux"]["seccomp"] = profile.clone())
}

fn refused(bench: Bench<'_>, profile: &Value) -> Verdict {
    let container = filtered(bench, "true", profile)?;
    // A filter that is taken and then kills the program is not an error of `create`.
    container.create()?.refused().map(drop).map_err(|why| format!("{profile}: {why}"))
}

fn allowing(syscalls: &Value) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls })
}

const TRY: &str = "chmod 700 /tmp 2>&1; echo $?";

fn action(bench: Bench<'_>, name: &str) -> Verdict {
    let mut profile = allowing(&rules(&format!("SCMP_ACT_{name}"), &Value::Null));
    if name == "NOTIFY" {
        // Without anybody who listens it is an error; with somebody, `listener_*` shows it.
        return listener_gets_the_process_state(bench);
    }
    if name == "ALLOW" {
        profile["defaultAction"] = json!("SCMP_ACT_ALLOW");
    }
    let said = filtered(bench, TRY, &profile)?.says()?;
    let right = match name {
        "ALLOW" | "LOG" => said == "0\n",
        "ERRNO" => said.contains("Operation not permitted"),
        // Nobody traces it.
        "TRACE" => said.contains("not implemented"),
        _ => said.ends_with("159\n"),
    };
    if right { Ok(()) } else { Err(format!("{name}: it said {said:?}")) }
}

/// All but what a shell needs; the calls are those of x86_64 and aarch64.
fn default_action(bench: Bench<'_>) -> Verdict {
    let profile = json!({
        "defaultAction": "SCMP_ACT_LOG",
        "syscalls": rules("SCMP_ACT_ERRNO", &Value::Null),
    });
    let said = filtered(bench, TRY, &profile)?.says()?;
    check!(said.contains("Operation not permitted"), "it said {said:?}");
    Ok(())
}

/// The names of all calls, from the C library's headers.
fn calls() -> Result<Vec<String>, String> {
    let arch = std::env::consts::ARCH;
    let places =
        [format!("/usr/include/{arch}-linux-gnu/asm/unistd_64.h"), "/usr/include/asm-generic/unistd.h".to_owned()];
    let text = places.iter().find_map(|place| std::fs::read_to_string(place).ok()).ok_or("no headers of libc")?;
    let name = |line: &str| Some(line.strip_prefix("#define __NR_")?.split_whitespace().next()?.to_owned());
    Ok(text.lines().filter_map(name).collect())
}

/// Everything is allowed by name but one call, which meets the default.
fn default_errno(bench: Bench<'_>) -> Verdict {
    let mut names = calls()?;
    names.retain(|name| !CHMOD.iter().any(|(chmod, _)| chmod == name));
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 28,
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
    });
    let said = filtered(bench, TRY, &profile)?.says()?;
    check!(said.contains("No space left on device"), "it said {said:?}");
    Ok(())
}

fn action_unknown_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, &json!({ "defaultAction": "SCMP_ACT_NOSUCH" }))?;
    refused(bench, &allowing(&rules("SCMP_ACT_NOSUCH", &Value::Null)))
}

fn default_action_is_required(bench: Bench<'_>) -> Verdict {
    refused(bench, &json!({ "syscalls": rules("SCMP_ACT_ERRNO", &Value::Null) }))
}

fn names_are_required(bench: Bench<'_>) -> Verdict {
    refused(bench, &allowing(&json!([{ "names": [], "action": "SCMP_ACT_ERRNO" }])))
}

fn errno_of_a_rule(bench: Bench<'_>) -> Verdict {
    let said = filtered(bench, TRY, &allowing(&rules("SCMP_ACT_ERRNO", &json!({ "errnoRet": 28 }))))?.says()?;
    check!(said.contains("No space left on device"), "it said {said:?}");
    Ok(())
}

fn errno_where_the_action_has_none_is_an_error(bench: Bench<'_>) -> Verdict {
    refused(bench, &allowing(&rules("SCMP_ACT_KILL", &json!({ "errnoRet": 28 }))))?;
    refused(bench, &json!({ "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 28 }))
}

fn operator(bench: Bench<'_>, op: &str) -> Verdict {
    // The value, a second one, and which of 0600 and 0700 meets the rule.
    let (value, two, wanted) = match op {
        "NE" => (0o700, None, "1 0"),
        "LT" => (0o700, None, "1 0"),
        "LE" => (0o600, None, "1 0"),
        "EQ" => (0o700, None, "0 1"),
        "GE" => (0o700, None, "0 1"),
        "GT" => (0o600, None, "0 1"),
        // Under the mask, which is the first, has to be the second.
        _ => (0o300, Some(0o200), "1 0"),
    };
    let syscalls: Vec<Value> = CHMOD
        .iter()
        .map(|(name, index)| {
            let mut arg = json!({ "index": index, "value": value, "op": format!("SCMP_CMP_{op}") });
            if let Some(two) = two {
                arg["valueTwo"] = json!(two);
            }
            json!({ "names": [name], "action": "SCMP_ACT_ERRNO", "args": [arg] })
        })
        .collect();
    let script = "a=0 b=0; chmod 600 /tmp 2>/dev/null || a=1; chmod 700 /tmp 2>/dev/null || b=1; echo $a $b";
    let said = filtered(bench, script, &allowing(&json!(syscalls)))?.says()?;
    check!(said.trim() == wanted, "0600 and 0700: {said:?}, not {wanted}");
    Ok(())
}

fn operator_unknown_is_an_error(bench: Bench<'_>) -> Verdict {
    let args = json!({ "args": [{ "index": 0, "value": 0, "op": "SCMP_CMP_NOSUCH" }] });
    refused(bench, &allowing(&rules("SCMP_ACT_ERRNO", &args)))
}

fn with_architectures(bench: Bench<'_>, names: &[&str]) -> Verdict {
    let mut profile = allowing(&rules("SCMP_ACT_ERRNO", &Value::Null));
    profile["architectures"] = names.iter().map(|name| json!(format!("SCMP_ARCH_{name}"))).collect();
    let said = filtered(bench, TRY, &profile)?.says()?;
    check!(said.contains("Operation not permitted"), "{names:?}: it said {said:?}");
    Ok(())
}

fn architectures(bench: Bench<'_>) -> Verdict {
    let native = std::env::consts::ARCH.to_uppercase();
    for name in ARCHITECTURES.into_iter().filter(|name| !NEWER_ARCHITECTURES.contains(name)) {
        // Of the other byte order libseccomp takes none beside the native one.
        with_architectures(bench, &[&native, name])
            .or_else(|why| if why.contains("ndian") { Ok(()) } else { Err(why) })?;
    }
    Ok(())
}

fn architectures_of_libseccomp_2_6(bench: Bench<'_>) -> Verdict {
    let native = std::env::consts::ARCH.to_uppercase();
    for name in NEWER_ARCHITECTURES {
        with_architectures(bench, &[&native, name])?;
    }
    Ok(())
}

fn architecture_unknown_is_an_error(bench: Bench<'_>) -> Verdict {
    let mut profile = allowing(&rules("SCMP_ACT_ERRNO", &Value::Null));
    profile["architectures"] = json!(["SCMP_ARCH_NOSUCH"]);
    refused(bench, &profile)
}

fn with_flags(bench: Bench<'_>, flags: &[&str]) -> Verdict {
    let mut profile = allowing(&rules("SCMP_ACT_ERRNO", &Value::Null));
    profile["flags"] = flags.iter().map(|name| json!(format!("SECCOMP_FILTER_FLAG_{name}"))).collect();
    let said = filtered(bench, TRY, &profile)?.says()?;
    check!(said.contains("Operation not permitted"), "{flags:?}: it said {said:?}");
    Ok(())
}

fn flags(bench: Bench<'_>) -> Verdict {
    for flag in ["TSYNC", "LOG", "SPEC_ALLOW"] {
        with_flags(bench, &[flag])?;
    }
    Ok(())
}

fn flag_wait_killable_recv(bench: Bench<'_>) -> Verdict {
    let mut profile = notifying("/no/such/socket");
    profile["flags"] = json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
    listened(bench, profile).map(drop)
}

fn flag_unknown_is_an_error(bench: Bench<'_>) -> Verdict {
    let mut profile = allowing(&rules("SCMP_ACT_ERRNO", &Value::Null));
    profile["flags"] = json!(["SECCOMP_FILTER_FLAG_NOSUCH"]);
    refused(bench, &profile)
}

fn notifying(socket: &str) -> Value {
    let mut profile = allowing(&rules("SCMP_ACT_NOTIFY", &Value::Null));
    profile["listenerPath"] = json!(socket);
    profile["listenerMetadata"] = json!("something opaque");
    profile
}

/// What a listener heard on one connection: the state with the number of descriptors, how many bytes came after it, the pid.
struct Heard {
    state: Value,
    descriptors: usize,
    first_had_them: bool,
    more: usize,
    pid: i32,
    id: String,
    bundle: String,
    connections: usize,
}

/// Runs a container with a listener; the profile's path is put in.
fn listened(bench: Bench<'_>, mut profile: Value) -> Result<Heard, String> {
    let mut container = Container::new(bench, "echo started; exec sleep 1000")?;
    let socket = container.folder().join("listener");
    profile["listenerPath"] = json!(socket);
    container.config["linux"]["seccomp"] = profile;
    container.config["annotations"] = json!({ "org.example.one": "1" });
    let listener = UnixListener::bind(&socket).map_err(|e| format!("socket: {e}"))?;
    let heard = std::thread::scope(|scope| {
        let server = scope.spawn(|| hear(&listener));
        let launched = container.launch();
        if launched.is_err() {
            drop(std::os::unix::net::UnixStream::connect(&socket));
        }
        let heard = server.join().map_err(|_| "the listener".to_owned())?;
        launched.and(heard)
    })?;
    container.until_it_says("started")?;
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    let connections = 1 + usize::from(listener.accept().is_ok());
    let (state, descriptors, first_had_them, more) = heard;
    Ok(Heard {
        state,
        descriptors,
        first_had_them,
        more,
        pid: container.pid()?,
        id: container.id.clone(),
        bundle: container.folder().to_string_lossy().into_owned(),
        connections,
    })
}

fn hear(listener: &UnixListener) -> Result<(Value, usize, bool, usize), String> {
    let (stream, _) = listener.accept().map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(|e| e.to_string())?;
    let (mut bytes, descriptors) = receive(&stream)?;
    let (first_had_them, mut count) = (!descriptors.is_empty(), descriptors.len());
    let state = loop {
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(state) => break state,
            Err(e) if e.is_eof() => {
                let (more, descriptors) = receive(&stream)?;
                if more.is_empty() {
                    return Err(format!("it ends in the middle: {}", String::from_utf8_lossy(&bytes)));
                }
                bytes.extend(more);
                count += descriptors.len();
            }
            Err(e) => return Err(format!("it is not one JSON document: {e}: {}", String::from_utf8_lossy(&bytes))),
        }
    };
    // To the end, which has to come: the connection is closed.
    let mut more = 0;
    loop {
        let (bytes, _) = receive(&stream).map_err(|e| format!("the connection stays open: {e}"))?;
        if bytes.is_empty() {
            return Ok((state, count, first_had_them, more));
        }
        more += bytes.len();
    }
}

fn listener_gets_the_process_state(bench: Bench<'_>) -> Verdict {
    let heard = listened(bench, notifying(""))?;
    let said = &heard.state;
    check!(heard.descriptors == 1 && heard.first_had_them, "{} descriptors came: {said}", heard.descriptors);
    check!(said["ociVersion"].as_str().is_some_and(|v| v.starts_with("1.")), "ociVersion: {said}");
    check!(said["fds"] == json!(["seccompFd"]), "fds: {said}");
    check!(said["pid"] == heard.pid, "pid is not {}: {said}", heard.pid);
    check!(said["metadata"] == "something opaque", "metadata: {said}");
    state::adheres(&said["state"])?;
    let inner = &said["state"];
    check!(inner["id"] == heard.id.as_str() && inner["bundle"] == heard.bundle.as_str(), "state: {inner}");
    check!(inner["annotations"]["org.example.one"] == "1", "annotations: {inner}");
    Ok(())
}

fn listener_gets_one_state_a_connection(bench: Bench<'_>) -> Verdict {
    let heard = listened(bench, notifying(""))?;
    check!(heard.more == 0, "{} bytes came behind the state", heard.more);
    check!(heard.connections == 1, "there were {} connections", heard.connections);
    Ok(())
}

/// `run` ends with an error, whichever of its parts sends.
fn listener_missing_is_an_error(bench: Bench<'_>) -> Verdict {
    let mut profile = notifying("");
    profile["listenerPath"] = json!("/no/such/socket");
    let container = filtered(bench, "echo ran", &profile)?;
    let ran = container.run()?;
    check!(!ran.out.contains("ran"), "the program ran");
    ran.refused().map(drop)
}

fn listener_is_ignored_without_notify(bench: Bench<'_>) -> Verdict {
    let mut profile = allowing(&rules("SCMP_ACT_ERRNO", &Value::Null));
    profile["listenerPath"] = json!("/no/such/socket");
    let said = filtered(bench, TRY, &profile)?.says()?;
    check!(said.contains("Operation not permitted"), "it said {said:?}");
    Ok(())
}

fn listener_metadata_needs_a_listener(bench: Bench<'_>) -> Verdict {
    let mut profile = allowing(&rules("SCMP_ACT_ERRNO", &Value::Null));
    profile["listenerMetadata"] = json!("something opaque");
    refused(bench, &profile)
}
