/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening and closing; nothing is read here. */
#include "files.h"
#include "machine.h"

#include <fcntl.h>
#include <unistd.h>

int files_open(struct machine_config *config, vdisk_error *err)
{
	const struct {
		enum file_id id;
		const char *path, *what;
		int flags;
	} wanted[] = {
		{ FILE_KVM, "/dev/kvm", "", O_RDWR },
		{ FILE_KERNEL, config->kernel, "", O_RDONLY },
		{ FILE_INITRD, config->initrd, "", O_RDONLY },
		{ FILE_BIOS, config->bios, "firmware ", O_RDONLY },
		{ FILE_VIDEO_BIOS, config->video_bios, "video BIOS ", O_RDONLY },
		{ FILE_DEBUG_LOG, config->debug_log, "", O_WRONLY | O_CREAT | O_APPEND },
	};

	for (unsigned i = 0; i < FILES; i++)
		config->fds[i] = -1;
	config->opened = true;
	for (unsigned i = 0; i < FILES; i++) {
		if (!wanted[i].path)
			continue;
		config->fds[wanted[i].id] = open(wanted[i].path, wanted[i].flags | O_CLOEXEC, 0666);
		if (config->fds[wanted[i].id] < 0)
			return fail_errno(err, "%s%s", wanted[i].what, wanted[i].path);
	}
	return 0;
}

void files_close(struct machine_config *config)
{
	for (unsigned i = 0; config->opened && i < FILES; i++)
		if (config->fds[i] >= 0)
			close(config->fds[i]);
	config->opened = false;
}
