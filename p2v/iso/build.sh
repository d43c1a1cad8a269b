#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the capture ISO: hybrid (CD and USB stick), for BIOS and UEFI, Secure Boot with Debian's signed shim, GRUB and kernel.
#
#   p2v/iso/build.sh [OPTION]... OUT.iso
#
#   --programs DIR   where vdisk, vdisk-capture, vdisk-capture-ui and vdisk-mount are: a build's folder (default: build/release)
#   --cache DIR      where packages and what is made of them are kept (default: ISO-cache beside OUT.iso)
#   --suite NAME     Debian's release (default: bookworm); it has to be the one that the programs were built on
#   --mirror URL     instead of mmdebstrap's default; a day of snapshot.debian.org makes two builds far apart the same
#   --firmware       with the cards' firmware from non-free-firmware, too
#   --ssh KEYFILE    with an SSH server, for root with the public keys in KEYFILE; without this there is none
#   --append WORDS   more words for the kernel's command line: vdisk.auto vdisk.server=..., see vdisk-iso(7)
#   --pxe DIR        a PXE server's folder, too: the same three files, scripts for iPXE and GRUB, GRUB for BIOS and UEFI, see vdisk-iso(7)
#   --list           names the packages and their versions, and makes nothing; OUT.iso is left out
#
# Runs as any user where user namespaces are allowed, else as root.  With SOURCE_DATE_EPOCH set, the same programs and packages give the same bytes.
set -euo pipefail
umask 022
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)
die() { echo "build.sh: $1" >&2; exit 2; }
usage() { sed -n '3,17s/^# \{0,1\}//p' "$here/build.sh"; }

programs=$here/../../build/release cache="" suite=bookworm mirror="" firmware="" keys="" append="" pxe="" list="" out=""
# What runs there: vdisk-mount lets partclone see which blocks are in use.
ours="vdisk vdisk-capture vdisk-capture-ui vdisk-mount vdisk-unmount"
value() { [ $# -ge 2 ] && [ -n "$2" ] || die "$1 wants a value"; }
while [ $# -gt 0 ]; do
	case $1 in
	--programs) value "$@"; programs=$2; shift ;;
	--cache) value "$@"; cache=$2; shift ;;
	--suite) value "$@"; suite=$2; shift ;;
	--mirror) value "$@"; mirror=$2; shift ;;
	--firmware) firmware=1 ;;
	--ssh) value "$@"; keys=$2; shift ;;
	--append) value "$@"; append=$2; shift ;;
	--pxe) value "$@"; pxe=$2; shift ;;
	--list) list=1 ;;
	-h | --help) usage; exit 0 ;;
	-*) die "there is no option $1" ;;
	*) [ -z "$out" ] || die "one file is made, not two: $1"; out=$1 ;;
	esac
	shift
