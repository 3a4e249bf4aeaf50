//! The room `layer` from outside: the program `unpack` against GNU tar, umoci and skopeo, and on what is broken or hostile.

mod against_tar;
mod bench;
mod broken;
mod flatten;
mod hostile;
mod hostile_names;
mod images;
mod inputs;
mod list;
mod oracle;
mod progress;
mod reference;
mod rootless;
mod select;
mod stops;
