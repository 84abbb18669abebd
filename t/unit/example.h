/*
 * example.h - octets that a contract of proto/ shows are those that are made.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include "test.h"

#include "base/buf.h"

enum { EXAMPLE_OCTETS = 131072 };

static inline unsigned nibble(int c)
{
	return c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
}

/* The hexadecimal block behind "example NAME:" in a file of proto/. */
static inline void example(const char *file, const char *name, struct buf *out)
{
	char path[512], line[256], want[64];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proto/%s", getenv("SRCDIR") != NULL ? getenv("SRCDIR") : ".", file);
	snprintf(want, sizeof(want), "example %s:\n", name);
	f = fopen(path, "r");
	if (f == NULL)
		fail_msg("%s cannot be opened", path);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (!found) {
			found = strcmp(line, want) == 0;
			continue;
		}
		if (line[0] != ' ' && line[0] != '\n')
			break;
		if (line[0] == '\n' && out->n > 0)
			break;
		for (const char *p = line; nibble(p[0]) < 16 || *p == ' '; p++) {
			if (*p == ' ')
				continue;
			assert_true(nibble(p[1]) < 16);
			buf_octet(out, (unsigned char)(nibble(p[0]) << 4 | nibble(p[1])));
			p++;
		}
	}
	fclose(f);
	if (out->n == 0)
		fail_msg("%s has no example %s", path, name);
}

/* What was made is what stands there; released. */
static inline void want_example(struct buf *got, const char *file, const char *name)
{
	struct buf want;

	buf_init(&want, EXAMPLE_OCTETS);
	example(file, name, &want);
	assert_false(buf_failed(got));
	WANT_SLICE(buf_get(got), buf_get(&want));
	buf_release(&want);
	buf_release(got);
}

#endif
