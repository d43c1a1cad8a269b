# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests of one sector."""
import os
from vdtest import *

SECTOR = """
	.code16
	.globl _start
_start:	xor %%ax, %%ax
	mov %%ax, %%ds
	mov %%ax, %%ss
	mov $0x7c00, %%sp
	mov $text, %%si
1:	lodsb
	test %%al, %%al
	jz 2f
	%s
	jmp 1b
2:	%s
	.org 0x100
text:	.asciz "%s"
	.org 510
	.word 0xaa55
"""
SERIAL = "mov $0x3f8, %dx; out %al, %dx"
SCREEN = "mov $0x0e, %ah; mov $7, %bx; int $0x10"
HANG = "hlt; jmp 2b"
RESET = "mov $6, %al; mov $0xcf9, %dx; out %al, %dx; 3: hlt; jmp 3b"
TRIPLE = """cli; lgdt 6f; mov %cr0, %eax; or $1, %al; mov %eax, %cr0; ljmp $8, $4f
	.code32
4:	lidt 7f
	ud2
	.code16
5:	.quad 0, 0x00cf9b000000ffff
6:	.word 15; .long 5b
7:	.word 0; .long 0""" # in protected mode, without vectors
POWEROFF = "mov $0x604, %dx; mov $0x2000, %ax; out %ax, %dx; 3: hlt; jmp 3b"


def boot_disk(name, text, how=SERIAL, then=HANG):
	"""A disk with a boot sector that writes `text` by `how` and then does what `then` says."""
	need("as", "ld")
	write_file(name + ".s", (SECTOR % (how, then, text)).encode())
	ran("as", "--32", name + ".s", "-o", name + ".o")
	ran("ld", "-m", "elf_i386", "-Ttext=0x7c00", "--oformat=binary", "-o", name + ".raw", name + ".o")
	os.truncate(name + ".raw", MIB)
	return name + ".raw"
