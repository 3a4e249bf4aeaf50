//! `nsrun` by its command line, each test first on a runtime that others trust.

mod bundle;
mod confinement;
