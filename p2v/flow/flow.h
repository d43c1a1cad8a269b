/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine from one hypervisor (or from a capture) to another: what is known at the start, what came of it, and the steps between,
 * in their order.
 *
 * Everything is made in DIR.partial, which gets its name when all is whole; what fails leaves nothing, what is killed leaves
 * DIR.partial, and the next run clears that away.  The source is only read.
 */
#ifndef FLOW_H
#define FLOW_H

#include "archive/package.h"
#include "flow/progress.h"
#include "machine/chain.h"

#include <json-c/json.h>

#define ALLOW_MAX   64u
#define KEYS_MAX    16u
#define OPTIONS_MAX 64u
#define DISKS_MAX   16u /* what vdisk-adapt and vdisk-verify take, too */

enum flow_kind { FLOW_MIGRATE, FLOW_P2V };
enum flow_target { TARGET_NONE, TARGET_KVM, TARGET_VMWARE, TARGET_HYPERV, TARGET_XEN, TARGET_VIRTUALBOX };

struct flow_args {
	enum flow_kind kind;
	const char *program; /* "vdisk migrate" */
	const char *source, *out, *name;
	enum flow_target target;
	const struct vdisk_profile *profile; /* NULL: no --for */
	const char *format;  /* NULL: the target's */
	const char *options[OPTIONS_MAX + 1];
	size_t n_options;
	char *pairs[OPTIONS_MAX]; /* what the options are pieces of */
	size_t n_pairs;
	const char *allow[ALLOW_MAX + 1];
	size_t n_allow;
	const char *keys[KEYS_MAX];
	size_t n_keys;
	const char *drivers, *expect, *engine;
	unsigned system, timeout, threads, sector_size; /* sector_size 0: as it is */
	int level;
	bool compress, keep_snapshots, verify, no_adapt, no_check, ova, json, serial, dry_run, findings;
	enum progress_mode progress;
};

struct flow_disk {
	struct machine_disk *d;  /* of the machine that was read */
	size_t index;            /* among the disks that are taken, from 0 */
	char *source;            /* the image's path, or what an archive calls it */
	bool in_archive, is_empty; /* is_empty: it has no file, only a size */
	size_t member;           /* in an archive: its place among those that are wanted of it */
	char *source_format;     /* NULL: by the bytes */
	struct chain chain;      /* of an image that the description keeps account of */
	struct vdisk_keep_name *names; /* of its snapshots that are kept */
	struct chain *branches;  /* names[i]'s images, where they are none of `chain` */
	size_t n_names;
	struct json_object *kept; /* the snapshots that the result has, an array; NULL: none were asked for */
	char *file;              /* what it is called in DIR */
	char *work;              /* its path while it is worked on, in DIR.partial */
	uint64_t source_size, size, file_bytes;
	uint64_t data, zero;     /* bytes of the disk that were stored, that were found to be zeros */
	double seconds;
	char digest[65];
	char manifest[300];      /* its file in DIR */
	char uuid[37], uuid_option[48]; /* VirtualBox's of the image, and the option that gives it to the image; "": none */
	size_t snapshots;        /* that were kept */
	bool layers;             /* as images below the disk's */
};

struct flow_time {
	const char *step;
	double seconds;
};

struct flow {
	const struct flow_args *a;
	struct progress progress;
	const volatile int *cancel;
	vdisk_error *err;

	/* the source */
	struct machine *m;
	struct package *package;  /* NULL: the disks are files */
	char *folder;             /* the description's, beside which disks may lie */
	struct locate where;      /* it is the folder there */
	char *description;        /* its path */
	const char *kind;         /* "ova", "vmx", "capture" */
	bool is_ovf;
	struct flow_disk disks[DISKS_MAX];
	size_t n_disks, n_members; /* of the archive */

	/* the result */
	char *name;               /* files begin with it */
	char *partial, *out;      /* absolute */
	int partial_fd, lock_fd;
	const char *format;
	const struct vdisk_profile_form *form; /* of the profile; NULL: there is none */
	const char *options[OPTIONS_MAX + VDISK_PROFILE_OPTIONS_MAX + 1]; /* what was said, and what the profile adds */
	size_t n_options;
	char subformat[48];
	char *target_file;        /* the description's name in DIR */
	struct machine_lost_list lost;
	char *remarks[256];
	size_t n_remarks;
	struct json_object *adapted, *verified; /* what the programs said; NULL: they were not asked */
	bool windows, virtio;
	bool has_screenshot;
	char *verify_trouble;     /* why it could not be verified; NULL */
	const char *verdict;      /* "booted", "failed", "timed-out", "not-verified" */
	struct flow_time times[32];
	size_t n_times;
	double seconds;
};

/* All of these return 0, or -1 with the error. */

/* source.c: reads the description and finds the disks. */
int flow_source(struct flow *f, vdisk_error *err);
void flow_source_close(struct flow *f);
/* disk.c: one of them, for reading; close by package_disk_close(). */
int flow_disk_open(struct flow *f, struct flow_disk *d, struct package_image *out, vdisk_error *err);

