#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A Debian as a physical machine has it: prints the path of a disk (MBR, GRUB, one ext4 file system, swap) that knows itself as /dev/sda, with an
# initramfs for SATA and IDE alone, a NIC that is named by its MAC and has a static address, and VMware's agent.  Its kernel's log, on
# the serial line, tells which address it has got, and from what it runs.  Made once and kept in the build's folder.  Exit status 77: this cannot be done here.
#
# Other machines by the environment: SUITE=bullseye; BOOT=uefi (GPT, an EFI system partition whose loader only the firmware's variables would have
# named); LAYOUT=lvm (/boot apart, root and swap in a volume group, named by /dev/mapper); LAYOUT=xfs and LAYOUT=btrfs (/boot apart, no swap, the root on
# /dev/sda2, in btrfs' subvolume @; those are filled by libguestfs); LAYOUT=luks (/boot apart, the root encrypted on /dev/sda2, a key file in the initramfs, whose
# passphrase is "correct horse"); LAYOUT=raid1 (two disks, the second one's path on a second line: /boot on the first, the root on both, /dev/md0); TOOL=dracut.
#
# No device of this machine is mounted: the root file system comes from mmdebstrap and goes into an image by mke2fs -d; grub.cfg is what grub-mkconfig makes of it,
# told by a stand-in for grub-probe what it would find on that disk.
set -euo pipefail
lack() { echo "SKIP: no physical Debian: $1" >&2; exit 77; }
cache=${VDISK_LAB_CACHE:-$VDISK_BUILD/lab}
mkdir -p "$cache"
suite=${SUITE:-bookworm} boot=${BOOT:-bios} layout=${LAYOUT:-plain} tool=${TOOL:-initramfs-tools}
disk=$cache/physical-$suite-$boot-$layout-$tool.raw second=
[ "$layout" != raid1 ] || second=${disk%.raw}.2.raw
made() { [ ! -f "$disk" ] || { printf '%s\n' "$disk" ${second:+"$second"}; exit 0; }; }
made
exec 9>"$disk.lock"
flock 9
made
[ "$(id -u)" = 0 ] || lack "it takes root"
for p in mmdebstrap mke2fs mkswap sfdisk grub-mkimage chroot; do
	command -v "$p" >/dev/null || lack "$p is missing"
done
[ -r /usr/lib/grub/i386-pc/boot.img ] || lack "grub-pc-bin is missing"
grub="grub-pc" more="" stock=plain
if [ "$boot" = uefi ]; then
	command -v mkfs.vfat >/dev/null && command -v mcopy >/dev/null || lack "dosfstools or mtools is missing"
	[ -r /usr/lib/grub/x86_64-efi/kernel.img ] || lack "grub-efi-amd64-bin is missing"
	grub="grub-efi-amd64"
fi
flags=
case $layout in
plain) type=ext4 ;;
lvm | luks | raid1) type=ext4 stock=storage more=,lvm2,cryptsetup-initramfs,mdadm ;;
xfs) type=xfs ;;
btrfs) type=btrfs flags=rootflags=subvol=@ ;;
*) lack "there is no layout $layout" ;;
esac
if [ "$type" != ext4 ] || [ "$layout" = raid1 ]; then
	command -v guestfish >/dev/null || lack "libguestfs-tools is missing"
	export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg
fi
command -v "mkfs.$type" >/dev/null || lack "mkfs.$type is missing"
if [ "$layout" = lvm ]; then
	command -v lvcreate >/dev/null || lack "lvm2 is missing"
fi
[ "$layout" != luks ] || command -v qemu-img >/dev/null || lack "qemu-utils is missing"

