/*
 * store_aside.c - what is damaged goes to damaged/ as it is, and stays there.
 */
#include "spool/store_in.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "out/log.h"

enum { ASIDE_TRIES = 100, ASIDE_NAME = 256, ASIDE_KEPT = 240 };

static void tell(const char *name, const char *file, const char *why)
{
	struct log_line l = log_begin(LOG_LEVEL_ERROR, "spool_quarantined");
	char path[ASIDE_NAME + 16];

	snprintf(path, sizeof(path), "damaged/%s", file);
	log_str(&l, "name", name);
	log_str(&l, "file", path);
	log_str(&l, "note", why);
	log_end(&l);
}

bool store_aside(struct store *s, const char *name, const char *why)
{
	char to[ASIDE_NAME];
	bool moved = false;

	for (int i = 0; i < ASIDE_TRIES && !moved; i++) {
		if (i == 0)
			snprintf(to, sizeof(to), "%.*s", ASIDE_KEPT, name);
		else
			snprintf(to, sizeof(to), "%.*s.%d", ASIDE_KEPT, name, i);
		moved = store_rename(s->mail_fd, name, s->damaged_fd, to);
		if (!moved && errno != EEXIST)
			break;
	}
	if (!moved) {
		store_trouble(s, FAULT_SPOOL_FAILED, slice_str(name), "set aside", errno);
		return false;
	}
	(void)store_fsync(s->damaged_fd);
	(void)store_fsync(s->mail_fd);
	tell(name, to, why);
	return true;
}

void store_damaged(struct store *s, struct store_entry **ep, const char *why)
{
	struct store_file *f = (*ep)->file;

	(void)why;
	f->damaged = true;
	store_done(s, ep);
}
