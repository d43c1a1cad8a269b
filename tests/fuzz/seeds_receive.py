# SPDX-License-Identifier: LGPL-2.1-or-later
"""Seeds for fuzz_receive: requests in its own form, as a sender would make them, into the folder that is named."""
import hashlib, json, os, struct, sys

CHUNK = 1 << 20
SECRET, TOKEN, KEY, NOBODY, COOKIE, SLOWLY, REPAIR = 0, 1, 2, 3, 4, 8, 0x80
GET, POST, DELETE = 0, 0x40, 0x80
ALL, PAGE, ANY = 0x21, 0x20, 0x30
COMPLETE, SCREENSHOT, LOG, DIGESTS, CHUNKS, PASS = 1, 2, 3, 4, 5, 6


def ask(what, who, body=b""):
	return struct.pack("<BBH", what, who, len(body)) + body


def zeros(index, count):
	return struct.pack("<IHHQII", 0x31525456, 3, 0, index, count, 0) + bytes(32)


def pass_of(chunks, **more):
	leaves = b"".join(hashlib.sha256(c).digest() for c in chunks)
	p = {"pass": 1, "frozen": True, "digest": hashlib.sha256(leaves + (2 * CHUNK).to_bytes(8, "big")).hexdigest(), "skipped": 0, "bad": []}
	return json.dumps(dict(p, **more)).encode()


nothing = [bytes(CHUNK)] * 2
machine = {"schema-version": 1, "type": "vdisk-machine", "name": "n", "uuid": "11111111-2222-3333-4444-555555555555",
           "disks": [{"name": "sda", "medium": "disk", "size": 2 * CHUNK}, {"name": "sdb", "medium": "disk", "size": 512}]}
seeds = {
	"whole": ask(POST | CHUNKS, SECRET, zeros(0, 2)) + ask(POST | PASS, SECRET, pass_of(nothing, bad=[[0, 512]])) + ask(GET | DIGESTS, SECRET, b"0") + ask(POST | COMPLETE, SECRET) +
		ask(POST | COMPLETE, SECRET) + ask(GET | ALL, KEY) + ask(GET | LOG, KEY),
	"repaired": ask(POST | CHUNKS, SECRET | REPAIR, b"some bytes of a chunk") + ask(POST | CHUNKS, SECRET | REPAIR | SLOWLY, b"others") + ask(POST | PASS, SECRET, pass_of(nothing)) + ask(DELETE, SECRET),
	"looking": ask(GET | PAGE, KEY | COOKIE) + ask(GET | PAGE, NOBODY, b"the key to look") + ask(GET | ALL, KEY | COOKIE) + ask(GET, SECRET) + ask(GET | SCREENSHOT, KEY),
	"beginning": ask(POST | ALL, TOKEN, json.dumps(machine).encode()) + ask(POST | ALL, SECRET, json.dumps(dict(machine, disks=machine["disks"][:1])).encode()) + ask(GET | ALL, KEY),
	"paths": ask(GET | ANY, KEY, b"../../etc/passwd") + ask(GET | ANY | 1, KEY, b"x/disks/../pass") + ask(POST | ANY | 1, NOBODY, b"//log"),
	"lies": ask(POST | CHUNKS, SECRET, zeros(1, 9)) + ask(POST | CHUNKS, SECRET, zeros(0, 1)[:30]) + ask(POST | PASS, SECRET, pass_of(nothing, bad=[[1, 1 << 63]])) + ask(POST | COMPLETE, SECRET, b"{"),
}
for name, text in seeds.items():
	with open(os.path.join(sys.argv[1], name), "wb") as f:
		f.write(text)
