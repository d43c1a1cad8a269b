#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An initial RAM disk of busybox and a kernel's modules, for guests of the lab.
#
#   tests/lab/guest.sh RELEASE OUT MODULE... <SCRIPT
#
# The modules come with those that they need, and are loaded in order; then SCRIPT runs as init's rest.  PROGRAMS in the environment names
# programs that are put into /bin with their libraries.
set -euo pipefail
release=$1 out=$2
shift 2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,tmp,lib}
cp "$(command -v busybox)" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
for p in ${PROGRAMS:-}; do
	cp "$(command -v "$p")" "$root/bin/"
	ldd "$(command -v "$p")" | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' | while read -r lib; do
		mkdir -p "$root$(dirname "$lib")"
		cp -Lu "$lib" "$root$lib"
	done
done
n=0
for m in "$@"; do
	modprobe -S "$release" --show-depends "$m" 2>/dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p' # "builtin" needs nothing
done | awk '!seen[$0]++' | while read -r file; do
	n=$((n + 1))
	cp "$file" "$root/lib/$(printf '%02d' $n)-$(basename "$file")"
done
cat >"$root/init" <<'INIT'
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for m in /lib/*.ko; do
	[ ! -f "$m" ] || insmod "$m"
done
INIT
cat >>"$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$out"
