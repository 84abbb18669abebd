#include <stdlib.h>

#include "config/answers.h"
#include "ctl/ctl.h"
#include "ctl/dns.h"
#include "daemon/lookup.h"

enum { LOOKUP_MS = 15000, ARENA_OCTETS = 1 << 26 };

struct known {
	struct known *next;
	struct slice name;
	struct keyrec *record;
};

struct ctl_dns {
	struct arena arena;
	struct answers *answers;
	struct lookup *lookup; /* made with the first question */
	struct known *known;
};

struct ctl_dns *ctl_dns_new(const char *file, int *code_out)
{
	struct ctl_dns *d = calloc(1, sizeof(*d));
	struct buf text, error;

	*code_out = CTL_TEMPORARY;
	if (!d)
		return NULL;
	arena_init(&d->arena, ARENA_OCTETS);
	if (!file)
		return d;
	buf_init(&text, CTL_INPUT_OCTETS);
	buf_init(&error, 65536);
	*code_out = ctl_read(file, &text);
	if (*code_out == CTL_DONE) {
		d->answers = answers_new(buf_get(&text), &error);
		if (!d->answers) {
			ctl_complain("%s: %.*s", file, SLICE_FMT(slice_trim(buf_get(&error))));
			*code_out = CTL_BAD;
		}
	}
	buf_release(&text);
	buf_release(&error);
	if (!d->answers)
		ctl_dns_free(&d);
	return d;
}

void ctl_dns_free(struct ctl_dns **d)
{
	if (!*d)
		return;
	for (struct known *k = (*d)->known; k; k = k->next)
		keyrec_drop(&k->record);
	lookup_free(&(*d)->lookup);
	answers_free(&(*d)->answers);
	arena_clear(&(*d)->arena);
	free(*d);
	*d = NULL;
}

static struct keyrec *known_find(const struct ctl_dns *d, struct slice name)
{
	for (const struct known *k = d->known; k; k = k->next)
		if (slice_eq(k->name, name))
			return k->record;
	return NULL;
}

static bool known_add(struct ctl_dns *d, const struct lookup_ask *ask)
{
	struct known *k = ARENA_NEW(&d->arena, struct known);

	if (!k)
		return false;
	k->name = arena_copy(&d->arena, ask->name);
	k->record = keyrec_new(ask->status, ask->records, ask->count, ask->secure);
	if (!k->record)
		return false;
	k->next = d->known;
	d->known = k;
	return true;
}

static bool lookup_ready(struct ctl_dns *d)
{
	char error[256];

	if (d->lookup)
		return true;
	d->lookup = lookup_new("auto", "auto", LOOKUP_MS, error);
	if (!d->lookup) {
		ctl_complain("%s", error);
		return false;
	}
	if (lookup_warning(d->lookup))
		ctl_complain("%s", lookup_warning(d->lookup));
	return true;
}

bool ctl_dns_keys(struct ctl_dns *d, const struct slice *names, size_t n, struct keyrec **records_out)
{
	struct lookup_ask *asks = ARENA_ARRAY(&d->arena, n + 1, struct lookup_ask);
	size_t open = 0;

	if (!asks)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!known_find(d, names[i]))
			asks[open++].name = names[i];
	if (d->answers) {
		for (size_t i = 0; i < open; i++)
			asks[i].status = answers_txt(d->answers, asks[i].name, &asks[i].records, &asks[i].count, &asks[i].secure);
	} else if (open) {
		if (!lookup_ready(d))
			return false;
		lookup_many(d->lookup, &d->arena, asks, open);
	}
	for (size_t i = 0; i < open; i++)
		if (!known_add(d, &asks[i]))
			return false;
	for (size_t i = 0; i < n; i++)
		records_out[i] = known_find(d, names[i]);
	return true;
}
