# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests share that kill vdisk at a random moment: every file of the folder as it was, again and again."""
from vdtest import *

ASIDE = (".got", ".due") # what a judgement leaves


def files():
	return [n for n in os.listdir(".") if os.path.isfile(n) and n not in ASIDE]


def keep_all():
	"""With permissions, attributes and time stamps."""
	os.mkdir("kept")
	ran("cp", "--preserve=all", "--sparse=always", "-t", "kept", "--", *files())


def put_back():
	for n in files():
		os.unlink(n)
	ran("cp", "--preserve=all", "--sparse=always", "-t", ".", "--", *(os.path.join("kept", n) for n in os.listdir("kept")))


def killed(words, rng, longest):
	"""Starts vdisk and kills it; true if it had ended by itself."""
	p = subprocess.Popen([VDISK, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
	try:
		p.wait(timeout=rng.random() * longest)
	except subprocess.TimeoutExpired:
		p.kill()
	_, err = p.communicate()
	check(p.returncode in (0, -signal.SIGKILL), "vdisk %s: exit status %d: %r" % (" ".join(words), p.returncode, err))
	return p.returncode == 0


def kill_rounds(words, rng, rounds):
	"""Yields 0 after an undisturbed run; then the round's number, each time after a run from the same state that was killed, or not soon enough."""
	keep_all()
	begin = time.monotonic()
	vdisk(*words)
	longest = (time.monotonic() - begin) * 1.1
	yield 0
	ended = 0
	for n in range(1, rounds + 1):
		put_back()
		ended += killed(words, rng, longest)
		yield n
	print("    %d of %d were killed before the end, of some %.0f ms" % (rounds - ended, rounds, longest * 1000))
