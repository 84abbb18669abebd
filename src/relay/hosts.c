#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/map.h"
#include "config/endpoint.h"
#include "net/tls.h"
#include "relay/hosts.h"

/* KEPT_MS: after it was asked for last. LOOKED_AT: how many are looked at to find one that can go, so that none costs much. */
enum { SWEEP_MS = 60000, KEPT_MS = 300000, LOOKED_AT = 8 };
enum { NAME_ROOM = LIMIT_DOMAIN + 1, TEXT_ROOM = NAME_ROOM + 8, KEY_ROOM = TEXT_ROOM + 48};

struct host {
	struct next_hop *hop;
	struct conf_next_hop to;
	struct host *newer, *older;
	int64_t used_ms;
	char name[NAME_ROOM], text[TEXT_ROOM], key[KEY_ROOM];
};

struct hosts {
	struct loop *loop;
	struct ask *ask;
	const struct conf *conf;
	struct count_page *counts;
	unsigned slot;
	struct tls_context **tls;      /* of each listener; NULL: none */
	struct map known;
	struct host *newest, *oldest;  /* in the order they were asked for last */
	struct loop_timer sweep;
};

static void unlink_host(struct hosts *h, struct host *o)
{
	*(o->newer ? &o->newer->older : &h->newest) = o->older;
	*(o->older ? &o->older->newer : &h->oldest) = o->newer;
	o->newer = o->older = NULL;
}

static void use(struct hosts *h, struct host *o)
{
	o->used_ms = loop_now_ms(h->loop);
	o->older = h->newest;
	*(h->newest ? &h->newest->newer : &h->oldest) = o;
	h->newest = o;
}

static void forget(struct hosts *h, struct host *o)
{
	unlink_host(h, o);
	(void)map_take(&h->known, slice_str(o->key));
	next_hop_free(&o->hop);
	free(o);
}

/* One that is in use has been used now; else it goes. */
static void retire(struct hosts *h, struct host *o)
{
	if (next_hop_unused(o->hop)) {
		forget(h, o);
		return;
	}
	unlink_host(h, o);
	use(h, o);
}

static void on_sweep(void *arg)
{
	struct hosts *h = arg;
	int64_t now_ms = loop_now_ms(h->loop);

	while (h->oldest && now_ms - h->oldest->used_ms >= KEPT_MS)
		retire(h, h->oldest);
	if (h->oldest)
		loop_timer_set(h->loop, &h->sweep, SWEEP_MS, on_sweep, h);
}

static struct host *find(struct hosts *h, const char *key)
{
	struct host *o = map_get(&h->known, slice_str(key));

	if (o) {
		unlink_host(h, o);
		use(h, o);
	}
	return o;
}

/* Keeps `o`, which has its names, or frees it: NULL. */
static struct next_hop *add(struct hosts *h, const struct conf_listener *l, struct host *o)
{
	for (unsigned i = 0; i < LOOKED_AT && h->known.n >= LIMIT_HOSTS; i++)
		retire(h, h->oldest);
	o->hop = next_hop_new_quiet(h->loop, h->ask, h->conf, l, &o->to, h->tls[l - h->conf->listeners], h->counts, h->slot);
	if (!o->hop || !map_put(&h->known, slice_str(o->key), o, NULL)) {
		next_hop_free(&o->hop);
		free(o);
		return NULL;
	}
	use(h, o);
	if (!h->sweep.due_ms)
		loop_timer_set(h->loop, &h->sweep, SWEEP_MS, on_sweep, h);
	return o->hop;
}

static void write_key(const struct hosts *h, const struct conf_listener *l, const char *kind, const char *text, char out[KEY_ROOM])
{
	BUG_ON(l < h->conf->listeners || l >= h->conf->listeners + h->conf->listener_count);
	snprintf(out, KEY_ROOM, "%td %s %s", l - h->conf->listeners, kind, text);
}

static struct next_hop *get(struct hosts *h, const struct conf_listener *l, struct slice name, uint16_t port, bool lmtp, bool by_mx)
{
	char text[TEXT_ROOM], key[KEY_ROOM];
	unsigned char octets[16];
	struct host *o;

	if (!name.n || name.n >= NAME_ROOM)
		return NULL;
	/* As it is written in a configuration; what goes to the port of mail has it without saying so. */
	if (port == 25)
		snprintf(text, sizeof(text), "%.*s", SLICE_FMT(name));
	else
		snprintf(text, sizeof(text), ip_parse(name, octets) && !ip_is_v4(octets) ? "[%.*s]:%u" : "%.*s:%u", SLICE_FMT(name), port);
	write_key(h, l, by_mx ? "mx" : lmtp ? "lmtp" : "smtp", text, key);
	o = find(h, key);
	if (o)
		return o->hop;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	snprintf(o->name, sizeof(o->name), "%.*s", SLICE_FMT(name));
	memcpy(o->text, text, sizeof(text));
	memcpy(o->key, key, sizeof(key));
	o->to = (struct conf_next_hop){ .address = { .text = o->text }, .host = o->name, .port = port, .lmtp = lmtp, .by_mx = by_mx,
		.tls_name = l->next_hop_tls.name && !by_mx ? l->next_hop_tls.name : o->name };
	return add(h, l, o);
}

struct next_hop *hosts_get(struct hosts *h, const struct conf_listener *listener, struct slice name, uint16_t port, bool lmtp)
{
	return get(h, listener, name, port, lmtp, false);
}

struct next_hop *hosts_mx(struct hosts *h, const struct conf_listener *listener, struct slice name)
{
	return get(h, listener, name, h->conf->queue.mx_port, false, true);
}

struct next_hop *hosts_next_hop(struct hosts *h, const struct conf_listener *listener, const struct conf_next_hop *to)
{
	char number[24], key[KEY_ROOM];
	struct host *o;

	BUG_ON(to < listener->next_hops || to >= listener->next_hops + listener->next_hop_count);
	snprintf(number, sizeof(number), "%td", to - listener->next_hops);
	write_key(h, listener, "conf", number, key);
	o = find(h, key);
	if (o)
		return o->hop;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	memcpy(o->key, key, sizeof(key));
	o->to = *to;
	return add(h, listener, o);
}

size_t hosts_count(const struct hosts *h)
{
	return h->known.n;
}

static bool make_tls(struct hosts *h)
{
	h->tls = calloc(h->conf->listener_count ? h->conf->listener_count : 1, sizeof(*h->tls));
	if (!h->tls)
		return false;
	for (size_t i = 0; i < h->conf->listener_count; i++) {
		const struct conf_listener *l = &h->conf->listeners[i];

		if (l->mode == MODE_QUEUE && !next_hop_make_tls(l, l->name, &h->tls[i]))
			return false;
	}
	return true;
}

struct hosts *hosts_new(struct loop *l, struct ask *ask, const struct conf *conf, struct count_page *counts, unsigned slot)
{
	struct hosts *h = calloc(1, sizeof(*h));
	uint64_t seed[2];

	if (!h)
		return NULL;
	*h = (struct hosts){ .loop = l, .ask = ask, .conf = conf, .counts = counts, .slot = slot };
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed) || !make_tls(h)) {
		hosts_free(&h);
		return NULL;
	}
	map_init(&h->known, seed);
	return h;
}

void hosts_free(struct hosts **hp)
{
	struct hosts *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	while (h->oldest)
		forget(h, h->oldest);
	loop_timer_release(&h->sweep);
	for (size_t i = 0; h->tls && i < h->conf->listener_count; i++)
		tls_context_free(&h->tls[i]);
	free(h->tls);
	map_release(&h->known, NULL);
	free(h);
}
