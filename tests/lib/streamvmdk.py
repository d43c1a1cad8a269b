# SPDX-License-Identifier: LGPL-2.1-or-later
"""A strict reader of streamOptimized VMDK, after the manner of importers: from "Virtual Disk Format 5.0", independent of the one
under test.  Every rule that is broken is a Failed."""
import struct, zlib
from vdtest import Failed, check, eq

SECTOR = 512
HEADER = "<4sIIQQQQIQQQB4sH"
NAMES = ("magic", "version", "flags", "capacity", "grain", "desc_off", "desc_len", "gtes", "rgd", "gd", "overhead", "unclean",
         "newlines", "compress")


def header_of(b):
	h = dict(zip(NAMES, struct.unpack(HEADER, b[:struct.calcsize(HEADER)])))
	eq(b"KDMV", h["magic"], "magic")
	eq(3, h["version"], "version")
	eq(0x30001, h["flags"], "flags (newline test, compressed grains, markers)")
	eq(128, h["grain"], "grain size in sectors")
	eq(512, h["gtes"], "entries of a grain table")
	eq(0, h["unclean"], "uncleanShutdown")
	eq(b"\n \r\n", h["newlines"], "the four newline bytes")
	eq(1, h["compress"], "compression algorithm (deflate)")
	check(not b[struct.calcsize(HEADER):SECTOR].strip(b"\0"), "the header's padding is not zero")
	check(h["capacity"] > 0, "capacity 0")
	return h


def descriptor_of(text, capacity, ours):
	check(b"\0" not in text.rstrip(b"\0"), "NUL inside the descriptor")
	lines = [l.strip() for l in text.rstrip(b"\0").decode("utf-8").split("\n")]
	eq("# Disk DescriptorFile", lines[0], "first line of the descriptor")
	values, extents = {}, []
	for l in lines:
		if l.startswith(("RW ", "RDONLY ")):
			extents.append(l.split(None, 3))
		elif "=" in l and not l.startswith("#"):
			k, v = l.split("=", 1)
			check(k.strip() not in values, "key %s twice" % k)
			values[k.strip()] = v.strip().strip('"')
	eq("streamOptimized", values.get("createType"), "createType")
	eq("1", values.get("version"), "version")
	eq("ffffffff", values.get("parentCID"), "parentCID")
	check(len(values.get("CID", "")) == 8 and values["CID"] != "ffffffff", "CID: %s" % values.get("CID"))
	eq(1, len(extents), "extent lines")
	eq(str(capacity), extents[0][1], "sectors of the extent line")
	eq("SPARSE", extents[0][2], "type of the extent line")
	for key in ("ddb.adapterType", "ddb.geometry.cylinders", "ddb.geometry.heads", "ddb.geometry.sectors",
	            "ddb.virtualHWVersion",
	            *(["ddb.toolsVersion"] if ours else [])):
		check(key in values, "the descriptor lacks %s" % key)
	check(values["ddb.adapterType"] in ("ide", "buslogic", "lsilogic", "legacyESX"),
	      "adapter type %s" % values["ddb.adapterType"])
	for key in ("cylinders", "heads", "sectors"):
		check(int(values["ddb.geometry." + key]) > 0, "geometry: 0 %s" % key)
	check(int(values["ddb.geometry.cylinders"]) <= 16383, "more than 16,383 cylinders")
	return values


