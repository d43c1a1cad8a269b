# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests made of this machine's kernel package: roots with some of its modules, and initramfs in the likeness of what distributions make."""
import glob, os, re, shutil
from vdtest import *

MODULES = ["ahci", "ata_piix", "ata_generic", "sd_mod", "sr_mod", "ext4", "virtio_blk", "virtio_scsi", "virtio_pci", "virtio_net", "virtio_console",
           "nvme", "e1000", "e1000e", "8139cp", "vmw_pvscsi", "mptspi", "mptsas", "vmxnet3", "pcnet32", "hv_vmbus", "hv_storvsc", "hv_netvsc", "tulip",
           "hyperv_keyboard", "xen_blkfront", "xen_scsifront", "xen_netfront"]
PACKERS = {"gzip": ["gzip", "-nc"], "xz": ["xz", "--check=crc32", "-0c"], "zstd": ["zstd", "-qc"], "lz4": ["lz4", "-qlc"], "lzma": ["lzma", "-0c"],
           "bzip2": ["bzip2", "-1c"], "plain": ["cat"]}
UNPACKERS = {b"\x1f\x8b": "gzip", b"\xfd7": "xz", b"\x28\xb5": "zstd", b"\x02\x21": "lz4", b"\x5d\x00": "lzma", b"BZ": "bzip2", b"07": "plain"}


def release():
	found = [r for r in sorted(os.listdir("/lib/modules")) if "cloud" not in r and os.path.exists("/lib/modules/%s/modules.dep" % r) and
	         os.path.exists("/boot/vmlinuz-" + r)] if os.path.isdir("/lib/modules") else []
	if not found:
		skip("no kernel package (linux-image-amd64) is installed")
	return found[-1]


def unpacked(data):
	name = UNPACKERS.get(data[:2]) or fail("neither an archive nor a packed one: %r" % data[:8])
	need(PACKERS[name][0])
	return data if name == "plain" else ran(PACKERS[name][0], "-dc", *(["--format=lzma"] if name == "lzma" else []), stdin=data, timeout=600).raw


def extract(cpio, folder):
	os.makedirs(folder, exist_ok=True)
	r = run("cpio", "-idmu", "--quiet", "--no-absolute-filenames", stdin=cpio, cwd=folder)
	check(r.rc == 0 or "mknod" in r.err, r.show()) # devices take root


def archive(folder):
	"""A folder as newc, links kept."""
	names = []
	for base, folders, files in os.walk(folder):
		names += [os.path.relpath(os.path.join(base, n), folder) for n in sorted(folders + files)]
	return ran("cpio", "-o", "-H", "newc", "--quiet", "-0", "-R", "0:0", stdin=b"\0".join(n.encode() for n in sorted(names)) + b"\0", cwd=folder).raw


def pack(name, data):
	need(PACKERS[name][0])
	return ran(*PACKERS[name], stdin=data, timeout=600).raw


def read(path):
	with open(path, "rb") as f:
		return f.read()


def kernel_files(rel, names):
	"""The files of modules and of all that they need, as modprobe says."""
	r = run("modprobe", "-S", rel, "-D", "-a", *names)
	return sorted(set(re.findall(r"^insmod (\S+)", r.out, re.M)))


def guest(rel, names=MODULES, suffix="", usr=True, root="root"):
	"""A guest's root with a kernel of those modules only, below /usr/lib or /lib."""
	os.makedirs(root + "/boot")
	os.makedirs(root + "/etc")
	os.makedirs(root + ("/usr/lib" if usr else "/lib"))
	if usr:
		os.symlink("usr/lib", root + "/lib")
	write_file(root + "/etc/os-release", b"ID=debian\nVERSION_ID=12\n")
	base = os.path.realpath("/lib/modules/" + rel)
	for path in kernel_files(rel, names):
		to = "%s/lib/modules/%s/%s" % (root, rel, os.path.relpath(os.path.realpath(path), base))
		os.makedirs(os.path.dirname(to), exist_ok=True)
		shutil.copy(path, to)
	for name in ("modules.builtin", "modules.order", "modules.builtin.modinfo"):
		shutil.copy("%s/%s" % (base, name), "%s/lib/modules/%s/%s" % (root, rel, name))
	shutil.copy("/boot/config-" + rel, root + "/boot/")
	os.symlink("vmlinuz", root + "/boot/vmlinuz-" + rel) # of no matter here
	write_file(root + "/boot/vmlinuz", b"")
	ran("depmod", "-b", root, rel)
	if suffix: # Debian's depmod knows no .gz
		for path in glob.glob("%s/lib/modules/%s/kernel/**/*.ko" % (root, rel), recursive=True):
			ran(*{".xz": ["xz", "--check=crc32", "-0"], ".zst": ["zstd", "-q", "--rm"], ".gz": ["gzip"]}[suffix], path)
		dep = "%s/lib/modules/%s/modules.dep" % (root, rel)
		write_file(dep, read(dep).replace(b".ko", b".ko" + suffix.encode()))
	return root + "/boot/initrd.img-" + rel


def write_file(path, data):
	os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
	with open(path, "wb") as f:
		f.write(data)


def likeness(rel, files, names=("ahci", "sd_mod", "ext4"), flat=False, suffix="", usr=True, texts=True, early=b"", packing="zstd", folder="i"):
	"""An initramfs with these files and modules of the guest's kernel."""
	for name, content in files.items():
		write_file(folder + "/" + name, content)
	os.makedirs(folder + ("/usr/lib" if usr else "/lib"), exist_ok=True)
	if usr:
		os.symlink("usr/lib", folder + "/lib")
	for path in kernel_files(rel, names):
		inside = os.path.relpath(os.path.realpath(path), os.path.realpath("/lib/modules/" + rel))
		to = "%s/lib/modules/%s/%s" % (folder, rel, "kernel/" + os.path.basename(inside) if flat else inside)
		os.makedirs(os.path.dirname(to), exist_ok=True)
		shutil.copy(path, to)
		if suffix:
			ran(*{".xz": ["xz", "--check=crc32", "-0"], ".zst": ["zstd", "-q", "--rm"]}[suffix], to)
	shutil.copy("/lib/modules/%s/modules.builtin" % rel, "%s/lib/modules/%s/modules.builtin" % (folder, rel))
	ran("depmod", "-b", folder, rel)
	for name in ("dep", "alias", "symbols", "builtin") if not texts else ():
		os.unlink("%s/lib/modules/%s/modules.%s" % (folder, rel, name))
	return early + pack(packing, archive(folder))


def loads(folder, rel, *names):
	"""modprobe finds each, with files that are there."""
	for name in names:
		r = ran("modprobe", "-d", os.path.abspath(folder), "-S", rel, "-D", name)
		check(re.search(r"^insmod ", r.out, re.M), "%s loads nothing: %s" % (name, r.show()))
		for path in re.findall(r"^insmod (\S+)", r.out, re.M):
			check(os.path.exists(path), "%s wants %s, which is not there" % (name, path))
