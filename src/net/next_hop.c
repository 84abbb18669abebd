/*
 * next_hop.c - a server that mail goes to: is it up, and what does it offer?
 *
 * NEXT_HOP_NEW until its first probe has ended. UP as long as connections can be made; DOWN when one could not while none was idle, or
 * when a user says so. Down, it is probed after a time that doubles, and starts anew once it has been up for a while. A connection that
 * a transaction opens to it meanwhile brings it up as well. A quiet one is never probed: NEW until it is used, and again a while after it
 * was found to be down.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "net/upstream_in.h"
#include "out/log.h"
#include "smtp/proxy.h"

enum { RETRY_FIRST_MS = 1000, RETRY_MAX_MS = 30000, STEADY_MS = 10000, OBLIVION_MS = 60000 };

/* What becomes of a quiet one is told where it matters. */
static void log_change(const struct next_hop *h, enum log_level level, const char *event, const char *note)
{
	struct log_line l;

	if (h->quiet)
		return;
	l = log_begin(level, event);
	log_str(&l, "listener", h->listener->name);
	log_str(&l, "next_hop", next_hop_name(h));
	log_str(&l, "note", note);
	log_end(&l);
}

void next_hop_changed(const struct next_hop *h)
{
	static const enum count_hop_state states[] = { [NEXT_HOP_NEW] = COUNT_HOP_NEW, [NEXT_HOP_UP] = COUNT_HOP_UP,
		[NEXT_HOP_DOWN] = COUNT_HOP_DOWN };

	if (h->shown)
		count_hop_set(h->shown, states[h->state], h->open, h->pooled);
}

void next_hop_show(struct next_hop *h, struct count_hop *shown)
{
	h->shown = shown;
	next_hop_changed(h);
}

static void enter(struct next_hop *h, enum next_hop_state state)
{
	bool changed = h->state != state;

	h->state = state;
	next_hop_changed(h);
	if (changed && h->on_change)
		h->on_change(h->on_change_arg);
}

void next_hop_probed(struct next_hop *h)
{
	void (*on)(void *arg) = h->on_probe;

	h->on_probe = NULL;
	if (on)
		on(h->on_probe_arg);
}

static void probe(void *arg);

static void probe_later(struct next_hop *h, int64_t after_ms)
{
	if (!h->retry.due_ms)
		loop_timer_set(h->loop, &h->retry, after_ms, probe, h);
}

static void on_no_probe(void *arg)
{
	next_hop_probed(arg);
}

static void probe(void *arg)
{
	struct next_hop *h = arg;
	unsigned char head[UPSTREAM_HEAD];
	struct upstream *u = upstream_open(h, next_hop_head(h, head), NULL, NULL);

	if (u) {
		u->probe = u->spare = true;
		h->spare++;
		return;
	}
	probe_later(h, RETRY_MAX_MS);
	loop_later(h->loop, &h->no_probe, on_no_probe, h);
}

void next_hop_ready(struct next_hop *h, const struct ext *ext)
{
	bool back;

	if (ext && !ext_same(&h->ext, ext)) {
		h->ext = *ext;
		if (h->state == NEXT_HOP_UP && h->on_change)
			h->on_change(h->on_change_arg);
	}
	loop_timer_stop(&h->retry);
	if (h->state == NEXT_HOP_UP)
		return;
	back = h->state == NEXT_HOP_DOWN;
	h->up_since_ms = loop_now_ms(h->loop);
	enter(h, NEXT_HOP_UP);
	if (back)
		log_change(h, LOG_LEVEL_INFO, "next_hop_up", NULL);
}

static void forget(void *arg)
{
	enter(arg, NEXT_HOP_NEW);
}

static void down(struct next_hop *h, const struct fault *f)
{
	bool steady = h->state == NEXT_HOP_UP && loop_now_ms(h->loop) - h->up_since_ms >= STEADY_MS;

	if (h->quiet) {
		loop_timer_set(h->loop, &h->retry, OBLIVION_MS, forget, h);
	} else if (!h->retry.due_ms) {
		h->retry_ms = h->retry_ms && !steady ? h->retry_ms * 2 : RETRY_FIRST_MS;
		if (h->retry_ms > RETRY_MAX_MS)
			h->retry_ms = RETRY_MAX_MS;
		probe_later(h, h->retry_ms);
	}
	if (h->state == NEXT_HOP_DOWN)
		return;
	h->ext = (struct ext){ 0 };
	enter(h, NEXT_HOP_DOWN);
	log_change(h, LOG_LEVEL_WARNING, "next_hop_down", f->note[0] ? f->note : f->text);
}