done
[ -n "$out$list" ] || die "OUT.iso is missing; --help tells more"
[ -z "$out" ] || [ -z "$list" ] || die "--list makes no $out"
[ -z "$list" ] || [ -z "$pxe" ] || die "--list makes no $pxe"
case $append in *[\"\\\$\;{}]* | *$'\n'*) die "--append takes no quotes, semicolons, braces, \$ or backslashes: $append" ;; esac
[ -z "$keys" ] || grep -qE '^(ssh|ecdsa|sk-)' "$keys" || die "--ssh: $keys holds no public key"
for p in mmdebstrap mksquashfs xorriso grub-mkimage mkfs.vfat mmd mcopy cpio gzip depmod dpkg-deb ldd strip sha256sum; do
	command -v "$p" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$p" >/dev/null || die "$p is missing (tests/packages.txt names the packages)"
done
PATH=$PATH:/usr/sbin:/sbin
for p in $ours; do
	[ -x "$programs/$p" ] || die "$programs/$p is missing: build first, or name the folder by --programs"
done
cache=${cache:-$(dirname "${out:-.}")/ISO-cache}
[ -z "$list" ] || cache=$(mktemp -d)
mkdir -p "$cache/packages"
cache=$(cd "$cache" && pwd)
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"; [ -z "$list" ] || rm -rf "$cache"' EXIT
listed() { sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$@"; }

# ---------------------------------------------------------------- the base: Debian's packages

# The packages of the libraries that our programs want.
libraries() {
	local path p
	for p in $ours; do ldd "$programs/$p"; done | sed -n 's/.*=> \(\/[^ ]*\) (0x.*/\1/p' | sort -u | while read -r path; do
		dpkg -S "$path" 2>/dev/null || dpkg -S "$(realpath "$path")" 2>/dev/null || dpkg -S "/usr$path" 2>/dev/null ||
			die "$path is in no package, so it can't be had for the ISO"
	done | sed 's/:.*//' | sort -u
}

[ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = "$suite" ] ||
	die "this is $(. /etc/os-release && echo "$PRETTY_NAME"): programs for an ISO of $suite have to be built and packed on $suite"
wanted=$(listed "$here/packages.txt")$'\n'$(libraries)
components=main
if [ -n "$firmware" ]; then
	wanted+=$'\n'$(listed "$here/firmware.txt")
	components="main non-free-firmware"
fi
[ -z "$keys" ] || wanted+=$'\n'openssh-server
wanted=$(sort -u <<<"$wanted")

# Drivers of what is no disk, no network card and no way to talk to the technician.
useless="sound drivers/gpu drivers/media drivers/staging drivers/iio drivers/comedi drivers/isdn drivers/bluetooth drivers/net/wireless
	drivers/net/can drivers/hwmon drivers/input/joystick drivers/input/touchscreen drivers/platform drivers/leds drivers/mtd drivers/video
	drivers/power drivers/bluetooth drivers/gnss drivers/nfc drivers/w1 net/bluetooth net/wireless net/mac80211 net/can net/nfc net/sctp
	net/netfilter net/ipv4/netfilter net/ipv6/netfilter net/bridge/netfilter net/sched net/openvswitch net/tipc net/dccp net/rxrpc net/smc
	net/batman-adv net/ieee802154 net/mac802154 net/6lowpan net/atm net/ax25 fs/ocfs2 fs/gfs2 fs/ceph fs/afs fs/nfsd fs/coda fs/dlm"

# Runs by mmdebstrap in the root at $1, outside of it: kernel and boot loaders come from their packages without being installed, which would want tools
# and make an initramfs that nobody boots.
hook=$(cat <<HOOK
set -eu
root=\$1
export LC_ALL=C
cd "\$root"
mkdir debs boot-files boot-files/modules x
cd debs
for name in linux-image shim grub; do cp ../var/cache/apt/archives/\$name*.deb . 2>/dev/null || :; done
release=\$(APT_CONFIG=\$MMDEBSTRAP_APT_CONFIG apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: *\(linux-image-[0-9].*\)/\1/p' | head -n 1)
APT_CONFIG=\$MMDEBSTRAP_APT_CONFIG apt-get -q download "\$release" shim-signed shim-helpers-amd64-signed grub-efi-amd64-signed grub-pc-bin grub-common
for deb in *.deb; do
	dpkg-deb -x "\$deb" ../x
	dpkg-deb -W --showformat '\${Package} \${Version}\n' "\$deb"
done | sort >../boot-files/packages
cd ..
mv debs/*.deb var/cache/apt/archives/
rm -rf debs
mv x/boot/vmlinuz-* boot-files/vmlinuz
mkdir -p lib/modules
mv x/lib/modules/* lib/modules/
release=\$(ls lib/modules)
for folder in $(echo $useless); do rm -rf "lib/modules/\$release/kernel/\$folder"; done
depmod -b "\$root" "\$release"
for module in loop squashfs overlay; do cp "\$(find "lib/modules/\$release" -name \$module.ko)" boot-files/modules/; done
mv x/usr/lib/shim/shimx64.efi.signed boot-files/shim.efi
mv x/usr/lib/shim/mmx64.efi.signed boot-files/mm.efi
mv x/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed boot-files/grub.efi
mv x/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed boot-files/grubnet.efi
mv x/usr/lib/grub/i386-pc boot-files/i386-pc
cp usr/bin/busybox boot-files/busybox 2>/dev/null || cp bin/busybox boot-files/busybox
mkdir -p usr/share/doc/linux-image usr/share/doc/shim-signed usr/share/doc/grub-common
for package in shim-signed grub-common; do cp x/usr/share/doc/\$package/copyright usr/share/doc/\$package/; done
cp x/usr/share/doc/linux-image-*/copyright usr/share/doc/linux-image/
rm -rf x
dpkg-query --admindir=var/lib/dpkg -W -f '\${Package} \${Version}\n' >>boot-files/packages
sort -u -o boot-files/packages boot-files/packages

# What would put arrays together, take volume groups into use or look after them; and what has no task here.
cd etc/systemd/system
for unit in systemd-firstboot.service systemd-logind.service mdmonitor.service mdcheck_start.timer mdcheck_continue.timer mdmonitor-oneshot.timer \
	lvm2-monitor.service lvm2-lvmpolld.socket dm-event.socket blk-availability.service e2scrub_reap.service e2scrub_all.timer fstrim.timer \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer systemd-networkd-wait-online.service; do
	ln -sf /dev/null \$unit
done
cd "\$root"
mkdir -p etc/systemd/system-generators
for g in systemd-gpt-auto-generator systemd-hibernate-resume-generator lvm2-activation-generator; do ln -sf /dev/null etc/systemd/system-generators/\$g; done
mkdir -p etc/udev/rules.d
for r in 63-md-raid-arrays.rules 64-md-raid-assembly.rules 64-btrfs.rules 69-lvm.rules 69-lvm-metad.rules 01-md-raid-creating.rules; do ln -sf /dev/null etc/udev/rules.d/\$r; done
mkdir -p etc/systemd/system/multi-user.target.wants etc/systemd/system/sysinit.target.wants
ln -sf /lib/systemd/system/systemd-networkd.service etc/systemd/system/multi-user.target.wants/
ln -sf /lib/systemd/system/systemd-resolved.service etc/systemd/system/multi-user.target.wants/
ln -sf /lib/systemd/system/systemd-network-generator.service etc/systemd/system/sysinit.target.wants/
ln -sf ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
ln -sf /proc/self/mounts etc/mtab

# What is no one's business, or differs from build to build.
rm -f etc/ssh/ssh_host_* etc/machine-id etc/hostname etc/fstab etc/*- var/lib/dpkg/*-old var/cache/ldconfig/aux-cache var/lib/systemd/catalog/database \
	var/lib/systemd/random-seed var/lib/dbus/machine-id etc/lvm/archive/* etc/lvm/backup/*
rm -rf var/log/* var/cache/debconf/* var/lib/apt/lists/* run/* usr/share/perl5/debconf.old
# mmdebstrap's own configuration stays to its end: without it, its last apt-get would empty the lists of the machine that builds.
find tmp -mindepth 1 -maxdepth 1 ! -name 'mmdebstrap.*' -exec rm -rf {} +
HOOK
)

# Who is not root needs a root of his own: by a name space of users, with the IDs that he was given, or a pretended one.
if [ "$(id -u)" != 0 ]; then
	me=$(id -un)
	if ! unshare --user --map-root-user true 2>/dev/null; then
		command -v fakechroot >/dev/null || die "users may have no name spaces of their own here, and fakechroot is not installed: run it as root"
	elif ! { grep -qE "^($me|$(id -u)):" /etc/subuid && grep -qE "^($me|$(id -u)):" /etc/subgid && command -v newuidmap >/dev/null; } 2>/dev/null; then
		command -v fakechroot >/dev/null ||
			die "$me has no IDs for a name space of his own (/etc/subuid, /etc/subgid; package uidmap), and fakechroot is not installed: run it as root"
	fi
fi
sources=()
[ -z "$mirror" ] || sources=("deb $mirror $suite $components")
if [ -n "$list" ]; then
	mmdebstrap --simulate --verbose --variant=essential --components="$components" --include="$(paste -sd, <<<"$wanted")" --aptopt='APT::Install-Recommends "false"' \
		--format=null "$suite" - ${sources[@]+"${sources[@]}"} >"$work/list" 2>&1 || { grep -E "^(E|W):|rror" "$work/list" | tail -n 20 >&2; die "mmdebstrap failed"; }
	sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1 \2/p' "$work/list" | sort -u
	exit 0
fi

epoch=${SOURCE_DATE_EPOCH:-$(date +%s)}
key=$({
	echo "3 $suite $mirror $components ${SOURCE_DATE_EPOCH:-any}"
	echo "$wanted"
	echo "$hook"
	[ -z "$keys" ] || echo ssh
} | sha256sum | cut -c1-16)
base=$cache/base-$key
base_make() {
	local tar=$work/base.tar
	echo "build.sh: packages of $suite: $(wc -l <<<"$wanted") of them by name" >&2
	# What was downloaded once is in $cache/packages, the archive's own checksums say whether it still will do.
	SOURCE_DATE_EPOCH=$epoch mmdebstrap --variant=essential --components="$components" --include="$(paste -sd, <<<"$wanted")" \
		--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='path-exclude=/usr/share/bash-completion/*' \
		--skip=download/empty --skip=essential/unlink \
		--setup-hook='mkdir -p "$1"/var/cache/apt/archives/' --setup-hook="sync-in '$cache/packages' /var/cache/apt/archives/" \
		--dpkgopt=force-unsafe-io --customize-hook="$hook" \
		--customize-hook='rm -rf "$1"/var/cache/apt/archives/lock "$1"/var/cache/apt/archives/partial' \
		--customize-hook="sync-out /var/cache/apt/archives '$cache/packages'" --customize-hook='rm -rf "$1"/var/cache/apt' \
		--format=tar "$suite" "$tar" ${sources[@]+"${sources[@]}"} >"$work/mmdebstrap.log" 2>&1 ||
		{ grep -E "^(E|W):|rror" "$work/mmdebstrap.log" | tail -n 20 >&2; cp "$work/mmdebstrap.log" "$cache/mmdebstrap.log"; die "mmdebstrap failed"; }
	mkdir "$work/base"
	tar -C "$work/base" --strip-components=2 --no-same-owner -xf "$tar" ./boot-files
	tar --delete -f "$tar" ./boot-files
	tar -tf "$tar" | sed -n 's/.*\/\(lib[^/]*\.so\.[0-9.]*\)$/\1/p' | sort -u >"$work/base/libraries"
	squash "$work/base/base.squashfs" - -tar <"$tar"
	rm -f "$tar"
	mv "$work/base" "$base.$$"
	mv -T "$base.$$" "$base" 2>/dev/null || rm -rf "$base.$$" # somebody else was faster
}

# squash OUT FROM OPTION…
squash() {
	local to=$1 from=$2
	shift 2
	# The variable bounds the root's time, too, which of an archive is today's; the options for times do not.
	SOURCE_DATE_EPOCH=$epoch mksquashfs "$from" "$to" "$@" -comp zstd -Xcompression-level 15 -b 256K -no-progress -quiet -no-exports -noappend \
		-root-mode 755 -root-uid 0 -root-gid 0 >"$work/squash.log" 2>&1 || { cat "$work/squash.log" >&2; die "mksquashfs failed"; }
}

if [ ! -d "$base" ]; then
	exec 9>"$base.lock"
	flock 9
	[ -d "$base" ] || base_make
fi

# ---------------------------------------------------------------- our own files over it

own=$work/own
cp -r "$here/root" "$own"
mkdir -p "$own/usr/bin" "$own/etc/systemd/system/multi-user.target.wants" "$own/usr/share/doc/vdisk"
for p in $ours; do
	strip -o "$own/usr/bin/$p" "$programs/$p"
	chmod 755 "$own/usr/bin/$p"
	for library in $(ldd "$programs/$p" | sed -n 's/^[[:space:]]*\(lib[^ ]*\) =>.*/\1/p'); do
		grep -qxF "$library" "$base/libraries" || die "$p wants $library, which none of the ISO's packages has"
	done
done
for unit in vdisk-auto vdisk-name; do ln -s ../$unit.service "$own/etc/systemd/system/multi-user.target.wants/$unit.service"; done
cp "$here/../../LICENSE" "$own/usr/share/doc/vdisk/copyright"
cp "$base/packages" "$own/usr/share/doc/vdisk/packages"
if [ -n "$keys" ]; then
	install -d -m 700 "$own/root/.ssh"
	install -m 600 "$keys" "$own/root/.ssh/authorized_keys"
	mkdir -p "$own/etc/systemd/system/ssh.service.d" "$own/etc/ssh/sshd_config.d"
	printf '# Each machine and boot has keys of its own.\n[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n' \
		>"$own/etc/systemd/system/ssh.service.d/vdisk.conf"
	printf 'PasswordAuthentication no\nKbdInteractiveAuthentication no\n' >"$own/etc/ssh/sshd_config.d/vdisk.conf"
fi
find "$own" -exec touch -h -d "@$epoch" {} +
squash "$work/vdisk.squashfs" "$own" -all-root

# ---------------------------------------------------------------- what is booted

# archive OUT FOLDER: a newc archive of a folder's files, the same bytes for the same files.
archive() {
	find "$2" -exec touch -h -d "@$epoch" {} +
	(cd "$2" && find . -mindepth 1 | sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$1"
}

mkdir -p "$work/initrd"/{bin,dev,proc,sys,modules} "$work/layers" "$work/iso"/{live,boot/grub,EFI/BOOT,.disk}
cp "$here/init" "$work/initrd/init"
cp "$base/busybox" "$work/initrd/bin/busybox"
cp "$base/modules"/*.ko "$work/initrd/modules/"
chmod -R u=rwX,go=rX "$work/initrd"
archive "$work/initrd.cpio" "$work/initrd"
gzip -9n <"$work/initrd.cpio" >"$work/iso/live/initrd.img"
ln "$base/base.squashfs" "$work/layers/base.squashfs" 2>/dev/null || cp "$base/base.squashfs" "$work/layers/"
mv "$work/vdisk.squashfs" "$work/layers/"
archive "$work/iso/live/root.img" "$work/layers"
cp "$base/vmlinuz" "$work/iso/live/vmlinuz"
sed -e "s|@APPEND@|${append//|/\\|}|" -e "s|@SIZE@|$(($(cat "$work/iso/live"/* | wc -c) >> 20))|" "$here/grub.cfg" >"$work/iso/boot/grub/grub.cfg"
# The signed GRUB looks for this name to find out which medium it came from.
echo "vdisk capture $suite" >"$work/iso/.disk/info"
cp "$base/packages" "$work/iso/.disk/packages"

# BIOS: GRUB with what it needs to read this medium, as CD (El Torito) or from a stick (behind boot_hybrid.img).
printf 'search --no-floppy --file --set=root /.disk/info\nset prefix=($root)/boot/grub\nconfigfile /boot/grub/grub.cfg\n' >"$work/early.cfg"
grub-mkimage -d "$base/i386-pc" -O i386-pc-eltorito -p /boot/grub -c "$work/early.cfg" -o "$work/iso/boot/grub/bios.img" \
	biosdisk iso9660 part_msdos part_gpt search search_fs_file normal configfile linux echo serial terminal test sleep halt reboot minicmd ls cat
# UEFI: shim, which firmware trusts, then GRUB and kernel, which shim trusts.
cp "$base/shim.efi" "$work/iso/EFI/BOOT/BOOTX64.EFI"
cp "$base/mm.efi" "$work/iso/EFI/BOOT/mmx64.efi"
cp "$base/grub.efi" "$work/iso/EFI/BOOT/grubx64.efi"
find "$work/iso" -exec touch -h -d "@$epoch" {} +
kib=$(($(cat "$work/iso/EFI/BOOT"/* | wc -c) / 1024 + 512))
truncate -s $(((kib + 31) / 32 * 32))K "$work/efi.img"
export SOURCE_DATE_EPOCH=$epoch
mkfs.vfat -n VDISK-EFI -i 56444953 --invariant "$work/efi.img" >/dev/null
mmd -i "$work/efi.img" ::EFI ::EFI/BOOT
mcopy -m -i "$work/efi.img" "$work/iso/EFI/BOOT"/* ::EFI/BOOT/
find "$work/iso" -exec touch -h -d "@$epoch" {} +

xorriso -as mkisofs -quiet -o "$work/out.iso" -V VDISK_CAPTURE -r -J -joliet-long \
	--modification-date="$(date -u -d "@$epoch" +%Y%m%d%H%M%S00)" \
	--grub2-mbr "$base/i386-pc/boot_hybrid.img" -partition_offset 16 --mbr-force-bootable \
	-append_partition 2 0xef "$work/efi.img" \
	-c boot/grub/boot.cat -b boot/grub/bios.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info \
	-eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot \
	"$work/iso" >"$work/xorriso.log" 2>&1 || { tail -n 20 "$work/xorriso.log" >&2; die "xorriso failed"; }
if [ -n "$pxe" ]; then
	# The folder is the server's root.  GRUB for BIOS is ours; for UEFI it is the signed one, which looks for /grub/grub.cfg.
	mkdir -p "$pxe/grub"
	cp "$work/iso/live"/* "$pxe/"
	sed 's|/live/|/|g' "$work/iso/boot/grub/grub.cfg" >"$pxe/grub/grub.cfg"
	printf '#!ipxe\nkernel vmlinuz initrd=initrd.img initrd=root.img console=tty0 console=ttyS0,115200 systemd.firstboot=off quiet loglevel=4 %s\ninitrd %s\ninitrd %s\nboot\n' \
		"$append" initrd.img root.img >"$pxe/boot.ipxe"
	grub-mkimage -d "$base/i386-pc" -O i386-pc-pxe -p /grub -o "$pxe/grub.0" \
		pxe tftp http net normal configfile linux echo serial terminal test sleep halt reboot minicmd ls cat
	cp "$base/shim.efi" "$pxe/shimx64.efi"
	cp "$base/grubnet.efi" "$pxe/grubx64.efi"
	cp "$base/mm.efi" "$pxe/mmx64.efi"
fi
mv "$work/out.iso" "$out"
echo "build.sh: $out: $(($(stat -c %s "$out") >> 20)) MiB, SHA-256 $(sha256sum "$out" | cut -c1-64)" >&2
