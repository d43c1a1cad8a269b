#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk receive, by a sender that knows nothing but vdisk-transfer(5), and by curl: whole captures, broken ones, lying and hostile clients."""
import base64, os, resource, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from capturer import *

PROGRAM = os.path.join(BUILD, "vdisk-receive")
OTHER = "11111111-2222-3333-4444-555555555555"


def receiver(*args, **kw):
	if not os.path.exists(PROGRAM):
		skip("vdisk-receive is not built")
	return Receiver(*args, **kw)


def disk(name, size, share=0.4):
	"""Bytes of a disk: some chunks by chance, some of text, the others zeros."""
	rng, out = rng_for(name), []
	for i in range(0, size, CHUNK):
		n = min(CHUNK, size - i)
		dice = rng.random()
		out.append(rng.randbytes(n) if dice < share / 2 else (b"%d of a text " % i * n)[:n] if dice < share else bytes(n))
	return b"".join(out)


def finished(r, c, fmt="qcow2"):
	"""The folder of a capture that is whole is all right, and each image in it is what was sent."""
	v = c.view()
	check(v["complete"], "it is complete: %r" % v)
	folder = os.path.join(r.store, v["folder"])
	state = json.load(open(folder + "/capture.json"))
	eq(["whole", c.id, fmt], [state["state"], state["id"], state["format"]], "capture.json")
	described = {d["name"]: d for d in vdisk("machine", "--json", folder + "/machine.json").json()["machines"][0]["disks"]} \
		if os.path.exists(os.path.join(BUILD, "vdisk-machine")) else {d["name"]: d for d in json.load(open(folder + "/machine.json"))["disks"]}
	for name, data in c.disks.items():
		eq(["%s.%s" % (name, fmt), fmt, len(data)], [described[name][k] for k in ("path", "format", "size")], "machine.json")
		image = "%s/%s.%s" % (folder, name, fmt)
		write_file("expected.raw", data)
		os.truncate("expected.raw", len(data))
		qemu_img("compare", "-f", "raw", "-F", {"vhd": "vpc"}.get(fmt, fmt), "expected.raw", image)
		if fmt == "qcow2":
			qemu_img("check", image)
		vdisk("verify-manifest", image, "%s/%s.manifest" % (folder, name))
		vdisk("verify-manifest", "expected.raw", "%s/%s.manifest" % (folder, name))
		check(not os.path.exists("%s/%s.leaves" % (folder, name)), "the list of digests is gone")
		eq(tree_of(data), json.load(open("%s/%s.pass" % (folder, name)))["digest"], "the digest of the pass")
	return folder


def whole(c, packed=False):
	for name in c.disks:
		c.send(name, c.missing(name), packed)
		c.say_pass(name)
	c.complete()


# ---------------------------------------------------------------- captures that come to their end

@case
def two_disks_in_all_kinds_of_records():
	sda, sdb = disk("sda", 12 * MIB + 512), disk("sdb", 33 * MIB)
	with receiver() as r:
		c = Capture(r, {"sda": sda, "nvme0n1": sdb})
		eq({"sda": 0, "nvme0n1": 0}, c.have, "a new capture has nothing")
		eq([bytes(32)] * 13, c.digests("sda"), "digests of nothing")
		eq(13, c.send("sda", packed=True), "chunks taken")
		eq(33, c.send("nvme0n1"), "chunks taken")
		check(os.listdir("store") and all(n.endswith(".partial") or n.startswith(".") for n in os.listdir("store")), "it is partial: %r" % os.listdir("store"))
		c.complete(status=409)
		c.say_pass("sda")
		c.complete(status=409)
		c.say_pass("nvme0n1", frozen=False)
		eq(leaves_of(sda), c.digests("sda"), "digests")
		eq(leaves_of(sdb), c.digests("nvme0n1"), "digests")
		c.complete()
		c.complete() # the answer may have been lost
		finished(r, c)
		check(not [n for n in os.listdir("store") if n.endswith(".partial")], "nothing is partial: %r" % os.listdir("store"))
		c.chunks("sda", data_record(0, sda[:CHUNK]), status=409)
		v = c.view()
		eq([[True, 1], [False, 1]], [[d["frozen"], d["pass"]] for d in v["disks"]], "passes")
		r.end()


