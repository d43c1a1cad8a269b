/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plain reading; what is in the files is judged by others. */
#include "kernelfile.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

int kernelfile_open(struct kernelfile *f, const char *path, int fd, vdisk_error *err)
{
	struct stat st;

	f->path = path;
	f->fd = fd;
	if (fstat(fd, &st))
		return fail_errno(err, "%s", path);
	if (!S_ISREG(st.st_mode))
		return fail(err, VDISK_INVALID, "%s: not a file", path);
	f->size = (uint64_t)st.st_size;
	return 0;
}

int kernelfile_read(const struct kernelfile *f, uint64_t off, void *buf, uint64_t len, vdisk_error *err)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = pread(f->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(err, "%s", f->path);
		if (n == 0)
			return fail(err, VDISK_CORRUPT, "%s: ends at %" PRIu64, f->path, off);
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

int kernelfile_load(const struct kernelfile *f, uint64_t off, const struct vm *vm, uint64_t addr, vdisk_error *err)
{
	void *p = vm_ptr(vm, addr, f->size - off);

	if (!p)
		return fail(err, VDISK_INVALID, "%s: %" PRIu64 " bytes do not fit into memory at %#" PRIx64, f->path, f->size - off,
		            addr);
	return kernelfile_read(f, off, p, f->size - off, err);
}

int kernelfile_initrd(struct machine *m, uint64_t floor, uint64_t end, uint64_t *at, uint64_t *size, vdisk_error *err)
{
	struct kernelfile f;

	if (kernelfile_open(&f, m->config->initrd, m->config->fds[FILE_INITRD], err))
		return -1;
	if (end > m->vm.low_bytes)
		end = m->vm.low_bytes;
	if (f.size > end || (*at = (end - f.size) & ~0xfffull) < floor)
		return fail(err, VDISK_INVALID, "%s: %" PRIu64 " bytes do not fit into %" PRIu64 " MiB of memory beside the kernel",
		            f.path, f.size, m->config->mem_bytes >> 20);
	*size = f.size;
	return kernelfile_load(&f, 0, &m->vm, *at, err);
}
