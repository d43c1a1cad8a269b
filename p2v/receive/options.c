/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include "common/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM "vdisk receive"

static const char usage[] =
	"usage: vdisk receive --store DIR [--listen ADDR] [OPTIONS]\n"
	"\n"
	"Takes captures of machines, as \"vdisk capture --to https://...\" sends them, until a SIGTERM or SIGINT ends it.  Prints where it listens, the\n"
	"certificate's fingerprint, the token for the machine, and the link to the page that shows how far captures are.\n"
	"\n"
	"      --store DIR          where captures go, a folder for each; made if it is not there\n"
	"      --listen ADDR        listen on HOST, HOST:PORT, [ADDRESS]:PORT or :PORT (default: all addresses, port 8443; port 0: any)\n"
	"  -O, --format FMT         the images' format (default: qcow2)\n"
	"      --token TEXT         the token, at least 12 characters (default: a new one each time, which is printed)\n"
	"      --token-file FILE    the token is the first line of FILE\n"
	"      --token-uses N       machines that it begins captures for, or \"unlimited\" (default: 1)\n"
	"      --cert FILE          the certificate, PEM, with --key (default: one that it makes and keeps in DIR)\n"
	"      --key FILE           its private key, PEM\n"
	"      --client-ca FILE     who connects needs a certificate of these authorities, PEM\n"
	"      --view-key-file FILE the key to see the page is the first line of FILE (default: a new one each time)\n"
	"      --adapt TARGET       when a capture is whole: make it boot on kvm, vmware, hyperv, xen or virtualbox, in DIR/NAME/result\n"
	"      --convert FMT        as images of this format, there\n"
	"      --verify             boot it and say whether it does\n"
	"      --drivers PATH       with --adapt: drivers for Windows, as vdisk adapt takes them\n"
	"      --expect RE          with --verify: booted is when this appears\n"
	"      --timeout SECONDS    with --verify: how long that may take\n"
	"      --engine KIND        with --verify: kvm, qemu or auto\n"
	"      --max-captures N     incomplete captures at once (default: 64)\n"
	"      --connections N      connections at once (default: 256)\n"
	"      --memory SIZE        for chunks on their way, with K, M or G (default: 64M)\n"
	"      --once               end when the first capture has been worked through: 0, 1 if it did not boot, 2 after trouble\n"
	"      --json               tell what happens as JSON, a line each\n"
	"  -q, --quiet              print nothing\n"
	"  -h, --help               this text\n";

enum {
	OPT_STORE = 256, OPT_LISTEN, OPT_TOKEN, OPT_TOKEN_FILE, OPT_TOKEN_USES, OPT_CERT, OPT_KEY, OPT_CLIENT_CA, OPT_VIEW_KEY,
	OPT_ADAPT, OPT_CONVERT, OPT_VERIFY, OPT_DRIVERS, OPT_EXPECT, OPT_TIMEOUT, OPT_ENGINE, OPT_MAX_CAPTURES, OPT_CONNECTIONS,
	OPT_MEMORY, OPT_ONCE, OPT_JSON
};

static const struct option longopts[] = {
	{ "store", required_argument, NULL, OPT_STORE },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "format", required_argument, NULL, 'O' },
	{ "token", required_argument, NULL, OPT_TOKEN },
	{ "token-file", required_argument, NULL, OPT_TOKEN_FILE },
	{ "token-uses", required_argument, NULL, OPT_TOKEN_USES },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "client-ca", required_argument, NULL, OPT_CLIENT_CA },
	{ "view-key-file", required_argument, NULL, OPT_VIEW_KEY },
	{ "adapt", required_argument, NULL, OPT_ADAPT },
	{ "convert", required_argument, NULL, OPT_CONVERT },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "drivers", required_argument, NULL, OPT_DRIVERS },
	{ "expect", required_argument, NULL, OPT_EXPECT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "engine", required_argument, NULL, OPT_ENGINE },
	{ "max-captures", required_argument, NULL, OPT_MAX_CAPTURES },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "once", no_argument, NULL, OPT_ONCE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int bad(const char *what, const char *value) { return option_bad(PROGRAM, what, value); }
static int number(const char *name, unsigned long max, unsigned *out) { return option_number(PROGRAM, name, optarg, max, out); }
static int text(const char *name, const char **out) { return option_text(PROGRAM, name, optarg, out); }
static int path(const char *name, const char **out) { return option_path(PROGRAM, name, optarg, out); }

static int one_of(const char *name, const char *list, const char **out)
{
	size_t len = strlen(optarg);

	*out = optarg;
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, "|");

		if (n == len && !memcmp(p, optarg, n))
			return 0;
		p += n + (p[n] == '|');
	}
	fprintf(stderr, PROGRAM ": %s is one of %s: %s\n", name, list, optarg);
	return -1;
}

