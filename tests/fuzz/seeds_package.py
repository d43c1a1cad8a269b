#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Seeds of fuzz_package: one small archive of each kind, in the folder that is named."""
import gzip, os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from archives import *

folder = sys.argv[1]
rng = random.Random(1)
at = lambda name: os.path.join(folder, name)
disk = rng.randbytes(9000) + bytes(52000) + b"end" * 3000
o = ("m.ovf", b"<Envelope/>")
d = ("d.vmdk", b"KDMV" + rng.randbytes(3000))
tar(at("ova"), [o, ("m.mf", manifest([o, d])), d])
tar(at("ova-pieces"), [o, ("d.vmdk.000000000", d[1][:1000]), ("d.vmdk.000000001", d[1][1000:2000]), ("d.vmdk.000000002", d[1][2000:])], tarfile.GNU_FORMAT)
tar(at("ova-gzip"), [o, ("d.vmdk", gzip.compress(d[1]))], tarfile.PAX_FORMAT)
text = ("ova.xml", b"<value/>")
chunks = [text]
for ref, size in (("Ref:1", 2 * MIB), ("Ref:2", 70000)):
	for i in range(-(-size // CHUNK)):
		piece = (disk + bytes(CHUNK))[:min(CHUNK, size - i * CHUNK)]
		chunks += [("%s/%08d" % (ref, i), piece), ("%s/%08d.xxhash" % (ref, i), xxh64(piece).encode())]
tar(at("xva"), chunks)
with open(at("xva.gz"), "wb") as f:
	f.write(gzip.compress(content(at("xva")), 9))
os.unlink(at("xva")) # too long for an input
tar(at("xva-small"), [text, ("Ref:1/00000000", b""), ("Ref:1/00000000.checksum", b"x"), ("Ref:2/00000000", bytes(70000)), ("Ref:2/00000000.xxhash", xxh64(bytes(70000)).encode())])
v = Vma("m", [("drive-a", disk)])
v.write(at("vma"))
with open(at("vma.gz"), "wb") as f:
	f.write(gzip.compress(content(at("vma")), 9))
