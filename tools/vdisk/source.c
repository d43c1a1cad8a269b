/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "source.h"
#include "output.h"
#include "progress.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT(member) .field = offsetof(struct source_args, member)
const struct opt source_options[] = {
	{ .letter = 'f', .name = "format", .kind = OPT_TEXT, AT(format), .arg = "FMT", .domain = DOMAIN_FORMAT,
	  .help = "format of the image that is read; without it, its bytes tell" },
	{ .name = "open-opt", .kind = OPT_PAIRS, AT(open_opts), .arg = "K=V",
	  .help = "option for opening it (\"vdisk help formats\" lists them)" },
	{ .name = "vhd-size", .kind = OPT_CHOICE, AT(vhd_size), .arg = "WHICH", .choices = "current|chs",
	  .help = "which size field of a VHD holds; as --open-opt vhd-size=WHICH" },
	{ .name = "key-file", .kind = OPT_TEXT, AT(key_file), .arg = "FILE", .domain = DOMAIN_FILE,
	  .help = "file with the passphrase of an encrypted image; as --open-opt key-file=FILE" },
	{ .name = "allow-parent", .kind = OPT_LIST, AT(allow_dirs), .arg = "DIR", .domain = DOMAIN_FOLDER,
	  .help = "parents and extents may lie below DIR too, not only in the image's folder; repeatable" },
	{ .name = "parent", .kind = OPT_LIST, AT(parents), .arg = "OLD=NEW[,format=FMT]",
	  .help = "open NEW where an image names its parent OLD, as FMT where it declares none; repeatable" },
	{ .name = "header-file", .kind = OPT_TEXT, AT(remote.header_file), .arg = "FILE", .domain = DOMAIN_FILE,
	  .help = "of an image on a web server: headers to send with each request (\"Name: value\", one a line), as a cookie" },
	{ .name = "netrc-file", .kind = OPT_TEXT, AT(remote.netrc_file), .arg = "FILE", .domain = DOMAIN_FILE,
	  .help = "of an image on a web server: user names and passwords, as in ~/.netrc" },
	{ .name = "cacert", .kind = OPT_TEXT, AT(remote.cacert), .arg = "FILE", .domain = DOMAIN_FILE,
	  .help = "of an image on a web server: certificates to trust, instead of the system's" },
	{ .letter = 'U', .name = "force-share", .kind = OPT_FLAG, AT(share),
	  .help = "read although another program writes; what is read may be inconsistent" },
	{ 0 },
};
#undef AT

const struct opt content_options[] = {
	{ .name = "snapshot", .kind = OPT_TEXT, .field = offsetof(struct content_args, snapshot), .arg = "NAME",
	  .help = "read this internal snapshot, by its id or name; as --open-opt snapshot=NAME" },
	{ .name = "salvage", .kind = OPT_FLAG, .field = offsetof(struct content_args, salvage),
	  .help = "go on over damage: what is lost reads as zeros and is listed" },
	{ 0 },
};

const struct opt change_options[] = {
	{ .name = "force", .kind = OPT_FLAG, .field = offsetof(struct change_args, force),
	  .help = "change it although it is marked as the parent of others, or as corrupt" },
	{ .name = "keep-id", .kind = OPT_FLAG, .field = offsetof(struct change_args, keep_id),
	  .help = "do not renew the identity that children check (VMDK: the CID)" },
	{ 0 },
};

bool path_is_url(const char *path)
{
	return !strncasecmp(path, "http://", 7) || !strncasecmp(path, "https://", 8);
}

bool path_is_export(const char *path)
{
	return !strncasecmp(path, "nbd://", 6) || !strncasecmp(path, "nbds://", 7) || !strncasecmp(path, "nbd+unix://", 11) ||
	       !strncasecmp(path, "nbds+unix://", 12);
}

const struct vdisk_format_info *format_by_suffix(const char *path)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
	const struct vdisk_format_info *f;
	if (path_is_export(path))
		return vdisk_format_find("raw");
	for (size_t i = 0; dot && (f = vdisk_format_get(i)); i++)
		for (const char *const *s = f->suffixes; s && *s; s++)
			if (!strcasecmp(*s, dot + 1))
				return f;
	return NULL;
}

/* A raw disk on standard input has no size of its own, unless it is a file there. */
static void stream_size_add(const struct source_args *s, struct opt_list *opts)
{
	const struct vdisk_format_info *f = s->format ? vdisk_format_find(s->format) : NULL;
	struct stat st;
	off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	if (!f || strcmp(f->name, "raw") || at < 0 || fstat(STDIN_FILENO, &st) || !S_ISREG(st.st_mode) || st.st_size < at)
		return;
	for (size_t i = 0; i < opts->n; i++)
		if (!strncmp(opts->v[i], "size=", 5))
			return;
	char text[32];
	snprintf(text, sizeof(text), "%lld", (long long)(st.st_size - at));
	opt_list_add_pair(opts, "size", text);
}

int source_judge(const char *path, const struct source_args *s)
{
	if (!strcmp(path, "-"))
		return fail_usage("standard input will not do here: an image with a name is wanted");
	if (s->format && !vdisk_format_find(s->format))
		return fail_usage("there is no format \"%s\"", s->format);
	for (size_t i = 0; i < s->parents.n; i++)
		if (!strchr(s->parents.v[i], '='))
			return fail_usage("--parent: \"%s\" is not OLD=NEW", s->parents.v[i]);
	return 0;
}

void source_options_collect(const struct source_args *s, struct opt_list *opts)
{
	opt_list_copy(opts, &s->open_opts);
	if (s->vhd_size)
		opt_list_add_pair(opts, "vhd-size", s->vhd_size);
	if (s->key_file)
		opt_list_add_pair(opts, "key-file", s->key_file);
}

int source_open(const char *path, const struct source_args *s, const struct content_args *content, uint32_t flags, bool stream,
                vdisk_image **out)
{
	bool is_stream = !strcmp(path, "-");
	if (is_stream && stream && isatty(STDIN_FILENO))
		return fail("standard input is a terminal, not an image");
	if (source_judge(is_stream && stream ? "" : path, s))
		return EXIT_TROUBLE;

	struct opt_list opts = { 0 };
	source_options_collect(s, &opts);
	if (content && content->snapshot)
		opt_list_add_pair(&opts, "snapshot", content->snapshot);
	if (is_stream)
		stream_size_add(s, &opts);
	struct vdisk_open_options o = {
		.format = s->format,
		.flags = flags | (s->share ? VDISK_OPEN_NO_LOCK : 0) | (content && content->salvage ? VDISK_OPEN_SALVAGE : 0) |
		         (is_stream ? VDISK_OPEN_STREAM : 0),
		.options = opts.v,
		.allow_dirs = s->allow_dirs.v,
		.parent_map = s->parents.v,
		.remote = &s->remote,
		.cancel = cancel_asked(),
		.log = output_log,
	};
	vdisk_error err = { 0 };
	int r = vdisk_open(path, &o, out, &err);
	opt_list_free(&opts);
	return r ? fail_vdisk(&err) : 0;
}

void source_close(vdisk_image *img)
{
	vdisk_error err = { 0 };
	if (vdisk_close(img, &err))
		warn("%s", err.message);
}

uint32_t change_flags(const struct change_args *c)
{
	return VDISK_OPEN_RW | (c->force ? VDISK_OPEN_FORCE : 0) | (c->keep_id ? VDISK_OPEN_KEEP_ID : 0);
}
