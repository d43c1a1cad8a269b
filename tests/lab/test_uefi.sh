#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A GPT disk with an EFI system partition, on our machine on a real /dev/kvm: OVMF, which is chosen by the partition, starts GRUB, which
# finds its configuration and switches the machine off.  From a virtio disk; in the long tier from one on AHCI, too.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "SKIP: $1"; exit 77; }
[ -x "$VDISK_BUILD/vdisk-boot" ] || skip "vdisk-boot is not built"
for p in busybox grub-mkimage mkfs.vfat mcopy sfdisk; do
	command -v "$p" >/dev/null || skip "$p is not installed"
done
[ -r /usr/share/OVMF/OVMF_CODE_4M.fd ] || skip "ovmf is not installed"
[ -r /usr/lib/grub/x86_64-efi/kernel.img ] || skip "grub-efi-amd64-bin is not installed"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >grub.cfg <<'CFG'
serial --unit=0
terminal_output serial console
echo "grub: here on $grub_platform"
halt
CFG
grub-mkimage -O x86_64-efi -p /EFI/BOOT -o bootx64.efi part_gpt fat normal serial terminal echo halt configfile
truncate -s 33M esp.img
mkfs.vfat esp.img >/dev/null
mmd -i esp.img ::EFI ::EFI/BOOT
mcopy -i esp.img bootx64.efi ::EFI/BOOT/BOOTX64.EFI
mcopy -i esp.img grub.cfg ::EFI/BOOT/grub.cfg
truncate -s 40M disk.raw
printf 'label: gpt\nstart=2048,size=67584,type=uefi\n' | sfdisk -q disk.raw
dd if=esp.img of=disk.raw bs=1M seek=1 conv=notrunc,sparse status=none
"$VDISK" convert -O qcow2 disk.raw disk.qcow2 2>/dev/null

boot() {
	local status=0
	bash "$here/run.sh" -i -c 1 -k min_timer_period_us=100000 -t 800 -m 2048 -p "$VDISK_BUILD/vdisk-boot" -f disk.qcow2 -F /usr/share/OVMF/OVMF_CODE_4M.fd \
		-F /usr/share/OVMF/OVMF_VARS_4M.fd "
		before=\$(md5sum <disk.qcow2)
		vdisk-boot --engine kvm --mem 512 --timeout 700 --bus $1 disk.qcow2
		echo \"status \$?\"
		[ \"\$before\" = \"\$(md5sum <disk.qcow2)\" ] && echo 'image unchanged'" >out || status=$?
	tr -d '\033\r' <out >text
	cat -v text
	[ "$status" = 77 ] && exit 77
	for line in "grub: here on efi" "status 0" "image unchanged"; do
		grep -qF "$line" text || { echo "missing on $1: $line"; exit 1; }
	done
}
boot virtio-blk
if [ "${VDISK_ALL:-0}" = 1 ]; then
	boot ahci
fi
