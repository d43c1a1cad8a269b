#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What vdisk receive does when a capture is whole, and the page that shows it: to a client, and in the long tier to a browser."""
import html, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from capturer import *

PROGRAM = os.path.join(BUILD, "vdisk-receive")
SECTOR = """
	.code16
	.globl _start
_start:	xor %ax, %ax
	mov %ax, %ds
	mov $text, %si
	mov $0x3f8, %dx
1:	lodsb
	test %al, %al
	jz 2f
	out %al, %dx
	jmp 1b
2:	hlt
	jmp 2b
	.org 0x100
text:	.asciz "guest says hello\\r\\n"
	.org 510
	.word 0xaa55
"""


def receiver(*args, **kw):
	if not os.path.exists(PROGRAM):
		skip("vdisk-receive is not built")
	return Receiver(*args, **kw)


def verifier():
	need("as", "ld", "qemu-system-x86_64")
	if not os.path.exists(os.path.join(BUILD, "vdisk-verify")):
		skip("vdisk-verify is not built")
	return ["--verify", "--engine", "qemu", "--timeout", "120"]


def maker():
	"""What makes a result beside the capture, and boots it."""
	if not os.path.exists(os.path.join(BUILD, "vdisk-p2v")):
		skip("vdisk-p2v is not built")
	return [*verifier(), "--convert", "vmdk"]


def bootable():
	write_file("boot.s", SECTOR.encode())
	ran("as", "--32", "boot.s", "-o", "boot.o")
	ran("ld", "-m", "elf_i386", "-Ttext=0x7c00", "--oformat=binary", "-o", "boot.raw", "boot.o")
	return open("boot.raw", "rb").read().ljust(2 * MIB, b"\0")


def send(r, data, **how):
	c = Capture(r, {"sda": data}, **how)
	c.send("sda")
	c.say_pass("sda")
	c.complete()
	return c


def worked(r):
	return wait_for("it is worked through", lambda: [e for e in r.lines if e["event"] == "worked"], 180)[0]


@case
def a_capture_that_boots():
	args = verifier()
	with receiver(*args, "--expect", "guest says hello", "--once") as r:
		c = send(r, bootable())
		r.end(sig=None, seconds=180)
		e = r.lines[-1]
		eq(["worked", "done", "booted", True, True, c.id], [e[k] for k in ("event", "state", "verdict", "complete", "screenshot", "id")], "what it tells")
		folder = os.path.join("store", e["folder"])
		check(open(folder + "/screenshot.png", "rb").read(8) == b"\x89PNG\r\n\x1a\n", "the screenshot")
		check("vdisk-verify: booted" in open(folder + "/capture.log").read(), "the log")


@case
def a_capture_that_does_not():
	args = verifier()
	with receiver(*args, "--once") as r:
		send(r, bytes(2 * MIB))
		r.end(sig=None, rc=1, seconds=180)
		eq(["done", "failed"], [r.lines[-1][k] for k in ("state", "verdict")], "what it tells")
		check(r.lines[-1]["message"], "and why")


@case
def work_that_was_broken_off_is_done_anew():
	args = verifier()
	with receiver(*args, "--expect", "nobody says this") as r:
		c = send(r, bootable())
		wait_for("its work runs", lambda: r.view()["captures"][0]["state"] == "running")
		r.end()
		r.args = (*args, "--expect", "guest says hello")
		r.start()
		eq([c.id, "booted"], [worked(r)[k] for k in ("id", "verdict")], "the work of before")
		r.end()


@case
def a_result_beside_the_capture():
	with receiver(*maker(), "--expect", "guest says hello") as r:
		c = send(r, bootable(), host="result")
		e = worked(r)
		eq(["done", "booted", "result"], [e[k] for k in ("state", "verdict", "output")], "what it tells: %r" % e)
		folder = os.path.join("store", e["folder"])
		made = [f for f in os.listdir(folder + "/result") if f.endswith(".vmdk")]
		eq(1, len(made), "images in the result: %r" % os.listdir(folder + "/result"))
		write_file("expected.raw", c.disks["sda"])
		qemu_img("compare", "-f", "raw", "-F", "vmdk", "expected.raw", folder + "/result/" + made[0])
		qemu_img("compare", "-f", "raw", "-F", "qcow2", "expected.raw", folder + "/sda.qcow2")
		status, _, png = Client(r, r.hello["view-key"]).ask("GET", "/v1/captures/%s/screenshot.png" % c.id)
		eq([200, b"\x89PNG"], [status, png[:4]], "the screenshot")
		r.end()


def under_way(r):
	"""The steps of the only capture's work, by their names, once its machine is being booted."""
	def found():
		steps = {s["name"]: s for s in r.view()["captures"][0]["steps"] or []}
		return steps if steps.get("verifying", {}).get("state") == "running" else None
	return wait_for("its machine is booted", found, 180)


@case
def steps_of_the_work():
	with receiver(*maker(), "--expect", "nobody says this") as r:
		c = send(r, bootable(), host="steps")
		steps = under_way(r)
		eq(["converting", "describing", "verifying"], list(steps), "the steps")
		eq([("done", 1), ("done", 1), ("running", 1)], [(s["state"], s["of"]) for s in steps.values()], "how far they are")
		eq((1, None, None), tuple(steps["verifying"][k] for k in ("at", "disk", "total")), "the one that runs")
		v = r.view()["captures"][0]
		eq(("running", "verifying"), (v["state"], v["step"]), "what the capture says")
		log = r.get(c.path(what="/log"), r.hello["view-key"])[1].decode()
		check("{" not in log, "words of progress in the log: %s" % log)
		r.end()


