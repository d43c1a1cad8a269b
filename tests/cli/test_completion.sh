#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The completion script, in a real bash: each option that help lists is offered, and each argument's values.
set -uo pipefail
faults=0
fault() { echo "$*"; faults=$((faults + 1)); }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compopt() { :; } # works in a real completion only
# shellcheck source=/dev/null
source <("$VDISK" --completion bash) || exit 1

# complete WORD...: the offers for the last one, sorted.
offers() {
	COMP_WORDS=(vdisk "$@")
	COMP_CWORD=$#
	_vdisk
	printf '%s\n' "${COMPREPLY[@]}" | sed '/^$/d' | sort
}
expect() { # what is due, then the words
	local due
	due=$(printf '%s\n' $1 | sort)
	shift
	local got
	got=$(offers "$@")
	[ "$due" = "$got" ] || fault "completing \"vdisk $*\": due $(echo $due), got $(echo $got)"
}

complete -p vdisk >/dev/null || fault "nothing completes vdisk"
commands=$("$VDISK" help | sed '/^Programs of their own/,$d' | sed -n 's/^  \([a-z-]*\)  .*/\1/p')
for command in $commands; do
	expect "$command" "$command"
	[ "$command" = help ] && continue
	options=$("$VDISK" help "$command" | sed -E 's/^( +-[A-Za-z]) [A-Z]+,/\1,/' | grep -oE '^ +(-[A-Za-z](, --[a-z0-9-]+)?|--[a-z0-9-]+)' | tr -s ' ,' '\n' | sed '/^$/d')
	[ "$(offers "$command" - | sort)" = "$(sort <<<"$options")" ] || fault "$command -: $(diff <(offers "$command" -) <(sort <<<"$options"))"
	expect "--help" "$command" --hel
done
formats=$("$VDISK" help formats | sed -n 's/^\([a-z0-9]*\): .*/\1/p')
[ -n "$formats" ] || fault "help formats lists none"
expect "$formats" convert -O ""
expect "$formats" create --format ""
expect "qcow qcow2" info -f qc
expect "refuse up" convert --size-rounding ""
expect "auto bar json none" compare --progress ""
expect "$(sed /help/d <<<"$commands") formats" help ""
cd "$work" && touch disk.raw 'with space.raw' && mkdir folder
expect "disk.raw" info di
expect "folder" convert --allow-parent ""
[ "$(offers convert with)" = "with space.raw" ] || fault "a name with a space: $(offers convert with)"
echo "$faults faults"
[ "$faults" = 0 ]
