#include "spool/format.h"

#include "base/limits.h"
#include "base/map.h"

/* proto/spool.md gives these numbers. */
_Static_assert(DKIM2_NONE == 0 && DKIM2_PASS == 1 && DKIM2_TEMPERROR == 2 && DKIM2_FAIL == 3 && DKIM2_PERMERROR == 4 && DKIM2_SKIPPED == 5, "chain");
_Static_assert(DKIM2_FULL == 0 && DKIM2_PROVISIONAL == 1 && DKIM2_NO_ENVELOPE == 2, "level");
_Static_assert(ARC_NONE == 0 && ARC_PASS == 1 && ARC_FAIL == 2 && ARC_PERMERROR == 3 && ARC_TEMPERROR == 4, "arc");

/* Items of an envelope, in this order, each once at most, but for recipients. A reader may skip what is above. */
enum item {
	ITEM_ID = 1,
	ITEM_LISTENER,
	ITEM_ARRIVED,
	ITEM_MAIL_FROM,
	ITEM_FLAGS,
	ITEM_RET,
	ITEM_ENVID,
	ITEM_CLIENT,
	ITEM_WANTED,
	ITEM_REPORT_TO,
	ITEM_REPORT_WHY,
	ITEM_FOUND,
	ITEM_AUTHRES,
	ITEM_BODY_SHA256,
	ITEM_BODY_SHA512,
	ITEM_BODY_RELAXED,
	ITEM_RCPT,
	ITEM_MAY_SKIP = 128
};
enum { ITEM_HEAD = 5, FOUND_OCTETS = 16, RCPT_OCTETS = 10 };

enum flag {
	FLAG_8BIT = 1,
	FLAG_SMTPUTF8 = 2,
	FLAG_REQUIRETLS = 4,
	FLAG_KNOWN_CLIENT = 8,
	FLAG_ARRANGED = 16,
	FLAG_REPORT = 32,
	FLAG_DOTS = 64,
	FLAG_JUDGED = 128,
	FLAG_EXPLODED = 256,
	FLAGS = 511
};

enum { ID_MAX = 32, NAME_MAX_OCTETS = 255, WORD_MAX = 64 };
/* Octets of a content: whatever says more is no head. */
#define CONTENT_MAX ((uint64_t)1 << 40)

/* integers, most significant octet first */

static void put_at(unsigned char *at, uint64_t v, unsigned octets)
{
	for (unsigned i = 0; i < octets; i++)
		at[i] = (unsigned char)(v >> 8 * (octets - 1 - i));
}

static uint64_t get_at(const unsigned char *at, unsigned octets)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < octets; i++)
		v = v << 8 | at[i];
	return v;
}

static void put(struct buf *b, uint64_t v, unsigned octets)
{
	unsigned char at[8];

	put_at(at, v, octets);
	buf_add(b, at, octets);
}

static bool get(struct slice *from, unsigned octets, uint64_t *v_out)
{
	struct slice at;

	if (!slice_take(from, octets, &at))
		return false;
	*v_out = get_at(at.at, octets);
	return true;
}

/* ---- what an envelope may hold ---- */

/* Nothing that could end a command, or a line of the log. */
static bool no_controls(struct slice s, size_t max)
{
	if (s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] < 0x20 || s.at[i] == 0x7f)
			return false;
	return true;
}

/* Nor a parameter of one. */
static bool one_word(struct slice s, size_t max)
{
	return no_controls(s, max) && slice_find(s, ' ') == s.n;
}

static bool path_fits(struct slice s)
{
	return s.n >= 2 && s.at[0] == '<' && s.at[s.n - 1] == '>' && no_controls(s, LIMIT_PATH);
}

static bool id_fits(struct slice s)
{
	if (s.n == 0 || s.n > ID_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_digit(s.at[i]) && !(s.at[i] >= 'a' && s.at[i] <= 'z'))
			return false;
	return true;
}

