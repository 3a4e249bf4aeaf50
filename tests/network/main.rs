//! Black-box tests of `netwire`: packets, rules, addresses, and what is left behind.
//!
//! Each test makes a network namespace of its own first (and a mount namespace with an empty `/run`), and everything
//! happens in there: bridges, rules and traffic never touch the machine's. When the test's thread ends, also by a failed
//! assertion, the namespace dies with all that is in it.

mod bandwidth;
mod cable;
mod cni;
mod crash;
mod dns;
mod dns_client;
mod dns_forward;
mod dns_life;
mod dns_peers;
mod errors;
mod hosts;
mod ipam;
mod ipv6;
mod ipvlan;
mod isolation;
mod keep;
mod killed;
mod lab;
mod lifecycle;
mod loopback;
mod macvlan;
mod mtu;
mod obey;
mod occupancy;
mod options;
mod overlay;
mod overlay_etcd;
mod packets;
mod parallel;
mod pools;
mod ports;
mod ports_conflict;
mod ports_crash;
mod ports_many;
mod ports_sctp;
mod ptp;
mod publishing;
mod rootless;
mod rules;
mod sysctl;
mod vlan;
mod wiring;