/* snapshots.c: those that the description keeps account of; what of them is not kept is listed. */
int flow_snapshots(struct flow *f, vdisk_error *err);

/* name.c: what the machine is called, and its files. */
int flow_name(struct flow *f, vdisk_error *err);

/* out.c */
int flow_out_begin(struct flow *f, vdisk_error *err);
int flow_out_commit(struct flow *f, vdisk_error *err);
void flow_out_abort(struct flow *f);
char *flow_file(const struct flow *f, const char *name); /* its path in DIR.partial; NULL: no memory */
int flow_write(struct flow *f, const char *name, const void *bytes, size_t len, vdisk_error *err);

/* convert.c, ova.c, adapt.c, verify.c, describe.c, report.c, page.c */
/* judge.c: what no disk has to be opened for, and the files' names; then the rest. */
int flow_judge_words(struct flow *f, vdisk_error *err);
int flow_judge(struct flow *f, vdisk_error *err);
#define FLOW_OPTIONS_MAX (OPTIONS_MAX + VDISK_PROFILE_OPTIONS_MAX + 3)
/* Options of the image that a disk becomes, or is worked on as, NULL-terminated, in `out`; and that image's format. */
const char *const *flow_disk_options(const struct flow *f, const struct flow_disk *d, const char *out[FLOW_OPTIONS_MAX]);
const char *flow_work_format(const struct flow *f);
const char *flow_disk_label(const struct flow_disk *d);
/* The UUID of an image of this format, as VirtualBox reads what vdisk calls `in`, and the other way round. */
void flow_uuid_swap(const char *format, const char *in, char out[37]);

int flow_convert(struct flow *f, vdisk_error *err);
int flow_adapt(struct flow *f, vdisk_error *err);
int flow_adapt_judge(const struct flow *f, vdisk_error *err); /* is what it takes there? */
int flow_manifests(struct flow *f, vdisk_error *err);
int flow_describe(struct flow *f, vdisk_error *err);
/* registry.c: from here on the model's account of images and snapshots is of the result's, where the target keeps one. */
int flow_registry(struct flow *f, enum describe_kind kind, vdisk_error *err);
/* convert.c: the snapshots are layers that the target's own list does not show. */
void flow_layers_note(struct flow *f);
/* A rehearsal: what the target's description cannot say is heard before anything takes long. */
int flow_describe_judge(struct flow *f, vdisk_error *err);
/* The machine's disks are the result's from now on; whole: named by their whole paths. */
int flow_disks_rename(struct flow *f, bool whole, vdisk_error *err);
int flow_ova(struct flow *f, vdisk_error *err);
int flow_verify(struct flow *f, vdisk_error *err);
struct json_object *flow_report(const struct flow *f);
/* lint.c: as JSON on standard output; flow_lint_fail(): the error there, too. */
int flow_lint(struct flow *f, vdisk_error *err);
int flow_lint_fail(const vdisk_error *err);
const char *flow_cause(const struct flow *f); /* of the verdict; NULL: nobody asked */
int flow_page(struct flow *f, vdisk_error *err);
/* next.c: what the profile's importer would not take or boot becomes a remark. */
int flow_lint_result(struct flow *f, vdisk_error *err);
/* How the result is imported, one line, in its folder; owned.  NULL: nothing is known, or no memory. */
char *flow_next(const struct flow *f);

/* target.c */
const char *flow_target_name(enum flow_target t);
const char *flow_target_title(enum flow_target t); /* "Hyper-V" */
enum flow_target flow_target_parse(const char *text);
const char *flow_target_format(const struct flow *f);
/* Whether its machines can show logical sectors of n bytes of such images. */
bool flow_target_sectors(const struct flow *f, unsigned n);
enum describe_kind flow_target_description(enum flow_target t, const char **suffix);
/* Makes the machine's disks and cards what the target has for it. */
void flow_target_fit(const struct flow *f, struct describe_write *how);
/* The bus that vdisk-verify is to have; NULL: its own.  *qemu: which its own engine has not. */
const char *flow_target_bus(const struct flow *f, bool *qemu);

void flow_note(struct flow *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
void flow_time(struct flow *f, const char *step, double seconds);
double flow_now(void);
/* Whether the disks are made as images of their own before the OVA is written. */
bool flow_works(const struct flow *f);
/* The disks in the order in which the machine would boot from them. */
void flow_boot_order(const struct flow *f, const struct flow_disk *order[DISKS_MAX]);

/* profile.c */
enum flow_target flow_profile_target(const struct vdisk_profile *p);
/* Fills in format, form and options, when the machine is known. */
int flow_format_choose(struct flow *f, vdisk_error *err);
/* The size that a disk gets. */
int flow_size(struct flow *f, const char *disk, uint64_t size, uint64_t *made, vdisk_error *err);

/* options.c: 1: done, nothing to do; -1: said. */
int flow_args_parse(struct flow_args *a, enum flow_kind kind, int argc, char **argv);
void flow_args_free(struct flow_args *a);
int flow_main(enum flow_kind kind, int argc, char **argv);

#endif