static bool found_fits(const struct spool_envelope *e)
{
	if (!e->judged)
		return e->chain_state == 0 && e->chain_newest == 0 && e->chain_level == 0 && e->hop_count == 0 && e->instance_count == 0 &&
		    !e->chain_exploded && e->arc_state == 0 && e->arc_instances == 0 && e->authres.n == 0 && e->body_sha256.n == 0 &&
		    e->body_sha512.n == 0 && e->body_relaxed_sha256.n == 0;
	return (unsigned)e->chain_state <= DKIM2_SKIPPED && (unsigned)e->chain_newest <= DKIM2_SKIPPED &&
	    (unsigned)e->chain_level <= DKIM2_NO_ENVELOPE && (unsigned)e->arc_state <= ARC_TEMPERROR &&
	    (e->body_sha256.n == 0 || e->body_sha256.n == 32) && (e->body_sha512.n == 0 || e->body_sha512.n == 64) &&
	    (e->body_relaxed_sha256.n == 0 || e->body_relaxed_sha256.n == 32);
}

static bool rcpt_fits(const struct spool_rcpt *r)
{
	return path_fits(r->path) && one_word(r->notify, WORD_MAX) && one_word(r->orcpt, LIMIT_ORCPT) && r->group < LIMIT_RCPT;
}

static bool envelope_fits(const struct spool_envelope *e)
{
	if (!id_fits(e->id) || e->listener.n == 0 || !no_controls(e->listener, NAME_MAX_OCTETS) || e->arrived_s < 0 || !path_fits(e->mail_from) ||
	    !one_word(e->ret, WORD_MAX) || !one_word(e->envid, LIMIT_ENVID) || !no_controls(e->client, NAME_MAX_OCTETS) ||
	    (e->report_to.n && !path_fits(e->report_to)) || !one_word(e->report_why, WORD_MAX) || !found_fits(e) ||
	    e->rcpt_count == 0 || e->rcpt_count > LIMIT_RCPT)
		return false;
	for (size_t i = 0; i < e->rcpt_count; i++)
		if (!rcpt_fits(&e->rcpts[i]))
			return false;
	return true;
}

/* ---- writing ---- */

static void item_head(struct buf *b, enum item what, size_t octets)
{
	put(b, what, 1);
	put(b, octets, 4);
}

static void item(struct buf *b, enum item what, struct slice value)
{
	if (value.n == 0)
		return;
	item_head(b, what, value.n);
	buf_slice(b, value);
}

static void item_number(struct buf *b, enum item what, uint64_t v)
{
	item_head(b, what, 8);
	put(b, v, 8);
}

static unsigned flags_of(const struct spool_envelope *e)
{
	return (e->body_8bit ? FLAG_8BIT : 0U) | (e->smtputf8 ? FLAG_SMTPUTF8 : 0U) | (e->requiretls ? FLAG_REQUIRETLS : 0U) |
	    (e->known_client ? FLAG_KNOWN_CLIENT : 0U) | (e->arranged ? FLAG_ARRANGED : 0U) | (e->report ? FLAG_REPORT : 0U) |
	    (e->dots ? FLAG_DOTS : 0U) | (e->judged ? FLAG_JUDGED : 0U) | (e->chain_exploded ? FLAG_EXPLODED : 0U);
}

static void item_found(struct buf *b, const struct spool_envelope *e)
{
	item_head(b, ITEM_FOUND, FOUND_OCTETS);
	put(b, e->chain_state, 1);
	put(b, e->chain_newest, 1);
	put(b, e->chain_level, 1);
	put(b, e->arc_state, 1);
	put(b, e->hop_count, 4);
	put(b, e->instance_count, 4);
	put(b, e->arc_instances, 4);
}

static void item_rcpt(struct buf *b, const struct spool_rcpt *r)
{
	item_head(b, ITEM_RCPT, RCPT_OCTETS + r->path.n + r->notify.n + r->orcpt.n);
	put(b, r->group, 4);
	put(b, r->path.n, 2);
	put(b, r->notify.n, 2);
	put(b, r->orcpt.n, 2);
	buf_slice(b, r->path);
	buf_slice(b, r->notify);
	buf_slice(b, r->orcpt);
}