static int format(const char *name, const char **out)
{
	const struct vdisk_format_info *f = vdisk_format_find(optarg);

	if (!f || (f->caps & (VDISK_FORMAT_WRITE | VDISK_FORMAT_CREATE)) != (VDISK_FORMAT_WRITE | VDISK_FORMAT_CREATE)) {
		fprintf(stderr, PROGRAM ": %s: images of format %s cannot be %s\n", name, optarg,
		        f ? "written to" : "made: it is not known");
		return -1;
	}
	*out = f->name;
	return 0;
}

static int uses(unsigned *out)
{
	*out = 0;
	return strcmp(optarg, "unlimited") ? number("--token-uses", 1000000, out) : 0;
}

static int memory(uint64_t *out)
{
	static const char letters[] = "KMG";
	char *end;
	unsigned long v = strtoul(optarg, &end, 10);
	const char *unit = *end ? strchr(letters, *end) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - letters + 1) : 0;

	if (*optarg < '0' || *optarg > '9' || (*end && (!unit || end[1])) || v > (1ul << 40 >> shift) || v << shift < 8ul << 20)
		return bad("--memory wants a size from 8M to 1024G", optarg);
	*out = (uint64_t)v << shift;
	return 0;
}

static int timeout(const char **out)
{
	unsigned seconds;

	*out = optarg;
	return number("--timeout", 86400, &seconds);
}

static int option_take(struct options *o, int c)
{
	switch (c) {
	case OPT_STORE: return path("--store", &o->store.folder);
	case OPT_LISTEN: o->http.listen = optarg; return 0;
	case 'O': return format("--format", &o->store.format);
	case OPT_TOKEN: return text("--token", &o->token);
	case OPT_TOKEN_FILE: return path("--token-file", &o->token_file);
	case OPT_TOKEN_USES: return uses(&o->token_uses);
	case OPT_CERT: return path("--cert", &o->tls.cert);
	case OPT_KEY: return path("--key", &o->tls.key);
	case OPT_CLIENT_CA: return path("--client-ca", &o->tls.client_ca);
	case OPT_VIEW_KEY: return path("--view-key-file", &o->view_key_file);
	case OPT_ADAPT: return one_of("--adapt", "kvm|vmware|hyperv|xen|virtualbox", &o->work.adapt);
	case OPT_CONVERT: return format("--convert", &o->work.convert);
	case OPT_VERIFY: o->work.verify = true; return 0;
	case OPT_DRIVERS: return path("--drivers", &o->work.drivers);
	case OPT_EXPECT: return text("--expect", &o->work.expect);
	case OPT_TIMEOUT: return timeout(&o->work.timeout);
	case OPT_ENGINE: return one_of("--engine", "kvm|qemu|auto", &o->work.engine);
	case OPT_MAX_CAPTURES: return number("--max-captures", 10000, &o->store.captures_max);
	case OPT_CONNECTIONS: return number("--connections", 10000, &o->http.connections);
	case OPT_MEMORY: return memory(&o->memory);
	case OPT_ONCE: o->once = true; return 0;
	case OPT_JSON: o->json = true; return 0;
	case 'q': o->quiet = true; return 0;
	case 'h': return option_help(PROGRAM, usage, NULL);
	default: return -1;
	}
}

static int judge(const struct options *o)
{
	if (!o->store.folder)
		return bad("--store is missing: the folder where captures go", NULL);
	if (o->token && o->token_file)
		return bad("--token and --token-file exclude each other", NULL);
	if (o->token && (strlen(o->token) < TOKEN_TEXT_MIN || strlen(o->token) > TOKEN_TEXT_MAX))
		return bad("a token has from 12 to 256 characters", "--token");
	if (!o->tls.cert != !o->tls.key)
		return bad("--cert and --key go together", NULL);
	if (!o->work.verify && (o->work.expect || o->work.timeout || o->work.engine))
		return bad("--expect, --timeout and --engine go with --verify", NULL);
	if (o->work.drivers && !o->work.adapt)
		return bad("--drivers goes with --adapt", NULL);
	if (o->json && o->quiet)
		return bad("--json and --quiet exclude each other", NULL);
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	int c;

	*o = (struct options){ .store = { .format = "qcow2", .captures_max = 64 },
		               .http = { .listen = "", .connections = 256 },
		               .token_uses = 1,
		               .memory = 64u << 20 };
	while ((c = option_next(PROGRAM, argc, argv, "O:qh", longopts)) != -1) {
		int rc = option_take(o, c);

		if (rc)
			return rc;
	}
	if (optind != argc)
		return bad("there is an argument too many", argv[optind]);
	return judge(o);
}
