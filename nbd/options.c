/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include "common/option.h"
#include "proto.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM "vdisk nbd"
#define NAME_MAX_BYTES 1024u
#define SECONDS_MAX 31536000ul

static const char usage[] =
	"usage: vdisk nbd [--rw | --overlay FILE] [--socket PATH | --listen ADDR] [OPTIONS] IMG\n"
	"\n"
	"Serves the disk of IMG to NBD clients, until a SIGTERM or SIGINT ends it, and prints the URI that leads there.\n"
	"\n"
	"      --socket PATH           listen on this unix socket, which is the user's alone\n"
	"      --listen ADDR           listen on HOST, HOST:PORT, [ADDRESS]:PORT or :PORT (default: localhost:10809; port 0: any)\n"
	"      --allow-plain           without TLS on an address that others can reach, too\n"
	"      --rw                    what clients write goes into IMG; otherwise they only read\n"
	"      --overlay FILE          it goes into FILE, a qcow2 layer over IMG, made if it is not there; IMG stays as it is\n"
	"      --overlay tmp           the same with a scratch layer that nobody keeps\n"
	"      --partition N           serve this partition instead of the whole disk\n"
	"      --name NAME             the export's name, besides the empty one\n"
	"      --bitmap NAME           tell clients what this bitmap of IMG calls changed: the context qemu:dirty-bitmap:NAME\n"
	"      --tls DIR               TLS only, with ca-cert.pem, server-cert.pem and server-key.pem of DIR; clients need a certificate\n"
	"      --tls-any-client        clients need no certificate\n"
	"      --tls-psk FILE          TLS only, with the shared keys of FILE (USER:HEXKEY lines, as psktool makes them)\n"
	"      --clients N             so many connections at once, the next ones wait (default: 32)\n"
	"      --timeout SECONDS       who pauses longer inside a message, or does not finish the handshake, is sent away (default: 30)\n"
	"      --idle-timeout SECONDS  end after that long without a client\n"
	"      --once                  end when the last client has left\n"
	"      --run CMD               run a shell command, with the URI in $uri, and end with it and its exit status\n"
	"      --fork                  return once it listens, and go on in the background\n"
	"      --pid-file FILE         write the process's number there once it listens\n"
	"  -f, --format FMT            the image's format; the default is what its bytes say\n"
	"      --allow-parent DIR      parents and extents may lie below DIR\n"
	"      --force                 with --rw: write to a protected image (a linked clone's parent, one marked corrupt)\n"
	"  -U, --force-share           read although another program writes to the image\n"
	"  -q, --quiet                 do not print the URI\n"
	"  -h, --help                  this text\n";

enum {
	OPT_SOCKET = 256,
	OPT_LISTEN,
	OPT_ALLOW_PLAIN,
	OPT_PARTITION,
	OPT_NAME,
	OPT_BITMAP,
	OPT_TLS,
	OPT_TLS_ANY,
	OPT_TLS_PSK,
	OPT_CLIENTS,
	OPT_TIMEOUT,
	OPT_IDLE,
	OPT_ONCE,
	OPT_RUN,
	OPT_FORK,
	OPT_PID_FILE,
};

static const struct option longopts[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "allow-plain", no_argument, NULL, OPT_ALLOW_PLAIN },
	{ "partition", required_argument, NULL, OPT_PARTITION },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "bitmap", required_argument, NULL, OPT_BITMAP },
	{ "tls", required_argument, NULL, OPT_TLS },
	{ "tls-any-client", no_argument, NULL, OPT_TLS_ANY },
	{ "tls-psk", required_argument, NULL, OPT_TLS_PSK },
	{ "clients", required_argument, NULL, OPT_CLIENTS },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "idle-timeout", required_argument, NULL, OPT_IDLE },
	{ "once", no_argument, NULL, OPT_ONCE },
	{ "run", required_argument, NULL, OPT_RUN },
	{ "fork", no_argument, NULL, OPT_FORK },
	{ "pid-file", required_argument, NULL, OPT_PID_FILE },
	OPTION_SOURCE_ROWS,
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int bad(const char *what, const char *value) { return option_bad(PROGRAM, what, value); }

static int number(const char *name, unsigned long max, unsigned *out) { return option_number(PROGRAM, name, optarg, max, out); }

static int text(const char *name, const char **out) { return option_text(PROGRAM, name, optarg, out); }
static int path(const char *name, const char **out) { return option_path(PROGRAM, name, optarg, out); }

static int option_take(struct options *o, int c)
{
	switch (c) {
	case OPT_SOCKET: return path("--socket", &o->socket);
	case OPT_LISTEN: return text("--listen", &o->listen);
	case OPT_ALLOW_PLAIN: o->allow_plain = true; return 0;
	case OPT_PARTITION: return number("--partition", 65535, &o->source.partition);
	case OPT_NAME: o->name = optarg; return 0;
	case OPT_BITMAP: return text("--bitmap", &o->bitmap);
	case OPT_TLS: return path("--tls", &o->tls.folder);
	case OPT_TLS_ANY: o->tls.any_client = true; return 0;
	case OPT_TLS_PSK: return path("--tls-psk", &o->tls.psk);
	case OPT_CLIENTS: return number("--clients", 1024, &o->clients);
	case OPT_TIMEOUT: return number("--timeout", 86400, &o->timeout_sec);
	case OPT_IDLE: return number("--idle-timeout", SECONDS_MAX, &o->idle_timeout_sec);
	case OPT_ONCE: o->once = true; return 0;
	case OPT_RUN: return text("--run", &o->run);
	case OPT_FORK: o->fork = true; return 0;
	case OPT_PID_FILE: return path("--pid-file", &o->pid_file);
	case 'f': return text("--format", &o->source.format);
	case 'q': o->quiet = true; return 0;
	case 'h': return option_help(PROGRAM, usage, NULL);
	default: return option_source(PROGRAM, c, optarg, &o->source) ? -1 : 0;
	}
}

static int judge(const struct options *o)
{
	const char *wrong = source_judge(&o->source);

	if (wrong)
		return bad(wrong, NULL);
	if (o->socket && o->listen)
		return bad("--socket and --listen exclude each other", NULL);
	if (o->tls.any_client && !o->tls.folder)
		return bad("--tls-any-client goes with --tls", NULL);
	if (o->allow_plain && (o->tls.folder || o->tls.psk))
		return bad("--allow-plain and TLS exclude each other", NULL);
	if (o->fork && o->run)
		return bad("--fork and --run exclude each other", NULL);
	if (o->bitmap && o->source.overlay)
		return bad("--bitmap and --overlay exclude each other", NULL);
	if (strlen(o->name) > NAME_MAX_BYTES)
		return bad("a name of more than 1024 bytes", "--name");
	return option_output(PROGRAM, "--pid-file", o->pid_file, (const char *const[]){ o->source.image, o->source.overlay }, 2);
}

int options_parse(struct options *o, int argc, char **argv)
{
	int c;

	*o = (struct options){ .name = "", .clients = 32, .timeout_sec = 30 };
	while ((c = option_next(PROGRAM, argc, argv, "f:Uqh", longopts)) != -1) {
		int rc = option_take(o, c);

		if (rc)
			return rc;
	}
	if (argc - optind != 1)
		return bad("expects one IMG; --help tells more", NULL);
	o->source.image = argv[optind];
	return judge(o);
}
