//! `netwire` as a CNI plugin, beside the reference plugins: the same configurations, results, effects and packets; and where
//! the reference is older than CNI 1.1, the specification's own sentences.

mod carried;
mod chains;
mod effects;
mod packets;
pub(crate) mod plugins;
mod protocol;
mod same;
