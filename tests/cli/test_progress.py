#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Progress: a bar on a terminal, lines or JSON elsewhere when asked for, silence otherwise; and stopping by a signal."""
import json, os, pty, re, select, signal, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *


def disk(size=24 * MIB):
	with open("disk.raw", "wb") as f:
		f.write(rng_for("progress").randbytes(size))
		f.truncate(2 * size)
	return "disk.raw"


def on_terminal(*args, term="xterm"):
	"""Runs with standard error on a terminal: (exit status, what it showed, standard output)."""
	master, slave = pty.openpty()
	p = subprocess.Popen([VDISK, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave, env=dict(os.environ, TERM=term))
	os.close(slave)
	shown = b""
	while True:
		try:
			block = os.read(master, 65536)
		except OSError:
			break
		if not block:
			break
		shown += block
	os.close(master)
	out = p.stdout.read()
	return p.wait(60), shown.decode(), out.decode()


@case
def silence_where_nobody_watches():
	disk()
	r = vdisk("convert", "disk.raw", "a.qcow2")
	eq(("", ""), (r.out, r.err), "what convert says on pipes")


@case
def bar_on_a_terminal():
	disk()
	for words in (["convert", "disk.raw", "a.qcow2"], ["compare", "disk.raw", "a.qcow2"], ["digest", "disk.raw"], ["digest", "--sha256", "disk.raw"]):
		rc, shown, out = on_terminal(*words)
		eq(0, rc, "exit status of %s: %s" % (words, shown))
		check("\r" in shown and re.search(r"100\.0 %.*ETA.*zeros", shown), "%s shows a bar to its end: %r" % (words[0], shown))
		check("\r" not in out and "%" not in out, "standard output of %s: %r" % (words[0], out))
		rc, shown, _ = on_terminal(*words, "-q", "--force") if words[0] == "convert" else on_terminal(*words, "-q")
		eq((0, ""), (rc, shown), "%s -q" % words[0])
	rc, shown, _ = on_terminal("convert", "--force", "--progress", "none", "disk.raw", "a.qcow2")
	eq((0, ""), (rc, shown), "--progress none")
	rc, shown, _ = on_terminal("convert", "--force", "disk.raw", "a.qcow2", term="dumb")
	eq((0, ""), (rc, shown), "on a dumb terminal")


@case
def lines_where_asked_for():
	disk()
	r = vdisk("convert", "-p", "disk.raw", "a.qcow2")
	check(re.search(r"^converting: 100 %", r.err, re.M), "-p on a pipe: %r" % r.err)
	check("\r" not in r.err and len(r.err.splitlines()) <= 10, "-p on a pipe: %r" % r.err)


@case
def json_lines():
	disk()
	for words in (["convert", "disk.raw", "a.qcow2"], ["compare", "disk.raw", "a.qcow2"], ["digest", "disk.raw"]):
		r = vdisk(*words, "--progress", "json")
		events = [json.loads(line) for line in r.err.splitlines()]
		check(events, "%s tells nothing" % words[0])
		before = 0
		for e in events:
			eq({"schema-version", "command", "event", "done", "total", "zero", "copied", "bytes-per-second", "seconds-left", "phase"}, set(e), "members")
			check(before <= e["done"] <= e["total"], "progress goes forward: %r" % e)
			before = e["done"]
			eq({"convert": "converting", "compare": "comparing", "digest": "reading"}[words[0]], e["phase"], "phase")
		eq((events[-1]["total"], 0), (events[-1]["done"], events[-1]["seconds-left"]), "at the end")


@case
def verifying_is_told():
	disk()
	r = vdisk("convert", "--verify", "disk.raw", "a.qcow2", "--progress", "json")
	events = [json.loads(line) for line in r.err.splitlines()]
	phases = [e["phase"] for e in events]
	check(phases == sorted(phases) and set(phases) == {"converting", "verifying"}, "one after the other: %r" % phases)
	for phase in ("converting", "verifying"):
		last = [e for e in events if e["phase"] == phase][-1]
		eq(last["total"], last["done"], "%s comes to its end" % phase)
	rc, shown, _ = on_terminal("convert", "--force", "--verify", "disk.raw", "a.qcow2")
	check(rc == 0 and re.search(r"verify 100\.0 %.*ETA", shown), "the bar tells, too: %r" % shown)


def stopped(command, number, times=1):
	"""The first signal stops it cleanly: exit status 2, one line, nothing left.  Several at once are one: timeout(1) sends it to the process and to its group."""
	disk(64 * MIB)
	if command == "digest": # hashed as zeros, for a minute
		os.truncate("disk.raw", 100 * GIB)
	dst = ["out.qcow2"] if command == "convert" else []
	words = {"convert": ["convert", "-c", "--level", "12", "-j", "1"], "digest": ["digest", "--sha256"]}[command]
	p = subprocess.Popen([VDISK, *words, "--progress", "json", "disk.raw", *dst], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
	check(p.stderr.readline().startswith(b"{"), "it is at work")
	for _ in range(times):
		p.send_signal(number)
	begin = time.monotonic()
	try:
		out, err = p.communicate(timeout=60)
	except subprocess.TimeoutExpired:
		p.kill()
		fail("the signal does not stop it")
	eq((2, b""), (p.returncode, out), "exit status and stdout; stderr: %r" % err)
	said, _, again = err.decode().splitlines()[-1].partition("; to go on: ")
	eq("vdisk: %s: interrupted" % command, said, "the last line on stderr")
	check(time.monotonic() - begin < 30, "stopped at once, and not a minute later")
	if again: # a conversion that had got as far as its first record
		eq(("convert", False), (command, os.path.exists("out.qcow2")), "the command; whether the destination has its name")
	else:
		eq(["disk.raw"], os.listdir("."), "what is left")


for command in ("convert", "digest"):
	for name in ("SIGINT", "SIGTERM", "SIGHUP"):
		add("%s stops %s" % (name, command), stopped, command, getattr(signal, name))
	add("three SIGINT stop %s" % command, stopped, command, signal.SIGINT, 3)

@case
def signal_stops_create():
	p = subprocess.Popen([VDISK, "create", "-o", "preallocation=full", "a.raw", "20G"], stderr=subprocess.PIPE)
	while not os.listdir("."):
		time.sleep(0.01)
	p.send_signal(signal.SIGINT)
	try:
		_, err = p.communicate(timeout=60)
	except subprocess.TimeoutExpired:
		p.kill()
		fail("the signal does not stop it")
	eq((2, "vdisk: create: interrupted\n", []), (p.returncode, err.decode(), os.listdir(".")), "exit status, stderr, what is left")


main()
