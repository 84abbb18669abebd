#include <stdlib.h>

#include "auth/dkim2/undo_in.h"
#include "base/limits.h"

struct entry { /* a field as received, or one of a recipe */
	struct slice name;
	size_t index;
};

static int by_name_then_up(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int d = slice_icmp(a->name, b->name);

	return d ? d : a->index > b->index ? -1 : a->index < b->index;
}

static int by_name_then_down(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int d = slice_icmp(a->name, b->name);

	return d ? d : a->index < b->index ? -1 : a->index > b->index;
}

/* ---- state 0 ---- */

/* The signed fields as the header hash takes them, their text in one piece, so that runs of them are hashed at once. */
static const struct field **keep(struct undo *u, struct entry *entries, size_t n)
{
	struct undo_kept *kept = ARENA_ARRAY(u->a, n, struct undo_kept);
	const struct field **list = ARENA_ARRAY(u->a, n, const struct field *);
	unsigned char *text;
	size_t octets = 0;

	for (size_t i = 0; i < n; i++) {
		const struct field *f = &u->h->fields[entries[i].index];

		octets += f->name.n + f->value.n + CANON_MORE;
	}
	text = arena_take(u->a, octets);
	if (!kept || !list || !text)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		kept[i].index = entries[i].index;
		kept[i].field = u->h->fields[entries[i].index];
		kept[i].canon = slice_of(text, canon_relaxed_text(&kept[i].field, text));
		text += kept[i].canon.n;
		list[i] = &kept[i].field;
	}
	u->work += n + octets;
	return list;
}

static const struct undo_kept *kept_of(const struct field *f)
{
	return (const void *)f;
}

static struct slice canon_of(const struct field *f)
{
	return kept_of(f)->canon;
}

/* ---- what a recipe makes of it ---- */

/* How many fields the steps make of n; false: they take what is not there. */
static bool count_steps(const struct recipe_steps *steps, size_t n, uint64_t *total_out)
{
	uint64_t total = 0, behind = 1;

	for (size_t i = 0; i < steps->n; i++) {
		const struct recipe_step *s = &steps->steps[i];

		if (!s->texts) {
			if (s->count == 0 || s->from < behind || s->from > n || s->count > n - (s->from - 1))
				return false;
			behind = s->from + s->count;
		}
		total += s->count; /* copies are at most n, literals are in memory */
	}
	*total_out = total;
	return true;
}

static bool write_field(struct undo *u, struct slice name, struct slice text, const struct field **out)
{
	struct undo_kept *kept = ARENA_NEW(u->a, struct undo_kept);
	unsigned char *canon = arena_take(u->a, name.n + text.n + CANON_MORE);

	if (!kept || !canon)
		return false;
	kept->index = SIZE_MAX;
	kept->field = (struct field){ .name = name, .value = text };
	kept->canon = slice_of(canon, canon_relaxed_text(&kept->field, canon));
	*out = &kept->field;
	return true;
}

static uint64_t octets_of(const struct undo_version *v)
{
	uint64_t octets = 0;

	for (size_t i = 0; i < v->n; i++)
		octets += canon_of(v->fields[i]).n;
	return octets;
}

/* What recipes have come to so far. */
struct tally {
	uint64_t listed, written; /* fields of names they list, octets of those they write */
	uint64_t header, headers; /* octets of the header at hand, of those of all states but 0 */
};

static enum undo_result apply(struct undo *u, struct undo_name *name, const struct recipe_steps *steps, size_t state, struct tally *t)
{
	const struct undo_version *now = &name->versions[name->n - 1];
	const struct field **fields;
	uint64_t total;
	size_t n = 0;

