#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes one file of vdisk-capture and all that it takes: its loader, its libraries, and the programs that tell which blocks are free.  The file runs on any
# Linux of the same processor with a kernel from 3.2 on, whatever its libc is, or none: it wants sh, tail, tar and gzip, and a folder to unpack itself to,
# which goes when the program ends, however it ends.
# usage: p2v/capture/bundle.sh BUILD-FOLDER FILE
set -eu
[ $# = 2 ] || { echo "usage: $0 BUILD-FOLDER FILE" >&2; exit 2; }
build=$1
out=$2
PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tree/bin" "$work/tree/lib" "$work/tree/real"

# Every library of a program, by its loader's own word, and the loader.
libraries() {
	ldd "$1" | while read -r name arrow path _; do
		case $arrow in
		"=>") [ -f "$path" ] && cp -Ln "$path" "$work/tree/lib/$name" ;;
		*) case $name in /*) cp -Ln "$name" "$work/tree/bin/ld.so" ;; esac ;;
		esac
	done
}

# Programs look for each other beside the loader, which is what /proc/self/exe is for all of them.
add() {
	name=$(basename "$1")
	cp -L "$1" "$work/tree/real/$name"
	strip "$work/tree/real/$name" 2>/dev/null || true
	libraries "$1"
	cat > "$work/tree/bin/$name" <<'WRAPPER'
#!/bin/sh
d=${0%/*}
exec "$d/ld.so" --library-path "$d/../lib" "$d/../real/${0##*/}" "$@"
WRAPPER
	chmod 755 "$work/tree/bin/$name"
}

for program in vdisk-capture vdisk vdisk-mount; do
	[ -x "$build/$program" ] || { echo "$0: $build/$program is missing" >&2; exit 2; }
	add "$build/$program"
done
for program in blkid partclone.extfs partclone.xfs partclone.btrfs partclone.ntfs partclone.fat xfs_logprint ntfscat btrfs; do
	path=$(command -v "$program") || { echo "$0: $program is not installed: what it knows will be read whole" >&2; continue; }
	add "$path"
done

# What libc looks for only when a thread ends early.
gcc_s=$(ldconfig -p | sed -n 's/.*libgcc_s\.so\.1 .*=> //p' | head -n 1)
[ -z "$gcc_s" ] || cp -L "$gcc_s" "$work/tree/lib/libgcc_s.so.1"

# The epoch makes the same file of the same programs.
tar -C "$work/tree" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" -cf - . | gzip -9n > "$work/payload"

cat > "$work/head" <<'HEAD'
#!/bin/sh
# vdisk capture with its own loader and libraries.  It unpacks itself to the first of these folders that takes programs, and cleans up behind itself.
for base in "${TMPDIR:-/tmp}" /tmp /run /var/tmp /dev/shm "${HOME:-/}"; do
	[ -d "$base" ] && [ -w "$base" ] || continue
	d=$base/vdisk-capture.$$
	(umask 077 && mkdir "$d") 2>/dev/null || continue
	if tail -n +@LINES@ "$0" | gzip -dc 2>/dev/null | tar -xf - -C "$d" 2>/dev/null && "$d/bin/ld.so" --library-path "$d/lib" "$d/real/vdisk" --version >/dev/null 2>&1; then
		# Whoever ends this process, however, ends it for the folder, too.
		(trap '' HUP INT TERM; while kill -0 $$ 2>/dev/null; do sleep 1; done; rm -rf "$d") </dev/null >/dev/null 2>&1 &
		PATH=$d/bin:$PATH
		export PATH
		exec "$d/bin/ld.so" --library-path "$d/lib" "$d/real/vdisk-capture" "$@"
	fi
	rm -rf "$d"
done
echo "vdisk capture: there is no folder to unpack to: it takes 100 MiB where programs may run; TMPDIR names one" >&2
exit 2
HEAD
lines=$(($(wc -l < "$work/head") + 1))
sed "s/@LINES@/$lines/" "$work/head" > "$out.new"
cat "$work/payload" >> "$out.new"
chmod 755 "$out.new"
mv "$out.new" "$out"
