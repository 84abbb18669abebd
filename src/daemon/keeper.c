/*
 * keeper.c - the one process that holds private keys and signs (proto/keeper.md). No network, nothing is written.
 *
 * Each worker has one message in work; another is taken from it when that is done. A loop turn gives each worker with work a
 * slice of one RSA signature or eight of Ed25519, about half a millisecond, so that nobody waits behind a full message of
 * somebody else.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "crypt/sign.h"
#include "daemon/sandbox.h"
#include "daemon/serve.h"
#include "out/log.h"

enum {
	EXIT_CONFIG = 78, /* sysexits.h */
	EXIT_SYSTEM = 71,
	KEY_FILE_OCTETS = 65536,
	SLICE_COST = 8,
	COST_RSA = 8,
	COST_ED25519 = 1,
};

struct kept {
	struct slice domain, selector; /* borrowed from conf */
	struct key *key;
};

struct keeper {
	struct loop *loop;
	struct serve *serve;
	struct loop_later later;
	struct kept *keys;
	size_t key_count;
};

/* A client's message in work. */
struct work {
	struct ipc_in in; /* borrows from octets */
	unsigned char octets[LIMIT_IPC];
};

/* keys */

static struct key *read_key(const char *file)
{
	unsigned char octets[KEY_FILE_OCTETS];
	struct key *k = NULL;
	size_t n = 0;
	ssize_t got;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return NULL;
	while ((got = read(fd, octets + n, sizeof(octets) - n)) > 0)
		n += (size_t)got;
	close(fd);
	if (got == 0 && n < sizeof(octets))
		k = key_private(slice_of(octets, n));
	explicit_bzero(octets, sizeof(octets));
	return k;
}

/* Only what a listener of this configuration may sign with. */
static bool read_keys(struct keeper *k, const struct conf *conf)
{
	bool signing = false;

	for (size_t i = 0; i < conf->listener_count; i++)
		signing |= conf->listeners[i].sealing || conf->listeners[i].arc_seal || conf->listeners[i].mode == MODE_QUEUE; /* reports of ours */
	if (!signing || conf->key_count == 0)
		return true;
	k->keys = calloc(conf->key_count, sizeof(*k->keys));
	if (k->keys == NULL)
		return false;
	for (size_t i = 0; i < conf->key_count; i++) {
		const struct conf_key *c = &conf->keys[i];
		struct key *key;

		if (!c->active)
			continue;
		key = read_key(c->file);
		/* The configuration was checked; the file may be another one by now. */
		if (key != NULL && key_type(key) == KEY_RSA && key_bits(key) < SIGN_RSA_BITS_MIN)
			key_drop(&key);
		if (key == NULL) {
			log_note(LOG_LEVEL_ERROR, "key_unusable", "%s: %s: no private key that may sign could be read", c->where, c->file);
			return false;
		}
		k->keys[k->key_count++] = (struct kept){ slice_str(c->domain), slice_str(c->selector), key };
	}
	/* Best effort: without the right to lock memory the keys may reach swap. */
	(void)mlockall(MCL_CURRENT | MCL_ONFAULT);
	return true;
}

static const struct kept *find_key(const struct keeper *k, const struct ipc_sign *s)
{
	for (size_t i = 0; i < k->key_count; i++)
		if (slice_eq(k->keys[i].selector, s->selector) && slice_eq(k->keys[i].domain, s->domain) &&
		    key_type(k->keys[i].key) == s->type)
			return &k->keys[i];
	return NULL;
}

/* signing */

static unsigned sign_one(const struct keeper *k, struct serve_client *c, const struct ipc_sign *s)
{
	unsigned char octets[SIGNATURE_OCTETS];
	struct ipc_signed done = { .ticket = s->ticket, .status = IPC_SIGNED_REFUSED };
	const struct kept *kept = find_key(k, s);
	struct buf *out = serve_out(c);

	if (kept != NULL) {
		size_t n = sign_sha256(kept->key, s->digest, octets);

		done.status = n > 0 ? IPC_SIGNED_DONE : IPC_SIGNED_FAILED;
		done.signature = slice_of(octets, n);
	}
	if (out != NULL && !ipc_add_signed(out, &done)) {
		serve_flush(c);
		out = serve_out(c);
		if (out != NULL)
			(void)ipc_add_signed(out, &done);
	}
	return kept != NULL && s->type == KEY_RSA ? COST_RSA : COST_ED25519;
}

static void round_robin(void *arg)
{
	struct keeper *k = arg;
	bool more = false;

	for (struct serve_client *c = serve_first(k->serve), *next; c != NULL; c = next) {
		struct work *w = c->own;
		struct ipc_sign s;
		unsigned cost = 0;

		next = c->next;
		if (w->in.left == 0)
			continue;
		while (cost < SLICE_COST && ipc_next_sign(&w->in, &s))
			cost += sign_one(k, c, &s);
		if (w->in.left > 0)
			more = true;
		else
			serve_resume(c);
		serve_flush(c);
	}
	if (more)
		loop_later(k->loop, &k->later, round_robin, k);
}

static void on_packet(void *arg, struct serve_client *c, struct slice packet)
{
	struct keeper *k = arg;
	struct work *w = c->own;

	memcpy(w->octets, packet.at, packet.n);
	if (!ipc_open(slice_of(w->octets, packet.n), IPC_SIGN, &w->in)) {
		serve_garbage(c, packet);
		return;
	}
	serve_pause(c);
	loop_later(k->loop, &k->later, round_robin, k);
}

static bool on_came(void *arg, struct serve_client *c)
{
	(void)arg;
	c->own = calloc(1, sizeof(struct work));
	return c->own != NULL;
}

static void on_gone(void *arg, struct serve_client *c)
{
	(void)arg;
	free(c->own);
	c->own = NULL;
}

int keeper_main(const struct child_args *args)
{
	static const struct serve_ops ops = { .out_kind = IPC_SIGNED, .packet = on_packet, .came = on_came, .gone = on_gone };
	struct keeper k = { 0 };
	int code = EXIT_SYSTEM;

	serve_start(args, "keeper");
	if (!read_keys(&k, args->conf)) {
		code = EXIT_CONFIG;
	} else if (!child_drop(args)) {
		log_note(LOG_LEVEL_ERROR, "drop_privileges", "%m");
	} else {
		serve_settle();
		k.loop = loop_new();
		k.serve = k.loop != NULL ? serve_new(k.loop, args, &ops, &k) : NULL;
		if (k.serve != NULL && !sandbox_enter(SANDBOX_KEEPER, args->conf, -1, NULL)) {
			log_note(LOG_LEVEL_ERROR, "start_failed", "sandbox: %m");
		} else if (k.serve != NULL) {
			serve_run(k.serve);
			code = 0;
		}
	}
	serve_free(&k.serve);
	if (k.loop != NULL) {
		loop_later_cancel(k.loop, &k.later);
		loop_free(&k.loop);
	}
	for (size_t i = 0; i < k.key_count; i++)
		key_drop(&k.keys[i].key);
	free(k.keys);
	return code;
}
