# SPDX-License-Identifier: LGPL-2.1-or-later
"""What makes two timings comparable on a machine that is itself a guest.

A hypervisor takes back memory that its guest has freed (free page reporting), some two seconds after.  Whoever touches such a page first
pays for its return: seen here, 3.7 s for a GiB against 0.15 s.  So a conversion's time told who came after a pause, not who is faster.
"""
import subprocess
import sys

TOUCH = """
import mmap, sys
with mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as m:
    try:
        m.madvise(23)  # MADV_POPULATE_WRITE
    except OSError:  # Linux before 5.14
        for at in range(0, len(m), mmap.PAGESIZE):
            m[at] = 1
"""


def memory_touch(size=1 << 30):
    """Leaves `size` bytes of free memory that the hypervisor has just given; both sides of a comparison call it before each run.
    In a process of its own: a child's peak memory begins with its parent's."""
    subprocess.run([sys.executable, "-c", TOUCH, str(size)], check=True)