bool spool_envelope_write(struct buf *out, const struct spool_envelope *e)
{
	if (!envelope_fits(e))
		return false;
	item(out, ITEM_ID, e->id);
	item(out, ITEM_LISTENER, e->listener);
	item_number(out, ITEM_ARRIVED, (uint64_t)e->arrived_s);
	item(out, ITEM_MAIL_FROM, e->mail_from);
	item_number(out, ITEM_FLAGS, flags_of(e));
	item(out, ITEM_RET, e->ret);
	item(out, ITEM_ENVID, e->envid);
	item(out, ITEM_CLIENT, e->client);
	item_number(out, ITEM_WANTED, e->wanted);
	item(out, ITEM_REPORT_TO, e->report_to);
	item(out, ITEM_REPORT_WHY, e->report_why);
	if (e->judged)
		item_found(out, e);
	item(out, ITEM_AUTHRES, e->authres);
	item(out, ITEM_BODY_SHA256, e->body_sha256);
	item(out, ITEM_BODY_SHA512, e->body_sha512);
	item(out, ITEM_BODY_RELAXED, e->body_relaxed_sha256);
	for (size_t i = 0; i < e->rcpt_count; i++)
		item_rcpt(out, &e->rcpts[i]);
	return !buf_failed(out);
}

/* ---- reading ---- */

/* Moves over one item. */
static bool item_take(struct slice *from, unsigned *what_out, struct slice *value_out)
{
	uint64_t what, n;

	if (!get(from, 1, &what) || !get(from, 4, &n) || n == 0 || !slice_take(from, n, value_out))
		return false;
	*what_out = (unsigned)what;
	return true;
}

static bool read_number(struct slice value, uint64_t max, uint64_t *v_out)
{
	return value.n == 8 && get(&value, 8, v_out) && *v_out <= max;
}

static bool read_flags(struct slice value, struct spool_envelope *e)
{
	uint64_t flags;

	if (!read_number(value, FLAGS, &flags))
		return false;
	e->body_8bit = flags & FLAG_8BIT;
	e->smtputf8 = flags & FLAG_SMTPUTF8;
	e->requiretls = flags & FLAG_REQUIRETLS;
	e->known_client = flags & FLAG_KNOWN_CLIENT;
	e->arranged = flags & FLAG_ARRANGED;
	e->report = flags & FLAG_REPORT;
	e->dots = flags & FLAG_DOTS;
	e->judged = flags & FLAG_JUDGED;
	e->chain_exploded = flags & FLAG_EXPLODED;
	return true;
}

static bool read_found(struct slice value, struct spool_envelope *e)
{
	if (value.n != FOUND_OCTETS || value.at[0] > DKIM2_SKIPPED || value.at[1] > DKIM2_SKIPPED || value.at[2] > DKIM2_NO_ENVELOPE ||
	    value.at[3] > ARC_TEMPERROR)
		return false;
	e->chain_state = (enum dkim2_state)value.at[0];
	e->chain_newest = (enum dkim2_state)value.at[1];
	e->chain_level = (enum dkim2_level)value.at[2];
	e->arc_state = (enum arc_state)value.at[3];
	e->hop_count = (uint32_t)get_at(value.at + 4, 4);
	e->instance_count = (uint32_t)get_at(value.at + 8, 4);
	e->arc_instances = (uint32_t)get_at(value.at + 12, 4);
	return true;
}

static bool read_rcpt(struct slice value, struct spool_rcpt *r)
{
	uint64_t group, path, notify, orcpt;

	if (!get(&value, 4, &group) || !get(&value, 2, &path) || !get(&value, 2, &notify) || !get(&value, 2, &orcpt) ||
	    !slice_take(&value, path, &r->path) || !slice_take(&value, notify, &r->notify) || !slice_take(&value, orcpt, &r->orcpt))
		return false;
	r->group = (uint32_t)group;
	return value.n == 0;
}