	u->work += steps->n + 1;
	if (!count_steps(steps, now->n, &total))
		return UNDO_BAD;
	if (total > LIMIT_UNDO_FIELDS - t->listed)
		return UNDO_LIMIT;
	t->listed += total;
	u->work += total;
	fields = ARENA_ARRAY(u->a, (size_t)total, const struct field *);
	if (!fields)
		return UNDO_MEMORY;
	for (size_t i = 0; i < steps->n; i++) {
		const struct recipe_step *s = &steps->steps[i];

		if (!s->texts) {
			memcpy(fields + n, now->fields + (s->from - 1), (size_t)s->count * sizeof(fields[0]));
			n += (size_t)s->count;
			continue;
		}
		for (size_t k = 0; k < s->count; k++) {
			uint64_t octets = (uint64_t)name->name.n + s->texts[k].n + CANON_MORE;

			if (octets > undo_room(u->h->raw.n) - t->written)
				return UNDO_LIMIT;
			t->written += octets;
			u->work += octets;
			if (!write_field(u, name->name, s->texts[k], &fields[n++]))
				return UNDO_MEMORY;
		}
	}
	t->header -= octets_of(now);
	name->versions[name->n++] = (struct undo_version){ state, fields, n };
	t->header += octets_of(&name->versions[name->n - 1]);
	return UNDO_DONE;
}

/* The headers of the states, each from the one before, as long as hashing all of them is no more than a few times what came. */
static bool compose(struct undo *u, const size_t *where)
{
	uint64_t most = LIMIT_UNDO_HEADERS * (uint64_t)(u->h->raw.n > LIMIT_UNDO_LEAST ? u->h->raw.n : LIMIT_UNDO_LEAST);
	struct tally t = { 0 };

	for (size_t i = 0; i < u->name_count; i++)
		t.header += octets_of(&u->names[i].versions[0]);
	for (size_t k = 0; k < u->n; k++) {
		enum undo_result r = UNDO_DONE;

		for (size_t i = 0; u->recipes[k] && i < u->recipes[k]->field_count && r == UNDO_DONE; i++)
			r = apply(u, &u->names[*where++], &u->recipes[k]->fields[i].steps, k + 1, &t);
		t.headers += t.header;
		if (r == UNDO_DONE && t.headers > most)
			r = UNDO_LIMIT;
		if (r == UNDO_MEMORY)
			return false;
		if (r == UNDO_DONE)
			continue;
		u->broken = k + 1;
		u->break_result = r;
		break;
	}
	return true;
}

/*
 * All names of fields and recipes, once each, and the fields of state 0. where[i]: the name of field i of the recipes, all
 * of them counted through.
 */
static bool collect(struct undo *u, struct entry *received, size_t n, struct entry *listed, size_t listed_count, size_t *where)
{
	const struct field **fields = keep(u, received, n);
	struct undo_version *versions = ARENA_ARRAY(u->a, n + 2 * listed_count, struct undo_version);
	size_t i = 0, k = 0;

	u->names = ARENA_ARRAY(u->a, n + listed_count, struct undo_name);
	if (!fields || !versions || !u->names)
		return false;
	while (i < n || k < listed_count) {
		struct undo_name *name = &u->names[u->name_count];
		int d = i == n ? 1 : k == listed_count ? -1 : slice_icmp(received[i].name, listed[k].name);
		size_t first = i;

		name->name = d > 0 ? listed[k].name : slice_sub(canon_of(fields[i]), 0, received[i].name.n);
		while (i < n && slice_ieq(received[i].name, name->name))
			i++;
		name->versions = versions++;
		*name->versions = (struct undo_version){ 0, fields + first, i - first };
		name->n = 1;
		for (; k < listed_count && slice_ieq(listed[k].name, name->name); k++) {
			where[listed[k].index] = u->name_count;
			versions++;
		}
		u->name_count++;
	}
	return true;
}