work=$(mktemp -d "$cache/work.XXXXXX")
loop=
trap '[ -z "$loop" ] || losetup -d "$loop"; rm -rf "$work"' EXIT
root=$work/root
tar=$cache/physical-$suite-$grub-$stock-$tool.tar # several layouts have the same one
exec 8>"$tar.lock"
flock 8
if [ ! -f "$tar" ]; then
	mmdebstrap --quiet --variant=minbase --aptopt='Apt::Install-Recommends "false"' \
		--include=linux-image-amd64,systemd-sysv,udev,kmod,e2fsprogs,$grub,ifupdown,iproute2,open-vm-tools,zstd,$tool$more \
		"$suite" "$work/physical.tar" >&2 || lack "mmdebstrap failed"
	mv "$work/physical.tar" "$tar"
fi
exec 8>&-
mkdir "$root"
tar -C "$root" -xf "$tar"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/*
# Drivers of what is in no machine of these tests: half of the disk.
rm -rf "$root"/lib/modules/*/kernel/{sound,drivers/{gpu,media,infiniband,staging,usb,iio,comedi,isdn,hwmon,input,leds,mtd,power,video,platform},net/{wireless,mac80211,bluetooth},drivers/net/{wireless,can}}
uuid=2b0f8f5e-7f0a-4b55-8c8e-5f5a1f6f0b12
swap=5d3f1b54-2f3c-49f8-8f0b-0c7f4f8d2a31
root_name=/dev/sda1 swap_name=/dev/sda2 options=errors=remount-ro
case $layout in
lvm) root_name=/dev/mapper/old-root swap_name=/dev/mapper/old-swap ;;
xfs) root_name=/dev/sda2 swap_name="" options=defaults ;;
btrfs) root_name=/dev/sda2 swap_name="" options=subvol=@ ;;
luks) root_name=/dev/mapper/cryptroot swap_name="" ;;
raid1) root_name=/dev/md0 swap_name="" ;;
esac
array=6d5f2b3c:0a1b2c3d:4e5f6071:82930415 secret="correct horse"
echo physical >"$root/etc/hostname"
echo "$root_name / $type $options 0 1" >"$root/etc/fstab"
[ "$layout" = plain ] || echo "/dev/sda1 /boot ext4 defaults 0 2" >>"$root/etc/fstab"
[ -z "$swap_name" ] || echo "$swap_name none swap sw 0 0" >>"$root/etc/fstab"
if [ "$boot" = uefi ]; then
	mkdir -p "$root/boot/efi"
	echo "/dev/sda3 /boot/efi vfat umask=0077 0 1" >>"$root/etc/fstab"
fi
echo 'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:25:90:12:34:56", NAME="lan0"' \
	>"$root/etc/udev/rules.d/70-persistent-net.rules"
cat >"$root/etc/network/interfaces" <<'NET'
auto lo
iface lo inet loopback
auto lan0
iface lan0 inet static
	address 10.0.2.77/24
	gateway 10.0.2.2
NET
cat >"$root/etc/systemd/system/tell.service" <<'UNIT'
[Unit]
After=multi-user.target networking.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "<2>guest: address $$(ip -4 -o addr show scope global | tr -s " " | cut -d" " -f2,4 | tr "\\n" " "); root $$(findmnt -no SOURCE /); swap $$(tail -n +2 /proc/swaps | cut -d" " -f1)." >/dev/kmsg'
[Install]
WantedBy=multi-user.target
UNIT
drivers="ahci ata_piix sd_mod $type"
case $layout in
lvm) drivers="$drivers dm_mod" ;;
luks)
	drivers="$drivers dm_mod dm_crypt aes_generic xts ecb sha256_generic"
	mkdir -m 700 "$root/etc/keys"
	printf %s "$secret" >"$root/etc/keys/root.key"
	chmod 600 "$root/etc/keys/root.key"
	echo "cryptroot /dev/sda2 /etc/keys/root.key luks,initramfs" >"$root/etc/crypttab"
	echo 'KEYFILE_PATTERN="/etc/keys/*.key"' >>"$root/etc/cryptsetup-initramfs/conf-hook"
	;;
raid1)
	drivers="$drivers md_mod raid1"
	printf 'HOMEHOST <system>\nDEVICE /dev/sda2 /dev/sdb1\nARRAY /dev/md0 metadata=1.2 UUID=%s devices=/dev/sda2,/dev/sdb1\n' "$array" >"$root/etc/mdadm/mdadm.conf"
	;;