def other_formats(fmt):
	data = disk(fmt, 8 * MIB)
	with receiver("-O", fmt) as r:
		c = Capture(r, {"sda": data})
		whole(c)
		finished(r, c, fmt)
		r.end()


for f in ("raw", "vhd", "vmdk"):
	add("other formats " + f, other_formats, f)


@case
def by_curl():
	need("curl")
	data = disk("curl", 3 * MIB)
	with receiver() as r:
		pin = "sha256//" + base64.b64encode(bytes.fromhex(r.hello["fingerprint"])).decode()
		url = r.hello["url"]
		check(url.endswith(":%d/" % r.port), "the URL that it tells: " + url)
		url = "https://127.0.0.1:%d" % r.port

		def curl(path, *args, secret=r.hello["token"], pinned=pin, rc=0):
			return ran("curl", "-sSk", "--pinnedpubkey", pinned, "-H", "Authorization: Bearer " + secret, *args, url + path, rc=rc)
		write_file("m.json", json.dumps(machine({"sda": data})).encode())
		curl("/v1/captures", "--data-binary", "@m.json", pinned="sha256//" + base64.b64encode(bytes(32)).decode(), rc=90)
		o = curl("/v1/captures", "--data-binary", "@m.json").json()
		path = "/v1/captures/%s/disks/sda" % o["id"]
		write_file("records", b"".join(data_record(i, data[i * CHUNK:][:CHUNK]) for i in range(3)))
		eq({"taken": 3}, curl(path + "/chunks", "-T", "records", "-X", "POST", secret=o["secret"]).json(), "with a length")
		eq({"taken": 3}, curl(path + "/chunks", "-T", "records", "-X", "POST", "-H", "Transfer-Encoding: chunked", secret=o["secret"]).json(), "in chunks")
		curl(path + "/pass", "-d", json.dumps({"pass": 1, "frozen": True, "digest": tree_of(data), "skipped": 0, "bad": []}), secret=o["secret"])
		curl("/v1/captures/%s/complete" % o["id"], "-X", "POST", secret=o["secret"])
		eq(True, curl("/v1/captures/" + o["id"], secret=o["secret"]).json()["complete"], "complete")
		r.end()


@case
def two_machines_at_once():
	with receiver("--token-uses", "unlimited") as r:
		made = [Capture(r, {"sda": disk("m%d" % i, 9 * MIB), "sdb": disk("n%d" % i, 5 * MIB)}, uuid=OTHER[:-1] + str(i), host="host%d" % i) for i in range(2)]
		faults = []

		def one(c):
			try:
				whole(c, packed=True)
			except BaseException as e:
				faults.append(e)
		threads = [threading.Thread(target=one, args=(c,)) for c in made]
		for t in threads:
			t.start()
		for t in threads:
			t.join()
		eq([], faults, "faults")
		for c in made:
			finished(r, c)
		# The same machine once more is another capture.
		again = Capture(r, made[0].disks, uuid=OTHER[:-1] + "0", host="host0")
		whole(again)
		eq(finished(r, made[0]) + "-2", finished(r, again), "the second one's folder")
		r.end()


@case
def a_disk_of_64_TiB():
	"""Few of its chunks come; neither its length nor what is not there takes time or room."""
	data = rng_for("large").randbytes(2 * CHUNK)
	with receiver() as r:
		c = Capture(r, {"sda": 64 << 40})
		last = (64 << 20) - 1
		eq(2, c.chunks("sda", data_record(5, data[:CHUNK]) + data_record(last, data[CHUNK:]))["taken"], "chunks")
		o = c.client.json("POST", c.path("sda", "/pass"), {"pass": 1, "frozen": True, "digest": "0" * 64, "skipped": 0, "bad": []}, 409)
		eq([[0, 5], [6, last - 6]], o["differ"], "what is missing")
		first = r.moved()
		r.again()
		c.begin(secret=c.secret)
		eq({"sda": 2}, c.have, "what it has")
		for n in first, r.moved(): # the digests of all chunks would be 2 GiB
			check(n < 64 * MIB, "bytes that were read and written: %d" % n)
		check(r.memory() < 64 * MIB, "the receiver's memory: %d MiB" % (r.memory() >> 20))
		check(sum(os.stat(os.path.join(f, n)).st_blocks * 512 for f, _, names in os.walk("store") for n in names) < 16 * MIB, "room on the disk")
		r.end()