bool undo_header_init(struct undo *u)
{
	struct entry *received = ARENA_ARRAY(u->a, u->h->n, struct entry), *listed;
	size_t n = 0, listed_count = 0, at = 0, *where;

	for (size_t k = 0; k < u->n; k++)
		listed_count += u->recipes[k] ? u->recipes[k]->field_count : 0;
	listed = ARENA_ARRAY(u->a, listed_count, struct entry);
	where = ARENA_ARRAY(u->a, listed_count, size_t);
	if (!received || !listed || !where)
		return false;
	for (size_t i = 0; i < u->h->n; i++)
		if (!draft_unsigned(u->draft, u->h->fields[i].name))
			received[n++] = (struct entry){ u->h->fields[i].name, i };
	for (size_t k = 0; k < u->n; k++)
		for (size_t i = 0; u->recipes[k] && i < u->recipes[k]->field_count; i++, at++)
			listed[at] = (struct entry){ u->recipes[k]->fields[i].name, at };
	qsort(received, n, sizeof(*received), by_name_then_up);
	qsort(listed, listed_count, sizeof(*listed), by_name_then_down);
	return collect(u, received, n, listed, listed_count, where) && compose(u, where);
}

/* ---- asking ---- */

static const struct undo_version *version(const struct undo_name *name, size_t state)
{
	size_t low = 0, high = name->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (name->versions[mid].state <= state)
			low = mid;
		else
			high = mid;
	}
	return &name->versions[low];
}

