#!/bin/sh
# Lays out a package: packaging/install.sh [--prefix DIR] [--name NAME] PROGRAM PAPERS
# PROGRAM is the built `ctr`, PAPERS what `cargo run --example papers -- PAPERS` wrote. Everything goes below $DESTDIR.
set -eu

prefix=/usr/local
name=ctr
while [ $# -gt 2 ]; do
    case $1 in
        --prefix) prefix=$2; shift 2 ;;
        --name) name=$2; shift 2 ;;
        *) echo "install.sh: unknown option $1" >&2; exit 2 ;;
    esac
done
if [ $# -ne 2 ]; then
    echo "usage: packaging/install.sh [--prefix DIR] [--name NAME] PROGRAM PAPERS" >&2
    exit 2
fi
program=$1
papers=$2
here=$(dirname "$0")/..
to=${DESTDIR:-}$prefix

install -D -m 755 "$program" "$to/bin/$name"
for tool in ovl-mount unpack nsrun netwire; do
    ln -sf "$name" "$to/bin/$tool"
done
mkdir -p "$to/sbin"
ln -sf "../bin/$name" "$to/sbin/mount.fuse.ovl-mount"

mkdir -p "$to/share/man/man1"
install -m 644 "$papers"/man1/*.1 "$to/share/man/man1"
mkdir -p "$to/share/bash-completion/completions" "$to/share/zsh/site-functions" "$to/share/fish/vendor_completions.d"
install -m 644 "$papers"/bash/* "$to/share/bash-completion/completions"
install -m 644 "$papers"/zsh/* "$to/share/zsh/site-functions"
install -m 644 "$papers"/fish/* "$to/share/fish/vendor_completions.d"
if [ "$name" != ctr ]; then
    # the completions are ctr's, under its other name
    (cat "$papers/bash/ctr"; echo "complete -o default -F _ctr $name") > "$to/share/bash-completion/completions/$name"
    rm "$to/share/bash-completion/completions/ctr" "$to/share/zsh/site-functions/_ctr" "$to/share/fish/vendor_completions.d/ctr.fish"
fi

mkdir -p "$to/share/doc/veneer"
install -m 644 "$here"/LICENSE* "$here"/README.md "$here"/docs/*.md "$to/share/doc/veneer"