@case
def many_connections_for_one_disk():
	data = disk("many", 40 * MIB, 0.9)
	with receiver("--memory", "8M") as r: # three buffers
		c = Capture(r, {"sda": data})
		records, faults = c.records("sda"), []

		def one(mine):
			client = Client(r, c.secret)
			try:
				for rec in mine:
					c.chunks("sda", rec, client=client)
			except BaseException as e:
				faults.append(e)
			client.close()
		# Everything twice, by different connections.
		threads = [threading.Thread(target=one, args=(records[i::4],)) for i in range(4)] + \
			[threading.Thread(target=one, args=(records[::-1][i::4],)) for i in range(4)]
		for t in threads:
			t.start()
		for t in threads:
			t.join()
		eq([], faults, "faults")
		c.say_pass("sda")
		c.complete()
		finished(r, c)
		r.end()


# ---------------------------------------------------------------- what changes meanwhile

@case
def resync_moves_only_what_changed():
	data = bytearray(disk("resync", 24 * MIB))
	with receiver() as r:
		c = Capture(r, {"sda": bytes(data)})
		c.send("sda")
		c.say_pass("sda", frozen=False)
		rng = rng_for("changes")
		changed = set(rng.sample(range(24), 5))
		for i in changed:
			data[i * CHUNK + 77:i * CHUNK + 177] = rng.randbytes(100)
		zeroed = next(i for i in range(24) if i not in changed and any(data[i * CHUNK:(i + 1) * CHUNK]))
		data[zeroed * CHUNK:(zeroed + 1) * CHUNK] = bytes(CHUNK)
		c.disks["sda"] = bytes(data)
		eq(changed | {zeroed}, c.missing("sda"), "what differs by the receiver's list")
		eq([], c.say_pass("sda", 2, status=409)["differ"], "nothing is missing, but the digest is another one")
		eq(6, c.send("sda", c.missing("sda")), "chunks taken")
		c.complete(status=409) # the first pass is no longer true
		c.say_pass("sda", 2)
		c.complete()
		finished(r, c)
		r.end()


@case
def passes_tell_what_is_missing_and_bad():
	data = disk("bad", 10 * MIB)
	with receiver() as r:
		c = Capture(r, {"sda": data})
		c.send("sda", {0, 1, 5})
		o = c.say_pass("sda", status=409)
		eq([[2, 3], [6, 4]], o["differ"], "what is missing")
		c.send("sda", {2, 3, 4, 6, 7, 8, 9})
		for wrong in ({"bad": [[0, 512], [256, 512]]}, {"bad": [[10 * MIB - 512, 1024]]}, {"bad": [[0, 0]]}, {"bad": [[-512, 512]]}, {"bad": [[1 << 63, 1 << 63]]},
		              {"bad": 7}, {"bad": [[1]]}, {"bad": [["0", "512"]]}, {"pass": 0}, {"pass": -1}, {"pass": "1"}, {"digest": "00"}, {"digest": "g" * 64},
		              {"frozen": 1}, {"skipped": 1 << 60}):
			c.say_pass("sda", status=400, **wrong)
		for text in (b"", b"[]", b"{", b"null", b'{"pass":1}', b"{}{}", b"\xff", b'{"a":' * 100):
			c.client.json("POST", c.path("sda", "/pass"), text, 400)
		c.complete(status=409)
		bad = [[512, 1024], [3 * MIB, 512]]
		c.say_pass("sda", bad=bad, skipped=2 * MIB)
		d = c.view()["disks"][0]
		eq([2, 1536, 2 * MIB, tree_of(data)], [d["bad-ranges"], d["bad-bytes"], d["skipped"], d["digest"]], "what it tells of the pass")
		r.again()
		c.begin()
		eq(1536, c.view()["disks"][0]["bad-bytes"], "it is still known")
		c.complete()
		folder = finished(r, c)
		eq(bad, json.load(open(folder + "/sda.pass"))["bad"], "the list of what could not be read")
		r.end()


