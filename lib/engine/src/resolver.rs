//! `/etc/resolv.conf` and `/etc/hosts` of a container, made as docker makes them.
//!
//! The machine's name servers are the container's, but for those on a loopback address: there the container would ask itself.
//! A network with a name server of its own names that instead, which is known only when it is attached to; so the file is made
//! in both ways, and which it is is decided then ([`Choice`]).

use crate::request::Request;
use std::net::IpAddr;

/// docker's choice where the machine has no name server that a container could reach.
pub const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// The names every container knows.
pub const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// The word of `--add-host` that stands for the machine.
pub const HOST_GATEWAY: &str = "host-gateway";

/// `/etc/resolv.conf`, for a network with a name server of its own and for one without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What follows the lines of the network's own name servers.
    pub behind_own: String,
    /// The whole file where there are none.
    pub without: String,
    /// Whether [`FALLBACK`] had to be taken in that.
    pub fell_back: bool,
}

/// What a resolver file says (resolv.conf(5)).
#[derive(Debug, Default)]
struct Read<'a> {
    servers: Vec<&'a str>,
    search: Vec<&'a str>,
    options: Vec<&'a str>,
}

fn read(text: &str) -> Read<'_> {
    let mut found = Read::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => found.servers.extend(words.next()),
            // the last one counts
            Some("search" | "domain") => found.search = words.collect(),
            Some("options") => found.options.extend(words),
            _ => {}
        }
    }
    found
}

fn is_loopback(server: &str) -> bool {
    server.split('%').next().and_then(|ip| ip.parse::<IpAddr>().ok()).is_some_and(|ip| ip.is_loopback())
}

/// Whether all name servers that `text` names are on a loopback address, of which there is at least one.
pub fn is_local_only(text: &str) -> bool {
    let servers = read(text).servers;
    !servers.is_empty() && servers.iter().all(|server| is_loopback(server))
}

/// The file for a container on networks of its own. `machine` is the machine's.
pub fn choose(machine: &str, request: &Request) -> Choice {
    let found = read(machine);
    let wiring = &request.wiring;
    let mut servers: Vec<&str> = wiring.dns.iter().map(String::as_str).collect();
    let mut fell_back = false;
    if servers.is_empty() {
        servers = found.servers.into_iter().filter(|server| !is_loopback(server)).collect();
        if servers.is_empty() {
            servers = FALLBACK.to_vec();
            fell_back = true;
        }
    }
    let own = |list: &[String]| list.to_vec();
    let theirs = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let search = if wiring.dns_search.is_empty() { theirs(found.search) } else { own(&wiring.dns_search) };
    // docker: a lone dot means none
    let search: Vec<String> = search.into_iter().filter(|domain| domain != ".").collect();
    let options = if wiring.dns_options.is_empty() { theirs(found.options) } else { own(&wiring.dns_options) };
    let tail = |options: &[String]| {
        let line = |word: &str, list: &[String]| match list.is_empty() {
            true => String::new(),
            false => format!("{word} {}\n", list.join(" ")),
        };
        line("search", &search) + &line("options", options)
    };
    // The names of a network have no dot, and are to be tried as they are before any domain is put behind them.
    let mut at_once = options.clone();
    if !at_once.iter().any(|option| option.starts_with("ndots:")) {
        at_once.push("ndots:0".into());
    }
    let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    Choice { behind_own: tail(&at_once), without: lines + &tail(&options), fell_back }
}

/// The file for a container on the machine's network: the machine's, unless something was asked for.
pub fn of_machine(machine: &str, request: &Request) -> String {
    let wiring = &request.wiring;
    if wiring.dns.is_empty() && wiring.dns_search.is_empty() && wiring.dns_options.is_empty() {
        return machine.to_owned();
    }
    choose(machine, request).without
}

/// The file for a container without a network: empty, unless something was asked for.
pub fn of_none(request: &Request) -> String {
    if request.wiring.dns.is_empty() { String::new() } else { choose("", request).without }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_servers_are_left_out() {
        let request = Request::default();
        let made = choose("nameserver 127.0.0.53\nnameserver 10.0.0.1\nsearch a b\noptions edns0\n", &request);
        assert_eq!(made.without, "nameserver 10.0.0.1\nsearch a b\noptions edns0\n");
        assert_eq!(made.behind_own, "search a b\noptions edns0 ndots:0\n");
        assert!(!made.fell_back);
        let made = choose("nameserver ::1\nnameserver 127.0.0.1\n", &request);
        assert_eq!((made.without.as_str(), made.fell_back), ("nameserver 8.8.8.8\nnameserver 8.8.4.4\n", true));
        assert!(is_local_only("nameserver 127.0.0.53\n") && !is_local_only("") && !is_local_only("nameserver 1.1.1.1"));
    }

    #[test]
    fn what_is_asked_for_counts() {
        let mut request = Request::default();
        request.wiring.dns = vec!["9.9.9.9".into()];
        request.wiring.dns_search = vec![".".into()];
        request.wiring.dns_options = vec!["ndots:2".into()];
        let made = choose("nameserver 10.0.0.1\nsearch a\n", &request);
        assert_eq!(made.without, "nameserver 9.9.9.9\noptions ndots:2\n");
        assert_eq!(made.behind_own, "options ndots:2\n");
        assert_eq!(of_machine("# mine\n", &Request::default()), "# mine\n");
        assert_eq!(of_none(&Request::default()), "");
    }
}
