//! Network namespaces wired together by netlink alone: links, addresses, routes, nftables and the book of addresses.
//! No program is executed for any of that; [`cni`] executes other people's plugins where it is told to.
//!
//! ```text
//!   container's namespace                 the caller's namespace                         outside
//!   ┌────────────────────┐                ┌──────────────────────────────────────────┐
//!   │ eth0 172.17.0.2/16 ├── veth pair ───┤ vethXXXXXXXXXXX ─ bridge veneer0 .0.1/16 │ uplink ── …
//!   │ default via .0.1   │                │ table inet veneer: masquerade, isolation │
//!   └────────────────────┘                └──────────────────────────────────────────┘
//! ```
//!
//! - On the wire: [`socket`] (requests, acknowledgements, dumps), and one file an object: [`link`], [`address`],
//!   [`route`]; [`nft`] for the packet rules.
//! - On disk: [`definition`] (networks, for good) and [`lease`] (who has which address, until reboot), both below the
//!   folders of [`state`]; [`pool`] is the arithmetic of subnets, [`option`] the keys of
//!   `-o`.
//! - The kinds: [`driver`], and one file each; [`bridge`] is the usual one.
//! - [`cni`]: the same room as a CNI plugin.
//! - The verbs: [`network`] (create, remove, list), [`attach`] (attach, detach, loopback); [`occupancy`] tells a container by
//!   its namespace, [`naming`] what its interfaces are called.
//!
//! Invariants:
//! - Whatever is made here is made in the network namespace of the calling thread, or in the container's; never elsewhere.
//! - A lease is on disk before its link exists and is dropped after the link is gone. So after `kill -9` at any point
//!   either nothing is left, or a lease that names what is left.
//! - A lease is alive while the process that attaches it or the outer end of its link lives. The kernel removes that end
//!   with the container's namespace, so nobody has to tell us that a container died.
//! - Everything is checked, and made again where missing, at each attach: a reboot or a flushed firewall heals itself.
//!
//! Lock order: the folder's lock ([`state`]), then the lock of one network; neither is held while a link is made.

#![warn(missing_docs)]

pub mod address;
pub mod attach;
pub mod attribute;
pub mod bandwidth;
pub mod bridge;
pub mod check;
pub mod cni;
mod confine;
pub mod definition;
pub mod dns;
pub mod driver;
pub mod error;
pub mod etcd;
pub mod fdb;
pub mod inventory;
pub mod lease;
pub mod link;
pub mod mac;
pub mod namespace;
pub mod naming;
pub mod neighbor;
pub mod network;
pub mod nft;
pub mod occupancy;
pub mod option;
pub mod overlay;
pub mod pool;
pub mod port_flags;
pub mod prune;
pub mod publish;
pub mod qdisc;
pub mod rename;
pub mod restore;
pub mod rootless;
pub mod route;
pub mod socket;
pub mod state;
mod survey;
pub mod sysctl;

pub use error::{Error, Kind, Result};
