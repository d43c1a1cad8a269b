#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A whole Debian 12 on our machine, on a real /dev/kvm, judged by vdisk verify: through SeaBIOS and GRUB from qcow2, VMDK, VHD and a chain of
# three layers; with four processors; through OVMF and GRUB; and without firmware.  Each comes up to its logins; the images stay as they were.  With
# several threads on a busy machine, QEMU's emulated SVM now and then gives a guest of several processors an interrupt that it has masked, and its
# kernel dies of it: so one processor each, and four by the lab's -i.  The long tier (VDISK_ALL=1): some minutes for each.  Arguments: names of cases.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "SKIP: $1"; exit 77; }
[ "${VDISK_ALL:-0}" = 1 ] || skip "the long tier only (VDISK_ALL=1)"
[ -x "$VDISK_BUILD/vdisk-verify" ] || skip "vdisk-verify is not built"
[ -r /usr/share/seabios/bios-256k.bin ] || skip "seabios is not installed"
[ -r /usr/share/OVMF/OVMF_CODE_4M.fd ] || skip "ovmf is not installed"
cache=$(bash "$here/debian.sh") || exit $?

folder=$(mktemp -d "${TMPDIR:-/tmp}/vdisk-debian.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"
faults=0 skipped=0
prepare=
# verify NAME FORMAT DISK ARGUMENTS [LAB'S ARGUMENTS…]: the image's bytes are the lab's /dev/vda.  The limit is the lab's own, -t:
# on a busy machine the clock inside may run several times too fast.
verify() {
	local name=$1 format=$2 disk=$3 arguments=$4 status=0
	shift 4
	bash "$here/run.sh" -t 2400 -m 2048 -p "$VDISK_BUILD/vdisk-verify" -d "$disk" "$@" \
		-F /usr/share/seabios/bios-256k.bin -F /usr/share/seabios/vgabios-stdvga.bin \
		-F /usr/share/OVMF/OVMF_CODE_4M.fd -F /usr/share/OVMF/OVMF_VARS_4M.fd "
		$prepare
		before=\$(sha256sum </dev/vda)
		vdisk-verify --json --engine kvm -f $format --mem 512 --timeout 7200 --serial serial $arguments >answer
		status=\$?
		cat answer
		[ \$status = 0 ] || tail -n 30 serial
		grep -a -o 'Brought up 1 node, [0-9]* CPU' serial
		[ \"\$before\" = \"\$(sha256sum </dev/vda)\" ] && echo 'image unchanged'
		(exit \$status)" >"$name.out" 2>&1 || status=$?
	if [ "$status" = 77 ]; then
		echo "SKIP $name"
		cat "$name.out"
		skipped=$((skipped + 1))
		return
	fi
	if [ "$status" = 0 ] && grep -q '"verdict": "booted"' "$name.out" && grep -q 'Login Prompts\|login:\|Multi-User' "$name.out" &&
		grep -qx 'image unchanged' "$name.out"; then
		echo "ok   $name: $(tr -d ' \n' <"$name.out" | sed -n 's/.*"stages":{\([^}]*\)}.*/\1/p')"
	else
		echo "FAIL $name: status $status"
		cat "$name.out"
		faults=$((faults + 1))
	fi
}
wanted() { [ ${#cases[@]} = 0 ] || [[ " ${cases[*]} " == *" $1 "* ]]; }
cases=("$@")

if wanted qcow2; then
	"$VDISK" convert -O qcow2 "$cache/bios.raw" bios.qcow2 2>/dev/null
	verify qcow2 qcow2 bios.qcow2 "/dev/vda"
	grep -q '^SKIP: \|"firmware": "bios"' qcow2.out || { echo "FAIL qcow2: not through SeaBIOS"; faults=$((faults + 1)); }
	rm -f bios.qcow2
fi
if wanted vmdk; then
	"$VDISK" convert -O vmdk "$cache/bios.raw" bios.vmdk 2>/dev/null
	verify vmdk vmdk bios.vmdk "/dev/vda"
	rm -f bios.vmdk
fi
if wanted vhd; then
	"$VDISK" convert -O vhd "$cache/bios.raw" bios.vhd 2>/dev/null
	verify vhd vhd bios.vhd "/dev/vda"
	rm -f bios.vhd
fi
if wanted chain; then # the base is the lab's disk, the layers are files, which are made there
	prepare="vdisk create --allow-parent /dev -f qcow2 -b /dev/vda -F raw middle.qcow2 && vdisk create --allow-parent /dev -f qcow2 \
		-b middle.qcow2 -F qcow2 top.qcow2 || exit 2"
	verify chain qcow2 "$cache/bios.raw" "--allow-parent /dev top.qcow2" -p "$VDISK"
	prepare=
fi
if wanted processors; then
	"$VDISK" convert -O qcow2 "$cache/bios.raw" bios.qcow2 2>/dev/null # less to hash, which with -i takes long
	verify processors qcow2 bios.qcow2 "--cpus 4 /dev/vda" -i -c 1
	rm -f bios.qcow2
	grep -q '^SKIP: \|Brought up 1 node, 4 CPU' processors.out || { echo "FAIL processors: not four of them"; faults=$((faults + 1)); }
fi
if wanted uefi; then
	"$VDISK" convert -O qcow2 "$cache/uefi.raw" uefi.qcow2 2>/dev/null
	verify uefi qcow2 uefi.qcow2 "/dev/vda" -i -c 1 -k min_timer_period_us=100000
	grep -q '^SKIP: \|"firmware": "uefi"' uefi.out || { echo "FAIL uefi: not through OVMF"; faults=$((faults + 1)); }
	rm -f uefi.qcow2
fi
for kind in bios uefi; do
	if wanted "none-$kind"; then # no FUSE in the lab: raw disks are read as they are
		verify "none-$kind" raw "$cache/$kind.raw" "--firmware none /dev/vda" -p grub-fstest
		grep -q '^SKIP: \|"firmware": "none"' "none-$kind.out" || { echo "FAIL none-$kind: with firmware"; faults=$((faults + 1)); }
	fi
done
echo "$faults faults, $skipped skipped"
[ "$faults" = 0 ]
