/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "main_options.h"

#include "common/option.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"usage: vdisk capture --to https://HOST[:PORT]/|DIR|IMG [--token TEXT] [--fingerprint HEX] [OPTIONS] DEV ...|all\n"
	"       vdisk capture --list [--json]\n"
	"\n"
	"Sends this machine's disks, and a description of it, to a receiver (\"vdisk receive\"), or keeps them in a folder or an image.\n"
	"DEV is a whole disk (/dev/sda or sda) or a file that holds one; \"all\" are those of the machine, without loop devices and the like.\n"
	"\n"
	"      --to WHERE           a receiver's URL, a folder, or an image to be made (one disk)\n"
	"      --token TEXT         the token that the receiver printed\n"
	"      --token-file FILE    the same from a file's first line\n"
	"      --fingerprint HEX    the fingerprint that it printed: no other receiver is talked to\n"
	"      --cacert FILE        authorities that the receiver's certificate may come from (default: the system's)\n"
	"      --cert FILE          a certificate to show to the receiver\n"
	"      --key FILE           its key\n"
	"      --resume             go on with what was broken off, if something was\n"
	"      --resync             send what has changed, and leave the capture open for another time; without it, it is complete then\n"
	"      --passes N           so many times through the disks, the last one frozen where possible (default: 2 where file systems are\n"
	"                           mounted for writing, else 1)\n"
	"      --everything         blocks that file systems call free, too\n"
	"      --freeze             freeze the root file system for the last pass, too\n"
	"      --no-freeze          freeze none\n"
	"      --no-snapshot        make no LVM snapshots of mounted volumes, but freeze them like others\n"
	"      --freeze-seconds N   thaw after so many seconds in any case (default: 300)\n"
	"      --retries N          tries of a sector that cannot be read (default: 3)\n"
	"  -O, --output-format FMT  format of the images in a folder (default: qcow2)\n"
	"      --force              replace an image that exists\n"
	"  -j, --jobs N             so many workers, each with a connection (default: two for each processor, from 2 to 8)\n"
	"      --level N            how hard to pack with zstd, 1 to 19; 0: not at all (default: 1)\n"
	"      --limit-rate SIZE    send no more bytes a second (suffixes K M G)\n"
	"      --give-up SECONDS    try so long to reach the receiver again (default: 600; at the very beginning 20)\n"
	"      --state FILE         where to keep what --resume takes without a token\n"
	"      --machine-out FILE   leave the machine's description there, too (\"-\": print it)\n"
	"  -l, --list               list the machine's disks and do nothing\n"
	"      --json               print the report, or the list, as JSON\n"
	"  -p                       as --progress bar\n"
	"      --progress MODE      on standard error: auto (a bar on a terminal), bar, json (JSON lines) or none\n"
	"  -q, --quiet              no warnings\n"
	"  -v, --verbose            say more\n"
	"  -h, --help               this text\n";

enum {
	OPT_TO = 256, OPT_TOKEN, OPT_TOKEN_FILE, OPT_FINGERPRINT, OPT_CACERT, OPT_CERT, OPT_KEY, OPT_RESUME, OPT_RESYNC, OPT_PASSES,
	OPT_EVERYTHING, OPT_FREEZE, OPT_NO_FREEZE, OPT_NO_SNAPSHOT, OPT_FREEZE_SECONDS, OPT_RETRIES, OPT_FORCE, OPT_LEVEL,
	OPT_LIMIT, OPT_GIVE_UP, OPT_STATE, OPT_MACHINE, OPT_JSON, OPT_PROGRESS
};

