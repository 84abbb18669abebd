#include "net/ipc.h"

#include "base/limits.h"

enum { NAME_OCTETS = 253, HEAD_OCTETS = 4 };

_Static_assert(DNS_OK == 0 && DNS_NXDOMAIN == 1 && DNS_NODATA == 2 && DNS_TIMEOUT == 3 && DNS_SERVFAIL == 4 && DNS_BOGUS == 5,
    "proto/resolver.md gives these numbers");
_Static_assert(KEY_RSA == 1 && KEY_ED25519 == 2, "proto/keeper.md gives these numbers");

/* integers, most significant octet first */

static void put(struct buf *b, uint64_t v, unsigned octets)
{
	unsigned char at[8];

	for (unsigned i = 0; i < octets; i++)
		at[i] = (unsigned char)(v >> 8 * (octets - 1 - i));
	buf_add(b, at, octets);
}

static bool get(struct slice *from, unsigned octets, uint64_t *v_out)
{
	struct slice at;
	uint64_t v = 0;

	if (!slice_take(from, octets, &at))
		return false;
	for (unsigned i = 0; i < octets; i++)
		v = v << 8 | at.at[i];
	*v_out = v;
	return true;
}

void ipc_begin(struct buf *b, enum ipc_kind kind)
{
	put(b, IPC_VERSION, 1);
	put(b, kind, 1);
	put(b, 0, 2);
}

unsigned ipc_count(const struct buf *b)
{
	return b->n < HEAD_OCTETS ? 0 : (unsigned)(b->at[2] << 8 | b->at[3]);
}

/* Counts the item and makes room for it, so that no append behind it can fail. */
static bool item_fits(struct buf *b, size_t octets)
{
	unsigned count = ipc_count(b) + 1;

	if (b->n < HEAD_OCTETS || count > LIMIT_IPC_BATCH || octets > LIMIT_IPC - b->n || buf_room(b, octets) == NULL)
		return false;
	b->at[2] = (unsigned char)(count >> 8);
	b->at[3] = (unsigned char)count;
	return true;
}

bool ipc_add_question(struct buf *b, const struct ipc_question *q)
{
	if (q->name.n == 0 || q->name.n > NAME_OCTETS || !item_fits(b, 16 + q->name.n))
		return false;
	put(b, q->ticket, 8);
	put(b, q->qtype, 2);
	put(b, q->timeout_ms, 4);
	put(b, 0, 1);
	put(b, q->name.n, 1);
	buf_slice(b, q->name);
	return true;
}

bool ipc_add_answer(struct buf *b, const struct ipc_answer *a)
{
	size_t octets = 0;

	for (size_t i = 0; i < a->record_count; i++) {
		if (a->records[i].n > UINT16_MAX || octets > LIMIT_IPC)
			return false;
		octets += 2 + a->records[i].n;
	}
	if (a->record_count > UINT16_MAX || !item_fits(b, 22 + octets))
		return false;
	put(b, a->ticket, 8);
	put(b, a->qtype, 2);
	put(b, a->status, 1);
	put(b, a->secure, 1);
	put(b, a->ttl_s, 4);
	put(b, a->record_count, 2);
	put(b, octets, 4);
	for (size_t i = 0; i < a->record_count; i++) {
		put(b, a->records[i].n, 2);
		buf_slice(b, a->records[i]);
	}
	return true;
}

bool ipc_add_sign(struct buf *b, const struct ipc_sign *s)
{
	if (s->domain.n == 0 || s->domain.n > NAME_OCTETS || s->selector.n == 0 || s->selector.n > NAME_OCTETS ||
	    !item_fits(b, 44 + s->domain.n + s->selector.n))
		return false;
	put(b, s->ticket, 8);
	put(b, s->type, 1);
	put(b, 0, 1);
	put(b, s->domain.n, 1);
	put(b, s->selector.n, 1);
	buf_add(b, s->digest, 32);
	buf_slice(b, s->domain);
	buf_slice(b, s->selector);
	return true;
}

bool ipc_add_signed(struct buf *b, const struct ipc_signed *s)
{
	if (s->signature.n > UINT16_MAX || !item_fits(b, 12 + s->signature.n))
		return false;
	put(b, s->ticket, 8);
	put(b, s->status, 1);
	put(b, 0, 1);
	put(b, s->signature.n, 2);
	buf_slice(b, s->signature);
	return true;
}

/* Each reader moves `from` over one item or returns false. */

static bool read_name(struct slice *from, uint64_t octets, struct slice *name_out)
{
	return octets >= 1 && octets <= NAME_OCTETS && slice_take(from, octets, name_out);
}