void next_hop_failed(struct next_hop *h, const struct fault *f)
{
	/* With connections to spare it lives, and lets us have no more of them. */
	if (h->state != NEXT_HOP_UP || !h->pooled)
		down(h, f);
}

void next_hop_bad(struct next_hop *h, const struct fault *f)
{
	down(h, f);
}

bool next_hop_make_tls(const struct conf_listener *listener, const char *name, struct tls_context **tls_out)
{
	const struct conf_next_hop_tls *conf = &listener->next_hop_tls;
	struct tls_pem own = { SLICE_NONE, SLICE_NONE };
	const char *why;

	*tls_out = NULL;
	if (conf->mode == NEXT_HOP_TLS_NONE)
		return true;
	if (conf->certificate)
		own = (struct tls_pem){ buf_get(&conf->certificate->chain.held), buf_get(&conf->certificate->key.held) };
	*tls_out = tls_context_client(conf->ca ? buf_get(&conf->ca->held) : SLICE_NONE, conf->certificate ? &own : NULL, &why);
	if (!*tls_out)
		log_note(LOG_LEVEL_ERROR, "start_failed", "TLS to %s: %s", name, why);
	return *tls_out != NULL;
}

struct next_hop *next_hop_new_quiet(struct loop *l, struct ask *ask, const struct conf *conf, const struct conf_listener *listener,
    const struct conf_next_hop *to, struct tls_context *tls, struct count_page *counts, unsigned slot)
{
	struct next_hop *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	*h = (struct next_hop){ .loop = l, .ask = ask, .conf = conf, .listener = listener, .to = to, .counts = counts, .slot = slot,
		.tls = tls, .quiet = true };
	if (to->address.sa_len)
		h->addresses[h->address_count++] = to->address;
	return h;
}

struct next_hop *next_hop_new(struct loop *l, struct ask *ask, const struct conf *conf, const struct conf_listener *listener,
    const struct conf_next_hop *to, struct count_page *counts, unsigned slot)
{
	struct tls_context *tls;
	struct next_hop *h;

	if (!next_hop_make_tls(listener, to->address.text, &tls))
		return NULL;
	h = next_hop_new_quiet(l, ask, conf, listener, to, tls, counts, slot);
	if (!h) {
		tls_context_free(&tls);
		return NULL;
	}
	h->quiet = false;
	probe(h);
	return h;
}

void next_hop_free(struct next_hop **hp)
{
	struct next_hop *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	while (h->all) {
		struct upstream *u = h->all;

		upstream_doom(u);
		loop_later_cancel(h->loop, &u->doom);
		upstream_destroy(u);
	}
	next_hop_unask(h);
	loop_timer_release(&h->retry);
	loop_later_cancel(h->loop, &h->no_probe);
	loop_later_cancel(h->loop, &h->wake);
	if (!h->quiet)
		tls_context_free(&h->tls);
	free(h);
}

enum next_hop_state next_hop_state(const struct next_hop *h)
{
	return h->state;
}

void next_hop_hold(struct next_hop *h)
{
	h->held++;
}

void next_hop_let_go(struct next_hop *h)
{
	BUG_ON(h->held == 0);
	h->held--;
}

bool next_hop_unused(const struct next_hop *h)
{
	return !h->held && !h->all && !h->waiting && !h->names[0].ticket && !h->names[1].ticket;
}

const struct ext *next_hop_ext(const struct next_hop *h)
{
	return h->state == NEXT_HOP_UP ? &h->ext : NULL;
}

bool next_hop_lmtp(const struct next_hop *h)
{
	return h->to->lmtp;
}

bool next_hop_by_mx(const struct next_hop *h)
{
	return h->to->by_mx;
}

struct slice next_hop_head(const struct next_hop *h, unsigned char room[UPSTREAM_HEAD])
{
	return slice_of(room, h->listener->next_hop_client == NEXT_HOP_CLIENT_PROXY ? proxy_write_local(room) : 0);
}

const char *next_hop_name(const struct next_hop *h)
{
	return h->to->address.text;
}

void next_hop_on_probe(struct next_hop *h, void (*on)(void *arg), void *arg)
{
	h->on_probe = on;
	h->on_probe_arg = arg;
}

void next_hop_on_change(struct next_hop *h, void (*on)(void *arg), void *arg)
{
	h->on_change = on;
	h->on_change_arg = arg;
}