# ---------------------------------------------------------------- kills

def noted_is_there(store, name, disks):
	"""While nobody runs: every digest in the list is of what the image holds."""
	n = 0
	folder = next(os.path.join(store, f) for f in os.listdir(store) if f.startswith(name) and f.endswith(".partial"))
	for d, data in disks.items():
		qemu_img("convert", "-O", "raw", "%s/%s.qcow2" % (folder, d), "now.raw")
		now = open("now.raw", "rb").read()
		noted = open("%s/%s.leaves" % (folder, d), "rb").read()
		for i, digest in enumerate(leaves_of(now)):
			known = noted[32 * i:32 * i + 32]
			if any(known):
				n += 1
				eq(digest.hex(), known.hex(), "chunk %d of %s, which the list says is there" % (i, d))
	return n


@case
def killed_again_and_again():
	data, rng = bytearray(disk("kills", 48 * MIB, 0.9)), rng_for("kills")
	kept = 0
	with receiver() as r:
		c = Capture(r, {"sda": bytes(data)})
		for turn in range(20 if ALL else 3):
			missing = sorted(c.missing("sda"))
			rng.shuffle(missing)

			def send():
				try:
					for i in missing:
						c.chunks("sda", data_record(i, c.disks["sda"][i * CHUNK:(i + 1) * CHUNK]))
				except (OSError, http.client.HTTPException):
					pass # it was killed
			t = threading.Thread(target=send)
			t.start()
			time.sleep(rng.uniform(0.1, 1.5))
			if turn == 2:
				wait_for("something is noted", lambda: r.view()["captures"][0]["done"])
			r.kill()
			t.join()
			kept = noted_is_there("store", "web1", c.disks)
			r.start()
			if turn % 2: # with the secret of before, or as if it was lost
				c.client = Client(r, c.secret)
			else:
				c.begin(secret=c.secret)
			eq(kept, sum(any(d) for d in c.digests("sda")), "what was noted is still there")
			for i in rng.sample(range(48), 4): # the source goes on changing
				data[i * CHUNK:i * CHUNK + 4096] = rng.randbytes(4096)
			c.disks["sda"] = bytes(data)
		whole(c)
		finished(r, c)
		r.end()
	check(kept, "something was noted before it was killed")


@case
def goes_on_by_the_token():
	data = disk("token", 6 * MIB)
	with receiver("--token", "a token of mine") as r:
		c = Capture(r, {"sda": data}, token="a token of mine")
		id, old = c.id, c.secret
		c.send("sda", {0, 1, 2})
		c.say_pass("sda", status=409) # makes them durable
		r.again()
		c.begin()
		eq([id, {"sda": 3}], [c.id, c.have], "the same capture")
		check(c.secret != old, "the secret is a new one")
		Client(r, old).json("GET", c.path("sda", "/digests?from=0&count=1"), status=401)
		whole(c)
		finished(r, c)
		r.end()
	# Another token now: the old one's machine can go on by it, the new one begins another machine's.
	with receiver() as r:
		c = Capture(r, {"sda": data}, host="web2", uuid=OTHER)
		c.send("sda", {0})
		c.say_pass("sda", status=409)
		r.args = ("--token", "another token, later")
		r.again()
		eq(None, r.hello["token"], "a token that was given is not printed")
		c.begin()
		eq({"sda": 1}, c.have, "the same capture")
		r.end()


@case
def a_crash_before_the_name():
	data = disk("crash", 2 * MIB)
	with receiver() as r:
		c = Capture(r, {"sda": data})
		whole(c)
		folder = finished(r, c)
		r.kill()
		os.rename(folder, folder + ".partial")
		write_file(folder + ".partial/sda.leaves", b"".join(leaves_of(data)))
		r.start()
		finished(r, c)
		check(not os.path.exists(folder + ".partial"), "it got its name")
		os.makedirs("store/.begin-0123/x")
		os.makedirs("store/.gone-0123")
		os.makedirs("store/mine")
		os.makedirs("store/damaged.partial")
		write_file("store/damaged.partial/capture.json", b"{}")
		r.again()
		eq({"mine", "damaged.partial", os.path.basename(folder), ".vdisk-receive"}, set(os.listdir("store")), "what is in the store")
		eq(1, len(r.view()["captures"]), "captures")
		r.end()


