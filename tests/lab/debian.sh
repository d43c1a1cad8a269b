#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A Debian 12 system on disks: prints the folder that holds bios.raw (MBR, GRUB) and uefi.raw (GPT, an EFI system partition, GRUB).
# Both are made once, and kept in the build's folder.  Exit status 77: this cannot be done here.
#
# The root file system comes from mmdebstrap and goes into an image by mke2fs -d, so that no device is mounted; grub.cfg is what
# grub-mkconfig makes of it, told by a stand-in for grub-probe what it would find on that disk.
set -euo pipefail
lack() { echo "SKIP: no Debian disk: $1" >&2; exit 77; }
cache=${VDISK_LAB_CACHE:-$VDISK_BUILD/lab}
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -f "$cache/made" ]; then
	echo "$cache"
	exit 0
fi
[ "$(id -u)" = 0 ] || lack "it takes root"
for p in mmdebstrap mke2fs sfdisk grub-mkimage mkfs.vfat mcopy chroot; do
	command -v "$p" >/dev/null || lack "$p is missing"
done
[ -r /usr/lib/grub/i386-pc/boot.img ] || lack "grub-pc-bin is missing"
[ -r /usr/lib/grub/x86_64-efi/kernel.img ] || lack "grub-efi-amd64-bin is missing"

work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
if [ ! -f "$cache/debian.tar" ]; then
	mmdebstrap --quiet --variant=minbase --aptopt='Apt::Install-Recommends "false"' \
		--include=linux-image-cloud-amd64,systemd-sysv,udev,kmod,e2fsprogs,grub-pc,ifupdown \
		bookworm "$work/debian.tar" >&2 || lack "mmdebstrap failed"
	mv "$work/debian.tar" "$cache/debian.tar"
fi
mkdir "$root"
tar -C "$root" -xf "$cache/debian.tar"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/*
uuid=6f4a5f3c-52f4-4b8e-9d7e-2f1f6f0b7a11
echo debian >"$root/etc/hostname"
echo "UUID=$uuid / ext4 errors=remount-ro 0 1" >"$root/etc/fstab"
chroot "$root" passwd -d root >/dev/null
cat >>"$root/etc/default/grub" <<'CFG'
GRUB_TIMEOUT=1
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0 tsc=reliable"
GRUB_TERMINAL="serial console"
GRUB_SERIAL_COMMAND="serial --unit=0"
CFG
mkdir -p "$root/boot/grub" "$work/bin"
# What grub-probe would say on the disk.
mv "$root/usr/sbin/grub-probe" "$root/usr/sbin/grub-probe.real"
cat >"$root/usr/sbin/grub-probe" <<PROBE
#!/bin/sh
for a; do case \$a in --target=*) t=\${a#--target=} ;; -t*) t=\${a#-t} ;; esac; done
case \$t in
device) echo /dev/vda1 ;;
fs) echo ext2 ;;
fs_uuid) echo $uuid ;;
partmap) echo "\$PARTMAP" ;;
hints_string) echo "--hint-bios=hd0,\${PARTMAP}1 --hint-efi=hd0,\${PARTMAP}1" ;;
compatibility_hint) echo "hd0,\${PARTMAP}1" ;;
drive) echo "(hd0,\${PARTMAP}1)" ;;
*) ;;
esac
PROBE
chmod +x "$root/usr/sbin/grub-probe"

# disk NAME PARTMAP: the partition's image, with its grub.cfg
partition() {
	PARTMAP=$2 chroot "$root" grub-mkconfig -o /boot/grub/grub.cfg >"$work/mkconfig.log" 2>&1 || { cat "$work/mkconfig.log" >&2; lack "grub-mkconfig failed"; }
	mv "$root/usr/sbin/grub-probe" "$work/probe"
	mv "$root/usr/sbin/grub-probe.real" "$root/usr/sbin/grub-probe"
	mke2fs -q -t ext4 -U "$uuid" -L root -d "$root" "$work/$1.part" 1200M >/dev/null
	mv "$root/usr/sbin/grub-probe" "$root/usr/sbin/grub-probe.real"
	mv "$work/probe" "$root/usr/sbin/grub-probe"
}

modules="normal linux serial terminal echo boot configfile search search_fs_uuid search_fs_file search_label ext2 gzio all_video gfxterm test loadenv halt reboot minicmd ls cat"
cp -r /usr/lib/grub/i386-pc "$root/boot/grub/"
partition bios msdos
grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" biosdisk part_msdos ext2 normal
truncate -s 1202M "$work/bios.raw"
dd if=/usr/lib/grub/i386-pc/boot.img of="$work/bios.raw" conv=notrunc status=none
dd if="$work/core.img" of="$work/bios.raw" bs=512 seek=1 conv=notrunc status=none
echo "start=2048,type=83,bootable" | sfdisk -q "$work/bios.raw"
dd if="$work/bios.part" of="$work/bios.raw" bs=1M seek=1 conv=notrunc,sparse status=none

rm -rf "$root/boot/grub/i386-pc"
cp -r /usr/lib/grub/x86_64-efi "$root/boot/grub/"
partition uefi gpt
printf 'search --no-floppy --fs-uuid --set=root %s\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n' "$uuid" >"$work/early.cfg"
grub-mkimage -O x86_64-efi -p /EFI/debian -c "$work/early.cfg" -o "$work/bootx64.efi" part_gpt fat $modules
truncate -s 33M "$work/esp.img"
mkfs.vfat "$work/esp.img" >/dev/null
mmd -i "$work/esp.img" ::EFI ::EFI/BOOT
mcopy -i "$work/esp.img" "$work/bootx64.efi" ::EFI/BOOT/BOOTX64.EFI
truncate -s 1240M "$work/uefi.raw"
printf 'label: gpt\nstart=2048,size=2457600,type=linux\nstart=2459648,size=67584,type=uefi\n' | sfdisk -q "$work/uefi.raw"
dd if="$work/uefi.part" of="$work/uefi.raw" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$work/esp.img" of="$work/uefi.raw" bs=1M seek=1201 conv=notrunc,sparse status=none
mv "$work/bios.raw" "$work/uefi.raw" "$cache/"
cp "$root"/boot/vmlinuz-* "$cache/vmlinuz"
cp "$root"/boot/initrd.img-* "$cache/initrd"
touch "$cache/made"
echo "$cache"