static bool read_item(unsigned what, struct slice value, struct spool_envelope *e)
{
	uint64_t v;

	switch (what) {
	case ITEM_ID:
		e->id = value;
		return true;
	case ITEM_LISTENER:
		e->listener = value;
		return true;
	case ITEM_ARRIVED:
		if (!read_number(value, INT64_MAX, &v))
			return false;
		e->arrived_s = (int64_t)v;
		return true;
	case ITEM_MAIL_FROM:
		e->mail_from = value;
		return true;
	case ITEM_FLAGS:
		return read_flags(value, e);
	case ITEM_RET:
		e->ret = value;
		return true;
	case ITEM_ENVID:
		e->envid = value;
		return true;
	case ITEM_CLIENT:
		e->client = value;
		return true;
	case ITEM_WANTED:
		if (!read_number(value, UINT32_MAX, &v))
			return false;
		e->wanted = (uint32_t)v;
		return true;
	case ITEM_REPORT_TO:
		e->report_to = value;
		return true;
	case ITEM_REPORT_WHY:
		e->report_why = value;
		return true;
	case ITEM_FOUND:
		return read_found(value, e);
	case ITEM_AUTHRES:
		e->authres = value;
		return true;
	case ITEM_BODY_SHA256:
		e->body_sha256 = value;
		return true;
	case ITEM_BODY_SHA512:
		e->body_sha512 = value;
		return true;
	case ITEM_BODY_RELAXED:
		e->body_relaxed_sha256 = value;
		return true;
	default:
		return what >= ITEM_MAY_SKIP;
	}
}

/* What is always there, and what is there when flags say so. */
enum { ITEMS_NEEDED = 1 << ITEM_ID | 1 << ITEM_LISTENER | 1 << ITEM_ARRIVED | 1 << ITEM_MAIL_FROM | 1 << ITEM_FLAGS | 1 << ITEM_WANTED };

bool spool_envelope_read(struct arena *a, struct slice octets, struct spool_envelope *out)
{
	struct spool_envelope e = { 0 };
	struct slice rest = octets, value;
	unsigned what, before = 0;
	uint32_t seen = 0;
	size_t at = 0;

	if (octets.n > LIMIT_SPOOL_ENVELOPE)
		return false;
	while (rest.n) {
		if (!item_take(&rest, &what, &value) || what == 0 || what < before || (what == before && what != ITEM_RCPT))
			return false;
		before = what;
		if (what == ITEM_RCPT)
			e.rcpt_count++;
		else if (!read_item(what, value, &e))
			return false;
		if (what < ITEM_RCPT)
			seen |= 1U << what;
	}
	if ((seen & ITEMS_NEEDED) != ITEMS_NEEDED || e.judged != ((seen >> ITEM_FOUND & 1) != 0) || e.rcpt_count == 0 || e.rcpt_count > LIMIT_RCPT)
		return false;
	e.rcpts = ARENA_ARRAY(a, e.rcpt_count, struct spool_rcpt);
	if (!e.rcpts)
		return false;
	for (rest = octets; item_take(&rest, &what, &value);)
		if (what == ITEM_RCPT && !read_rcpt(value, &e.rcpts[at++]))
			return false;
	if (!envelope_fits(&e))
		return false;
	*out = e;
	return true;
}

/* ---- heads ---- */

static const char file_magic[16] = "hopseal spool\r\n", head_magic[8] = "hs-msg\r\n", note_magic[8] = "hs-note\n";

enum { /* of a file */
	FILE_VERSION = 16,
	FILE_MESSAGES = 20,
	FILE_OCTETS = 24,
	FILE_KEY = 32,
	FILE_SUM = 48,
	FILE_REST = 56
};
enum { /* of a message */
	HEAD_VERSION = 8,
	HEAD_ENVELOPE = 12,
	HEAD_MARKS = 16,
	HEAD_HEADER = 20,
	HEAD_CONTENT = 24,
	HEAD_SHA256 = 32,
	HEAD_REST = 64,
	HEAD_SUM = 120
};
enum { /* of a note */
	NOTE_VERSION = 8,
	NOTE_OCTETS = 12,
	NOTE_SUM = 16,
	NOTE_REST = 24
};

/* One behind the other; where the border stands is told by what is in the first. */
static uint64_t sum_of(const unsigned char key[SPOOL_KEY], struct slice a, struct slice b)
{
	uint64_t seed[2] = { 0, 0 };

	for (unsigned i = 0; i < 8; i++) {
		seed[0] |= (uint64_t)key[i] << 8 * i;
		seed[1] |= (uint64_t)key[8 + i] << 8 * i;
	}
	seed[0] ^= map_hash(seed, a);
	return map_hash(seed, b);
}

