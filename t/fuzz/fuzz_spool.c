/* Octets as a file of the spool, a message, an envelope, a notice and a note: what is read adds up, and is written the same. */
#include "base/limits.h"
#include "fuzz.h"
#include "spool/format.h"

static void want_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		WANT(s.at[i] >= 0x20 && s.at[i] != 0x7f);
}

static void want_path(struct slice s)
{
	WANT(s.n >= 2 && s.n <= LIMIT_PATH && s.at[0] == '<' && s.at[s.n - 1] == '>');
	want_text(s);
}

static void want_envelope(const struct spool_envelope *e)
{
	WANT(e->id.n >= 1 && e->id.n <= 32 && e->listener.n >= 1 && e->arrived_s >= 0);
	want_text(e->id);
	want_path(e->mail_from);
	if (e->report_to.n)
		want_path(e->report_to);
	WANT(e->judged || (e->authres.n == 0 && e->body_sha256.n == 0 && !e->chain_exploded));
	WANT(e->rcpt_count >= 1 && e->rcpt_count <= LIMIT_RCPT);
	for (size_t i = 0; i < e->rcpt_count; i++) {
		want_path(e->rcpts[i].path);
		want_text(e->rcpts[i].notify);
		want_text(e->rcpts[i].orcpt);
		WANT(e->rcpts[i].group < LIMIT_RCPT);
	}
}

/* Items that a later version may add are not kept. */
static bool has_later(struct slice octets)
{
	while (octets.n >= 5) {
		struct slice item;
		size_t n = 5 + ((size_t)octets.at[1] << 24 | (size_t)octets.at[2] << 16 | (size_t)octets.at[3] << 8 | octets.at[4]);

		if (octets.at[0] >= 128)
			return true;
		if (!slice_take(&octets, n, &item))
			break;
	}
	return false;
}

static void envelope(struct slice octets)
{
	struct spool_envelope e, again;
	struct arena a;
	struct buf b;

	arena_init(&a, 1 << 22);
	buf_init(&b, 1 << 22);
	if (spool_envelope_read(&a, octets, &e)) {
		want_envelope(&e);
		WANT(spool_envelope_write(&b, &e));
		WANT(has_later(octets) || slice_eq(buf_get(&b), octets));
		WANT(spool_envelope_read(&a, buf_get(&b), &again) && again.rcpt_count == e.rcpt_count && slice_eq(again.id, e.id));
	}
	buf_release(&b);
	arena_clear(&a);
}

static void message(const struct spool_file *file, struct slice octets)
{
	unsigned char head[SPOOL_HEAD];
	struct spool_head h;
	struct slice envelope_octets;

	if (!spool_head_read(octets, &h))
		return;
	WANT(spool_marks_at(&h) > SPOOL_HEAD && spool_content_at(&h) > spool_marks_at(&h));
	WANT(spool_end_at(&h) >= spool_content_at(&h) + h.content_octets && spool_end_at(&h) % SPOOL_ALIGN == 0);
	WANT(h.header_octets <= h.content_octets);
	if (spool_content_at(&h) > octets.n)
		return;
	envelope_octets = slice_sub(octets, SPOOL_HEAD, h.envelope_octets);
	spool_head_write(head, file, &h, envelope_octets);
	WANT(spool_head_fits(file, slice_of(head, SPOOL_HEAD), envelope_octets));
	WANT(memcmp(head, octets.at, SPOOL_HEAD - 8) == 0);
	WANT(spool_head_fits(file, octets, envelope_octets) == (memcmp(head, octets.at, SPOOL_HEAD) == 0));
	(void)spool_marks(slice_sub(octets, (size_t)spool_marks_at(&h), h.marks));
	envelope(envelope_octets);
}

static void whole_file(struct slice octets)
{
	struct spool_file file = { .messages = 0 }, key;
	unsigned char head[SPOOL_ALIGN];

	if (spool_file_read(octets, &file)) {
		WANT(file.messages >= 1 && file.octets > SPOOL_ALIGN && file.octets % SPOOL_ALIGN == 0);
		spool_file_write(head, &file);
		WANT(memcmp(head, octets.at, SPOOL_ALIGN) == 0);
		WANT(spool_file_key(octets, &key) && memcmp(key.key, file.key, SPOOL_KEY) == 0);
	}
	for (size_t at = SPOOL_ALIGN; at < octets.n; at += SPOOL_ALIGN)
		message(&file, slice_sub(octets, at, SIZE_MAX));
}

static void notice(struct slice packet)
{
	struct slice name;
	size_t n = packet.n, names = 0;

	for (; spool_notice_next(&packet, &name); names++)
		WANT(spool_name(name));
	WANT(packet.n + names * SPOOL_NAME == n);
}

static void note(struct slice octets)
{
	unsigned char head[SPOOL_NOTE_HEAD];
	struct slice got;

	if (!spool_note_read(octets, &got))
		return;
	WANT(got.n + SPOOL_NOTE_HEAD == octets.n);
	spool_note_write(head, got);
	WANT(memcmp(head, octets.at, SPOOL_NOTE_HEAD) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	static const struct spool_file no_key;
	struct slice octets = slice_of(at, n);

	envelope(octets);
	message(&no_key, octets);
	whole_file(octets);
	notice(octets);
	note(octets);
	return 0;
}
