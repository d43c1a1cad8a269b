#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Fuzzes one format:  run.sh FORMAT   (VDISK_BUILD: a build of the fuzz preset; VDISK_FUZZ_SECONDS, default 30)
# Of the default tier libFuzzer's random numbers are the same each time: what is red is a change's doing.  The long tier goes another
# way each time (VDISK_FUZZ_SEED, which is printed).
# First every seed and every input that once broke something runs once; then libFuzzer goes looking.  What it finds stays in
# $VDISK_BUILD/fuzz/FORMAT/found-*, and what it learned in corpus/ beside it; `fuzz_seeds unpack INPUT FILE` makes an image of either.
set -euo pipefail
format=$1
here=$(dirname "$(realpath "$0")")
work=$VDISK_BUILD/fuzz/$format
bin=$VDISK_BUILD/tests/fuzz_$format
tool=$VDISK_BUILD/tests/fuzz_seeds
limit=$((4 << 20)) # SPARSE_FILE_MAX
[ "$format" != vhdx ] || limit=$((12 << 20))
folder=${VDISK_FIXTURES:-/nonexistent}/${format%2} # qcow2's lie under qcow
seconds=${VDISK_FUZZ_SECONDS:-30}
rm -rf "$work/flat" "$work/seeds"
mkdir -p "$work/corpus" "$work/flat" "$work/seeds"

# Foreign images of the format, small ones; then our own.
if [ -d "$folder" ]; then
	find "$folder" -type f ! -name '*.tar.zst' | while read -r file; do
		name=$(echo "${file#"$folder"/}" | tr / _)
		case $file in
		*.zst) zstd -dcq "$file" 2>/dev/null | head -c $((limit + 1)) >"$work/flat/${name%.zst}" || true ;;
		*) head -c $((limit + 1)) "$file" >"$work/flat/$name" ;;
		esac
	done
fi
case $format in # no images with the first
nbd | remote | lvm | bootcfg | manifest | initrd | guestcfg | machine | qcow | qed | parallels | bochs) cp "$here/corpus/$format"/* "$work/seeds" ;;
receive) python3 "$here/seeds_receive.py" "$work/seeds" ;;
package) python3 "$here/seeds_package.py" "$work/seeds" ;;
devices) python3 "$here/seeds_devices.py" "$work/seeds" ;;
*) "$tool" make "$format" "$work/flat" >"$work/seeds.log" ;;
esac
find "$work/flat" -type f | while read -r file; do
	[ "$(stat -c %s "$file")" -le $limit ] && "$tool" pack "$file" "$work/seeds/$(basename "$file")" || echo "${file##*/}: too large for a seed" >>"$work/seeds.log"
done
rm -rf "$work/flat"
seeds=$(find "$work/seeds" -type f | wc -l)
[ "$seeds" -gt 0 ] || { echo "no seeds for $format"; exit 1; }

seed=${VDISK_FUZZ_SEED:-${VDISK_ALL:+$RANDOM}}
options=("-seed=${seed:=1}" -rss_limit_mb=512 -malloc_limit_mb=256 -timeout=20 -max_len=98304 -verbosity=0 "-artifact_prefix=$work/found-")
[ -f "$here/dict/$format.dict" ] && options+=("-dict=$here/dict/$format.dict")
case $format in initrd | package) options+=(-rss_limit_mb=1500 -malloc_limit_mb=1200) ;; esac # a stream's dictionary, as liblzma allows it
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:quarantine_size_mb=32
shopt -s nullglob
"$bin" "${options[@]}" "$work"/seeds/* "$here/corpus/$format"/* >"$work/seeds.run.log" 2>&1 ||
	{ tail -n 60 "$work/seeds.run.log"; exit 1; }
"$bin" "${options[@]}" -max_total_time="$seconds" -print_final_stats=1 "$work/corpus" "$work/seeds" >"$work/run.log" 2>&1 ||
	{ tail -n 60 "$work/run.log"; exit 1; }
echo "$seeds seeds; VDISK_FUZZ_SEED=$seed"
grep -E '^stat::(number_of_executed_units|average_exec_per_sec|new_units_added|peak_rss_mb)' "$work/run.log"