static bool all_zero(const unsigned char *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i])
			return false;
	return true;
}

void spool_file_write(unsigned char octets_out[SPOOL_ALIGN], const struct spool_file *file)
{
	memset(octets_out, 0, SPOOL_ALIGN);
	memcpy(octets_out, file_magic, sizeof(file_magic));
	put_at(octets_out + FILE_VERSION, SPOOL_VERSION, 4);
	put_at(octets_out + FILE_MESSAGES, file->messages, 4);
	put_at(octets_out + FILE_OCTETS, file->octets, 8);
	memcpy(octets_out + FILE_KEY, file->key, SPOOL_KEY);
	put_at(octets_out + FILE_SUM, sum_of(file->key, slice_of(octets_out, FILE_KEY), SLICE_NONE), 8);
}

bool spool_file_read(struct slice octets, struct spool_file *out)
{
	struct spool_file file;

	if (octets.n < SPOOL_ALIGN || memcmp(octets.at, file_magic, sizeof(file_magic)) != 0 ||
	    get_at(octets.at + FILE_VERSION, 4) != SPOOL_VERSION || !all_zero(octets.at + FILE_REST, SPOOL_ALIGN - FILE_REST))
		return false;
	file.messages = (uint32_t)get_at(octets.at + FILE_MESSAGES, 4);
	file.octets = get_at(octets.at + FILE_OCTETS, 8);
	memcpy(file.key, octets.at + FILE_KEY, SPOOL_KEY);
	if (file.messages == 0 || file.messages > LIMIT_SPOOL_COMMIT || file.octets <= SPOOL_ALIGN || file.octets % SPOOL_ALIGN != 0 ||
	    get_at(octets.at + FILE_SUM, 8) != sum_of(file.key, slice_of(octets.at, FILE_KEY), SLICE_NONE))
		return false;
	*out = file;
	return true;
}

bool spool_file_key(struct slice octets, struct spool_file *out)
{
	if (octets.n < SPOOL_ALIGN || get_at(octets.at + FILE_VERSION, 4) > SPOOL_VERSION)
		return false;
	memset(out, 0, sizeof(*out));
	memcpy(out->key, octets.at + FILE_KEY, SPOOL_KEY);
	return true;
}

void spool_head_write(unsigned char octets_out[SPOOL_HEAD], const struct spool_file *file, const struct spool_head *h, struct slice envelope)
{
	memset(octets_out, 0, SPOOL_HEAD);
	memcpy(octets_out, head_magic, sizeof(head_magic));
	put_at(octets_out + HEAD_VERSION, SPOOL_VERSION, 4);
	put_at(octets_out + HEAD_ENVELOPE, h->envelope_octets, 4);
	put_at(octets_out + HEAD_MARKS, h->marks, 4);
	put_at(octets_out + HEAD_HEADER, h->header_octets, 4);
	put_at(octets_out + HEAD_CONTENT, h->content_octets, 8);
	memcpy(octets_out + HEAD_SHA256, h->content_sha256, 32);
	put_at(octets_out + HEAD_SUM, sum_of(file->key, slice_of(octets_out, HEAD_SUM), envelope), 8);
}

bool spool_head_read(struct slice octets, struct spool_head *out)
{
	struct spool_head h;

	if (octets.n < SPOOL_HEAD || memcmp(octets.at, head_magic, sizeof(head_magic)) != 0 ||
	    get_at(octets.at + HEAD_VERSION, 4) != SPOOL_VERSION || !all_zero(octets.at + HEAD_REST, HEAD_SUM - HEAD_REST))
		return false;
	h.envelope_octets = (uint32_t)get_at(octets.at + HEAD_ENVELOPE, 4);
	h.marks = (uint32_t)get_at(octets.at + HEAD_MARKS, 4);
	h.header_octets = (uint32_t)get_at(octets.at + HEAD_HEADER, 4);
	h.content_octets = get_at(octets.at + HEAD_CONTENT, 8);
	memcpy(h.content_sha256, octets.at + HEAD_SHA256, 32);
	if (h.envelope_octets == 0 || h.envelope_octets > LIMIT_SPOOL_ENVELOPE || h.marks < 2 || h.marks > 1 + LIMIT_RCPT ||
	    h.content_octets > CONTENT_MAX || h.header_octets > h.content_octets)
		return false;
	*out = h;
	return true;
}