static const struct option longopts[] = {
	{ "to", required_argument, NULL, OPT_TO },
	{ "token", required_argument, NULL, OPT_TOKEN },
	{ "token-file", required_argument, NULL, OPT_TOKEN_FILE },
	{ "fingerprint", required_argument, NULL, OPT_FINGERPRINT },
	{ "cacert", required_argument, NULL, OPT_CACERT },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "resume", no_argument, NULL, OPT_RESUME },
	{ "resync", no_argument, NULL, OPT_RESYNC },
	{ "passes", required_argument, NULL, OPT_PASSES },
	{ "everything", no_argument, NULL, OPT_EVERYTHING },
	{ "freeze", no_argument, NULL, OPT_FREEZE },
	{ "no-freeze", no_argument, NULL, OPT_NO_FREEZE },
	{ "no-snapshot", no_argument, NULL, OPT_NO_SNAPSHOT },
	{ "freeze-seconds", required_argument, NULL, OPT_FREEZE_SECONDS },
	{ "retries", required_argument, NULL, OPT_RETRIES },
	{ "output-format", required_argument, NULL, 'O' },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "jobs", required_argument, NULL, 'j' },
	{ "level", required_argument, NULL, OPT_LEVEL },
	{ "limit-rate", required_argument, NULL, OPT_LIMIT },
	{ "give-up", required_argument, NULL, OPT_GIVE_UP },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "machine-out", required_argument, NULL, OPT_MACHINE },
	{ "list", no_argument, NULL, 'l' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "progress", required_argument, NULL, OPT_PROGRESS },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int bad(const char *what, const char *value) { return option_bad(PROGRAM, what, value); }

static int text(const char *name, const char **out) { return option_text(PROGRAM, name, optarg, out); }
static int path(const char *name, const char **out) { return option_path(PROGRAM, name, optarg, out); }

static int number(const char *name, unsigned long max, unsigned *out) { return option_number(PROGRAM, name, optarg, max, out); }

static int token_check(const char *token)
{
	if (!*token)
		return bad("the token is empty", NULL);
	for (const char *p = token; *p; p++)
		if (*p <= ' ' || *p > '~')
			return bad("the token holds what no token can: a blank, a control character or an umlaut", NULL);
	return 0;
}

static int token_take(struct options *o, const char *value)
{
	if ((size_t)snprintf(o->token, sizeof(o->token), "%s", value) >= sizeof(o->token))
		return bad("the token is too long", NULL);
	return token_check(o->token);
}

static int token_read(struct options *o, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[sizeof(o->token)];
	bool got;

	if (!f)
		return bad(path, strerror(errno));
	got = fgets(line, sizeof(line), f) != NULL;
	fclose(f);
	if (!got)
		return bad("there is no token in the file", path);
	line[strcspn(line, "\r\n")] = '\0';
	return token_take(o, line);
}

static int rate_take(struct options *o, const char *value)
{
	static const char suffixes[] = "KMGT";
	const char *at;
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(value, &end, 10);
	at = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (errno || !isdigit((unsigned char)*value) || !v || (*end && (!at || end[1])) || v > UINT64_MAX >> 41)
		return bad("--limit-rate wants bytes a second, as 50M", value);
	o->limit_rate = at ? v << 10 * (at - suffixes + 1) : v;
	return 0;
}

static int progress_take(struct options *o, const char *value)
{
	static const char *const names[] = { "auto", "bar", "json", "none" };

	for (unsigned i = 0; i < 4; i++)
		if (!strcmp(value, names[i])) {
			o->progress = (enum progress_wish)i;
			return 0;
		}
	return bad("--progress is auto, bar, json or none", value);
}

static int level_take(struct options *o)
{
	if (!strcmp(optarg, "0")) {
		o->level = 0;
		return 0;
	}
	return number("--level", 19, &o->level);
}

