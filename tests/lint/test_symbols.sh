#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The direction of calls, from the objects themselves: what a layer leaves undefined, it or a layer below it defines.  Formats reach
# the core only by being called (what driver.h declares of answers to map() stands with the layers below them).
set -euo pipefail
objects() { find "$VDISK_BUILD/CMakeFiles/$1.dir" -name '*.o'; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
faults=0

for layer in base io formats core ops; do
	mapfile -t files < <(objects "$layer")
	[ ${#files[@]} -gt 0 ] || { echo "layer $layer has no objects"; exit 1; }
	nm --defined-only -g "${files[@]}" | awk 'NF == 3 { print $3 }' | sort -u >"$work/$layer.defined"
	nm -u "${files[@]}" | awk '$1 == "U" || $1 == "w" { print $2 }' | sort -u >"$work/$layer.wanted"
done
sort -u "$work"/*.defined >"$work/ours"

# judge LAYER ALLOWED…: what LAYER wants of ours must be defined in one of ALLOWED.
judge() {
	local layer=$1 bad
	shift
	bad=$(comm -12 "$work/$layer.wanted" "$work/ours" | comm -23 - <(for l in "$@"; do cat "$work/$l.defined"; done | sort -u))
	if [ -n "$bad" ]; then
		echo "$layer calls upwards: ${bad//$'\n'/ }"
		faults=$((faults + 1))
	fi
}
printf '%s\n' vd_extents_add vd_extents_add_plain vd_map_pieces >"$work/driver.defined"
cat >"$work/registry.defined" <<< $'vd_drivers\nvd_version_text'
judge base base
judge io io base
judge formats formats io base driver
judge core core registry io base
judge ops ops core registry io base

if grep -n '^vdisk_' "$work/base.defined" "$work/io.defined" "$work/formats.defined" | grep -v ':vdisk_error_kind_name$'; then
	echo "public functions (but the errors' names) are defined in the core and above only"
	faults=$((faults + 1))
fi
for word in exit abort _exit printf puts perror putchar stdout stderr malloc calloc realloc strdup free; do
	for layer in base io formats core ops; do
		case $layer:$word in base:malloc | base:calloc | base:realloc | base:free) continue ;; esac
		if grep -qx "$word" "$work/$layer.wanted"; then
			echo "$layer uses $word: allocation goes through base/alloc.h, and a library neither prints nor exits"
			faults=$((faults + 1))
		fi
	done
done

# Process-wide state that changes: what lies in .data or .bss (tables of pointers are .data.rel.ro, constant once loaded).
writable=$(for layer in base io formats core ops; do objects "$layer"; done | xargs -r -d '\n' objdump -t |
	awk 'NF > 2 && $(NF-2) ~ /^\.(data|bss|tdata|tbss)(\.|$)/ && $(NF-2) !~ /^\.data\.rel\.ro/ && $NF !~ /^\./ { print $NF }' | sort -u)
for symbol in $writable; do
	echo "writable data: $symbol"
	faults=$((faults + 1))
done
so=$(nm -D --defined-only "$VDISK_BUILD/libvdisk.so" | awk '{ print $NF }' | grep -v -e '^vdisk_' -e '^VDISK_' || true)
if [ -n "$so" ]; then
	echo "libvdisk.so exports more than vdisk_*: ${so//$'\n'/ }"
	faults=$((faults + 1))
fi
readelf -d "$VDISK_BUILD/libvdisk.so" | grep -q 'SONAME.*libvdisk\.so\.0' || { echo "no SONAME libvdisk.so.0"; faults=$((faults + 1)); }
echo "$faults faults"
[ "$faults" = 0 ]
