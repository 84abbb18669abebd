#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"

enum { ALIGN = alignof(max_align_t), FIRST_OCTETS = 4096, MAX_OCTETS = 65536 };

struct arena_block {
	struct arena_block *next;
	size_t room;
	max_align_t octets[];
};

void arena_init(struct arena *a, size_t ceiling_octets)
{
	*a = (struct arena){ .ceiling = ceiling_octets };
}

void arena_clear(struct arena *a)
{
	while (a->head) {
		struct arena_block *b = a->head;

		a->head = b->next;
		free(b);
	}
	arena_init(a, a->ceiling);
}

void *arena_take(struct arena *a, size_t n)
{
	unsigned char *p;

	if (a->failed || n > SIZE_MAX - ALIGN)
		goto fail;
	n = (n + ALIGN - 1) / ALIGN * ALIGN;
	if (n > a->left || !a->head) {
		struct arena_block *b;
		/* As much again as it holds: a transaction of one small message needs two blocks of a page. */
		size_t room = a->held < FIRST_OCTETS ? FIRST_OCTETS : a->held < MAX_OCTETS ? a->held : MAX_OCTETS;

		if (room < n)
			room = n;
		if (room > a->ceiling - a->held)
			room = a->ceiling - a->held;
		if (room < n)
			goto fail;
		b = malloc(sizeof(*b) + room);
		if (!b)
			goto fail;
		b->room = room;
		b->next = a->head;
		a->head = b;
		a->held += room;
		a->left = room;
	}
	p = (unsigned char *)a->head->octets + (a->head->room - a->left);
	a->left -= n;
	return memset(p, 0, n);
fail:
	a->failed = true;
	return NULL;
}

void *arena_array(struct arena *a, size_t count, size_t each)
{
	if (each && count > SIZE_MAX / each) {
		a->failed = true;
		return NULL;
	}
	return arena_take(a, count * each);
}

struct slice arena_copy(struct arena *a, struct slice s)
{
	void *p;

	if (s.n == 0)
		return SLICE_NONE;
	p = arena_take(a, s.n);
	return p ? slice_of(memcpy(p, s.at, s.n), s.n) : SLICE_NONE;
}

char *arena_string(struct arena *a, struct slice s)
{
	char *p = s.n < SIZE_MAX ? arena_take(a, s.n + 1) : NULL;

	if (p && s.n)
		memcpy(p, s.at, s.n);
	return p;
}

struct slice arena_printf(struct arena *a, const char *format, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	p = n < 0 ? NULL : arena_take(a, (size_t)n + 1);
	if (!p)
		return SLICE_NONE;
	va_start(ap, format);
	vsnprintf(p, (size_t)n + 1, format, ap);
	va_end(ap);
	return slice_of(p, (size_t)n);
}
