/*
 * note.c - what is kept of a copy between attempts, so that a restart neither seals anew nor tries too soon. JSON, since it is read
 * by operators who look at a spool; losing it costs an attempt, not mail. Recipients go by their place in the envelope.
 *
 *     {"attempts": 2, "next": 1790000000, "warned": true, "sealed": 1790000000, "enforce": true, "fields": "...base64...",
 *      "rcpts": {"0": {"code": 451, "enhanced": "4.7.1", "text": "later", "ours": true}}}
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/b64.h"
#include "base/limits.h"
#include "queue/queue_in.h"

json_t *note_read(struct queue_message *m, uint32_t copy, struct arena *a)
{
	struct slice octets = store_note_read(m->queue->store, m->entry, copy, a);
	json_t *note = octets.n ? json_loadb((const char *)octets.at, octets.n, 0, NULL) : NULL;

	if (note && json_is_object(note))
		return note;
	json_decref(note);
	return json_object();
}

bool note_copy_get(const json_t *note, struct arena *a, struct note_copy *out)
{
	const char *fields = json_string_value(json_object_get(note, "fields"));
	json_int_t attempts = json_integer_value(json_object_get(note, "attempts"));

	*out = (struct note_copy){ .attempts = attempts > 0 && attempts < 1000000 ? (unsigned)attempts : 0,
		.next_s = json_integer_value(json_object_get(note, "next")),
		.sealed_s = json_integer_value(json_object_get(note, "sealed")),
		.enforce = json_is_true(json_object_get(note, "enforce")),
		.warned = json_is_true(json_object_get(note, "warned")) };
	if (fields && !b64_decode(a, slice_str(fields), false, &out->fields))
		out->fields = SLICE_NONE;
	return json_object_size(note) > 0;
}

static const char *place(size_t rcpt, char key[24])
{
	snprintf(key, 24, "%zu", rcpt);
	return key;
}

bool note_rcpt_get(const json_t *note, size_t rcpt, struct note_rcpt *out)
{
	char key[24];
	const json_t *r = json_object_get(json_object_get(note, "rcpts"), place(rcpt, key));
	json_int_t code = json_integer_value(json_object_get(r, "code"));

	*out = (struct note_rcpt){ .code = code > 0 && code < 600 ? (short)code : 0,
		.enhanced = json_string_value(json_object_get(r, "enhanced")),
		.text = json_string_value(json_object_get(r, "text")),
		.ours = json_is_true(json_object_get(r, "ours")) };
	return r != NULL;
}

static bool set(json_t *note, const char *key, json_t *take_value)
{
	return take_value && json_object_set_new(note, key, take_value) == 0;
}

bool note_copy_set(json_t *note, const struct note_copy *c)
{
	bool good = set(note, "attempts", json_integer(c->attempts)) && set(note, "next", json_integer(c->next_s)) &&
	    set(note, "warned", json_boolean(c->warned));
	struct buf text;

	if (!good || !c->fields.n)
		return good;
	buf_init(&text, LIMIT_SPOOL_NOTE);
	b64_encode(&text, c->fields);
	good = !buf_failed(&text) && set(note, "sealed", json_integer(c->sealed_s)) && set(note, "enforce", json_boolean(c->enforce)) &&
	    set(note, "fields", json_stringn((const char *)text.at, text.n));
	buf_release(&text);
	return good;
}

bool note_rcpt_set(json_t *note, size_t rcpt, const struct note_rcpt *r)
{
	json_t *all = json_object_get(note, "rcpts"), *o = json_object();
	bool good = set(o, "code", json_integer(r->code));
	char key[24];

	if (!all && set(note, "rcpts", json_object()))
		all = json_object_get(note, "rcpts");
	if (r->enhanced && r->enhanced[0])
		good &= set(o, "enhanced", json_string(r->enhanced));
	if (r->text && r->text[0])
		good &= set(o, "text", json_string(r->text));
	if (r->ours)
		good &= set(o, "ours", json_true());
	if (all)
		return set(all, place(rcpt, key), o) && good;
	json_decref(o);
	return false;
}

bool note_write(struct queue_message *m, uint32_t copy, json_t *note)
{
	char *text = json_dumps(note, JSON_COMPACT | JSON_ENSURE_ASCII);
	bool good;

	/* What was said of a thousand recipients is worth less than the seal. */
	if (text && strlen(text) > LIMIT_SPOOL_NOTE && json_object_del(note, "rcpts") == 0) {
		free(text);
		text = json_dumps(note, JSON_COMPACT | JSON_ENSURE_ASCII);
	}
	good = text && store_note(m->queue->store, m->entry, copy, slice_str(text));
	free(text);
	return good;
}