# ---------------------------------------------------------------- who may

@case
def tokens_secrets_and_keys():
	data = disk("who", 2 * MIB, 1.0)
	body = json.dumps(machine({"sda": data})).encode()
	with receiver() as r:
		token, key = r.hello["token"], r.hello["view-key"]
		for wrong in (None, "", "x", token[:-1], token + "x", key, "0" * 300):
			Client(r, wrong).json("POST", "/v1/captures", body, 401)
		c = Capture(r, {"sda": data}, token=token.lower().replace("-", " ").replace("0", "o")) # as somebody types it
		c.send("sda", {0})
		# Another machine, by the same token.
		o = Client(r, token).json("POST", "/v1/captures", machine({"sda": data}, uuid=OTHER), 403)
		check("--token-uses" in o["error"] and OTHER in o["error"], "what helps is said: %r" % o)
		# The machine itself, while it is sending.
		busy = Client(r, c.secret)
		busy.connect()
		busy.c.putrequest("POST", c.path("sda", "/chunks"))
		busy.c.putheader("Authorization", "Bearer " + c.secret)
		busy.c.putheader("Content-Length", str(CHUNK + 56))
		busy.c.endheaders()
		busy.c.send(data_record(1, data[CHUNK:])[:5000])
		wait_for("the request is under way", lambda: c.view()["wire-bytes"] > CHUNK + 56)
		status, headers, text = Client(r, token).ask("POST", "/v1/captures", body)
		eq([409, True], [status, int(headers["Retry-After"]) > 0], "while another client is sending: %r" % text)
		busy.c.send(data_record(1, data[CHUNK:])[5000:])
		eq(200, busy.c.getresponse().status, "the one that was first is not harmed")
		busy.close()
		# Secrets are for one thing each.
		for secret in (token, key, None, "x" * 64):
			for method, path in (("POST", c.path("sda", "/chunks")), ("POST", c.path("sda", "/pass")), ("POST", c.path(what="/complete")), ("DELETE", c.path()),
			                     ("GET", c.path("sda", "/digests?from=0&count=1"))):
				Client(r, secret).json(method, path, b"{}" if method == "POST" else None, 401)
		for secret in (token, c.secret, None):
			Client(r, secret).json("GET", "/v1/captures", status=401)
			Client(r, secret).json("GET", c.path(what="/log"), status=401)
		Client(r, token).json("GET", c.path(), status=401)
		# With other disks it is not the same machine's capture.
		for disks in ({"sda": data, "sdb": data}, {"sdb": data}, {"sda": data[:CHUNK]}):
			o = Client(r, token).json("POST", "/v1/captures", machine(disks), 409)
			check("sda" in o["error"] or "sdb" in o["error"], "which disk: %r" % o)
		# None of this did any harm.
		whole(c)
		finished(r, c)
		Client(r, token).json("POST", "/v1/captures", body, 403)
		r.end()


@case
def abandoned():
	with receiver() as r:
		c = Capture(r, {"sda": disk("gone", 2 * MIB)})
		c.send("sda")
		c.client.json("DELETE", c.path(), status=200)
		eq([".vdisk-receive"], os.listdir("store"), "all of it is removed")
		eq([], r.view()["captures"], "captures")
		c.client.json("POST", c.path(what="/complete"), b"{}", 404)
		c = Capture(r, {"sda": disk("gone", 2 * MIB)}) # the token is good for another one
		whole(c)
		c.client.json("DELETE", c.path(), status=409)
		finished(r, c)
		r.end()


