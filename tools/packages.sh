# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by tools/quickstart.sh and tests/run.sh: Debian packages that are wanted and not there are installed.
# shellcheck shell=bash

# packages_listed FILE…: the names in such a file, without its comments.
packages_listed() {
	sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$@" | sort -u
}

# packages_install PROGRAM LOG NAME…: what apt-get says goes to LOG.  Ends the program, in its name, where that cannot be.
packages_install() {
	local program=$1 log=$2 package as_root=()
	local missing=()
	shift 2
	command -v dpkg-query >/dev/null || { echo "$program: no dpkg here; taking it that these are installed: $*"; return 0; }
	for package in "$@"; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || { echo "$program: not root, and no sudo to install: ${missing[*]}" >&2; exit 2; }
		as_root=(sudo)
	fi
	echo "== installing with apt-get: ${missing[*]}"
	mkdir -p "$(dirname "$log")"
	{
		"${as_root[@]}" apt-get update
		"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" </dev/null
	} >"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "$program: the packages could not be installed, see $log" >&2; exit 2; }
}
