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
# shellcheck source=tools/packages.sh
. tools/packages.sh

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

mapfile -t wanted < <(packages_listed tools/packages.txt tests/packages.txt)
packages_install run.sh "$source/build/packages.log" "${wanted[@]}"
mkdir -p build/all
for preset in $presets; do
	build "$preset"
done
for preset in $presets; do
	echo "subdirs(\"$source/build/$preset\")"
done >build/all/CTestTestfile.cmake

echo "== testing"
exec ctest --test-dir "$source/build/all" -j "$jobs" --output-on-failure --no-tests=error "$@" </dev/null