static int option_take(struct options *o, int c)
{
	switch (c) {
	case OPT_TO: return text("--to", &o->to);
	case OPT_TOKEN: return token_take(o, optarg);
	case OPT_TOKEN_FILE: return token_read(o, optarg);
	case OPT_FINGERPRINT:
		o->has_fingerprint = transfer_unhex(optarg, true, o->fingerprint, 32);
		return o->has_fingerprint ? 0 : bad("--fingerprint wants 64 hexadecimal digits", optarg);
	case OPT_CACERT: return path("--cacert", &o->ca_file);
	case OPT_CERT: return path("--cert", &o->cert);
	case OPT_KEY: return path("--key", &o->key);
	case OPT_RESUME: o->resume = true; return 0;
	case OPT_RESYNC: o->resync = true; return 0;
	case OPT_PASSES: return number("--passes", 1000, &o->passes);
	case OPT_EVERYTHING: o->everything = true; return 0;
	case OPT_FREEZE:
	case OPT_NO_FREEZE:
		if (o->freeze != FREEZE_AUTO && o->freeze != (c == OPT_FREEZE ? FREEZE_ALL : FREEZE_NONE))
			return bad("--freeze and --no-freeze exclude each other", NULL);
		o->freeze = c == OPT_FREEZE ? FREEZE_ALL : FREEZE_NONE;
		return 0;
	case OPT_NO_SNAPSHOT: o->no_snapshot = true; return 0;
	case OPT_FREEZE_SECONDS: return number("--freeze-seconds", 86400, &o->freeze_seconds);
	case OPT_RETRIES: return number("--retries", 1000, &o->retries);
	case 'O': return text("--output-format", &o->format);
	case OPT_FORCE: o->force = true; return 0;
	case 'j': return number("--jobs", 64, &o->jobs);
	case OPT_LEVEL: return level_take(o);
	case OPT_LIMIT: return rate_take(o, optarg);
	case OPT_GIVE_UP: o->has_give_up = true; return number("--give-up", 31536000, &o->give_up);
	case OPT_STATE: return path("--state", &o->state);
	case OPT_MACHINE: return path("--machine-out", &o->machine_out);
	case 'l': o->list = true; return 0;
	case OPT_JSON: o->json = true; return 0;
	case 'p': o->progress = PROGRESS_BAR; return 0;
	case OPT_PROGRESS: return progress_take(o, optarg);
	case 'q': o->quiet = true; return 0;
	case 'v': o->verbose = true; return 0;
	default: return -1; /* it was said */
	}
}

static int devices_take(struct options *o, char **argv, int n)
{
	for (int i = 0; i < n; i++) {
		if (!strcmp(argv[i], "all")) {
			o->all = true;
		} else if (o->n_devices == TRANSFER_DISKS_MAX) {
			return bad("more than 64 disks", argv[i]);
		} else if (!*argv[i]) {
			return bad("a disk's name is empty", NULL);
		} else {
			o->devices[o->n_devices++] = argv[i];
		}
	}
	if (o->all && o->n_devices)
		return bad("\"all\" goes with no other disk", o->devices[0]);
	return 0;
}

/* https://HOST[:PORT], with a slash at most behind it. */
static bool url_good(const char *url)
{
	const char *host = url + strlen("https://");
	size_t n = strcspn(host, "/");

	return n && (!host[n] || !host[n + 1]);
}

static int judge(struct options *o)
{
	if (option_output(PROGRAM, "--machine-out", o->machine_out, o->devices, o->n_devices) ||
	    option_output(PROGRAM, "--state", o->state, o->devices, o->n_devices))
		return -1;
	if (o->list)
		return o->to ? bad("--list captures nothing", o->to) : 0;
	if (!o->n_devices && !o->all)
		return bad("which disks? DEV ... or all; --list shows them", NULL);
	if (!o->to)
		return o->machine_out ? 0 : bad("--to is missing: where the capture goes", NULL);
	if (!strncmp(o->to, "http://", 7))
		return bad("a receiver is reached by https only", o->to);
	o->remote = !strncmp(o->to, "https://", 8);
	if (o->remote && !url_good(o->to))
		return bad("a receiver's URL is https://HOST[:PORT]/", o->to);
	if (o->remote && (o->format || o->force))
		return bad("the receiver decides that", o->format ? "--output-format" : "--force");
	if (!o->remote &&
	    (*o->token || o->has_fingerprint || o->ca_file || o->cert || o->key || o->limit_rate || o->has_give_up || o->state))
		return bad("--to is no receiver's URL, so that options for one have no meaning", o->to);
	if (o->remote && !*o->token && !o->resume && !o->resync)
		return bad("--token is missing: the receiver printed it", NULL);
	if (!o->cert != !o->key)
		return bad("--cert and --key go together", NULL);
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	int c;

	*o = (struct options){ .level = 1, .give_up = 600, .freeze_seconds = 300, .retries = 3 };
	while ((c = option_next(PROGRAM, argc, argv, "O:j:lpqvh", longopts)) >= 0) {
		if (c == 'h')
			return option_help(PROGRAM, usage, NULL);
		if (option_take(o, c))
			return -1;
	}
	return devices_take(o, argv + optind, argc - optind) || judge(o) ? -1 : 0;
}
