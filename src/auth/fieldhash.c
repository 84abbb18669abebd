#include <stdlib.h>

#include "auth/fieldhash.h"
#include "base/limits.h"

struct entry {
	const struct field *field;
	size_t group; /* entries[group] is the first of that name */
};

struct field_index {
	size_t n;
	struct entry *entries; /* by name, of one name the lowest in the header first */
};

static int by_name_bottom_up(const void *x, const void *y)
{
	const struct field *a = ((const struct entry *)x)->field, *b = ((const struct entry *)y)->field;
	int d = slice_icmp(a->name, b->name);

	return d ? d : a > b ? -1 : a < b;
}

struct field_index *field_index_new(struct arena *a, const struct header *h)
{
	struct field_index *index = ARENA_NEW(a, struct field_index);

	if (!index || !(index->entries = ARENA_ARRAY(a, h->n, struct entry)))
		return NULL;
	index->n = h->n;
	for (size_t i = 0; i < h->n; i++)
		index->entries[i].field = &h->fields[i];
	qsort(index->entries, index->n, sizeof(*index->entries), by_name_bottom_up);
	for (size_t i = 0; i < index->n; i++) {
		struct entry *e = &index->entries[i];

		e->group = i && slice_ieq(e[-1].field->name, e->field->name) ? e[-1].group : i;
	}
	return index;
}

/* The first entry of that name; index->n: there is none. */
static size_t find(const struct field_index *index, struct slice name)
{
	size_t low = 0, high = index->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int d = slice_icmp(index->entries[middle].field->name, name);

		if (d == 0)
			return index->entries[middle].group;
		if (d < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return index->n;
}

size_t field_count(const struct field_index *index, struct slice name)
{
	size_t first = find(index, name), n = 0;

	while (first + n < index->n && index->entries[first + n].group == first)
		n++;
	return n;
}

/* ftext of RFC 5322 3.6.8, without the ';' that ends the tag. */
static bool name_valid(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.at[i] < 0x21 || name.at[i] > 0x7e || name.at[i] == ';')
			return false;
	return name.n > 0;
}

bool field_list_parse(struct arena *a, struct slice value, struct field_list *list_out)
{
	struct field_list list = { 0 };
	struct slice name;
	size_t room = 1;
	bool more;

	for (size_t i = 0; i < value.n; i++)
		if (value.at[i] == ':' && ++room > LIMIT_SIGNED_NAMES)
			return false;
	list.names = ARENA_ARRAY(a, room, struct slice);
	if (!list.names)
		return false;
	do {
		more = slice_cut(&value, ':', &name);
		name = slice_trim(name);
		if (!name_valid(name))
			return false;
		list.names[list.n++] = name;
	} while (more);
	*list_out = list;
	return true;
}

/* `once`: signed once more than it stands there. */
static const struct {
	const char *name;
	bool once;
} usual_names[] = {
	{ "From", true },
	{ "Sender", false },
	{ "Reply-To", true },
	{ "To", true },
	{ "Cc", true },
	{ "Subject", true },
	{ "Date", true },
	{ "Message-ID", true },
	{ "In-Reply-To", true },
	{ "References", true },
	{ "MIME-Version", true },
	{ "Content-Type", true },
	{ "Content-Transfer-Encoding", true },
	{ "Resent-Date", false },
	{ "Resent-From", false },
	{ "Resent-Sender", false },
	{ "Resent-To", false },
	{ "Resent-Cc", false },
	{ "Resent-Message-ID", false },
	{ "List-Id", false },
	{ "List-Help", false },
	{ "List-Unsubscribe", false },
	{ "List-Unsubscribe-Post", false },
	{ "List-Subscribe", false },
	{ "List-Post", false },
	{ "List-Owner", false },
	{ "List-Archive", false },
};

bool field_list_usual(struct arena *a, const struct field_index *index, struct slice more, struct field_list *list_out)
{
	enum { NAMES = sizeof(usual_names) / sizeof(*usual_names) };
	struct field_list list = { 0 };
	size_t times[NAMES + 1], room = 0;

	for (size_t i = 0; i < NAMES; i++)
		room += times[i] = field_count(index, slice_str(usual_names[i].name)) + usual_names[i].once;
	room += times[NAMES] = more.n ? field_count(index, more) : 0;
	list.names = ARENA_ARRAY(a, room, struct slice);
	for (size_t i = 0; list.names && i <= NAMES; i++)
		while (times[i]-- > 0)
			list.names[list.n++] = i < NAMES ? slice_str(usual_names[i].name) : more;
	*list_out = list;
	return list.names != NULL;
}

size_t field_listed(const struct field_list *list, struct slice name)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++)
		n += slice_ieq(list->names[i], name);
	return n;
}

bool field_covered(const struct field_list *list, const struct field_index *index, struct slice name)
{
	return field_listed(list, name) >= field_count(index, name);
}

static bool blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice field_hole(const struct field *f, struct slice tag_value)
{
	const unsigned char *from = tag_value.at, *to = from + tag_value.n;

	while (from > f->value.at && blank(from[-1]))
		from--;
	while (to < f->value.at + f->value.n && blank(*to))
		to++;
	return slice_of(from, (size_t)(to - from));
}

/* The next field of that name: used[first of the name] entries of it are spent. NULL: there is no more. */
static const struct field *next_field(const struct field_index *index, size_t *used, struct slice name, const struct field *but)
{
	size_t first = find(index, name);

	while (first < index->n) {
		size_t at = first + used[first];

		if (at >= index->n || index->entries[at].group != first)
			break;
		used[first]++;
		if (index->entries[at].field != but)
			return index->entries[at].field;
	}
	return NULL;
}

bool field_hash(struct arena *a, const struct field_index *index, const struct field_list *list, enum canon_form form,
    const struct field *signature, struct slice hole, unsigned char out[32])
{
	size_t *used = ARENA_ARRAY(a, index->n, size_t);
	struct digest *to[DIGEST_ALGS] = { NULL };
	unsigned char octets[DIGEST_OCTETS];
	struct canon_sink sink;

	if (!used || !(to[DIGEST_SHA256] = digest_new(DIGEST_SHA256)))
		return false;
	canon_sink_init(&sink, to);
	for (size_t i = 0; i < list->n; i++) {
		const struct field *f = next_field(index, used, list->names[i], signature);

		if (f)
			canon_field(&sink, form, f);
	}
	canon_signature(&sink, form, signature, hole);
	canon_sink_flush(&sink);
	digest_end(to[DIGEST_SHA256], octets);
	digest_free(&to[DIGEST_SHA256]);
	memcpy(out, octets, 32);
	return true;
}
