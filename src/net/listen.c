#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/map.h"
#include "net/listen.h"
#include "out/log.h"

/* Few enough that workers share a burst, enough that one wake-up serves it. */
enum { ACCEPTS_A_TURN = 8, PAUSE_MS = 100 };

void clients_key(const struct sockaddr_storage *sa, unsigned char key_out[16])
{
	memset(key_out, 0, 16);
	if (sa->ss_family == AF_INET) {
		key_out[10] = key_out[11] = 0xff;
		memcpy(key_out + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa->ss_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

		memcpy(key_out, a, IN6_IS_ADDR_V4MAPPED(a) ? 16 : 8);
		if (!IN6_IS_ADDR_V4MAPPED(a))
			key_out[15] = 64; /* never all zero, which is no key: ::1 */
	}
}

void clients_start(struct clients *c, struct count_page *page, unsigned slot)
{
	*c = (struct clients){ .page = page, .slot = slot };
	memset(page->clients[slot], 0, sizeof(page->clients[slot]));
}

/* Where the address stands in a table, or the first place it may take; NULL: neither. Places given up keep the chain whole. */
static struct count_client *place(struct count_page *page, unsigned slot, const unsigned char key[16])
{
	static const unsigned char nobody[16];
	struct count_client *table = page->clients[slot];
	size_t at = (size_t)(map_hash(page->seed, slice_of(key, 16)) % COUNT_CLIENTS);
	struct count_client *vacant = NULL;

	for (size_t i = 0; i < COUNT_CLIENTS; i++, at = (at + 1) % COUNT_CLIENTS) {
		struct count_client *p = &table[at];

		if (memcmp(p->address, key, 16) == 0)
			return p;
		if (p->sessions == 0 && !vacant)
			vacant = p;
		if (memcmp(p->address, nobody, 16) == 0)
			return vacant;
	}
	return vacant;
}

uint32_t clients_sessions(const struct clients *c, const unsigned char key[16])
{
	uint32_t n = 0;

	for (unsigned slot = 0; slot < COUNT_SLOTS; slot++) {
		const struct count_client *p;

		/* A slot without a session has an untouched table. */
		if (slot != c->slot && __atomic_load_n(&c->page->slots[slot].value[COUNT_SESSIONS_OPEN], __ATOMIC_RELAXED) == 0)
			continue;
		p = place(c->page, slot, key);
		if (p && memcmp(p->address, key, 16) == 0)
			n += __atomic_load_n(&p->sessions, __ATOMIC_RELAXED);
	}
	return n;
}

bool clients_add(struct clients *c, const unsigned char key[16])
{
	struct count_client *p = place(c->page, c->slot, key);

	if (!p)
		return false;
	if (memcmp(p->address, key, 16) != 0)
		memcpy(p->address, key, 16);
	__atomic_store_n(&p->sessions, p->sessions + 1, __ATOMIC_RELAXED);
	return true;
}

void clients_drop(struct clients *c, const unsigned char key[16])
{
	struct count_client *table = c->page->clients[c->slot], *p = place(c->page, c->slot, key);
	static const unsigned char nobody[16];

	if (!p || !p->sessions || memcmp(p->address, key, 16) != 0)
		return;
	__atomic_store_n(&p->sessions, p->sessions - 1, __ATOMIC_RELAXED);
	/* At the end of a chain what was given up is forgotten, or a search would walk past everybody who ever came. */
	if (memcmp(table[(size_t)(p - table + 1) % COUNT_CLIENTS].address, nobody, 16) != 0)
		return;
	for (; p->sessions == 0 && memcmp(p->address, nobody, 16) != 0; p = p == table ? &table[COUNT_CLIENTS - 1] : p - 1)
		memset(p->address, 0, 16);
}

static void on_connection(void *arg, unsigned what);

static void on_pause(void *arg)
{
	struct listen_socket *s = arg;

	if (!loop_io_want(s->loop, &s->io, s->fd, LOOP_READ, on_connection, s))
		loop_timer_set(s->loop, &s->pause, PAUSE_MS, on_pause, s);
}

static void on_connection(void *arg, unsigned what)
{
	struct listen_socket *s = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN && s->fd >= 0; i++) {
		struct sockaddr_storage from;
		socklen_t n = sizeof(from);
		int fd = accept4(s->fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			s->on(s->arg, fd, &from, n);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			/* The connection waits in the backlog; asking at once would only spin. */
			trouble_comes(&s->full, "fd_limit", S("accept"), strerror(errno), loop_now_ms(s->loop));
			loop_io_want(s->loop, &s->io, s->fd, 0, on_connection, s);
			loop_timer_set(s->loop, &s->pause, PAUSE_MS, on_pause, s);
			return;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
	}
}

bool listen_start(struct listen_socket *s, struct loop *l, int fd,
    void (*on)(void *arg, int fd, const struct sockaddr_storage *from, socklen_t from_len), void *arg)
{
	*s = (struct listen_socket){ .loop = l, .fd = fd, .on = on, .arg = arg };
	return loop_io_want(l, &s->io, fd, LOOP_READ, on_connection, s);
}

void listen_stop(struct listen_socket *s)
{
	if (s->fd < 0)
		return;
	loop_io_stop(&s->io);
	loop_timer_release(&s->pause);
	close(s->fd);
	s->fd = -1;
}
