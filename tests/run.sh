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

lists=(tools/packages.txt tests/packages.txt)
[ "$tier" = all ] && lists+=(tests/packages-all.txt)
mapfile -t wanted < <(packages_listed "${lists[@]}")
packages_install run.sh "$source/build/packages.log" "${wanted[@]}"
mkdir -p build/all
for preset in $presets; do
	build "$preset"
done
for preset in $presets; do
	echo "subdirs(\"$source/build/$preset\")"
done >build/all/CTestTestfile.cmake

# The tests that failed, each with the end of what it printed, but for the cases that passed; then the summary once more: the end of a
# long log, which may be all that somebody sees of it, tells why.
why() {
	local name logs=$source/build/all/Testing/Temporary
	while IFS=: read -r _ name; do
		printf '\n== failed: %s\n' "$name"
		awk -v name="$name" '
			/^[0-9]+\/[0-9]+ Test: / { mine = substr($0, index($0, " Test: ") + 7) == name; said = 0 }
			/^<end of output>$/ { said = 0 }
			said > 1
			mine && (said || /^Output:$/) { said++ }' "$logs/LastTest.log" |
			grep -Ev '^(ok  |\[ RUN|\[       OK)' | tail -n 60
	done <"$logs/LastTestsFailed.log"
	printf '\n'
	sed -n '/tests passed, /,$p' "$1"
}

echo "== testing"
status=0
ctest --test-dir "$source/build/all" -j "$jobs" --output-on-failure --no-tests=error "$@" </dev/null 2>&1 |
	tee build/all/ctest.log | sed -u '/^ *Start *[0-9]*: /d' || status=$?
if [ "$status" != 0 ] && [ -s "$source/build/all/Testing/Temporary/LastTestsFailed.log" ]; then
	why build/all/ctest.log
fi
exit "$status"
