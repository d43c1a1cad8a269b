#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A whole Debian kernel with its ahci driver on our machine, on a real /dev/kvm: two disks, native queueing, reading, writing, TRIM.
# Of the long tier.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "SKIP: $1"; exit 77; }
[ -n "${VDISK_ALL:-}" ] || skip "of the long tier (tests/run.sh --all)"
[ -x "$VDISK_BUILD/vdisk-boot" ] || skip "vdisk-boot is not built"
for p in busybox cpio md5sum modprobe; do
	command -v "$p" >/dev/null || skip "$p is not installed"
done
release=$(ls /boot 2>/dev/null | sed -n 's/^vmlinuz-\(.*[0-9]-amd64\)$/\1/p' | sort -V | tail -n 1)
[ -n "$release" ] && [ -r "/boot/vmlinuz-$release" ] || skip "no kernel of linux-image-amd64 in /boot"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
bash "$here/guest.sh" "$release" "$folder/guest.cpio.gz" ahci sd_mod <<'INIT'
i=0
while [ ! -b /dev/sda -o ! -b /dev/sdb ] && [ $i -lt 300 ]; do
	sleep 0.1
	i=$((i + 1))
done
a=sda b=sdb # which comes first is chance
[ "$(cat /sys/block/sda/size)" = 16384 ] || a=sdb b=sda
echo "guest: init"
echo "guest: depth $(cat /sys/block/$a/device/queue_depth)"
echo "guest: first $(md5sum </dev/$a)"
echo "guest: second $(md5sum </dev/$b)"
dd if=/dev/urandom of=/noise bs=64k count=16 2>/dev/null
for n in 0 1 2 3; do
	dd if=/noise of=/dev/$a bs=64k seek=$((1 + 16 * n)) conv=fsync 2>/dev/null &
done
wait
echo 3 >/proc/sys/vm/drop_caches
for n in 0 1 2 3; do
	[ "$(md5sum </noise)" = "$(dd if=/dev/$a bs=64k skip=$((1 + 16 * n)) count=16 2>/dev/null | md5sum)" ] && echo "guest: written $n"
done
blkdiscard -o 1048576 -l 1048576 /dev/$a && echo "guest: discarded"
dmesg | grep -i -E "ata[0-9].*(exception|failed|error)" && echo "guest: trouble"
grep -i ahci /proc/interrupts
poweroff -f
INIT
head -c 8388608 /dev/urandom >"$folder/a.raw"
head -c 1048576 /dev/urandom >"$folder/b.raw"
"$VDISK" convert -O qcow2 "$folder/a.raw" "$folder/a.qcow2" 2>/dev/null

status=0
bash "$here/run.sh" -t 500 -p "$VDISK_BUILD/vdisk-boot" -f "vmlinuz=/boot/vmlinuz-$release" -f "$folder/guest.cpio.gz" -f "$folder/a.qcow2" \
	-f "$folder/b.raw" '
	before=$(md5sum <a.qcow2)
	vdisk-boot --engine kvm --kernel vmlinuz --initrd guest.cpio.gz --cpus 2 --mem 512 --timeout 400 --bus ahci \
		--append "console=ttyS0 tsc=reliable panic=-1 quiet" a.qcow2 b.raw
	echo "status $?"
	[ "$before" = "$(md5sum <a.qcow2)" ] && echo "image unchanged"' >"$folder/out" || status=$?
cat "$folder/out"
[ "$status" = 77 ] && exit 77
for line in "guest: init" "guest: depth 32" "guest: first $(md5sum <"$folder/a.raw")" "guest: second $(md5sum <"$folder/b.raw")" "guest: written 0" \
	"guest: written 1" "guest: written 2" "guest: written 3" "guest: discarded" "status 0" "image unchanged"; do
	grep -qxF "$line" "$folder/out" || { echo "missing: $line"; exit 1; }
done
! grep -q "guest: trouble" "$folder/out" || exit 1
