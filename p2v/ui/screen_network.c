/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network cards: DHCP, which all of them get by themselves, or an address. */
#include "screen.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <newt.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CARDS_MAX 32

struct card {
	char name[IF_NAMESIZE];
	char line[80];
};

static void fact_read(const char *card, const char *fact, char *out, size_t room)
{
	char path[300];
	FILE *f;

	out[0] = '\0';
	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", card, fact);
	f = fopen(path, "re");
	if (!f)
		return;
	if (!fgets(out, (int)room, f))
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	fclose(f);
}

static void address_read(const char *card, char out[64])
{
	struct ifaddrs *all = NULL;

	strcpy(out, "no address");
	if (getifaddrs(&all))
		return;
	for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
		if (!a->ifa_addr || strcmp(a->ifa_name, card) || a->ifa_addr->sa_family != AF_INET)
			continue;
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)a->ifa_addr)->sin_addr, out, 64);
	}
	freeifaddrs(all);
}

/* Those with hardware behind them. */
static size_t cards_read(struct card cards[CARDS_MAX])
{
	DIR *d = opendir("/sys/class/net");
	struct dirent *e;
	size_t n = 0;

	while (d && n < CARDS_MAX && (e = readdir(d))) {
		char path[300], mac[32], link[16], address[64];
		struct card *c = &cards[n];

		snprintf(path, sizeof(path), "/sys/class/net/%s/device", e->d_name);
		if (e->d_name[0] == '.' || strlen(e->d_name) >= sizeof(c->name) || access(path, F_OK))
			continue;
		strcpy(c->name, e->d_name);
		fact_read(c->name, "address", mac, sizeof(mac));
		fact_read(c->name, "carrier", link, sizeof(link));
		address_read(c->name, address);
		snprintf(c->line, sizeof(c->line), "%-12.12s %-17.17s  %-8s  %.24s", c->name, mac,
		         !strcmp(link, "1") ? "cable" : "no cable", address);
		n++;
	}
	if (d)
		closedir(d);
	return n;
}

static void net_run(const struct ui *u, char *const argv[])
{
	int status = 0;
	pid_t pid;

	screen_wait("Setting up the card ...");
	pid = fork();
	if (!pid) {
		execv(u->o->net_program, argv);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	screen_unsay();
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
		screen_say("Network", "The card has got no address. Is the cable in, and does somebody give out addresses there?");
}

/* What goes into a file of settings has to be an address and nothing else. */
static bool is_address(const char *text, bool prefix)
{
	char bare[64];
	unsigned char bytes[16];
	size_t n = strcspn(text, "/");
	bool four;

	if (n >= sizeof(bare) || (prefix && text[n] != '/') || (!prefix && text[n]))
		return false;
	snprintf(bare, sizeof(bare), "%.*s", (int)n, text);
	four = inet_pton(AF_INET, bare, bytes) == 1;
	if (!four && inet_pton(AF_INET6, bare, bytes) != 1)
		return false;
	if (prefix) {
		char *end;
		unsigned long bits = text[n + 1] >= '0' && text[n + 1] <= '9' ? strtoul(text + n + 1, &end, 10) : 999;

		return bits <= (four ? 32u : 128u) && !*end;
	}
	return true;
}

static void static_set(const struct ui *u, const char *card)
{
	char *address = (char *)"", *gateway = (char *)"", *dns = (char *)""; /* newt makes others of them */
	struct newtWinEntry entries[] = {
		{ (char *)"Address/prefix", &address, NEWT_FLAG_SCROLL },
		{ (char *)"Gateway", &gateway, NEWT_FLAG_SCROLL },
		{ (char *)"Name server", &dns, NEWT_FLAG_SCROLL },
		{ NULL, NULL, 0 },
	};
	const char *argv[] = { "net", "static", card, NULL, NULL, NULL, NULL };

	for (;;) {
		int key = newtWinEntries((char *)"Address", (char *)"As 192.0.2.7/24; gateway and name server may stay empty.", 50,
		                         5, 5, 30, entries, (char *)"OK", (char *)"Back", NULL);

		if (key == 2)
			return;
		if (!is_address(address, true))
			screen_say("Address", "This is no address with its prefix, as 192.0.2.7/24.");
		else if (*gateway && !is_address(gateway, false))
			screen_say("Gateway", "This is no address.");
		else if (*dns && !is_address(dns, false))
			screen_say("Name server", "This is no address.");
		else
			break;
	}
	argv[3] = address;
	if (*gateway || *dns)
		argv[4] = gateway;
	if (*dns)
		argv[5] = dns;
	net_run(u, (char *const *)argv);
}

enum screen screen_network(struct ui *u)
{
	static struct card cards[CARDS_MAX];
	char *items[CARDS_MAX + 1];

	for (;;) {
		size_t n = cards_read(cards);
		int choice = 0, key;

		if (!n) {
			screen_say("Network", "No network card is known here.");
			return SCREEN_SERVER;
		}
		for (size_t i = 0; i < n; i++)
			items[i] = cards[i].line;
		items[n] = NULL;
		key = newtWinMenu((char *)"Network cards", (char *)"All of them ask for an address (DHCP) by themselves.", 70, 5, 5,
		                  8, items, &choice, (char *)"DHCP", (char *)"Address", (char *)"Back", NULL);
		if (key == 3 || choice < 0 || (size_t)choice >= n)
			return SCREEN_SERVER;
		if (key == 2) {
			static_set(u, cards[choice].name);
		} else {
			char *argv[] = { (char *)"net", (char *)"dhcp", cards[choice].name, NULL };

			net_run(u, argv);
		}
	}
}
