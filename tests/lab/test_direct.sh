#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A Debian kernel on our machine, on a real /dev/kvm: it reaches init with four processors, reads its disk (a qcow2 over virtio), writes to
# it, and switches the machine off; the image stays as it was.  Of the long tier: QEMU's emulated SVM now and then breaks a guest that has
# several processors (see test_debian.sh).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "SKIP: $1"; exit 77; }
[ "${VDISK_ALL:-0}" = 1 ] || skip "of the long tier (tests/run.sh --all)"
[ -x "$VDISK_BUILD/vdisk-boot" ] || skip "vdisk-boot is not built"
for p in busybox cpio md5sum; do
	command -v "$p" >/dev/null || skip "$p is not installed"
done
release=$(ls /boot 2>/dev/null | sed -n 's/^vmlinuz-\(.*-cloud-amd64\)$/\1/p' | sort -V | tail -n 1)
[ -n "$release" ] && [ -r "/boot/vmlinuz-$release" ] || skip "no cloud kernel in /boot"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/guest
mkdir -p "$root"/{bin,dev,proc,sys}
cp "$(command -v busybox)" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
for m in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do
	f=$(find "/lib/modules/$release" -name "$m.ko" | head -n 1)
	[ -z "$f" ] || cp "$f" "$root/"
done
cat >"$root/init" <<'INIT'
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for m in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do
	[ ! -f /$m.ko ] || insmod /$m.ko
done
echo "guest: init"
echo "guest: processors $(nproc)"
echo "guest: disk $(md5sum </dev/vda)"
dd if=/dev/urandom of=/noise bs=64k count=16 2>/dev/null
dd if=/noise of=/dev/vda bs=64k seek=1 conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
[ "$(md5sum </noise)" = "$(dd if=/dev/vda bs=64k skip=1 count=16 2>/dev/null | md5sum)" ] && echo "guest: written"
blkdiscard -o 1048576 -l 1048576 /dev/vda && echo "guest: discarded"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$folder/guest.cpio.gz"
head -c 4194304 /dev/urandom >"$folder/disk.raw"
"$VDISK" convert -O qcow2 "$folder/disk.raw" "$folder/disk.qcow2" 2>/dev/null

status=0
bash "$here/run.sh" -t 500 -p "$VDISK_BUILD/vdisk-boot" -f "vmlinuz=/boot/vmlinuz-$release" -f "$folder/guest.cpio.gz" -f "$folder/disk.qcow2" '
	before=$(md5sum <disk.qcow2)
	vdisk-boot --engine kvm --kernel vmlinuz --initrd guest.cpio.gz --cpus 4 --mem 384 --timeout 400 \
		--append "console=ttyS0 tsc=reliable panic=-1 quiet" disk.qcow2
	echo "status $?"
	[ "$before" = "$(md5sum <disk.qcow2)" ] && echo "image unchanged"' >"$folder/out" || status=$?
cat "$folder/out"
[ "$status" = 77 ] && exit 77
for line in "guest: init" "guest: processors 4" "guest: disk $(md5sum <"$folder/disk.raw")" "guest: written" "guest: discarded" "status 0" \
	"image unchanged"; do
	grep -qxF "$line" "$folder/out" || { echo "missing: $line"; exit 1; }
done
