//! `linux.netDevices` (runtime-spec 1.3), `linux.sysctl` of the network, host and domain name: all in a network namespace of the test's own.
//! Debian's runc 1.1 and crun 1.8 do not know netDevices: the specification is the reference (config-linux.md, "Network Devices").

use crate::bundle::{Bundle, Runtime, runtimes, told};
use serde_json::{Value, json};
use testkit::need;

fn nsrun() -> Runtime {
    let [.., nsrun] = runtimes();
    nsrun
}

/// `runtime run` in a new network namespace that `before` has furnished; then `after`, with the exit code in `$code`.
fn in_network(bundle: &Bundle, before: &str, after: &str) -> (String, String, Option<i32>) {
    let run = bundle.command(&nsrun(), "run");
    let mut words = vec![run.get_program().to_string_lossy().into_owned()];
    words.extend(run.get_args().map(|w| w.to_string_lossy().into_owned()));
    words.extend(["--bundle".to_owned(), bundle.folder().display().to_string(), bundle.id().to_owned()]);
    let script = format!("set -e; {before}\nset +e; \"$@\"; code=$?; {after}");
    let mut outer = std::process::Command::new("unshare");
    outer.args(["--net", "--mount", "sh", "-c", &script, "sh"]).args(words);
    told(&outer.stdin(std::process::Stdio::null()).output().expect("unshare"))
}

const VETH: &str = "ip link add near type veth peer name far; ip link set near up; ip link set far up; \
                    ip addr add 10.99.0.2/24 brd + dev far; ip addr add 10.98.0.3/24 scope link dev far; \
                    ip -6 addr add fd00:99::2/64 nodad dev far";

#[test]
fn a_device_moves_with_its_addresses_and_comes_up() {
    need!(root, "busybox", "ip");
    for (name, inside) in [
        (json!({}), "far"),
        (json!({ "name": "" }), "far"),
        (json!({ "name": "eth7" }), "eth7"),
        (json!({ "name": "eth%d" }), "eth0"),
    ] {
        let bundle =
            Bundle::new("ip -o link; ip -o addr", |config| config["linux"]["netDevices"] = json!({ "far": name }));
        let (out, err, code) = in_network(&bundle, VETH, "ip -o link show far 2>/dev/null | grep -c far; exit $code");
        assert_eq!((err.as_str(), code), ("", Some(0)), "{name}: {out}");
        assert!(out.contains(&format!(": {inside}@")) && out.contains("UP"), "{name}: {out}");
        assert!(out.contains("inet 10.99.0.2/24 brd 10.99.0.255 scope global"), "{name}: {out}");
        assert!(out.contains("inet6 fd00:99::2/64 scope global"), "{name}: {out}");
        assert!(!out.contains("10.98.0.3"), "of link scope: {out}");
        assert!(out.ends_with("\n0\n"), "it is still outside: {out}");
    }
}

#[test]
fn a_device_moves_into_a_namespace_that_is_joined_and_a_taken_name_is_refused() {
    need!(root, "busybox", "ip");
    let place = tempfile::tempdir().expect("place");
    let file = place.path().join("net");
    let before =
        format!("{VETH}; touch {net}; unshare --net={net} ip link add taken type bridge", net = file.display());
    let joined = |devices: Value| {
        let file = file.clone();
        move |config: &mut Value| {
            config["linux"]["namespaces"]
                .as_array_mut()
                .expect("namespaces")
                .iter_mut()
                .filter(|n| n["type"] == "network")
                .for_each(|n| n["path"] = json!(file));
            config["linux"]["netDevices"] = devices;
        }
    };
    let bundle = Bundle::new("ip -o link show far", joined(json!({ "far": {} })));
    let (out, err, code) = in_network(&bundle, &before, "exit $code");
    assert_eq!((err.as_str(), code), ("", Some(0)), "{out}");
    assert!(out.contains("far"), "{out}");
    let bundle = Bundle::new("echo ran", joined(json!({ "far": { "name": "taken" } })));
    let (out, err, code) = in_network(&bundle, &before, "ip -o addr show far; exit $code");
    assert_eq!(code, Some(1));
    assert!(err.starts_with("nsrun: move linux.netDevices far: file exists"), "{err}");
    assert!(out.contains("10.99.0.2/24"), "nothing of it has changed: {out}");
    let bundle = Bundle::new("ip -o link", joined(json!({ "far": { "name": "taken%d" } })));
    let (out, err, code) = in_network(&bundle, &before, "exit $code");
    assert_eq!((err.as_str(), code), ("", Some(0)), "{out}");
    assert!(out.contains(": taken0@"), "{out}");
}

#[test]
fn what_cannot_move_is_refused() {
    need!(root, "busybox", "ip");
    for (device, why) in [("nothing", "no such device"), ("lo", "invalid argument")] {
        let bundle =
            Bundle::new("echo ran", |config| config["linux"]["netDevices"] = json!({ device: { "name": "lo9" } }));
        let (out, err, code) = in_network(&bundle, "true", "exit $code");
        assert_eq!((out.as_str(), code), ("", Some(1)));
        assert!(err.starts_with(&format!("nsrun: move linux.netDevices {device}: {why}")), "{err}");
    }
    let bundle = Bundle::new("echo ran", |config| {
        config["linux"]["netDevices"] = json!({ "far": {} });
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").retain(|n| n["type"] != "network");
    });
    let (_, err, _) = in_network(&bundle, "true", "exit $code");
    assert!(err.contains("linux.netDevices: needs a network namespace in linux.namespaces"), "{err}");
}

#[test]
fn names_of_the_machine_need_a_namespace_of_the_containers_own() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        for field in ["hostname", "domainname"] {
            let bundle =
                Bundle::new("hostname; cat /proc/sys/kernel/domainname", |config| config[field] = json!("boxed"));
            let (out, err, _) = told(&bundle.run(&runtime));
            // runc 1.1 was made before domainname.
            assert!(
                out.contains("boxed") || (runtime.name == "runc" && field == "domainname"),
                "{}: {err}",
                runtime.name
            );
        }
    }
    for field in ["hostname", "domainname"] {
        let bundle = Bundle::new("echo ran", |config| {
            config[field] = json!("boxed");
            config["linux"]["namespaces"].as_array_mut().expect("namespaces").retain(|n| n["type"] != "uts");
        });
        let (out, err, code) = told(&bundle.run(&nsrun()));
        assert_eq!((out.as_str(), code), ("", Some(1)));
        assert!(err.contains(field) && err.contains("needs a uts namespace"), "{err}");
    }
}
