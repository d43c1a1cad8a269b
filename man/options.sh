#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Puts the option sections that the program makes from its option table into the manual pages.
# usage: man/options.sh VDISK [FOLDER-TO-WRITE-TO]
set -eu
vdisk=$1
from=$(dirname "$0")
to=${2:-$from}
section=$(mktemp)
trap 'rm -f "$section"' EXIT
for page in "$from"/*.1 "$from"/vdisk-formats.7; do
	grep -q '^\.\\" options: begin' "$page" || continue # a program of its own
	name=$(basename "$page")
	case $name in
	vdisk.1) topic=program ;;
	vdisk-formats.7) topic=formats ;;
	*) topic=${name#vdisk-}; topic=${topic%.1} ;;
	esac
	"$vdisk" --mdoc "$topic" > "$section"
	awk -v section="$section" '
		/^\.\\" options: begin/ { print; while ((getline line < section) > 0) print line; skip = 1; next }
		/^\.\\" options: end/ { skip = 0 }
		!skip { print }
	' "$page" > "$to/.$name.new"
	mv "$to/.$name.new" "$to/$name"
done
