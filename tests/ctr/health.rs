//! Health checks: what is seen, and what is done about it.

use crate::lab::{Lab, SOON};
use crate::restart::state;
use std::time::{Duration, Instant};
use testkit::need;

fn run(lab: &Lab, options: &[&str]) {
    let check = ["run", "-d", "--name", "box", "--health-interval", "200ms", "--health-timeout", "10s"];
    lab.ok([&check[..], options, &["host", "sleep", "1000"]].concat());
}

fn becomes(lab: &Lab, status: &str) {
    let is = || state(lab)["health"]["Status"] == status;
    assert!(Lab::within(SOON, is), "never {status}: {}", state(lab));
}

#[test]
fn a_container_falls_ill_and_gets_well() {
    need!(root, overlay);
    let lab = Lab::new();
    run(&lab, &["--health-cmd", "cat /tmp/well && echo good >&2", "--health-retries", "2", "-e", "X=1"]);
    becomes(&lab, "unhealthy");
    let health = &state(&lab)["health"];
    assert!(health["FailingStreak"].as_u64() >= Some(2), "{health}");
    let look = &health["Log"][0];
    assert_eq!(look["ExitCode"], 1);
    assert_eq!(look["Output"], "cat: /tmp/well: No such file or directory\n");
    lab.ok(["exec", "box", "touch", "/tmp/well"]);
    becomes(&lab, "healthy");
    let health = state(&lab)["health"].clone();
    let last = health["Log"].as_array().and_then(|log| log.last()).expect("a look").clone();
    assert_eq!((&last["ExitCode"], &last["Output"]), (&0.into(), &"good\n".into()));
    assert_eq!(health["FailingStreak"], 0);
    let kept = || state(&lab)["health"]["Log"].as_array().map_or(0, Vec::len);
    assert!(Lab::within(SOON, || kept() == 5));
    let events = std::fs::read_to_string(lab.root().join("events.json")).expect("events");
    let told: Vec<_> = ["health_status: unhealthy", "health_status: healthy"].iter().map(|w| events.find(w)).collect();
    assert!(told[0].is_some() && told[0] < told[1], "{told:?}");
    assert_eq!(lab.said(["healthcheck", "run", "box"]).code, 0);
    lab.ok(["exec", "box", "rm", "/tmp/well"]);
    assert_eq!(lab.said(["healthcheck", "run", "box"]).code, 1);
    // frozen nothing is looked at
    lab.ok(["pause", "box"]);
    let still = || {
        let before = state(&lab)["health"]["Log"].clone();
        std::thread::sleep(Duration::from_secs(1));
        state(&lab)["health"]["Log"] == before
    };
    assert!(Lab::within(SOON, still), "{}", state(&lab));
    lab.ok(["unpause", "box"]);
    lab.ok(["stop", "-t", "0", "box"]);
    assert_eq!(state(&lab)["health"]["Status"], "unhealthy", "docker calls the ended so");
    lab.ok(["start", "box"]);
    assert!(["starting", "unhealthy"].iter().any(|s| state(&lab)["health"]["Status"] == *s));
}

#[test]
fn a_look_that_takes_too_long_is_ended_and_nothing_of_it_stays() {
    need!(root, overlay);
    let lab = Lab::new();
    run(&lab, &["--health-cmd", "sleep 777", "--health-timeout", "300ms", "--health-retries", "1"]);
    becomes(&lab, "unhealthy");
    let look = state(&lab)["health"]["Log"][0].clone();
    assert_eq!((&look["ExitCode"], &look["Output"]), (&(-1).into(), &"Health check exceeded timeout (0.3s)".into()));
    let pid: i32 = lab.field("box", "{{.State.Pid}}").parse().expect("a pid");
    // by hand as by itself
    let begin = Instant::now();
    assert_eq!(lab.said(["healthcheck", "run", "box"]).code, 1);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    // at most the one look that is under way
    let many = || {
        let looks = lab.ok(["exec", "box", "sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"]);
        looks.matches("sleep 777").count() > 4
    };
    std::thread::sleep(Duration::from_secs(2));
    assert!(!many(), "of {pid}");
}

#[test]
fn looks_by_hand_do_not_disturb_the_others() {
    need!(root, overlay);
    let lab = Lab::new();
    run(&lab, &["--health-cmd", "true", "--health-interval", "10ms", "--health-retries", "1"]);
    becomes(&lab, "healthy");
    for _ in 0..4 {
        let hands: Vec<_> = (0..4).map(|_| lab.ctr(["healthcheck", "run", "box"]).spawn().expect("ctr runs")).collect();
        for mut hand in hands {
            assert!(hand.wait().expect("it ends").success());
        }
    }
    let events = std::fs::read_to_string(lab.root().join("events.json")).expect("events");
    assert!(!events.contains("health_status: unhealthy"), "{events}");
    let left: Vec<_> = std::fs::read_dir(lab.run_folder()).expect("a folder").flatten().collect();
    let of_hands = |name: &str| name.starts_with("health.") && name != "health.pid" && name != "health.json";
    for folder in left {
        for inner in [folder.path(), folder.path().join("bundle")] {
            let names = std::fs::read_dir(inner).into_iter().flatten().flatten().map(|e| e.file_name());
            let names: Vec<_> = names.filter(|n| of_hands(&n.to_string_lossy())).collect();
            assert!(names.is_empty(), "{names:?}");
        }
    }
}

#[test]
fn what_is_done_about_an_ill_one() {
    need!(root, overlay);
    let ill = ["--health-cmd", "exit 1", "--health-retries", "1", "--health-on-failure"];
    for (action, code) in [("kill", 137), ("stop", 137)] {
        let lab = Lab::new();
        run(&lab, &[&ill[..], &[action, "--stop-timeout", "0"]].concat());
        assert!(Lab::within(SOON, || state(&lab)["status"] == "exited"), "{action}: {}", state(&lab));
        assert_eq!(state(&lab)["exit_code"], code);
    }
    let lab = Lab::new();
    run(&lab, &[&ill[..], &["restart", "--stop-timeout", "0"]].concat());
    let count = || state(&lab)["restart_count"].as_u64();
    assert!(Lab::within(SOON, || count() >= Some(2)), "{}", state(&lab));
    lab.ok(["rm", "-f", "box"]);
    run(&lab, &[&ill[..], &["none"]].concat());
    becomes(&lab, "unhealthy");
    assert_eq!(state(&lab)["status"], "running");
    lab.ok(["rm", "-f", "box"]);
    lab.ok(["run", "-d", "--name", "box", "--no-healthcheck", "host", "sleep", "1000"]);
    assert_eq!(state(&lab)["health"], serde_json::Value::Null);
    assert_eq!(lab.said(["healthcheck", "run", "box"]).code, 125);
}