bool spool_head_fits(const struct spool_file *file, struct slice head, struct slice envelope)
{
	return head.n >= SPOOL_HEAD && get_at(head.at + HEAD_SUM, 8) == sum_of(file->key, slice_of(head.at, HEAD_SUM), envelope);
}

uint64_t spool_marks_at(const struct spool_head *h)
{
	return SPOOL_HEAD + (uint64_t)h->envelope_octets;
}

uint64_t spool_content_at(const struct spool_head *h)
{
	return spool_marks_at(h) + h->marks;
}

uint64_t spool_end_at(const struct spool_head *h)
{
	return (spool_content_at(h) + h->content_octets + SPOOL_ALIGN - 1) / SPOOL_ALIGN * SPOOL_ALIGN;
}

bool spool_marks(struct slice marks)
{
	if (marks.n < 2 || (marks.at[0] != SPOOL_WAITING && marks.at[0] != SPOOL_HELD && marks.at[0] != SPOOL_DONE))
		return false;
	for (size_t i = 1; i < marks.n; i++)
		if (marks.at[i] != SPOOL_WAITING && marks.at[i] != SPOOL_DELIVERED && marks.at[i] != SPOOL_FAILED && marks.at[i] != SPOOL_REMOVED)
			return false;
	return true;
}

/* ---- names, notices, notes ---- */

bool spool_name(struct slice name)
{
	if (name.n != SPOOL_NAME)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!ascii_digit(name.at[i]) && !(name.at[i] >= 'a' && name.at[i] <= 'f'))
			return false;
	return true;
}

bool spool_notice_add(struct buf *packet, struct slice name)
{
	size_t octets = name.n + (packet->n == 0);

	if (!spool_name(name) || octets > SPOOL_NOTICE - packet->n || !buf_room(packet, octets))
		return false;
	if (packet->n == 0)
		buf_octet(packet, SPOOL_FILES);
	buf_slice(packet, name);
	return true;
}

bool spool_notice_next(struct slice *packet, struct slice *name_out)
{
	struct slice name = slice_sub(*packet, 0, SPOOL_NAME);

	if (!spool_name(name) || !slice_take(packet, SPOOL_NAME, &name))
		return false;
	*name_out = name;
	return true;
}

static const unsigned char note_key[SPOOL_KEY];

void spool_note_write(unsigned char octets_out[SPOOL_NOTE_HEAD], struct slice note)
{
	memset(octets_out, 0, SPOOL_NOTE_HEAD);
	memcpy(octets_out, note_magic, sizeof(note_magic));
	put_at(octets_out + NOTE_VERSION, SPOOL_VERSION, 4);
	put_at(octets_out + NOTE_OCTETS, note.n, 4);
	put_at(octets_out + NOTE_SUM, sum_of(note_key, slice_of(octets_out, NOTE_SUM), note), 8);
}

bool spool_note_read(struct slice file, struct slice *note_out)
{
	struct slice head, note = file;

	if (!slice_take(&note, SPOOL_NOTE_HEAD, &head) || note.n > LIMIT_SPOOL_NOTE || memcmp(head.at, note_magic, sizeof(note_magic)) != 0 ||
	    get_at(head.at + NOTE_VERSION, 4) != SPOOL_VERSION || get_at(head.at + NOTE_OCTETS, 4) != note.n ||
	    !all_zero(head.at + NOTE_REST, SPOOL_NOTE_HEAD - NOTE_REST) ||
	    get_at(head.at + NOTE_SUM, 8) != sum_of(note_key, slice_of(head.at, NOTE_SUM), note))
		return false;
	*note_out = note;
	return true;
}
