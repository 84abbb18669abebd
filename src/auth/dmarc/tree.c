#include "auth/dmarc/tree.h"

enum { JUMP_LABELS = 7 };

static const char prefix[] = "_dmarc.";
enum { PREFIX = sizeof(prefix) - 1 };

static size_t labels(struct slice name)
{
	size_t n = 1;

	for (size_t i = 0; i < name.n; i++)
		n += name.at[i] == '.';
	return n;
}

/* What name ends in, that many labels. In: at most labels(name) */
static struct slice tail(struct slice name, size_t count)
{
	for (size_t have = labels(name); have > count; have--)
		name = slice_sub(name, slice_find(name, '.') + 1, SIZE_MAX);
	return name;
}

size_t dmarc_tree_names(struct slice domain, struct slice names[DMARC_TREE_QUERIES])
{
	size_t count = labels(domain), n = 0;

	names[n++] = domain;
	for (count = count > JUMP_LABELS ? JUMP_LABELS : count - 1; count > 0; count--)
		names[n++] = tail(domain, count);
	return n;
}

static const struct dnsrec *ask(struct asks *asks, struct slice domain)
{
	unsigned char name[PREFIX + DNS_NAME_OCTETS];

	if (domain.n > DNS_NAME_OCTETS)
		domain.n = 0; /* no name: nothing is there */
	memcpy(name, prefix, PREFIX);
	if (domain.n)
		memcpy(name + PREFIX, domain.at, domain.n);
	return asks_get(asks, DNSREC_TXT, slice_of(name, PREFIX + domain.n));
}

void dmarc_tree_want(struct asks *asks, struct slice domain)
{
	struct slice names[DMARC_TREE_QUERIES];
	size_t n = dmarc_tree_names(domain, names);

	for (size_t i = 0; i < n; i++)
		(void)ask(asks, names[i]);
}

/* Several records are none (4.10 steps 2 and 6). */
static bool only_record(const struct dnsrec *rec, struct dmarc_record *out)
{
	struct dmarc_record r;
	size_t n = 0;

	for (size_t i = 0; rec->status == DNS_OK && i < rec->count; i++) {
		if (!dmarc_record_read(rec->records[i], &r))
			continue;
		if (n++)
			return false;
		*out = r;
	}
	return n == 1;
}

static void applies(struct dmarc_tree *t, struct slice domain, const struct dmarc_record *r)
{
	t->found = true;
	t->domain = domain;
	t->record = *r;
}

bool dmarc_tree_walk(struct asks *asks, struct slice domain, struct dmarc_tree *out)
{
	struct dmarc_tree t = { .sure = true, .organisational = domain };
	struct slice names[DMARC_TREE_QUERIES], top = SLICE_NONE, below = SLICE_NONE;
	struct dmarc_record r = { 0 }, top_record = { 0 }, below_record = { 0 };
	size_t n = dmarc_tree_names(domain, names);
	bool ended = false;

	for (size_t i = 0; i < n && !ended; i++) {
		const struct dnsrec *rec = ask(asks, names[i]);

		if (!rec) {
			while (++i < n)
				(void)ask(asks, names[i]);
			return false;
		}
		if (dnsrec_temporary(rec)) {
			t.sure = false;
			t.silent = names[i];
			t.organisational = SLICE_NONE;
			*out = t;
			return true;
		}
		t.exists |= i == 0 && rec->status != DNS_NXDOMAIN;
		if (!only_record(rec, &r))
			continue;
		if (i == 0) {
			t.own = true;
			applies(&t, domain, &r);
		}
		below = top;
		if (below.n)
			below_record = top_record;
		top = names[i];
		top_record = r;
		ended = r.psd != DMARC_PSD_UNKNOWN;
	}
	/* 4.10.2: a public suffix ends the walk one label below it, unless the walk began there; else the shortest name counts */
	if (top.n && top_record.psd == DMARC_PSD_YES && top.n != domain.n)
		t.organisational = tail(domain, labels(top) + 1);
	else if (top.n)
		t.organisational = top;
	if (!t.own && top.n) {
		bool organisation_has_one = below.n && below.n == t.organisational.n;

		applies(&t, organisation_has_one ? below : top, organisation_has_one ? &below_record : &top_record);
	}
	*out = t;
	return true;
}