static const struct undo_name *find(const struct undo *u, struct slice name)
{
	size_t low = 0, high = u->name_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int d = slice_icmp(name, u->names[mid].name);

		if (d == 0)
			return &u->names[mid];
		if (d < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

enum undo_result undo_header_hash(struct undo *u, size_t state, enum digest_alg alg, unsigned char out[DIGEST_OCTETS])
{
	struct slice run = SLICE_NONE;
	struct digest *d;

	if (state >= u->broken)
		return u->break_result;
	if (!u->digest[alg]) {
		u->digest[alg] = digest_new(alg);
		if (!u->digest[alg])
			return UNDO_MEMORY;
	}
	d = u->digest[alg];
	digest_reset(d);
	for (size_t i = 0; i < u->name_count; i++) {
		const struct undo_version *v = version(&u->names[i], state);

		for (size_t k = 0; k < v->n; k++) {
			struct slice canon = canon_of(v->fields[k]);

			u->work += canon.n;
			if (run.n && run.at + run.n == canon.at) {
				run.n += canon.n;
				continue;
			}
			digest_add(d, run);
			run = canon;
		}
		u->work += 1 + v->n;
	}
	digest_add(d, run);
	digest_end(d, out);
	return UNDO_DONE;
}

enum undo_result undo_fields(const struct undo *u, size_t state, struct slice name, const struct field *const **fields_out, size_t *n_out)
{
	const struct undo_name *of = find(u, name);
	const struct undo_version *v;

	if (state >= u->broken)
		return u->break_result;
	v = of ? version(of, state) : NULL;
	*fields_out = v ? v->fields : NULL;
	*n_out = v ? v->n : 0;
	return UNDO_DONE;
}

static bool same(const struct undo_version *a, const struct undo_version *b)
{
	if (a == b)
		return true;
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->fields[i] != b->fields[i] && !slice_eq(canon_of(a->fields[i]), canon_of(b->fields[i])))
			return false;
	return true;
}

bool undo_same(const struct undo *u, size_t state, struct slice name)
{
	const struct undo_name *of = find(u, name);

	if (state >= u->broken)
		return false;
	return !of || same(version(of, state - 1), version(of, state));
}

bool undo_changed(struct undo *u, size_t state, struct slice **names_out, size_t *n_out)
{
	const struct recipe *r = u->recipes[state - 1];
	struct slice *names = ARENA_ARRAY(u->a, r ? r->field_count : 0, struct slice);
	size_t n = 0;

	if (!names)
		return false;
	for (size_t i = 0; r && state < u->broken && i < r->field_count; i++)
		if (!undo_same(u, state, r->fields[i].name))
			names[n++] = r->fields[i].name;
	*names_out = names;
	*n_out = n;
	return true;
}

/* ---- as it may be sent ---- */

struct placed {
	size_t at;    /* 1 + index of the received field in whose place it stands; 0: on top of all */
	size_t order; /* of those of one place, from the top */
	const struct field *field;
};

static int by_place(const void *x, const void *y)
{
	const struct placed *a = x, *b = y;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* Kept fields stay; what a recipe wrote takes the free places of its name, from below, then stands above the last of them. */
static void place(const struct undo_version *first, const struct undo_version *v, size_t order, struct placed *out)
{
	size_t slot = 0, next = 0, at = 0;

	for (size_t i = 0; i < v->n; i++) {
		if (next < i)
			next = i;
		while (next < v->n && kept_of(v->fields[next])->index == SIZE_MAX)
			next++;
		/* next: the lowest kept field from here on; a place below its own is free */
		if (next == i)
			while (first->fields[slot] != v->fields[i])
				slot++;
		if (slot < first->n && (next == i || next == v->n || first->fields[slot] != v->fields[next]))
			at = 1 + kept_of(first->fields[slot++])->index;
		else if (at == 0 && slot < first->n)
			at = 1 + kept_of(first->fields[slot])->index; /* below all that is kept: at the place of the lowest, under it */
		out[i] = (struct placed){ at, order + v->n - i, v->fields[i] };
	}
}

/* beside: the field of that name as received in whose place it stands, NULL: none. A recipe does not know how the name was written. */
static struct slice write_raw(unsigned char **to, const struct field *f, const struct field *beside, struct field *out)
{
	unsigned char *at = *to;
	size_t n = f->raw.n;

	if (n) {
		memcpy(at, f->raw.at, n);
		out->name = f->name.n ? slice_of(at + (f->name.at - f->raw.at), f->name.n) : SLICE_NONE;
		out->value = f->value.n ? slice_of(at + (f->value.at - f->raw.at), f->value.n) : SLICE_NONE;
		out->blank_name = f->blank_name;
	} else {
		if (f->name.n)
			memcpy(at, beside && beside->name.n == f->name.n ? beside->name.at : f->name.at, f->name.n);
		at[f->name.n] = ':';
		if (f->value.n)
			memcpy(at + f->name.n + 1, f->value.at, f->value.n);
		n = f->name.n + 1 + f->value.n;
		memcpy(at + n, "\r\n", 2);
		n += 2;
		out->name = slice_of(at, f->name.n);
		out->value = slice_of(at + f->name.n + 1, f->value.n);
	}
	*to += n;
	return slice_of(at, n);
}

const struct header *undo_header(struct undo *u, size_t state)
{
	struct header *h = ARENA_NEW(u->a, struct header);
	struct placed *placed;
	unsigned char *to;
	size_t n = 0, k = 0, octets = 0;

	if (!h || state >= u->broken)
		return NULL;
	for (size_t i = 0; i < u->name_count; i++)
		n += version(&u->names[i], state)->n;
	placed = ARENA_ARRAY(u->a, n, struct placed);
	h->fields = ARENA_ARRAY(u->a, u->h->n + n, struct field);
	if (!placed || !h->fields)
		return NULL;
	n = 0;
	for (size_t i = 0; i < u->name_count; i++) {
		const struct undo_version *v = version(&u->names[i], state);

		place(&u->names[i].versions[0], v, n, placed + n);
		n += v->n;
	}
	qsort(placed, n, sizeof(*placed), by_place);
	for (size_t i = 0; i < n; i++)
		octets += placed[i].field->raw.n ? placed[i].field->raw.n : placed[i].field->name.n + placed[i].field->value.n + 3;
	for (size_t i = 0; i < u->h->n; i++)
		octets += u->h->fields[i].raw.n;
	to = arena_take(u->a, octets);
	if (!to)
		return NULL;
	h->raw.at = to;
	for (size_t i = 0; i <= u->h->n; i++) {
		const struct field *f = i ? &u->h->fields[i - 1] : NULL;

		for (; k < n && placed[k].at == i; k++, h->n++)
			h->fields[h->n].raw = write_raw(&to, placed[k].field, f, &h->fields[h->n]);
		if (f && draft_unsigned(u->draft, f->name)) {
			h->fields[h->n].raw = write_raw(&to, f, NULL, &h->fields[h->n]);
			h->n++;
		}
	}
	h->raw = slice_of(h->raw.at, (size_t)(to - h->raw.at));
	h->malformed = u->h->malformed;
	return h;
}
