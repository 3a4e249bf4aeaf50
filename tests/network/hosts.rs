//! Several hosts: network namespaces of their own, joined by a bridge that plays the network between machines, each with
//! a state root of its own.

use crate::lab::{Lab, refusal, text};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A machine.
pub(crate) struct Host<'a> {
    lab: &'a Lab,
    /// The name of its namespace.
    pub(crate) name: String,
    /// Its address towards the others.
    pub(crate) address: IpAddr,
    root: PathBuf,
}

/// Makes machines `h1`, `h2`, … at 192.0.2.1, 192.0.2.2, … and 2001:db8::1, 2001:db8::2, …; the lab itself is at .100.
pub(crate) fn hosts(lab: &Lab, count: u8) -> Vec<Host<'_>> {
    lab.sh("ip link add wire type bridge; ip link set wire up; ip addr add 192.0.2.100/24 dev wire
         ip addr add 2001:db8::100/64 dev wire nodad");
    (1..=count)
        .map(|n| {
            lab.sh(&format!(
                "ip netns add h{n}; ip link add w{n} type veth peer name up0 netns h{n}
                 ip link set w{n} master wire up; ip -n h{n} link set lo up; ip -n h{n} link set up0 up
                 ip -n h{n} addr add 192.0.2.{n}/24 dev up0; ip -n h{n} addr add 2001:db8::{n}/64 dev up0 nodad
                 ip -n h{n} route add default via 192.0.2.100"
            ));
            let root = lab.root.join(format!("h{n}"));
            Host { lab, name: format!("h{n}"), address: [192, 0, 2, n].into(), root }
        })
        .collect()
}

impl Host<'_> {
    /// `netwire` on this machine.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name)).arg(env!("CARGO_BIN_EXE_netwire"));
        command.args(line.split_whitespace()).env("VENEER_ROOT", &self.root).env_remove("VENEER_RUN");
        command
    }

    /// Runs `netwire`, which must succeed in silence, and gives its stdout.
    #[track_caller]
    pub(crate) fn netwire(&self, line: &str) -> String {
        let out = self.command(line).output().expect("netwire runs");
        let (stdout, stderr) = text(&out);
        assert!(out.status.success() && stderr.is_empty(), "{}: netwire {line}: {stdout}{stderr}", self.name);
        stdout
    }

    /// Runs `netwire`, which must fail as [`Lab::refused`] says.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str, code: i32, message: &str, hint: &str) {
        let out = self.command(line).output().expect("netwire runs");
        refusal(&out, code, message, hint);
    }

    /// Makes a container on this machine and attaches it; gives its addresses.
    #[track_caller]
    pub(crate) fn run(&self, network: &str, container: &str) -> Vec<IpAddr> {
        self.lab.container(container);
        self.attach(network, container, "")
    }

    /// Attaches a container; gives its addresses.
    #[track_caller]
    pub(crate) fn attach(&self, network: &str, container: &str, more: &str) -> Vec<IpAddr> {
        let line = format!("attach --network {network} --netns {container} --id {container} {more}");
        addresses(&self.netwire(&line))
    }

    /// A shell command on this machine, which must succeed; gives its stdout.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        let out = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", self.name))
            .args(["sh", "-ec", script])
            .output()
            .expect("sh runs");
        let (stdout, stderr) = text(&out);
        assert!(out.status.success(), "{}: {script}: {stdout}{stderr}", self.name);
        stdout
    }

    /// The entries of all VXLAN links' own tables.
    pub(crate) fn forwarding(&self) -> Vec<String> {
        let listed = self.sh("bridge fdb show");
        listed.lines().filter(|line| line.contains(" dst ")).map(str::to_owned).collect()
    }

    /// The other hosts as this one knows them.
    pub(crate) fn peers(&self, network: &str) -> Vec<String> {
        let out = self.command(&format!("overlay peers {network} --json")).output().expect("netwire runs");
        let stdout = text(&out).0;
        let peers = stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        peers.filter(|p| p["self"] == false).map(|p| p["host"].as_str().expect("an address").to_owned()).collect()
    }

    /// What the server of `network` wrote of itself.
    pub(crate) fn view(&self, network: &str) -> serde_json::Value {
        let path = self.root.join("networks/run/.overlay").join(format!("{network}.json"));
        let bytes = std::fs::read(path).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Ends the server of `network` without a word.
    pub(crate) fn kill_server(&self, network: &str) {
        if let Some(id) = self.view(network)["server"]["id"].as_i64().and_then(|id| i32::try_from(id).ok()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::SIGKILL);
        }
    }

    /// Cuts this machine off, or connects it again.
    pub(crate) fn cable(&self, plugged: bool) {
        let number = self.name.trim_start_matches('h');
        self.lab.sh(&format!("ip link set w{number} {}", if plugged { "up" } else { "down" }));
        if plugged {
            let ping =
                format!("nsenter --net=/run/netns/{} busybox ping -c 1 -W 1 192.0.2.100 >/dev/null 2>&1", self.name);
            let answered = || Command::new("sh").args(["-c", &ping]).status().is_ok_and(|status| status.success());
            eventually("the cable carries", Duration::from_secs(10), answered);
        }
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        let folder = self.root.join("networks/run/.overlay");
        let views = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for name in views.filter_map(|view| view.file_name().into_string().ok()) {
            if let Some(network) = name.strip_suffix(".json") {
                self.kill_server(network);
            }
        }
    }
}

/// The addresses in what `attach` printed, without prefixes.
#[track_caller]
pub(crate) fn addresses(printed: &str) -> Vec<IpAddr> {
    let value: serde_json::Value = serde_json::from_str(printed).expect("JSON");
    let texts = value["addresses"].as_array().expect("addresses").iter().filter_map(serde_json::Value::as_str);
    texts.map(|text| text.split('/').next().and_then(|a| a.parse().ok()).expect("an address")).collect()
}

/// Waits until `holds`, which must come true.
#[track_caller]
pub(crate) fn eventually(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < until, "it never came true: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// etcd, in the lab's own namespace at 192.0.2.100.
pub(crate) struct Etcd {
    process: Option<Child>,
}

/// Where hosts find it.
pub(crate) const ETCD: &str = "http://192.0.2.100:2379";

impl Etcd {
    /// Starts it and waits until it answers.
    pub(crate) fn start(lab: &Lab) -> Self {
        let mut etcd = Self { process: None };
        etcd.run(lab);
        etcd
    }

    /// Starts it again, on the data it had.
    pub(crate) fn run(&mut self, lab: &Lab) {
        let data = lab.root.join("etcd");
        std::fs::create_dir_all(&data).expect("a folder");
        let started = Command::new("etcd")
            .arg("--data-dir")
            .arg(&data)
            .args(["--listen-client-urls", "http://0.0.0.0:2379", "--advertise-client-urls", ETCD])
            .args(["--listen-peer-urls", "http://127.0.0.1:2380"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(started.expect("etcd starts"));
        eventually("etcd answers", Duration::from_secs(20), || {
            let Ok(mut stream) = TcpStream::connect("127.0.0.1:2379") else { return false };
            let mut answer = String::new();
            let asked =
                stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
            asked.is_ok() && answer.contains(r#""health":"true""#)
        });
    }

    /// Sends `question` to `path` of its gateway, which must succeed.
    #[track_caller]
    pub(crate) fn ask(path: &str, question: &str) {
        let mut stream = TcpStream::connect("127.0.0.1:2379").expect("etcd listens");
        let length = question.len();
        write!(stream, "POST {path} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{question}").expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.contains(" 200 "), "{path}: {answer}");
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
