#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The lab: a Debian kernel under QEMU's software emulation, which emulates SVM, so that the kernel has a real /dev/kvm; and a command run
# inside it.
#
#   tests/lab/run.sh [-i] [-k PARAMETERS] [-t SECONDS] [-m MIB] [-c CPUS] [-p PROGRAM]... [-f FILE]... [-F FILE]...
#                    [-d DISK]... COMMAND...
#
#   -i          time goes by the instructions executed, not by the clock, and one thread of QEMU's does everything: slower, but a guest's timer
#               never catches up with its handler, and guests with several processors get their interrupts as they should
#   -k PARAMETERS  of kvm.ko.  min_timer_period_us=100000 is what OVMF needs: it writes CR8 at the end of each interrupt, and QEMU 7.2 dies
#               of that where the next one waits already; the period of no timer is shorter then, and Linux needs none
#   -p PROGRAM  a program with its libraries, put into /bin
#   -f FILE     a file, put into /lab (NAME=FILE: under that name)
#   -F FILE     a file, put where it lies here
#   -d DISK     a raw file, seen as /dev/vda and so on
#
# COMMAND is run by busybox's shell in /lab.  Its output goes to standard output, its exit status is the script's; 77 if the lab cannot
# be set up here or the emulator fails whenever it is tried, 124 if the time is over.  LAB_KERNEL names the kernel release (default: the newest cloud kernel of /boot).
set -euo pipefail

seconds=300 kvm="" mem=1536 cpus=2 accel="-accel tcg,thread=multi" programs=() files=() same=() disks=()
while getopts ik:t:m:c:p:f:F:d: o; do
	case $o in
	i) accel="-accel tcg -icount shift=0,sleep=off" ;;
	k) kvm=$OPTARG ;;
	t) seconds=$OPTARG ;;
	m) mem=$OPTARG ;;
	c) cpus=$OPTARG ;;
	p) programs+=("$OPTARG") ;;
	f) files+=("$OPTARG") ;;
	F) same+=("$OPTARG") ;;
	d) disks+=("$OPTARG") ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n '3,20s/^# \{0,1\}//p' "$0"; exit 2; }

lack() { echo "SKIP: no lab: $1 is missing" >&2; exit 77; }
for p in qemu-system-x86_64 busybox cpio gzip timeout; do
	command -v "$p" >/dev/null || lack "$p"
done
release=${LAB_KERNEL:-$(ls /boot 2>/dev/null | sed -n 's/^vmlinuz-\(.*-cloud-amd64\)$/\1/p' | sort -V | tail -n 1)}
[ -n "$release" ] && [ -r "/boot/vmlinuz-$release" ] || lack "a cloud kernel in /boot"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,lab,lib/modules}
cp "$(command -v busybox)" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
for m in irqbypass ccp kvm kvm-amd virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do
	f=$(find "/lib/modules/$release" -name "$m.ko" | head -n 1)
	[ -z "$f" ] || cp "$f" "$root/lib/modules/" # built in where there is none
done
for p in "${programs[@]}"; do
	cp "$(command -v "$p")" "$root/bin/"
	ldd "$(command -v "$p")" | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' | while read -r lib; do
		mkdir -p "$root$(dirname "$lib")"
		cp -Lu "$lib" "$root$lib"
	done
done
for f in "${files[@]}"; do
	name=$(basename "${f%%=*}")
	cp --sparse=always "${f#*=}" "$root/lab/$name"
done
for f in "${same[@]}"; do
	mkdir -p "$root$(dirname "$f")"
	cp -L "$f" "$root$f"
done
printf '%s\n' "$*" >"$root/lab/command.sh"
echo "$kvm" >"$root/lib/modules/kvm.parameters"
cat >"$root/init" <<'INIT'
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for m in irqbypass ccp kvm kvm-amd virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do
	[ ! -f /lib/modules/$m.ko ] || insmod /lib/modules/$m.ko $(cat /lib/modules/$m.parameters 2>/dev/null)
done
cd /lab
echo "=== lab: begin"
sh command.sh </dev/null
echo "=== lab: status $?"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$folder/lab.cpio.gz"
rm -rf "$root"

args=()
for d in "${disks[@]}"; do
	args+=(-drive "file=$d,format=raw,if=virtio,snapshot=on")
done
# QEMU 7.2 aborts when a guest of the emulated SVM writes CR8 while an interrupt waits for it (helper_write_crN() calls cpu_interrupt() without the
# lock that it wants): the emulator's fault, and -k tells what keeps it from showing.
# Such a run says nothing about what was to be tested, so it is made again, and said so; after three of them, nothing can be said here.
emulator_fault='tcg_handle_interrupt: assertion failed'
set +e
for attempt in 1 2 3; do
	: >"$folder/out" # tail finds it, however late the job below begins
	timeout "$seconds" qemu-system-x86_64 $accel -cpu max -smp "$cpus" -m "$mem" -display none -monitor none -serial stdio -no-reboot \
		-nic none -kernel "/boot/vmlinuz-$release" -initrd "$folder/lab.cpio.gz" "${args[@]}" \
		-append "console=ttyS0 panic=-1 quiet tsc=reliable" </dev/null >>"$folder/out" 2>"$folder/err" &
	qemu=$!
	# The command's own lines as they come, from its beginning to its status.
	tail -n +1 -f --pid="$qemu" "$folder/out" 2>/dev/null | tr -d '\r' | sed -u -n '/^=== lab: begin/,/^=== lab: status/p' |
		sed -u '/^=== lab: /d'
	wait "$qemu" 2>/dev/null
	rc=$?
	grep -q "$emulator_fault" "$folder/err" || break
	echo "lab: attempt $attempt: QEMU aborted ($emulator_fault)" >&2
done
status=$(tr -d '\r' <"$folder/out" | sed -n 's/^=== lab: status //p' | tail -n 1)
if [ -z "$status" ] && grep -q "$emulator_fault" "$folder/err"; then
	echo "SKIP: QEMU aborted in each of $attempt attempts, by a fault of its own" >&2
	exit 77
fi
if [ -z "$status" ]; then
	cat "$folder/err" >&2
	tail -n 5 "$folder/out" >&2
	[ "$rc" = 124 ] && { echo "the lab's time of $seconds s is over" >&2; exit 124; }
	echo "lab: QEMU ended with status $rc before the command did" >&2
	exit 2
fi
exit "$status"
