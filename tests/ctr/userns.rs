//! User namespaces: whose ids a container has, and whom its files belong to, in its layers and in volumes.

use crate::lab::{Lab, Said};
use std::fs;
use std::os::unix::fs::MetadataExt;
use testkit::{fixture, need};

const LOOK: &str = "cat /proc/self/uid_map; id -u; stat -c %u:%g /bin /etc/hosts; touch /mine; chown 33:44 /mine; stat -c %u:%g /mine; \
    echo 127.0.0.9 x >>/etc/hosts && echo hosts; touch /data/new; stat -c %u /data/new";

fn ids_of_its_own(driver: &str) {
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let data = lab.path().join("data");
    fs::create_dir(&data).expect("made");
    std::os::unix::fs::chown(&data, Some(300_000), Some(300_000)).expect("chown");
    let volume = format!("{}:/data", data.display());
    let run =
        ["run", "--name", "box", "--network", "none", "--driver", driver, "--uidmap", "0:300000:65536", "-v", &volume];
    let seen = lab.ok([&run[..], &["busybox", "sh", "-c", LOOK]].concat());
    let words: Vec<&str> = seen.split_whitespace().collect();
    assert_eq!(words, ["0", "300000", "65536", "0", "0:0", "0:0", "33:44", "hosts", "0"], "{driver}");
    assert_eq!(
        fs::metadata(data.join("new")).expect("there").uid(),
        300_000,
        "{driver}: outside it is the mapped one's"
    );
    // in the layer it is the container's number, whatever the map was
    let upper = lab.field("box", "{{.GraphDriver.Data.UpperDir}}");
    let found = fs::metadata(std::path::Path::new(&upper).join("mine")).expect("there");
    assert_eq!((found.uid(), found.gid()), (33, 44), "{driver}");
    assert!(lab.ok(["diff", "box"]).contains("A /mine"));
}

#[test]
fn ids_of_its_own_on_the_kernels_overlay() {
    need!(root, overlay, images);
    ids_of_its_own("kernel");
}

#[test]
fn ids_of_its_own_on_fuse() {
    need!(root, fuse, images);
    ids_of_its_own("fuse");
}

#[test]
fn nobody_else_has_the_ids_of_auto() {
    need!(root, overlay, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let map = |name: &str| {
        lab.ok(["run", "-d", "--name", name, "--network", "none", "--userns", "auto", "busybox", "sleep", "600"]);
        lab.ok(["exec", name, "cat", "/proc/self/uid_map"])
    };
    let (one, two) = (map("one"), map("two"));
    assert_ne!(one, two);
    let pid = lab.field("one", "{{.State.Pid}}");
    let outside = fs::metadata(format!("/proc/{pid}")).expect("it runs").uid();
    assert_eq!(one.split_whitespace().nth(1), Some(&*outside.to_string()));
    assert!(outside > 65536);
    let joined = lab.ok([
        "run",
        "--rm",
        "--network",
        "none",
        "--userns",
        "container:one",
        "busybox",
        "sh",
        "-c",
        "touch /x && readlink /proc/self/ns/user",
    ]);
    assert_eq!(joined.trim(), fs::read_link(format!("/proc/{pid}/ns/user")).expect("ns").to_str().expect("text"));
    let small = lab.ok([
        "run",
        "--rm",
        "--network",
        "none",
        "--userns",
        "auto:size=5000",
        "busybox",
        "cat",
        "/proc/self/uid_map",
    ]);
    assert_eq!(small.split_whitespace().nth(2), Some("5000"));
}

#[test]
fn its_network_is_its_own_to_rule() {
    need!(root, overlay, netns, images);
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    let script = format!(
        "ip link set lo up; exec {} run --rm --userns auto --cap-add net_admin busybox sh -c 'ip -o -4 addr show eth0 | wc -l; ip link add d0 type bridge && echo ruled; mount | grep -c sysfs'",
        env!("CARGO_BIN_EXE_ctr")
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["-n", "-m", "sh", "-c", &script]);
    lab.environment(&mut command);
    let said = Said::from(command.output().expect("it runs"));
    assert_eq!(said.out, "1\nruled\n1\n", "{said:?}");
}

#[test]
fn an_ordinary_user_keeps_their_id() {
    need!(root, user, fuse, overlay, images);
    let user = crate::rootless::user();
    let ctr = |script: &str| user.sh(script, &[]);
    let loaded = ctr(&format!("$ctr load -q -i {}", fixture::busybox_oci().display()));
    assert_eq!(loaded.code, 0, "{loaded:?}");
    let folder = user.home.path().display();
    let said = ctr(&format!(
        "mkdir {folder}/data; id -u; $ctr run --rm --network none --userns keep-id -v {folder}/data:/data busybox \\
            sh -c 'id -u; touch /data/mine; stat -c %u /data/mine /bin; touch /tmp/x && stat -c %u /tmp/x'; stat -c %u {folder}/data/mine"
    ));
    let words: Vec<&str> = said.out.split_whitespace().collect();
    let own = words.first().copied().unwrap_or_default();
    assert_eq!(words, [own, own, own, "0", own, own], "{said:?}");
    let other = ctr(
        "$ctr run --rm --network none --userns keep-id:uid=7,gid=8 busybox id -u; $ctr run --rm --network none --userns nomap busybox id -u; $ctr run --rm --network none --userns auto busybox cat /proc/self/uid_map",
    );
    let words: Vec<&str> = other.out.split_whitespace().collect();
    assert_eq!(words, ["7", "0", "0", "1", "1024"], "{other:?}");
}

#[test]
fn nor_of_those_that_were_made_at_the_same_time() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok(["create", "--name", "first", "host", "true"]);
    let made: Vec<_> =
        (0..8).map(|_| lab.ctr(["create", "--userns", "auto", "host", "true"]).spawn().expect("ctr runs")).collect();
    for mut child in made {
        assert!(child.wait().expect("it ends").success());
    }
    let mut firsts = std::collections::BTreeSet::new();
    for id in lab.ok(["ps", "-aq", "--no-trunc", "--filter", "status=created"]).split_whitespace() {
        let path = lab.root().join("containers").join(id).join("config.json");
        let record: serde_json::Value = serde_json::from_slice(&fs::read(path).expect("a record")).expect("JSON");
        let runs = find(&record, "maps").map(|maps| maps["users"].to_string());
        firsts.extend(runs.filter(|runs| runs.contains("outside")));
    }
    assert_eq!(firsts.len(), 8, "{firsts:?}");
}

/// The first member called `name`, however deep.
fn find<'a>(value: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    value.get(name).or_else(|| value.as_object()?.values().find_map(|inner| find(inner, name)))
}
