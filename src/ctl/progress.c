#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ctl/progress.h"

enum { EVERY_MS = 100, SETTLED_MS = 1000, BAR_LEAST = 8, BAR_MOST = 60 };

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void progress_init(struct progress *p)
{
	*p = (struct progress){ .shown = isatty(STDERR_FILENO) == 1, .began_ms = now_ms() };
}

int64_t progress_elapsed_ms(const struct progress *p)
{
	return now_ms() - p->began_ms;
}

static size_t columns(void)
{
	struct winsize w;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

/* Seconds that the rest takes at the speed so far, as 1:23:45; "" while that is a guess. */
static void left(const struct progress *p, uint64_t octets, int64_t elapsed_ms, char out[48])
{
	uint64_t s;

	*out = '\0';
	if (elapsed_ms < SETTLED_MS || octets == 0)
		return;
	s = (uint64_t)((double)(p->all - octets) / (double)octets * (double)elapsed_ms / 1000.0);
	if (s < 3600)
		snprintf(out, 48, "  ETA %u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
	else
		snprintf(out, 48, "  ETA %llu:%02u:%02u", (unsigned long long)(s / 3600), (unsigned)(s / 60 % 60), (unsigned)(s % 60));
}

void progress_draw(struct progress *p, uint64_t messages, uint64_t octets)
{
	char head[64], tail[112], eta[48], line[512];
	size_t width, bar;
	int64_t now, elapsed;
	int n;

	if (!p->shown)
		return;
	now = now_ms();
	if (p->drawn && now - p->drawn_ms < EVERY_MS)
		return;
	elapsed = now - p->began_ms;
	if (octets > p->all && p->all)
		octets = p->all;
	width = columns();
	if (width > sizeof(line) - 1)
		width = sizeof(line) - 1;
	snprintf(head, sizeof(head), "%llu message%s", (unsigned long long)messages, messages == 1 ? "" : "s");
	left(p, octets, elapsed, eta);
	if (p->all)
		snprintf(tail, sizeof(tail), "%3u %%  %llu/s%s", (unsigned)((double)octets * 100.0 / (double)p->all),
		    elapsed ? (unsigned long long)(messages * 1000 / (uint64_t)elapsed) : 0ULL, eta);
	else
		snprintf(tail, sizeof(tail), "%llu/s", elapsed ? (unsigned long long)(messages * 1000 / (uint64_t)elapsed) : 0ULL);
	/* The last column stays free: some terminals wrap there. */
	bar = p->all && width > strlen(head) + strlen(tail) + 7 ? width - strlen(head) - strlen(tail) - 7 : 0;
	if (bar > BAR_MOST)
		bar = BAR_MOST;
	if (bar >= BAR_LEAST) {
		size_t full = (size_t)((double)octets / (double)p->all * (double)bar);
		char cells[BAR_MOST + 1];

		memset(cells, ' ', bar);
		memset(cells, '=', full);
		if (full < bar)
			cells[full] = '>';
		cells[bar] = '\0';
		n = snprintf(line, sizeof(line), "%s  [%s] %s", head, cells, tail);
	} else {
		n = snprintf(line, sizeof(line), "%s  %s", head, tail);
	}
	if (n > 0 && (size_t)n >= width)
		line[width - 1] = '\0';
	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
	p->drawn = true;
	p->drawn_ms = now;
}

void progress_hide(struct progress *p)
{
	if (!p->drawn)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	p->drawn = false;
}