esac
# Devices may take longer than 90 s to be seen, where the emulator has a small share of a busy machine: this is for systemd 252, the kernel's line for older ones.
mkdir -p "$root/etc/systemd/system.conf.d"
printf '[Manager]\nDefaultDeviceTimeoutSec=900\n' >"$root/etc/systemd/system.conf.d/slow.conf"
chroot "$root" systemctl enable tell.service >/dev/null 2>&1
chroot "$root" passwd -d root >/dev/null
# What a machine with a SATA and an IDE controller has.
kernel=$(basename "$root"/lib/modules/*)
chroot "$root" depmod "$kernel"
if [ "$tool" = dracut ]; then
	mkdir -p "$root/etc/dracut.conf.d"
	echo 'hostonly="no"' >"$root/etc/dracut.conf.d/here.conf"
	chroot "$root" dracut --force --no-hostonly --drivers "$drivers" --omit "network ifcfg nfs multipath plymouth" \
		"/boot/initrd.img-$kernel" "$kernel" >"$work/initramfs.log" 2>&1 || { cat "$work/initramfs.log" >&2; lack "dracut failed"; }
else
	sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=gzip/' "$root/etc/initramfs-tools/initramfs.conf"
	# shellcheck disable=SC2086 # words
	printf '%s\n' $drivers >>"$root/etc/initramfs-tools/modules"
	echo "RESUME=${swap_name:-none}" >"$root/etc/initramfs-tools/conf.d/resume"
	chroot "$root" update-initramfs -u -k all >"$work/initramfs.log" 2>&1 || { cat "$work/initramfs.log" >&2; lack "update-initramfs failed"; }
fi
cat >>"$root/etc/default/grub" <<'CFG'
GRUB_TIMEOUT=1
GRUB_DISABLE_LINUX_UUID=true
GRUB_CMDLINE_LINUX_DEFAULT=""
CFG
echo "GRUB_CMDLINE_LINUX=\"${swap_name:+resume=$swap_name }${flags:+$flags }console=tty0 console=ttyS0 tsc=reliable rootdelay=3 systemd.default_timeout_start_sec=900\"" >>"$root/etc/default/grub"
mkdir -p "$root/boot/grub"
# What grub-probe would say on the disk.
mv "$root/usr/sbin/grub-probe" "$work/grub-probe"
boot_uuid=$uuid map=msdos
[ "$layout" = plain ] || boot_uuid=8f2a7c10-1d7b-4c1e-9a53-2c9d7e4b5a66
[ "$boot" = bios ] || map=gpt
cat >"$root/usr/sbin/grub-probe" <<PROBE
#!/bin/sh
for a; do case \$a in --target=*) t=\${a#--target=} ;; -t*) t=\${a#-t} ;; esac; l=\$a; done
case \$t in
device) case \$l in /boot*) [ $layout = plain ] && echo $root_name || echo /dev/sda1 ;; *) echo $root_name ;; esac ;;
fs) case \$l in /boot*) echo ext2 ;; *) echo ${type/ext4/ext2} ;; esac ;;
fs_uuid) case \$l in /boot*|/dev/sda1) echo $boot_uuid ;; *) echo $uuid ;; esac ;;
partmap) echo $map ;;
hints_string) echo "--hint-bios=hd0,${map}1 --hint-efi=hd0,${map}1" ;;
compatibility_hint) echo "hd0,${map}1" ;;
drive) echo "(hd0,${map}1)" ;;
*) ;;
esac
PROBE
chmod +x "$root/usr/sbin/grub-probe"
chroot "$root" grub-mkconfig -o /boot/grub/grub.cfg >"$work/mkconfig.log" 2>&1 || { cat "$work/mkconfig.log" >&2; lack "grub-mkconfig failed"; }
mv "$work/grub-probe" "$root/usr/sbin/grub-probe"
# In the folder, /boot is no file system of its own.
[ "$layout" = plain ] || sed -i -E 's,^(\s*(linux|initrd)\s+)/boot/,\1/,' "$root/boot/grub/grub.cfg"
grep -q "root=$root_name" "$root/boot/grub/grub.cfg" || lack "grub-mkconfig does not say root=$root_name"

# The partitions: 1 the root or /boot, 2 swap or the volume group, 3 the EFI system partition.
one=1000 two=33
[ "$layout" = plain ] || one=120 two=1040
if [ "$boot" = bios ]; then
	cp -r /usr/lib/grub/i386-pc "$root/boot/grub/"
else
	cp -r /usr/lib/grub/x86_64-efi "$root/boot/grub/"
fi
if [ "$layout" = plain ]; then
	mke2fs -q -t ext4 -U "$uuid" -L root -d "$root" "$work/1.part" ${one}M >/dev/null
	truncate -s ${two}M "$work/2.part"
	mkswap -q -U "$swap" "$work/2.part"
else
	mke2fs -q -t ext4 -U "$boot_uuid" -d "$root/boot" "$work/1.part" ${one}M >/dev/null
	rm -rf "${root:?}"/boot/*
	truncate -s ${two}M "$work/2.part"
fi
if [ "$layout" = lvm ]; then
	mke2fs -q -t ext4 -U "$uuid" -L root -d "$root" "$work/root.part" 1000M >/dev/null
	truncate -s 32M "$work/swap.part"
	mkswap -q -U "$swap" "$work/swap.part"
	# The group's metadata comes from LVM itself, which needs no device mapper for that; the volumes lie where it says.
	loop=$(losetup -f --show "$work/2.part")
	export LVM_SUPPRESS_FD_WARNINGS=1
	lvm=(--config "devices{filter=[\"a|$loop|\",\"r|.*|\"] use_devicesfile=0} backup{backup=0 archive=0}")
	{ pvcreate -q "${lvm[@]}" "$loop" && vgcreate -q "${lvm[@]}" old "$loop" &&
		lvcreate -q "${lvm[@]}" --driverloaded n -an -Zn -Wn -L 1000M -n root old && lvcreate -q "${lvm[@]}" --driverloaded n -an -Zn -Wn -L 32M -n swap old; } \
		>"$work/lvm.log" 2>&1 || { cat "$work/lvm.log" >&2; lack "LVM does not make a volume group here"; }
	start=$(pvs "${lvm[@]}" --driverloaded n --noheadings --nosuffix --units b -o pe_start "$loop" 2>/dev/null | tr -d ' ')
	losetup -d "$loop"
	loop=
	dd if="$work/root.part" of="$work/2.part" bs=1M oflag=seek_bytes seek="$start" conv=notrunc,sparse status=none
	dd if="$work/swap.part" of="$work/2.part" bs=1M oflag=seek_bytes seek=$((start + (1000 << 20))) conv=notrunc,sparse status=none
elif [ "$layout" = luks ]; then
	mke2fs -q -t ext4 -U "$uuid" -L root -d "$root" "$work/root.part" 1000M >/dev/null
	rm "$work/2.part"
	encrypt() { qemu-img convert -f raw -O luks --object "secret,id=s,data=$secret" -o key-secret=s,iter-time=10 "$work/root.part" "$work/2.part"; }
	encrypt || encrypt || encrypt # it gives up where its clock has not ticked
	truncate -s ${two}M "$work/2.part"
elif [ "$layout" = raid1 ]; then
	mke2fs -q -t ext4 -U "$uuid" -L root -d "$root" "$work/root.part" 1000M >/dev/null
	cp "$work/2.part" "$work/mirror.part" # the array is made of whole disks here, which the appliance has no partitions on
	md="mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 --assume-clean --uuid=$array /dev/sda /dev/sdb"
	guestfish --format=raw -a "$work/2.part" -a "$work/mirror.part" -a "$work/root.part" run : debug sh "$md" : \
		copy-device-to-device /dev/sdc /dev/md0 sparse:true : sync : debug sh "mdadm --stop /dev/md0" \
		>"$work/fish.log" 2>&1 || { cat "$work/fish.log" >&2; lack "libguestfs does not make an array"; }
elif [ "$layout" != plain ]; then
	tar -C "$root" -cf "$work/root.tar" .
	"mkfs.$type" -q "$work/2.part" >&2 # libguestfs' own appliance need not have it
	where="mount /dev/sda /"
	[ "$type" = xfs ] || where="mount /dev/sda / : btrfs-subvolume-create /@ : umount / : mount-options subvol=@ /dev/sda /"
	# shellcheck disable=SC2086 # words
	guestfish --format=raw -a "$work/2.part" run : $where : tar-in "$work/root.tar" / xattrs:true : umount-all \
		>"$work/fish.log" 2>&1 || { cat "$work/fish.log" >&2; lack "libguestfs does not fill a $type file system"; }
fi
truncate -s $((one + two + (34 + 2)))M "$work/disk.raw"
if [ "$boot" = bios ]; then
	grub-mkimage -O i386-pc -p "(hd0,msdos1)$([ "$layout" = plain ] && echo /boot)/grub" -o "$work/core.img" biosdisk part_msdos ext2 normal
	dd if=/usr/lib/grub/i386-pc/boot.img of="$work/disk.raw" conv=notrunc status=none
	dd if="$work/core.img" of="$work/disk.raw" bs=512 seek=1 conv=notrunc status=none
	printf 'start=2048,size=%d,type=83,bootable\nstart=%d,size=%d,type=%s\n' $((one * 2048)) $(((one + 1) * 2048)) $((two * 2048)) \
		"$(case $layout in plain) echo 82 ;; lvm) echo 8e ;; raid1) echo fd ;; *) echo 83 ;; esac)" | sfdisk -q "$work/disk.raw"
else
	printf 'search --no-floppy --fs-uuid --set=root %s\nset prefix=($root)%s/grub\nconfigfile $prefix/grub.cfg\n' "$boot_uuid" \
		"$([ "$layout" = plain ] && echo /boot)" >"$work/early.cfg"
	grub-mkimage -O x86_64-efi -p /EFI/debian -c "$work/early.cfg" -o "$work/grubx64.efi" part_gpt fat normal linux serial terminal echo boot \
		configfile search search_fs_uuid search_fs_file search_label ext2 gzio all_video gfxterm test loadenv halt reboot minicmd ls cat
	truncate -s 33M "$work/3.part"
	mkfs.vfat -i 1A2B3C4D "$work/3.part" >/dev/null
	mmd -i "$work/3.part" ::EFI ::EFI/debian
	mcopy -i "$work/3.part" "$work/grubx64.efi" ::EFI/debian/grubx64.efi
	printf 'label: gpt\nstart=2048,size=%d,type=linux\nstart=%d,size=%d,type=%s\nstart=%d,size=67584,type=uefi\n' $((one * 2048)) \
		$(((one + 1) * 2048)) $((two * 2048)) "$(case $layout in plain) echo swap ;; lvm) echo lvm ;; raid1) echo raid ;; *) echo linux ;; esac)" $(((one + two + 1) * 2048)) | sfdisk -q "$work/disk.raw"
	dd if="$work/3.part" of="$work/disk.raw" bs=1M seek=$((one + two + 1)) conv=notrunc,sparse status=none
fi
dd if="$work/1.part" of="$work/disk.raw" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$work/2.part" of="$work/disk.raw" bs=1M seek=$((one + 1)) conv=notrunc,sparse status=none
if [ "$second" ]; then
	truncate -s $((two + 2))M "$work/second.raw"
	echo 'start=2048,type=fd' | sfdisk -q "$work/second.raw"
	dd if="$work/mirror.part" of="$work/second.raw" bs=1M seek=1 conv=notrunc,sparse status=none
	mv "$work/second.raw" "$second"
fi
mv "$work/disk.raw" "$disk"
made
