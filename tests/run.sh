#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The one test command: installs what is missing, builds, runs every suite, and ends with ctest's summary.
#
#   tests/run.sh [--quick | --all] [-j N] [ctest arguments…]
#
#   --quick   the plain build only: no sanitizers, no fuzzing
#   --all     the long tier: ten minutes for each fuzzer, more and longer iterations everywhere
#   -j N      N build and test jobs at once (default: one for each processor)
#
# VDISK_FIXTURES names the folder of foreign images; without it ../shared/fixtures beside the source is used, if there.
set -euo pipefail
cd "$(dirname "$0")/.."
source=$PWD

tier=default
jobs=$(nproc)
while [ $# -gt 0 ]; do
	case $1 in
	--quick | --all) tier=${1#--} ;;
	-j) jobs=$2; shift ;;
	-h | --help) sed -n '3,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) break ;;
	esac
	shift
done
case $tier in
quick) presets="dev" ;;
*) presets="dev asan tsan fuzz" ;;
esac
if [ "$tier" = all ]; then
	export VDISK_ALL=1 VDISK_ITERATIONS=${VDISK_ITERATIONS:-3000} VDISK_FUZZ_SECONDS=${VDISK_FUZZ_SECONDS:-600}
fi

install_packages() {
	local wanted missing="" package as_root=""
	wanted=$(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' tools/packages.txt tests/packages.txt | sort -u)
	command -v dpkg-query >/dev/null || { echo "run.sh: no dpkg here; taking it that these are installed:" $wanted; return 0; }
	for package in $wanted; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || { echo "run.sh: not root, and no sudo to install:$missing" >&2; exit 2; }
		as_root=sudo
	fi
	echo "== installing:$missing"
	$as_root apt-get update -qq
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing </dev/null
}

# What a build has to make: everything where the programs are under test, the suites alone elsewhere.
build() {
	local preset=$1 target=suites
	[ "$preset" = dev ] && target=all
	echo "== building $preset"
	cmake --preset "$preset" ${VDISK_FIXTURES:+-DVDISK_FIXTURES="$(realpath "$VDISK_FIXTURES")"} >"build/$preset.configure.log" 2>&1 ||
		{ cat "build/$preset.configure.log" >&2; exit 2; }
	cmake --build --preset "$preset" --target "$target" -j "$jobs" >"build/$preset.build.log" 2>&1 ||
		{ tail -n 60 "build/$preset.build.log" >&2; exit 2; }
}

install_packages
mkdir -p build/all
for preset in $presets; do
	build "$preset"
done
for preset in $presets; do
	echo "subdirs(\"$source/build/$preset\")"
done >build/all/CTestTestfile.cmake

echo "== testing"
exec ctest --test-dir "$source/build/all" -j "$jobs" --output-on-failure --no-tests=error "$@" </dev/null
