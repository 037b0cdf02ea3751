#!/bin/sh
# Proves the README's two commands on a bare Debian 12: makes one with debootstrap in a temporary directory, installs make and
# git by the README's line, clones this repository's last commit into it, and runs `make demo` and `make check` there.
#
#     tests/chroot.sh [demo|check ...]     as root, with debootstrap and a mirror within reach
#
# Environment: MIRROR (default: the one that this machine uses), KEEP=1 keeps the directory.
set -eu
[ "$(id -u)" = 0 ] || { echo "chroot.sh: needs root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "chroot.sh: needs debootstrap" >&2; exit 1; }
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- demo check

mirror=${MIRROR:-$(sed -nE 's/^(URIs:|deb(-src)?( \[[^]]*\])?) *([a-z+]+:[^ ]+).*/\4/p' /etc/apt/sources.list \
    /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -n 1)}
root=$(mktemp -d "${TMPDIR:-/tmp}/nixfleet-chroot.XXXXXX")
chmod 755 "$root" # it becomes a root directory, for every user
# shellcheck disable=SC2317 # called by trap
clean_up() {
    trap - EXIT INT TERM
    umount -R "$root/dev" 2>/dev/null || true
    umount "$root/proc" 2>/dev/null || true
    # Nothing of the host may still be mounted when the directory is removed.
    if grep -q " $root/" /proc/mounts; then
        echo "chroot.sh: $root still has mounts; not removed" >&2
    elif [ -z "${KEEP:-}" ]; then
        rm -rf "$root"
    fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

echo "== debootstrap from $mirror"
debootstrap --variant=minbase bookworm "$root" "$mirror" >"$root.log" 2>&1 || { tail "$root.log" >&2; exit 1; }
rm -f "$root.log"
cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
for file in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/apt/trusted.gpg.d; do
    [ ! -e "$file" ] || cp -r "$file" "$root/etc/apt/"
done
mkdir -p "$root/dev/pts" "$root/proc" "$root/sys"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev" 2>/dev/null || mount --bind /dev "$root/dev"
mount --make-rslave "$root/dev" 2>/dev/null || true

inside() { chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 CI=1 \
    http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" sh -c "$1"; }

echo "== the README's line"
inside "$(sed -n 's/^    \(apt-get update && .*\)/\1/p' README.md)" >/dev/null 2>&1
git bundle create -q "$root/nixfleet.bundle" HEAD
inside 'cd /srv && git -c advice.detachedHead=false clone -q /nixfleet.bundle nixfleet'
for target; do
    echo "== make $target"
    inside "cd /srv/nixfleet && make $target"
done
echo "== done: $*"
