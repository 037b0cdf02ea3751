#!/bin/sh
# Tests the two commands of the README on a minimal Debian: makes a system with debootstrap, installs make and git with the line of
# the README, clones the last commit of this repository into the system, and runs `make demo` and `make check` there.
#
#     tests/chroot.sh [SUITE] [target ...]     as root, with debootstrap and a mirror within reach
#
# SUITE is bookworm (the default), trixie, forky, or another suite of the mirror. The default targets are demo and check; every
# target of the Makefile can be given, and NAME=VALUE sets a variable of make (JOBS=1).
#
# Environment:
#   MIRROR     default: the mirror that this machine uses
#   CACHE      a directory in which the minimal systems and the downloaded packages are kept for the next time
#   KEEP=1     keeps the chroot and says where it is
# At the end, prints one line with the versions of the libraries, for the table in tests/README.md.
set -eu
say() { echo "== $*"; }
fail() { echo "chroot.sh: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "needs root"
command -v debootstrap >/dev/null || fail "needs debootstrap"
cd "$(dirname "$0")/.."

suite=bookworm
case ${1:-} in
demo | check | check-* | unit | e2e | web | asan | tsan | fuzz | bench | lint | all | dist* | *=* | "") ;;
*) suite=$1; shift ;;
esac
[ $# -gt 0 ] || set -- demo check

mirror=${MIRROR:-$(sed -nE 's/^(URIs:|deb(-src)?( \[[^]]*\])?) *([a-z+]+:[^ ]+).*/\4/p' /etc/apt/sources.list \
    /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -n 1)}
[ -n "$mirror" ] || fail "no mirror: set MIRROR"
cache=${CACHE:-}
root=$(mktemp -d "${TMPDIR:-/tmp}/nixfleet-chroot.XXXXXX")
chmod 755 "$root" # every user of the new system must be able to enter it
mount --bind "$root" "$root" # unshare -m needs a root directory that is a mount point
mount --make-private "$root"

# shellcheck disable=SC2317 # called by trap
clean_up() {
    trap - EXIT INT TERM
    umount "$root/var/cache/apt/archives" 2>/dev/null || true
    umount -R "$root/dev" 2>/dev/null || true
    umount -R "$root/sys" 2>/dev/null || true
    umount "$root/proc" 2>/dev/null || true
    umount "$root" 2>/dev/null || true
    # If a directory of the host is still mounted, removing the chroot would delete the host's files.
    if grep -q " ${root}[ /]" /proc/mounts; then
        echo "chroot.sh: $root still has mounts; not removed" >&2
    elif [ -n "${KEEP:-}" ]; then
        echo "chroot.sh: kept: $root" >&2
    else
        rm -rf "$root"
    fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# debootstrap has a script for each suite. For a suite that is newer than debootstrap, the script of sid is used.
bare_system() {
    scripts=/usr/share/debootstrap/scripts
    script=
    [ -e "$scripts/$suite" ] || script=$scripts/sid
    say "debootstrap $suite from $mirror"
    # shellcheck disable=SC2086 # no argument if there is no script
    debootstrap --variant=minbase "$suite" "$1" "$mirror" $script >"$root.log" 2>&1 || { tail "$root.log" >&2; exit 1; }
    rm -f "$root.log"
}

if [ -z "$cache" ]; then
    bare_system "$root"
else
    mkdir -p "$cache/$suite-packages/partial"
    if [ ! -e "$cache/$suite.tar" ]; then
        bare_system "$root"
        tar -C "$root" --one-file-system -cf "$cache/$suite.tar.new" . && mv "$cache/$suite.tar.new" "$cache/$suite.tar"
    else
        say "$suite from $cache/$suite.tar"
        tar -C "$root" -xf "$cache/$suite.tar"
    fi
    mkdir -p "$root/var/cache/apt/archives"
    mount --bind "$cache/$suite-packages" "$root/var/cache/apt/archives"
    echo 'Binary::apt::APT::Keep-Downloaded-Packages "true"; APT::Keep-Downloaded-Packages "true";' >"$root/etc/apt/apt.conf.d/50keep"
fi
cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
echo "deb $mirror $suite main" >"$root/etc/apt/sources.list"
# Copies the apt settings that this machine needs for its mirror, without docker's: they delete the packages that CACHE keeps.
for file in /etc/apt/apt.conf.d/*; do
    case $file in
    *docker*) ;;
    *) grep -qiE 'proxy|check-valid|check-date|verify' "$file" 2>/dev/null && cp "$file" "$root/etc/apt/apt.conf.d/" ;;
    esac
done
mkdir -p "$root/dev/pts" "$root/proc" "$root/sys"
mount -t proc proc "$root/proc"
# for tests: unit/test_heap reads about large pages in /sys, and e2e/test_scope makes control groups there
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 none "$root/sys/fs/cgroup" 2>/dev/null || true
mount --rbind /dev "$root/dev" 2>/dev/null || mount --bind /dev "$root/dev"
mount --make-rslave "$root/dev" 2>/dev/null || true

inside() { chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 CI=1 \
    http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" sh -c "$1"; }

say "the README's line"
inside "$(sed -n 's/^    \(apt-get update && .*\)/\1/p' README.md)" >"$root.log" 2>&1 || { tail "$root.log" >&2; exit 1; }
rm -f "$root.log"
git bundle create -q "$root/nixfleet.bundle" HEAD
inside 'cd /srv && git -c advice.detachedHead=false clone -q /nixfleet.bundle nixfleet'

variables=
for word; do
    case $word in *=*) variables="$variables $word" ;; esac
done
status=0
for target; do
    case $target in *=*) continue ;; esac
    say "$suite: make $target"
    inside "cd /srv/nixfleet && make$variables $target" || { status=1; say "$suite: make $target FAILED"; }
done

version() { inside "dpkg-query -W -f '\${Version}' $1 2>/dev/null" | sed 's/^[0-9]*://; s/[-+~].*//'; }
libraries=
for package in libc6 gcc clang libjson-c-dev libmicrohttpd-dev libcurl4-openssl-dev libsqlite3-dev libssl-dev libcrypt-dev libwslay-dev \
    libcmocka-dev nix-bin tmux bash python3 python3-pytest python3-selenium chromium; do
    found=$(version "$package") || found=
    libraries="$libraries $package ${found:--},"
done
say "$suite:$libraries"
[ "$status" = 0 ] || fail "$suite: not everything passed"
say "done: $*"
