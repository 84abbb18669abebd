#include "auth/dkim2/input.h"
#include "base/limits.h"

void input_init(struct input *in, const struct chain *c)
{
	*in = (struct input){ .chain = c };
	buf_init(&in->octets, (size_t)(LIMIT_HOPS + LIMIT_INSTANCES) * LIMIT_DKIM2_FIELD);
}

void input_release(struct input *in)
{
	digest_free(&in->instances);
	digest_free(&in->prefix);
	buf_release(&in->octets);
}

/* One of d and keep is NULL. */
static void put_field(struct digest *d, struct buf *keep, const struct field *f, const struct seal *blanked)
{
	struct digest *to[DIGEST_ALGS] = { [DIGEST_SHA256] = d };
	struct slice holes[LIMIT_SIG_SETS];
	struct canon_sink sink;
	size_t n = 0;

	if (blanked)
		for (; n < blanked->set_count; n++)
			holes[n] = blanked->sets[n].hole;
	canon_sink_init(&sink, to);
	sink.keep = keep;
	canon_bare(&sink, f, holes, n);
	canon_sink_flush(&sink);
}

static void add_field(struct digest *d, const struct field *f, const struct seal *blanked)
{
	put_field(d, NULL, f, blanked);
}

/* Brings in->prefix to instances 1..m and seals 1..count. */
static bool reach(struct input *in, uint64_t m, size_t count)
{
	const struct chain *c = in->chain;

	if (!in->instances) {
		in->instances = digest_new(DIGEST_SHA256);
		if (!in->instances)
			return false;
	}
	for (; in->instances_in < m; in->instances_in++)
		add_field(in->instances, c->instances[in->instances_in].field, NULL);
	if (!in->prefix || in->prefix_m != m) {
		digest_free(&in->prefix);
		in->prefix = digest_fork(in->instances);
		in->prefix_m = m;
		in->seals_in = 0;
		if (!in->prefix)
			return false;
	}
	for (; in->seals_in < count; in->seals_in++)
		add_field(in->prefix, c->seals[in->seals_in].field, NULL);
	return true;
}

bool input_digest(struct input *in, size_t index, unsigned char out[32])
{
	const struct seal *s = &in->chain->seals[index];
	unsigned char octets[DIGEST_OCTETS];
	struct digest *d;

	if (!reach(in, s->hop->m, index))
		return false;
	d = digest_fork(in->prefix);
	if (!d)
		return false;
	add_field(d, s->field, s);
	digest_end(d, octets);
	digest_free(&d);
	memcpy(out, octets, 32);
	return true;
}

bool input_octets(struct input *in, size_t index, struct slice *out)
{
	const struct chain *c = in->chain;
	const struct seal *s = &c->seals[index];

	buf_clear(&in->octets);
	for (size_t k = 0; k < s->hop->m; k++)
		put_field(NULL, &in->octets, c->instances[k].field, NULL);
	for (size_t k = 0; k < index; k++)
		put_field(NULL, &in->octets, c->seals[k].field, NULL);
	put_field(NULL, &in->octets, s->field, s);
	*out = buf_get(&in->octets);
	return !buf_failed(&in->octets);
}

struct digest *input_whole(struct input *in, const struct field *instance)
{
	struct digest *d;

	if (!reach(in, in->chain->m, 0))
		return NULL;
	d = digest_fork(in->instances);
	if (!d)
		return NULL;
	if (instance)
		add_field(d, instance, NULL);
	for (size_t k = 0; k < in->chain->n; k++)
		add_field(d, in->chain->seals[k].field, NULL);
	return d;
}
