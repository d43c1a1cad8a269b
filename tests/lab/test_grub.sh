#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A disk with GRUB, a Debian kernel and busybox, as a qcow2 with a raw parent, on our machine on a real /dev/kvm: SeaBIOS, GRUB, kernel,
# init on the disk's own file system, a reboot, and the end; the images stay as they were.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "SKIP: $1"; exit 77; }
[ -x "$VDISK_BUILD/vdisk-boot" ] || skip "vdisk-boot is not built"
for p in busybox cpio md5sum grub-mkimage mke2fs sfdisk; do
	command -v "$p" >/dev/null || skip "$p is not installed"
done
[ -r /usr/share/seabios/bios-256k.bin ] || skip "seabios is not installed"
[ -r /usr/lib/grub/i386-pc/boot.img ] || skip "grub-pc-bin is not installed"
release=$(ls /boot 2>/dev/null | sed -n 's/^vmlinuz-\(.*-cloud-amd64\)$/\1/p' | sort -V | tail -n 1)
[ -n "$release" ] && [ -r "/boot/vmlinuz-$release" ] || skip "no cloud kernel in /boot"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p early/{bin,dev,proc,sys,disk} root/{bin,boot/grub,dev,proc}
for r in early root; do
	cp "$(command -v busybox)" "$r/bin/busybox"
	ln -s busybox "$r/bin/sh"
done
for m in crc16 crc32c_generic libcrc32c mbcache jbd2 ext4 virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do
	f=$(find "/lib/modules/$release" -name "$m.ko" | head -n 1)
	[ -z "$f" ] || { cp "$f" early/; echo "insmod /$m.ko" >>early/modules; }
done
cat >early/init <<'INIT'
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
. /modules
mount -t ext4 /dev/vda1 /disk || echo "guest: cannot mount its root"
exec switch_root /disk /init
INIT
cat >root/init <<'INIT'
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
echo "guest: init on the disk"
sync
if [ -e /booted ]; then
	echo "guest: second time"
	poweroff -f
fi
date >/booted
sync
reboot -f
INIT
chmod +x early/init root/init
(cd early && find . | cpio -o -H newc --quiet) | gzip -1 >root/boot/initrd
cp "/boot/vmlinuz-$release" root/boot/vmlinuz
cat >root/boot/grub/grub.cfg <<'CFG'
serial --unit=0
terminal_output serial console
echo "grub: here"
linux /boot/vmlinuz console=ttyS0 tsc=reliable panic=-1 quiet
initrd /boot/initrd
boot
CFG
grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o core.img biosdisk part_msdos ext2 normal linux serial terminal echo boot configfile
mke2fs -q -t ext4 -d root part.img 63M
truncate -s 64M disk.raw
dd if=/usr/lib/grub/i386-pc/boot.img of=disk.raw conv=notrunc status=none
dd if=core.img of=disk.raw bs=512 seek=1 conv=notrunc status=none
echo "start=2048,type=83,bootable" | sfdisk -q disk.raw
dd if=part.img of=disk.raw bs=1M seek=1 conv=notrunc,sparse status=none
"$VDISK" create -f qcow2 -b disk.raw -F raw top.qcow2 >/dev/null

status=0
bash "$here/run.sh" -t 800 -m 2048 -p "$VDISK_BUILD/vdisk-boot" -f disk.raw -f top.qcow2 -F /usr/share/seabios/bios-256k.bin \
	-F /usr/share/seabios/vgabios-stdvga.bin '
	before=$(cat disk.raw top.qcow2 | md5sum)
	vdisk-boot --engine kvm --mem 512 --timeout 700 --firmware-log log top.qcow2
	echo "status $?"
	[ "$before" = "$(cat disk.raw top.qcow2 | md5sum)" ] && echo "images unchanged"' >out || status=$?
tr -d '\033\r' <out >text
cat -v text
[ "$status" = 77 ] && exit 77
for line in "grub: here" "guest: init on the disk" "guest: second time" "status 0" "images unchanged"; do
	grep -qF "$line" text || { echo "missing: $line"; exit 1; }
done
