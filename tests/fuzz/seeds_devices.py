#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Seeds for fuzz_devices:  seeds_devices.py FOLDER.  Each is a driver that behaves, in the deeds of fuzz_devices.c."""
import os, struct, sys

PORT_OUT, PORT_IN, MMIO_OUT, MMIO_IN, MEMORY, PUMP, CONFIG_OUT, CONFIG_IN, QUEUE, CHAIN, SATA_PORT, SATA_COMMAND, SERIAL_IN, SCREEN, VIDEO = range(15)
SIZE = {1: 0, 2: 1, 4: 2, 8: 3}
DISK, RNG, NET = range(3)
VIRTIO, SATA, FIRMWARE = 0, 1, 2


def le(v, n):
	return (v & (1 << 8 * n) - 1).to_bytes(n, "little")


def out(port, v, size=1):
	return bytes([PORT_OUT]) + le(port, 2) + bytes([SIZE[size]]) + le(v, 4)


def inp(port, size=1):
	return bytes([PORT_IN]) + le(port, 2) + bytes([SIZE[size]])


def mmio_out(dev, bar, off, v, size=4):
	region = next(r for r in range(200) if r % 7 == dev and r // 7 % 6 == bar)
	return bytes([MMIO_OUT, region]) + le(off, 2) + bytes([SIZE[size]]) + le(v, size)


def at_out(addr, v, size=1):
	return bytes([MMIO_OUT, 200]) + le(0, 2) + le(addr, 4) + bytes([SIZE[size]]) + le(v, size)


def mmio_in(dev, bar, off, size=4):
	region = next(r for r in range(200) if r % 7 == dev and r // 7 % 6 == bar)
	return bytes([MMIO_IN, region]) + le(off, 2) + bytes([SIZE[size]])


def memory(addr, data):
	return bytes([MEMORY]) + le(addr, 3) + bytes([len(data)]) + data


def config_out(dev, reg, v, size=4):
	return bytes([CONFIG_OUT, dev, reg, SIZE[size]]) + le(v, 4)


def queue(dev, q, flags=7):
	return bytes([QUEUE, dev, q, flags])


def chain(dev, q, *descs):
	b = bytes([CHAIN, dev, q, len(descs) - 1])
	for flags, addr, length in descs:
		b += bytes([flags]) + le(addr, 3) + le(length, 4 if flags & 0x80 else 2)
	return b


def blk(kind, sector, *bufs):
	"""Header, buffers, status."""
	return memory(0x20000, struct.pack("<IIQ", kind, 0, sector)) + chain(DISK, 0, (0, 0x20000, 16), *bufs, (2, 0x30000, 1)) + bytes([PUMP])


def sata(code, lba=0, count=1, feature=0, bufs=((0x40000, 512),), slot=0):
	b = bytes([SATA_COMMAND, slot, len(bufs), code, feature]) + le(lba, 3) + le(count, 2)
	for addr, length in bufs:
		b += le(addr, 3) + le(length - 1, 3)
	return b


def indirect(*descs):
	b = b""
	for i, (flags, addr, length) in enumerate(descs):
		b += struct.pack("<QIHH", addr, length, flags | (i + 1 < len(descs)), i + 1)
	return b


def virtio_disk():
	s = bytes([VIRTIO]) + queue(DISK, 0)
	s += blk(0, 1, (2, 0x40000, 512), (2, 0x50000, 1024)) + blk(1, 8, (0, 0x40000, 4096)) + blk(4, 0) + blk(8, 0, (2, 0x60000, 20))
	s += memory(0x21000, struct.pack("<QII", 16, 8, 0)) + blk(11, 0, (0, 0x21000, 16)) + blk(13, 0, (0, 0x21000, 16)) + blk(99, 0)
	table = indirect((0, 0x20000, 16), (2, 0x40000, 512), (2, 0x30000, 1))
	s += memory(0x22000, table) + chain(DISK, 0, (4, 0x22000, len(table))) + bytes([PUMP])
	return s + queue(DISK, 1, 15) + bytes([PUMP])


def transitional():
	s = bytes([VIRTIO])
	for v in ((0x12, 1, 1), (0x12, 3, 1), (0x04, 0, 4), (0x0e, 0, 2), (0x08, 0x100, 4), (0x12, 7, 1), (0x10, 0, 2)):
		s += config_out(4, 0x20, 0xe1000000) + out(0xc000 + v[0], v[1], v[2]) + inp(0xc000 + v[0], v[2])
	return s + bytes([PUMP])


def vectors():
	s = bytes([VIRTIO]) + config_out(4, 0x42, 0x8000, 2) + queue(DISK, 0)
	for i in range(3):
		s += mmio_out(4, 1, 16 * i, 0xfee00000) + mmio_out(4, 1, 16 * i + 8, 0x41 + i) + mmio_out(4, 1, 16 * i + 12, 0)
	s += mmio_out(4, 4, 16, 0, 2) + mmio_out(4, 4, 22, 0, 2) + mmio_out(4, 4, 26, 1, 2) + blk(0, 0, (2, 0x40000, 512))
	return s + mmio_out(4, 1, 28, 1) + blk(4, 0) + mmio_in(4, 1, 0x800) + mmio_out(4, 1, 28, 0) + config_out(4, 0x42, 0xc000, 2)


def window():
	s = bytes([VIRTIO])
	for at in range(0x50, 0xa0, 4):
		s += config_out(4, at, 4) + bytes([CONFIG_IN, 4, at])
	return s


def random_and_network():
	s = bytes([VIRTIO]) + queue(RNG, 0) + chain(RNG, 0, (2, 0x40000, 64)) + bytes([PUMP])
	s += queue(NET, 0) + queue(NET, 1, 7) + chain(NET, 0, (2, 0x40000, 1600))
	return s + memory(0x50000, bytes(100)) + chain(NET, 1, (0, 0x50000, 12), (0, 0x50010, 60)) + bytes([PUMP]) + chain(NET, 0, (2, 0x40000, 8)) + \
		chain(NET, 1, (0, 0x50000, 12), (0, 0x50010, 1518)) + bytes([PUMP])


def ahci():
	s = bytes([SATA, SATA_PORT])
	for code, count in ((0xec, 0), (0x25, 1), (0xc8, 2), (0x20, 1), (0x35, 1), (0xca, 1), (0x30, 1), (0x3d, 1), (0xea, 0), (0x42, 9), (0xef, 0),
	                    (0xc6, 8), (0xe5, 0), (0x90, 0), (0xb0, 0), (0x2f, 1)):
		s += sata(code, 0x10 if code == 0x2f else 3, count, 2 if code == 0xef else 0, ((0x40000, 512 * max(count, 1)),)) + bytes([PUMP])
	s += memory(0x60000, struct.pack("<Q", 8 | 8 << 48)) + sata(0x06, 0, 1, 1, ((0x60000, 512),)) + bytes([PUMP])
	for slot in range(4):
		s += sata(0x60 + slot % 2, 8 * slot, slot << 3, 1, ((0x40000 + 4096 * slot, 256), (0x70000, 256)), slot)
	s += bytes([PUMP]) + sata(0x60, 0xffffff, 5 << 3, 1, slot=5) + bytes([PUMP]) + mmio_out(4, 5, 0x118, 0x16) + bytes([SATA_PORT])
	s += mmio_out(4, 5, 0x12c, 1) + mmio_out(4, 5, 0x12c, 0) + config_out(4, 0x42, 1, 2) + sata(0xec) + bytes([PUMP])
	return s + mmio_in(4, 5, 0x120) + mmio_out(4, 5, 8, 1) + mmio_out(4, 5, 4, 1)


def chips():
	s = bytes([VIRTIO | FIRMWARE])
	for port, v in ((0x3fb, 0x83), (0x3f8, 1), (0x3fb, 3), (0x3fa, 7), (0x3fc, 0x1b), (0x3f9, 3), (0x3f8, 65)):
		s += out(port, v) + inp(port)
	s += bytes([SERIAL_IN, 3]) + b"abc" + inp(0x3f8) + inp(0x3fa) + inp(0x3fd)
	for v in (0xaa, 0x20, 0xa9, 0xa7, 0xd1, 0xd4):
		s += out(0x64, v) + inp(0x60) + out(0x60, 0xf4) + inp(0x60) + inp(0x64)
	for reg in range(16):
		s += out(0x70, reg) + inp(0x71) + out(0x71, 0x7f) + inp(0x71)
	s += out(0x600, 0xffffffff, 4) + out(0x604, 1, 2) + inp(0x608, 4) + out(0xb2, 1) + out(0x92, 2) + out(0x402, 10)
	s += config_out(1, 0x60, 0x0b0a0b0a) + config_out(2, 0x40, 0xb001) + config_out(2, 0x80, 1, 1)
	return s


def firmware_configuration():
	s = bytes([VIRTIO | FIRMWARE]) + out(0x510, 0x19, 2) + inp(0x511) * 8
	for control in (0x19 << 16 | 8 | 2, 4, 2, 16):
		s += memory(0x20000, struct.pack(">IIQ", control, 256, 0x40000)) + out(0x514, 0, 4) + out(0x518, int.from_bytes(le(0x20000, 4), "big"), 4)
	return s


def video():
	s = bytes([VIRTIO | FIRMWARE]) + bytes([SCREEN])
	for port, v in ((0x3c2, 0x67), (0x3c4, 2), (0x3c5, 3), (0x3ce, 6), (0x3cf, 0x0e), (0x3d4, 1), (0x3d5, 79), (0x3d4, 0x12), (0x3d5, 0x8f),
	                (0x3d4, 9), (0x3d5, 0x4f), (0x3c0, 0x10), (0x3c0, 0x0c), (0x3c0, 0x20), (0x3c8, 0), (0x3c9, 63)):
		s += out(port, v) + inp(port)
	s += memory(0xb8000, b"H\x07i\x07") + bytes([SCREEN])
	for bpp in (8, 15, 16, 24, 32):
		for i, v in ((4, 0), (1, 64), (2, 48), (3, bpp), (4, 0xc1)):
			s += out(0x1ce, i, 2) + out(0x1cf, v, 2)
		s += bytes([SCREEN])
	return s


def fill(picture, off, pattern, length=0):
	return bytes([VIDEO, picture | len(pattern) - 1 << 1]) + le(off, 3) + le(length or len(pattern), 2) + pattern


def video_memory():
	s = bytes([VIRTIO | FIRMWARE])
	for port, v in ((0x3d4, 1), (0x3d5, 79), (0x3d4, 0x12), (0x3d5, 0x8f), (0x3d4, 7), (0x3d5, 2), (0x3d4, 9), (0x3d5, 15)):
		s += out(port, v)
	letters = fill(0, 0x18000, b"A\x1f ", 4000)
	s += letters + bytes([SCREEN])  # by the font of the video BIOS
	s += fill(0, 65 * 32, bytes.fromhex("00001038 6cc6c6fe c6c6c6c6 00000000")) + bytes([SCREEN])
	s += out(0x3c8, 3) + b"".join(out(0x3c9, v) for v in range(1, 61))
	for bpp in (8, 16, 32):
		for i, v in ((4, 0), (1, 64), (2, 48), (3, bpp), (4, 0xc1)):
			s += out(0x1ce, i, 2) + out(0x1cf, v, 2)
		s += fill(1, 64, bytes(range(1, 61)), 9000) + bytes([SCREEN])
	return s


def memory_below():
	s = bytes([VIRTIO | FIRMWARE])
	for reg in range(0x59, 0x60):
		s += config_out(0, reg, 0x33 if reg & 1 else 0x11, 1) + at_out(0xc0000 + reg * 0x1000, reg) + config_out(0, reg, 0x20, 1)
	flash = 0x100000000 - 0x20000 - 0x10000
	for off, v in ((0, 0x50), (0, 0x70), (0, 0x10), (5, 0x3c), (0, 0x20), (0x1000, 0xd0), (0, 0x70), (0, 0xff)):
		s += at_out(flash + off, v) + bytes([MMIO_IN, 200]) + le(0, 2) + le(flash + off, 4) + bytes([2])
	return s


KERNEL = bytes([0xff])


def kernel(at, room, initrd_most):
	head = bytearray(2048)
	head[0x1f1] = 1
	struct.pack_into("<H", head, 0x1fe, 0xaa55)
	head[0x202:0x206] = b"HdrS"
	struct.pack_into("<H", head, 0x206, 0x20f)
	struct.pack_into("<I", head, 0x22c, initrd_most)
	struct.pack_into("<H", head, 0x236, 1)
	struct.pack_into("<I", head, 0x238, 255)
	struct.pack_into("<QI", head, 0x258, at, room)
	return KERNEL + bytes(head)


def kernel_bzimage():
	return kernel(0x100000, 0x10000, 0x7fffffff)


def kernel_that_wraps():
	return kernel((1 << 64) - 1, 2, 0x1007ff)


def kernel_that_understates():
	return kernel(0, 0, 0x1007ff)


def kernel_elf():
	note = struct.pack("<III4sI", 4, 4, 18, b"Xen", 0x100000)
	head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
	segments = struct.pack("<IIQQQQQQ", 1, 5, 176, 0x100000, 0x100000, 64, 4096, 4096)
	segments += struct.pack("<IIQQQQQQ", 4, 4, 240, 0, 0, len(note), len(note), 4)
	return KERNEL + head + segments + bytes(64) + note


os.makedirs(sys.argv[1], exist_ok=True)
for f in (virtio_disk, transitional, vectors, window, random_and_network, ahci, chips, firmware_configuration, video, video_memory,
          memory_below, kernel_bzimage, kernel_that_wraps, kernel_that_understates, kernel_elf):
	with open(os.path.join(sys.argv[1], f.__name__), "wb") as o:
		o.write(f())
