//! The room `layer` from outside: the program `unpack` against GNU tar, umoci and skopeo, and on what is broken or hostile.

mod against_tar;
mod bench;
mod broken;
mod dedup;
mod dialects;
mod flatten;
mod hostile;
mod hostile_names;
mod images;
mod inputs;
mod list;
mod oracle;
mod order;
mod owners;
mod pack;
mod pack_marks;
mod packed;
mod progress;
mod reference;
mod rootless;
mod round_trip;
mod select;
mod stops;
mod undo;
mod verify;