def parse(path, out, ours=True):
	"""Checks every sector and writes the flat content to `out`; returns the descriptor's values.  `ours`: with what importers
	only like to see, too."""
	with open(path, "rb") as f:
		b = f.read()
	check(len(b) % SECTOR == 0, "the file's length %d is no multiple of 512" % len(b))
	h = header_of(b)
	eq(0xffffffffffffffff, h["gd"], "gdOffset of the header (the footer has it)")
	eq(0, h["rgd"], "rgdOffset")
	check(h["desc_off"] >= 1 and h["desc_len"] >= 1 and h["desc_off"] + h["desc_len"] <= h["overhead"],
	      "the descriptor's place")
	values = descriptor_of(b[h["desc_off"] * SECTOR:(h["desc_off"] + h["desc_len"]) * SECTOR], h["capacity"], ours)
	check(not b[(h["desc_off"] + h["desc_len"]) * SECTOR:h["overhead"] * SECTOR].strip(b"\0"),
	      "bytes between descriptor and grains")
	check(len(b) >= 3 * SECTOR, "too short for a footer")
	grains = -(-h["capacity"] // h["grain"])
	tables = -(-grains // h["gtes"])
	grain_bytes = h["grain"] * SECTOR
	place, gt_place, gd_place, footer = {}, {}, None, None
	at, last, ended = h["overhead"] * SECTOR, -1, False
	with open(out, "wb") as flat:
		flat.truncate(h["capacity"] * SECTOR)
		while at < len(b):
			check(not ended, "sectors after the end-of-stream marker, at %d" % at)
			val, size, kind = struct.unpack_from("<QII", b, at)
			if size:
				check(footer is None and gd_place is None, "a grain after the directory, at %d" % at)
				check(val % h["grain"] == 0 and val < h["capacity"], "grain marker at %d: sector %d" % (at, val))
				index = val // h["grain"]
				check(index > last, "grain %d after grain %d" % (index, last))
				check(index // h["gtes"] not in gt_place, "a grain of a table that is written already, at %d" % at)
				check(not place or index // h["gtes"] == last // h["gtes"] or last // h["gtes"] in gt_place,
				      "grain %d comes before the table of grain %d" % (index, last))
				last = index
				end = at + 12 + size
				check(end <= len(b), "grain at %d ends outside the file" % at)
				d = zlib.decompressobj()
				data = d.decompress(b[at + 12:end], grain_bytes + 1)
				check(d.eof and not d.unused_data, "grain at %d: the zlib stream does not end with its length" % at)
				left = h["capacity"] * SECTOR - index * grain_bytes
				check(len(data) == grain_bytes or len(data) == left, "grain at %d unpacks to %d bytes" % (at,
				                                                                                          len(data)))
				check(not data[left:].strip(b"\0") if left < grain_bytes else True, "bytes past the disk's end")
				flat.seek(index * grain_bytes)
				flat.write(data[:left])
				place[index] = at // SECTOR
				padded = -(-end // SECTOR) * SECTOR
				check(not b[end:padded].strip(b"\0"), "padding of the grain at %d" % at)
				at = padded
				continue
			check(not b[at + 16:at + SECTOR].strip(b"\0"), "padding of the marker at %d" % at)
			body = at + SECTOR
			if kind == 1:
				eq(h["gtes"] * 4 // SECTOR, val, "sectors of the grain table at %d" % at)
				check(place, "a grain table before any grain")
				gt_place.setdefault(last // h["gtes"], body // SECTOR)
				check(gt_place[last // h["gtes"]] == body // SECTOR,
				      "a second table for the same grains, at %d" % at)
				entries = struct.unpack_from("<%dI" % h["gtes"], b, body)
				first = last // h["gtes"] * h["gtes"]
				for i, e in enumerate(entries):
					eq(place.get(first + i, 0), e, "entry %d of the grain table at %d" % (i, at))
			elif kind == 2:
				check(gd_place is None, "a second directory")
				eq(-(-tables * 4 // SECTOR), val, "sectors of the grain directory")
				gd_place = body // SECTOR
				entries = struct.unpack_from("<%dI" % (val * SECTOR // 4), b, body)
				check(not any(entries[tables:]), "entries past the directory's end")
				check(all(e // h["gtes"] in gt_place for e in place),
				      "the directory comes before the last grain table")
				for i in range(tables):
					if entries[i] or i in gt_place:
						if i in gt_place:
							eq(gt_place[i], entries[i], "directory entry %d" % i)
						else:
							table = b[entries[i] * SECTOR:entries[i] * SECTOR + h["gtes"] * 4]
							check(len(table) == h["gtes"] * 4 and not table.strip(b"\0"),
							      "directory entry %d names a table that was not written" % i)
			elif kind == 3:
				check(gd_place is not None, "the footer comes before the directory")
				eq(1, val, "sectors of the footer")
				footer = header_of(b[body:body + SECTOR])
				eq(gd_place, footer["gd"], "gdOffset of the footer")
				for key in NAMES:
					if key != "gd":
						eq(h[key], footer[key], "%s of the footer" % key)
				eq(len(b) - 2 * SECTOR, body, "where the footer lies: 1,024 bytes before the end")
			elif kind == 0:
				eq(0, val, "value of the end-of-stream marker")
				check(footer is not None, "the end of the stream comes before a footer")
				ended = True
			else:
				raise Failed("unknown marker %d at %d" % (kind, at))
			at = body + (val * SECTOR if kind else 0)
	check(ended, "no end-of-stream marker")
	return values
