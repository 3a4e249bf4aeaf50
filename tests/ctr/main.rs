//! Black-box tests of `ctr`: the commands a person types, and what they did to this machine (nothing).

mod attach;
mod bridge;
mod commit;
mod cp;
mod errors;
mod explain;
mod host;
mod images;
mod isolation;
mod killed;
mod lab;
mod life;
mod limits;
mod network;
mod person;
mod ports;
mod races;
mod rootless;
mod stats;
mod swap;
mod terminal;
mod update;
mod userns;
mod verbs;
mod volumes;