# ---------------------------------------------------------------- the page

@case
def who_has_the_link_sees_the_page():
	with receiver() as r:
		nobody = Client(r, None)
		status, h, b = nobody.ask("GET", "/")
		eq([401, True], [status, b"the receiver printed" in b], "the page without a key")
		eq(401, nobody.ask("GET", "/?key=" + "0" * 32)[0], "with another key")
		link = r.hello["page"].split("/", 3)[3]
		status, h, b = nobody.ask("GET", "/" + link)
		eq([303, "/"], [status, h["Location"]], "with the key: the address without it")
		cookie = h["Set-Cookie"]
		for word in ("Secure", "HttpOnly", "SameSite=Strict"):
			check(word in cookie, "the cookie has no %s: %s" % (word, cookie))
		headers = {"Cookie": "theme=dark; " + cookie.split(";")[0]}
		status, h, b = nobody.ask("GET", "/", headers=headers)
		eq([200, True], [status, b.startswith(b"<!doctype html>")], "the page")
		for name, word in (("Content-Security-Policy", "default-src 'none'"), ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")):
			check(word in (h[name] or ""), "%s: %r" % (name, h[name]))
		check(not re.search(rb"innerHTML|insertAdjacentHTML|document\.write|eval\(", b), "markup is made of what machines say")
		c = send(r, bytes(MIB), host="<b>x</b>")
		o = json.loads(nobody.ask("GET", "/v1/captures", headers=headers)[2])
		eq([c.id, "b-x-b"], [o["captures"][0][k] for k in ("id", "name")], "what the page reads")
		status, h, b = nobody.ask("GET", c.path(what="/log"), headers=headers)
		eq([200, True, True], [status, h["Content-Type"].startswith("text/plain"), b"complete" in b], "the log")
		eq(404, nobody.ask("GET", c.path(what="/screenshot.png"), headers=headers)[0], "no screenshot")
		# Looking is all that it is good for.
		nobody.json("POST", "/v1/captures", machine({"sda": bytes(MIB)}), 401, headers=headers)
		nobody.json("DELETE", c.path(), status=401, headers=headers)
		r.end()


def chromium():
	browser = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
	if not browser:
		skip("there is no Chromium")
	return browser


def dom(browser, r):
	page = r.hello["page"].split("/", 3)[3]
	return ran(browser, "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--user-data-dir=" + os.path.abspath("profile"),
	           "--virtual-time-budget=8000", "--screenshot=" + os.path.abspath("page.png"), "--window-size=1200,900", "--dump-dom",
	           "https://127.0.0.1:%d/%s" % (r.port, page), timeout=180)


def in_a_browser():
	browser = chromium()
	args = verifier()
	with receiver(*args, "--expect", "guest says hello", "--token-uses", "3") as r:
		send(r, bootable(), host="boots")
		worked(r)
		broken = Capture(r, {"sda": rng_for("b").randbytes(4 * MIB), "sdb": bytes(MIB)}, host="<img src=x onerror=alert(1)>", uuid="11111111-2222-3333-4444-555555555555")
		broken.send("sda", {0, 1})
		broken.say_pass("sda", status=409)
		x = dom(browser, r)
		cards = re.findall(r'(?s)<article.*?</article>', x.out)
		eq(2, len(cards), "captures on the page: %.2000s" % x.out)
		text = [html.unescape(re.sub(r"<[^>]*>", " ", c)) for c in cards]
		check('data-verdict="booted"' in cards[1] and " booted" in text[1] and "boots" in text[1], "the verdict: %s" % text[1])
		check("screenshot.png" in cards[1], "the screenshot: %s" % cards[1])
		check("50 %" in text[0] and "sdb" in text[0], "how far it is: %s" % text[0])
		check("onerror" not in re.sub(r"(?s)<script.*</script>", "", x.out) or "<img src=\"x\"" not in x.out, "markup from a host's name")
		check("hidden" in re.search(r'<div id="trouble"[^>]*>', x.out)[0], "no trouble is told")
		r.end()


def steps_in_a_browser():
	browser = chromium()
	with receiver(*maker(), "--expect", "nobody says this", store="steps") as r:
		send(r, bootable(), host="steps")
		under_way(r)
		x = dom(browser, r)
		steps = re.search(r'(?s)<ol class="steps">.*?</ol>', x.out)
		check(steps, "there are no steps: %.2000s" % x.out)
		eq([("done", "converting"), ("done", "describing"), ("running", "booting it")], re.findall(r'<li class="(\w+)">([^<]*)', steps[0]), "steps on the page")
		check("<progress" in steps[0] and "booting it …" in x.out, "what runs: %s" % steps[0])
		r.end()


add("in a browser", in_a_browser if ALL else lambda: skip("VDISK_ALL is not set"))
add("steps in a browser", steps_in_a_browser if ALL else lambda: skip("VDISK_ALL is not set"))

if __name__ == "__main__":
	main()
