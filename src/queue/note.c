/*
 * note.c - what is kept of a message between attempts, so that a restart neither seals anew nor tries too soon. JSON, since it is read
 * by operators who look at a spool; losing it costs an attempt, not mail.
 *
 *     {"copies": {"0": {"attempts": 2, "next": 1790000000, "sealed": 1790000000, "enforce": true, "fields": "...base64...", "warned": true}},
 *      "rcpts": {"0": {"code": 451, "enhanced": "4.7.1", "text": "later"}}}
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/b64.h"
#include "base/limits.h"
#include "queue/queue_in.h"

json_t *note_read(struct queue_message *m, struct arena *a)
{
	struct slice octets = store_note_read(m->queue->store, m->entry, a);
	json_t *note = octets.n ? json_loadb((const char *)octets.at, octets.n, 0, NULL) : NULL;

	if (note && json_is_object(note))
		return note;
	json_decref(note);
	return json_object();
}

static json_t *member(const json_t *note, const char *group, size_t number)
{
	char key[24];

	snprintf(key, sizeof(key), "%zu", number);
	return json_object_get(json_object_get(note, group), key);
}

static bool member_set(json_t *note, const char *group, size_t number, json_t *take_value)
{
	json_t *all = json_object_get(note, group);
	char key[24];

	if (!all && json_object_set_new(note, group, json_object()) == 0)
		all = json_object_get(note, group);
	snprintf(key, sizeof(key), "%zu", number);
	if (all && take_value)
		return json_object_set_new(all, key, take_value) == 0;
	json_decref(take_value);
	return false;
}

bool note_copy_get(const json_t *note, uint32_t group, struct arena *a, struct note_copy *out)
{
	const json_t *c = member(note, "copies", group);
	const char *fields = json_string_value(json_object_get(c, "fields"));
	json_int_t attempts = json_integer_value(json_object_get(c, "attempts"));

	*out = (struct note_copy){ .attempts = attempts > 0 && attempts < 1000000 ? (unsigned)attempts : 0,
		.next_s = json_integer_value(json_object_get(c, "next")),
		.sealed_s = json_integer_value(json_object_get(c, "sealed")),
		.enforce = json_is_true(json_object_get(c, "enforce")),
		.warned = json_is_true(json_object_get(c, "warned")) };
	if (fields && !b64_decode(a, slice_str(fields), false, &out->fields))
		out->fields = SLICE_NONE;
	return c != NULL;
}

bool note_rcpt_get(const json_t *note, size_t rcpt, struct note_rcpt *out)
{
	const json_t *r = member(note, "rcpts", rcpt);
	json_int_t code = json_integer_value(json_object_get(r, "code"));

	*out = (struct note_rcpt){ .code = code > 0 && code < 600 ? (short)code : 0,
		.enhanced = json_string_value(json_object_get(r, "enhanced")),
		.text = json_string_value(json_object_get(r, "text")) };
	return r != NULL;
}

bool note_copy_set(json_t *note, uint32_t group, const struct note_copy *c)
{
	json_t *o = json_pack("{sI sI}", "attempts", (json_int_t)c->attempts, "next", (json_int_t)c->next_s);
	bool good = o != NULL;

	if (o && c->warned)
		good &= json_object_set_new(o, "warned", json_true()) == 0;
	if (o && c->fields.n) {
		struct buf text;

		buf_init(&text, LIMIT_SPOOL_NOTE);
		b64_encode(&text, c->fields);
		good &= !buf_failed(&text) && json_object_set_new(o, "sealed", json_integer(c->sealed_s)) == 0 &&
		    json_object_set_new(o, "enforce", json_boolean(c->enforce)) == 0 &&
		    json_object_set_new(o, "fields", json_stringn((const char *)text.at, text.n)) == 0;
		buf_release(&text);
	}
	return member_set(note, "copies", group, o) && good;
}

bool note_rcpt_set(json_t *note, size_t rcpt, const struct note_rcpt *r)
{
	json_t *o = json_pack("{sI}", "code", (json_int_t)r->code);
	bool good = o != NULL;

	if (o && r->enhanced && r->enhanced[0])
		good &= json_object_set_new(o, "enhanced", json_string(r->enhanced)) == 0;
	if (o && r->text && r->text[0])
		good &= json_object_set_new(o, "text", json_string(r->text)) == 0;
	return member_set(note, "rcpts", rcpt, o) && good;
}

void note_write(struct queue_message *m, const json_t *note)
{
	char *text = json_dumps(note, JSON_COMPACT | JSON_ENSURE_ASCII);

	if (text)
		(void)store_note(m->queue->store, m->entry, slice_str(text));
	free(text);
}