@case
def client_certificates():
	need("certtool")
	for name, text in (("ca", "cn = ca\nca\ncert_signing_key\n"), ("client", "cn = client\ntls_www_client\nsigning_key\n"), ("stranger", "cn = stranger\ntls_www_client\nsigning_key\n"),
	                   ("server", "cn = server\ntls_www_server\nsigning_key\ndns_name = localhost\nip_address = 127.0.0.1\n")):
		write_file(name + ".cfg", text.encode())
		ran("certtool", "--generate-privkey", "--key-type=ecdsa", "--no-text", "--outfile", name + ".key")
		signer = ["--generate-self-signed"] if name in ("ca", "stranger") else ["--generate-certificate", "--load-ca-certificate", "ca.pem", "--load-ca-privkey", "ca.key"]
		ran("certtool", *signer, "--load-privkey", name + ".key", "--template", name + ".cfg", "--no-text", "--outfile", name + ".pem")
	with receiver("--client-ca", "ca.pem", "--cert", "server.pem", "--key", "server.key") as r:
		body = machine({"sda": disk("cert", MIB)})
		Client(r, r.hello["token"]).json("POST", "/v1/captures", body, 401)
		with contextlib.suppress(OSError, http.client.HTTPException): # or it is refused before
			Client(r, r.hello["token"], ("stranger.pem", "stranger.key")).json("POST", "/v1/captures", body, 401)
		Client(r, r.hello["token"], ("client.pem", "client.key")).json("POST", "/v1/captures", body, 201)
		if shutil.which("curl"): # who checks the chain and the name
			ran("curl", "-sS", "--cacert", "ca.pem", "--cert", "client.pem", "--key", "client.key", "https://127.0.0.1:%d/" % r.port)
		r.end()


# ---------------------------------------------------------------- trouble

@case
def a_full_disk_is_told_and_nothing_is_lost():
	data = disk("full", 40 * MIB, 1.0)
	limit = 12 * MIB # of any file, like a disk that is full
	with receiver(preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))) as r:
		c = Capture(r, {"sda": data})
		taken, refused_at = 0, None
		for i in range(40):
			status, headers, text = c.client.ask("POST", c.path("sda", "/chunks"), data_record(i, data[i * CHUNK:(i + 1) * CHUNK]))
			if status != 200:
				eq(507, status, "a full disk: %r" % text)
				refused_at = i
				break
			taken += 1
		check(refused_at, "it was full at some time")
		check("Retry-After" in headers, "worth another try")
		c.say_pass("sda", status=409)
		c.complete(status=409)
		have = 40 - len(c.missing("sda"))
		check(have <= taken, "no more is noted than was taken")
		resource.prlimit(r.p.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
		whole(c)
		finished(r, c)
		r.end()


@case
def usage():
	receiver_args = ([], ["--store", "s", "x"], ["--store", "s", "--token", "short"], ["--store", "s", "--token", "x" * 20, "--token-file", "f"], ["--store", "s", "-O", "nothing"],
	                 ["--store", "s", "--cert", "c"], ["--store", "s", "--expect", "x"], ["--store", "s", "--memory", "1M"], ["--store", "s", "--memory", "999999999999G"],
	                 ["--store", "s", "--adapt", "os2"], ["--store", "s", "--token-uses", "0"], ["--store", "s", "--listen", "[::1"], ["--store", "s", "--listen", ":70000"],
	                 ["--store", "s", "--cert", "none", "--key", "none"], ["--store", "s", "--token-file", "none"], ["--store", "s", "--drivers", "x"])
	if not os.path.exists(PROGRAM):
		skip("vdisk-receive is not built")
	for args in receiver_args:
		x = run(VDISK, "receive", *args)
		eq(2, x.rc, "exit status of %s" % x.show())
		eq([1, ""], [x.err.count("\n") - x.err.count("\t"), x.out], "one line: %s" % x.show())
	with receiver() as r:
		x = run(VDISK, "receive", "--store", "store", "--listen", "127.0.0.1:0")
		eq([2, True], [x.rc, "another receiver" in x.err], "a store in use: %s" % x.show())
		x = run(VDISK, "receive", "--store", "other", "--listen", "127.0.0.1:%d" % r.port)
		eq([2, True], [x.rc, "in use" in x.err], "a port in use: %s" % x.show())
		r.end()
	ran(VDISK, "receive", "--help")


if __name__ == "__main__":
	main()
