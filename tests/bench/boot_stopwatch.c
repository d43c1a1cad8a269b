/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a virtual machine monitor and watches what its guest says:  boot_stopwatch COMMAND...
 * Prints when the kernel's first line ("Linux version …") came, which what boots it says nothing like, and when each line with
 * "mark: WORD" did, in ms since before the fork; and at the mark "done" how much memory the monitor has in its hands besides its
 * largest mapping, which is the guest's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* KiB of all mappings but the largest; the guest's memory may lie in several that adjoin. */
static unsigned long resident_besides(pid_t pid)
{
	unsigned long from, to, rss, size = 0, total = 0, guest = 0, largest = 0;
	char path[64], line[512];

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	FILE *f = fopen(path, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			size = to - from;
		if (sscanf(line, "Rss: %lu", &rss) != 1)
			continue;
		total += rss;
		if (size > largest) {
			largest = size;
			guest = rss;
		}
	}
	fclose(f);
	return total - guest;
}

int main(int argc, char **argv)
{
	int out[2], status = 1;
	char line[4096];
	size_t n = 0;

	if (argc < 2 || pipe(out))
		return 2;
	double begin = now_ms();
	pid_t pid = fork();
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	close(out[1]);
	for (char c; read(out[0], &c, 1) == 1;) {
		if (n < sizeof(line) - 1)
			line[n++] = c;
		if (c != '\n')
			continue;
		line[n] = '\0';
		if (strstr(line, "Linux version"))
			printf("first %.1f\n", now_ms() - begin);
		const char *mark = strstr(line, "mark: ");
		if (mark)
			printf("%.*s %.1f\n", (int)strcspn(mark + 6, "\r\n"), mark + 6, now_ms() - begin);
		if (mark && !strncmp(mark + 6, "done", 4))
			printf("resident %lu\n", resident_besides(pid));
		const char *figure = strstr(line, "figure: ");
		if (figure)
			printf("%.*s\n", (int)strcspn(figure + 8, "\r\n"), figure + 8);
		n = 0;
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
