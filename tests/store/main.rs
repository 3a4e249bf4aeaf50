//! The store by way of `ctr`: what loading, listing, naming and removing images leave on disk, and what they say.

mod crash;
mod damage;
mod layout;
mod listing;
mod loading;
mod others;
mod rootless;
mod world;
