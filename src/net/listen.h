/*
 * listen.h - accepting: inherited listening sockets, who may connect, how many (limits.sessions, sessions-per-client).
 */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <netinet/in.h>

#include "net/loop.h"
#include "net/trouble.h"
#include "out/count.h"

/*
 * How many sessions a client address has in all workers together: each worker keeps a table of its own in the shared page and
 * reads the others', so no lock is needed and a dead worker's sessions go with its table.
 */
struct clients {
	struct count_page *page;
	unsigned slot; /* ours */
};
/* IPv4 as ::ffff:a.b.c.d, IPv6 by its /64: what one subscriber has. */
void clients_key(const struct sockaddr_storage *sa, unsigned char key_out[16]);
void clients_start(struct clients *c, struct count_page *page, unsigned slot);
uint32_t clients_sessions(const struct clients *c, const unsigned char key[16]);
/* False: table full; the session counts as over the limit. */
bool clients_add(struct clients *c, const unsigned char key[16]);
void clients_drop(struct clients *c, const unsigned char key[16]);

struct listen_socket {
	struct loop *loop;
	struct loop_io io;
	struct loop_timer pause; /* after EMFILE: no busy loop */
	struct trouble full;
	int fd;
	void (*on)(void *arg, int fd, const struct sockaddr_storage *from, socklen_t from_len);
	void *arg;
};
bool listen_start(struct listen_socket *s, struct loop *l, int fd,
    void (*on)(void *arg, int fd, const struct sockaddr_storage *from, socklen_t from_len), void *arg);
/* Stops accepting; the descriptor stays open for the others who share it, ours is closed. */
void listen_stop(struct listen_socket *s);

#endif
