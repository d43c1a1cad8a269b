#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual: mandoc has nothing to say; its option sections are what the option table makes; help and manual know the same options;
# every command has a page; libvdisk.3 names every function, and its example compiles and runs.
set -uo pipefail
man=$VDISK_SOURCE/man
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
faults=0
fault() { echo "$*"; faults=$((faults + 1)); }
command -v mandoc >/dev/null || { echo "mandoc is not installed: skipped"; exit 77; }

for page in "$man"/*.[1-9]; do
	mandoc -T lint -W warning "$page" >"$work/lint" 2>&1
	[ -s "$work/lint" ] && fault "$(cat "$work/lint")"
done

mkdir "$work/man"
"$man/options.sh" "$VDISK" "$work/man" || fault "man/options.sh fails"
for page in "$work"/man/*; do
	diff -u "$man/$(basename "$page")" "$page" >"$work/diff" ||
		fault "$(cat "$work/diff")
$(basename "$page") is not what the option table says: run man/options.sh $VDISK"
done

# By other eyes: what help lists, against what the rendered page says.
options_of() { sed -E 's/^( +-[A-Za-z]) [A-Z]+,/\1,/' | grep -oE '^ +(-[A-Za-z](, --[a-z0-9-]+)?|--[a-z0-9-]+)' | sed 's/,//' | tr -s ' ' '\n' | sed '/^$/d' | sort -u; }
commands=$("$VDISK" help | sed '/^Programs of their own/,$d' | sed -n 's/^  \([a-z-]*\)  .*/\1/p' | grep -v '^help$')
[ "$(echo "$commands" | wc -l)" -ge 10 ] || fault "vdisk help lists too few commands: $commands"
for command in $commands; do
	page=$man/vdisk-$command.1
	[ -f "$page" ] || { fault "there is no page for $command"; continue; }
	[ -f "$work/man/vdisk-$command.1" ] || fault "vdisk-$command.1 has no option section"
	"$VDISK" "$command" --help | options_of >"$work/help"
	"$VDISK" help "$command" | options_of | cmp -s - "$work/help" || fault "help $command and $command --help differ"
	mandoc -T ascii -O width=200 "$page" | col -b | sed -n '/The options:/,/^[A-Z]/p' | options_of >"$work/page"
	[ "$(wc -l <"$work/help")" -ge 5 ] || fault "help $command lists too few options"
	diff "$work/help" "$work/page" >"$work/diff" || fault "$command: help (<) and manual (>) differ:
$(cat "$work/diff")"
	grep -q "Xr vdisk-$command 1" "$man/vdisk.1" || fault "vdisk.1 does not lead to vdisk-$command(1)"
done
for page in "$man"/vdisk-*.1; do
	program=$(basename "${page%.1}")
	grep -qx "${program#vdisk-}" <<<"$commands" || [ -n "$(find "$VDISK_BUILD" -name "$program" -type f -executable)" ] ||
		fault "$page is about no command and no program"
done

header=$VDISK_SOURCE/libvdisk/include/vdisk/vdisk.h
for function in $(grep '^VDISK_API' "$header" | grep -o 'vdisk_[a-z0-9_]*(' | tr -d '('); do
	grep -q "Fn $function\b" "$man/libvdisk.3" || fault "libvdisk.3 does not name $function"
done
for function in $(grep -o 'Fn vdisk_[a-z0-9_]*' "$man/libvdisk.3" | sed 's/Fn //'); do
	grep -q "\b$function(" "$header" || fault "libvdisk.3 names $function, which does not exist"
done
sed -n '/^\.Bd -literal/,/^\.Ed/p' "$man/libvdisk.3" | sed '1d;$d;s/\\e/\\/g' >"$work/example.c"
if cc -std=c99 -Wall -Wextra -Werror -I"$VDISK_SOURCE/libvdisk/include" "$work/example.c" -o "$work/example" -L"$VDISK_BUILD" -lvdisk; then
	head -c 4096 /dev/urandom >"$work/disk.raw"
	LD_LIBRARY_PATH=$VDISK_BUILD "$work/example" "$work/disk.raw" | cmp - <(head -c 512 "$work/disk.raw") || fault "the example in libvdisk.3 is wrong"
else
	fault "the example in libvdisk.3 does not compile"
fi
echo "$(ls "$man"/*.[1-9] | wc -l) pages, $faults faults"
[ "$faults" = 0 ]