static bool read_question(struct slice *from, struct ipc_question *q)
{
	uint64_t ticket, qtype, timeout_ms, zero, octets;

	if (!get(from, 8, &ticket) || !get(from, 2, &qtype) || !get(from, 4, &timeout_ms) || !get(from, 1, &zero) ||
	    !get(from, 1, &octets) || zero != 0 || !read_name(from, octets, &q->name))
		return false;
	q->ticket = ticket;
	q->qtype = (uint16_t)qtype;
	q->timeout_ms = (uint32_t)timeout_ms;
	return true;
}

static bool read_answer(struct slice *from, struct ipc_answer *a)
{
	uint64_t ticket, qtype, status, secure, ttl_s, count, octets, each;
	struct slice records, record;

	if (!get(from, 8, &ticket) || !get(from, 2, &qtype) || !get(from, 1, &status) || !get(from, 1, &secure) ||
	    !get(from, 4, &ttl_s) || !get(from, 2, &count) || !get(from, 4, &octets) || status > DNS_BOGUS || secure > 1 ||
	    !slice_take(from, octets, &records))
		return false;
	*a = (struct ipc_answer){ .ticket = ticket, .qtype = (uint16_t)qtype, .status = (enum dns_status)status,
		.secure = secure == 1, .ttl_s = (uint32_t)ttl_s, .record_count = count, .encoded = records };
	for (; count > 0; count--)
		if (!get(&records, 2, &each) || !slice_take(&records, each, &record))
			return false;
	return records.n == 0;
}

static bool read_sign(struct slice *from, struct ipc_sign *s)
{
	uint64_t ticket, type, zero, domain, selector;
	struct slice digest;

	if (!get(from, 8, &ticket) || !get(from, 1, &type) || !get(from, 1, &zero) || !get(from, 1, &domain) ||
	    !get(from, 1, &selector) || zero != 0 || type < KEY_RSA || type > KEY_ED25519 || !slice_take(from, 32, &digest) ||
	    !read_name(from, domain, &s->domain) || !read_name(from, selector, &s->selector))
		return false;
	s->ticket = ticket;
	s->type = (enum key_type)type;
	s->digest = digest.at;
	return true;
}

static bool read_signed(struct slice *from, struct ipc_signed *s)
{
	uint64_t ticket, status, zero, octets;

	if (!get(from, 8, &ticket) || !get(from, 1, &status) || !get(from, 1, &zero) || !get(from, 2, &octets) || zero != 0 ||
	    status > IPC_SIGNED_FAILED || (octets == 0) != (status != IPC_SIGNED_DONE) || !slice_take(from, octets, &s->signature))
		return false;
	s->ticket = ticket;
	s->status = (enum ipc_signed_status)status;
	return true;
}

static bool read_any(struct slice *from, enum ipc_kind kind)
{
	struct ipc_question question;
	struct ipc_answer answer;
	struct ipc_sign sign;
	struct ipc_signed done;

	switch (kind) {
	case IPC_QUESTIONS:
		return read_question(from, &question);
	case IPC_ANSWERS:
		return read_answer(from, &answer);
	case IPC_SIGN:
		return read_sign(from, &sign);
	case IPC_SIGNED:
		return read_signed(from, &done);
	}
	return false;
}

bool ipc_open(struct slice message, enum ipc_kind kind, struct ipc_in *in_out)
{
	uint64_t version, got, count;
	struct slice all;

	if (message.n > LIMIT_IPC || !get(&message, 1, &version) || !get(&message, 1, &got) || !get(&message, 2, &count) ||
	    version != IPC_VERSION || got != (uint64_t)kind || count == 0 || count > LIMIT_IPC_BATCH)
		return false;
	all = message;
	for (uint64_t i = 0; i < count; i++)
		if (!read_any(&all, kind))
			return false;
	if (all.n != 0)
		return false;
	*in_out = (struct ipc_in){ message, (unsigned)count };
	return true;
}

static bool another(struct ipc_in *in)
{
	if (in->left == 0)
		return false;
	in->left--;
	return true;
}

bool ipc_next_question(struct ipc_in *in, struct ipc_question *q_out)
{
	return another(in) && read_question(&in->rest, q_out);
}

bool ipc_next_answer(struct ipc_in *in, struct ipc_answer *a_out)
{
	return another(in) && read_answer(&in->rest, a_out);
}

bool ipc_next_sign(struct ipc_in *in, struct ipc_sign *s_out)
{
	return another(in) && read_sign(&in->rest, s_out);
}

bool ipc_next_signed(struct ipc_in *in, struct ipc_signed *s_out)
{
	return another(in) && read_signed(&in->rest, s_out);
}

bool ipc_record(struct ipc_answer *a, struct slice *record_out)
{
	uint64_t octets;

	return get(&a->encoded, 2, &octets) && slice_take(&a->encoded, octets, record_out);
}
