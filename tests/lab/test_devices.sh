#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Linux's drivers for the network card, the random numbers and the clock on our machine, on a real /dev/kvm: an address by DHCP, a file from
# a server of the host's, the host's loopback closed; /dev/hwrng; an alarm.  Of the long tier.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "SKIP: $1"; exit 77; }
[ -n "${VDISK_ALL:-}" ] || skip "of the long tier (tests/run.sh --all)"
[ -x "$VDISK_BUILD/vdisk-boot" ] || skip "vdisk-boot is not built"
for p in busybox cpio md5sum modprobe; do
	command -v "$p" >/dev/null || skip "$p is not installed"
done
release=$(ls /boot 2>/dev/null | sed -n 's/^vmlinuz-\(.*-cloud-amd64\)$/\1/p' | sort -V | tail -n 1)
[ -n "$release" ] && [ -r "/boot/vmlinuz-$release" ] || skip "no cloud kernel in /boot"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
bash "$here/guest.sh" "$release" "$folder/guest.cpio.gz" virtio_pci virtio_net virtio_rng af_packet <<'INIT'
cat >/dhcp <<'DHCP'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/24" dev "$interface"
ip route add default via "$router"
echo "guest: address $ip router $router dns $dns" >/dev/console
DHCP
chmod +x /dhcp
ip link set lo up
ip link set eth0 up
echo "guest: mac $(cat /sys/class/net/eth0/address)"
udhcpc -i eth0 -s /dhcp -q -n -t 10 >/dev/null 2>&1
ip addr show dev eth0 | grep -q 10.0.2.15/24 && echo "guest: DHCP"
echo "guest: file $(wget -q -O - http://192.0.2.1:8000/file | md5sum)"
for at in "192.0.2.1 8000" "10.0.2.2 8001"; do # one that answers, and the host's loopback
	printf 'GET /file HTTP/1.0\r\n\r\n' | nc -w 10 $at 2>/dev/null | head -c 4 >/answer
	echo "guest: $at says '$(cat /answer)'"
done
ping -c 1 -W 5 10.0.2.2 >/dev/null && echo "guest: ping"
echo "guest: rng $(cat /sys/class/misc/hw_random/rng_current)"
dd if=/dev/hwrng of=/random bs=512 count=64 2>/dev/null
[ "$(gzip -c /random | wc -c)" -gt 32000 ] && echo "guest: random"
at=$(($(cat /sys/class/rtc/rtc0/since_epoch) + 3))
echo "$at" >/sys/class/rtc/rtc0/wakealarm
i=0
while [ "$(cat /sys/class/rtc/rtc0/wakealarm)" = "$at" ] && [ $i -lt 300 ]; do
	sleep 0.1
	i=$((i + 1))
done
grep -q "rtc0" /proc/interrupts && [ "$(sed -n '/rtc0/s/^ *8: *\([0-9]*\).*/\1/p' /proc/interrupts)" -gt 0 ] && echo "guest: alarm"
poweroff -f
INIT
head -c 3000000 /dev/urandom >"$folder/file"

status=0
bash "$here/run.sh" -t 500 -p "$VDISK_BUILD/vdisk-boot" -f "vmlinuz=/boot/vmlinuz-$release" -f "$folder/guest.cpio.gz" -f "$folder/file" '
	ip link set lo up
	ip addr add 192.0.2.1/32 dev lo
	httpd -p 192.0.2.1:8000 -h /lab
	httpd -p 127.0.0.1:8001 -h /lab
	vdisk-boot --engine kvm --kernel vmlinuz --initrd guest.cpio.gz --mem 384 --timeout 400 --nic user,mac=52:54:00:00:be:ef \
		--append "console=ttyS0 tsc=reliable panic=-1 quiet"
	echo "status $?"' >"$folder/out" || status=$?
cat "$folder/out"
[ "$status" = 77 ] && exit 77
for line in "guest: mac 52:54:00:00:be:ef" "guest: DHCP" "guest: address 10.0.2.15 router 10.0.2.2 dns 10.0.2.3" \
	"guest: file $(md5sum <"$folder/file")" "guest: 192.0.2.1 8000 says 'HTTP'" "guest: 10.0.2.2 8001 says ''" "guest: rng virtio_rng.0" "guest: random" \
	"guest: alarm" "status 0"; do
	grep -qxF "$line" <(tr -d '\r' <"$folder/out") || { echo "missing: $line"; exit 1; }
done
