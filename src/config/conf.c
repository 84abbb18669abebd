#include <stdlib.h>
#include <string.h>

#include "config/conf.h"

static void wipe(struct buf *b)
{
	if (b->room)
		explicit_bzero(b->at, b->room);
	buf_release(b);
}

void conf_forget_tls(const struct conf *c)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		struct conf_pem *pem = c->listeners[i].tls.pem;

		if (c->listeners[i].next_hop_tls.trust)
			buf_release(c->listeners[i].next_hop_tls.trust);
		if (!pem)
			continue;
		wipe(&pem->certificate);
		wipe(&pem->key);
	}
}

void conf_free(struct conf **c)
{
	if (!*c)
		return;
	conf_forget_tls(*c);
	for (size_t i = 0; i < (*c)->listener_count; i++) {
		free((*c)->listeners[i].tls.pem);
		free((*c)->listeners[i].next_hop_tls.trust);
	}
	arena_clear(&(*c)->arena);
	free(*c);
	*c = NULL;
}
