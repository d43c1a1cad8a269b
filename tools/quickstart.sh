#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# From a fresh Debian 12 to a converted disk: installs what is missing, builds, converts.
#
#   tools/quickstart.sh [IMAGE.vmdk]
#
# Without IMAGE a small disk with a file system in it is made.  The results go to the folder vdisk-quickstart, where you stand.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/packages.sh
. "$source/tools/packages.sh"
mapfile -t packages < <(packages_listed "$source/tools/packages.txt")

case ${1-} in
-h | --help) sed -n '3,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
-*) echo "quickstart.sh: there is no option $1" >&2; exit 2 ;;
esac
[ $# -le 1 ] || { echo "quickstart.sh: one image at most" >&2; exit 2; }
image=
if [ $# = 1 ]; then
	[ -r "$1" ] || { echo "quickstart.sh: $1: no such file, or not readable" >&2; exit 2; }
	image=$1
	case $image in -*) image=./$image ;; esac
else
	packages+=(e2fsprogs)
fi

say() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }

build() {
	say "building (into $source/build/release)"
	mkdir -p "$source/build"
	(cd "$source" && cmake --preset release -DVDISK_TESTS=OFF && cmake --build --preset release) >"$source/build/release.log" 2>&1 ||
		{ tail -n 40 "$source/build/release.log" >&2; echo "quickstart.sh: the build failed, see $source/build/release.log" >&2; exit 2; }
}

# A 256 MiB disk with an ext4 file system that holds this source and some incompressible bytes, as a VMDK.
make_image() {
	say "making a disk with a file system in it: $out/sample.vmdk"
	scratch=$(mktemp -d "$out/.sample.XXXXXX")
	trap 'rm -rf "$scratch"' EXIT
	mkdir "$scratch/files"
	cp -r "$source/libvdisk" "$source/formats" "$scratch/files/"
	head -c 96M /dev/urandom >"$scratch/files/random"
	PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -L sample -d "$scratch/files" "$scratch/disk.raw" 256M >/dev/null
	vdisk convert -q --force "$scratch/disk.raw" "$out/sample.vmdk"
	image=$out/sample.vmdk
}

packages_install quickstart.sh "$source/build/packages.log" "${packages[@]}"
build
PATH=$source/build/release:$PATH
out=vdisk-quickstart
mkdir -p "$out"
[ -n "$image" ] || make_image
name=$(basename "$image")
result=$out/${name%.*}.qcow2
[ "$(realpath "$image")" = "$(realpath -m "$result")" ] && result=$out/${name%.*}-converted.qcow2

say "converting"
show vdisk convert -p --force "$image" "$result"
say "what they are"
show vdisk info "$image"
echo
show vdisk info "$result"
say "do they hold the same disk?"
show vdisk compare "$image" "$result"
say "the converted disk: $PWD/$result"
