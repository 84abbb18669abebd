#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/generation.h"
#include "out/log.h"

enum { SPOOL_WAIT_MS = 1000 }; /* for processes that the kernel ends with their supervisor */

const char *generation_state_name(enum generation_state state)
{
	static const char *const names[] = {
		[GENERATION_HELPERS] = "starting", [GENERATION_WORKERS] = "starting", [GENERATION_SERVING] = "serving",
		[GENERATION_DRAINING] = "draining", [GENERATION_ENDING] = "ending"
	};

	return names[state];
}

static int socket_for(struct held *held, const struct conf_address *a, char error_out[BIND_ERROR])
{
	struct socket_row *row;

	for (row = held->sockets; row; row = row->next)
		if (memcmp(&row->sa, &a->sa, a->sa_len) == 0)
			return row->fd;
	row = calloc(1, sizeof(*row));
	if (!row) {
		snprintf(error_out, BIND_ERROR, "no memory");
		return -1;
	}
	row->fd = bind_listen(a, error_out);
	if (row->fd < 0) {
		free(row);
		return -1;
	}
	memcpy(&row->sa, &a->sa, a->sa_len);
	row->next = held->sockets;
	held->sockets = row;
	return row->fd;
}

/* Held already, or locked now: a spool has one daemon. */
static const struct spool_row *spool_for(struct held *held, const struct conf *conf, unsigned wait_ms, char error_out[BIND_ERROR])
{
	struct spool_row *row;
	struct stat st;
	bool locked;

	if (stat(conf->spool_dir, &st) == 0)
		for (row = held->spools; row; row = row->next)
			if (row->dev == st.st_dev && row->ino == st.st_ino)
				return row;
	row = calloc(1, sizeof(*row));
	if (!row) {
		snprintf(error_out, BIND_ERROR, "no memory");
		return NULL;
	}
	row->fd = bind_spool(conf, wait_ms, &locked, error_out);
	if (locked)
		log_note(LOG_LEVEL_ERROR, "spool_locked", "%s", error_out);
	if (row->fd < 0 || fstat(row->fd, &st) < 0) {
		if (row->fd >= 0)
			close(row->fd);
		free(row);
		return NULL;
	}
	row->dev = st.st_dev;
	row->ino = st.st_ino;
	row->next = held->spools;
	held->spools = row;
	return row;
}

void generation_free(struct generation **g)
{
	if (!*g)
		return;
	conf_free(&(*g)->conf);
	free((*g)->processes);
	free((*g)->listen_fds);
	free(*g);
	*g = NULL;
}

bool generation_user(const struct conf *conf, uid_t *uid_out, gid_t *gid_out)
{
	const struct passwd *pw;

	*uid_out = (uid_t)-1;
	*gid_out = (gid_t)-1;
	if (geteuid() != 0 || strcmp(conf->user, "root") == 0)
		return true;
	pw = getpwnam(conf->user);
	if (!pw)
		return false;
	*uid_out = pw->pw_uid;
	*gid_out = pw->pw_gid;
	return true;
}

/* Made if it is missing, while we are still root: a first start has nothing to lose there. */
static bool spool_make(const struct generation *g)
{
	if (mkdir(g->conf->spool_dir, 0700) < 0)
		return errno == EEXIST;
	return g->uid == (uid_t)-1 || chown(g->conf->spool_dir, g->uid, g->gid) == 0;
}

static bool queue_wanted(const struct conf *conf)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].mode == MODE_QUEUE)
			return true;
	return false;
}

static bool processes_make(struct generation *g)
{
	struct process *p = calloc(g->conf->workers + 3, sizeof(*p));

	if (!p)
		return false;
	g->processes = p;
	g->keeper = p++;
	process_init(g->keeper, ROLE_KEEPER, g, 0);
	g->resolver = p++;
	process_init(g->resolver, ROLE_RESOLVER, g, 0);
	if (queue_wanted(g->conf)) {
		g->queue = p++;
		process_init(g->queue, ROLE_QUEUE, g, 0);
	}
	g->workers = p;
	g->worker_count = g->conf->workers;
	for (unsigned i = 0; i < g->worker_count; i++)
		process_init(p++, ROLE_WORKER, g, i);
	g->process_count = (size_t)(p - g->processes);
	return true;
}

struct generation *generation_new(struct conf *take_conf, unsigned number, struct held *held, int *code_out,
    char error_out[BIND_ERROR])
{
	struct generation *g = calloc(1, sizeof(*g));
	size_t n = 0;

	*code_out = 71;
	snprintf(error_out, BIND_ERROR, "no memory");
	if (!g) {
		conf_free(&take_conf);
		return NULL;
	}
	g->conf = take_conf;
	for (size_t i = 0; i < g->conf->listener_count; i++)
		g->listen_count += g->conf->listeners[i].address_count;
	g->listen_fds = calloc(g->listen_count + 1, sizeof(*g->listen_fds));
	if (!g->listen_fds || !processes_make(g)) {
		generation_free(&g);
		return NULL;
	}
	if (!generation_user(g->conf, &g->uid, &g->gid)) {
		*code_out = 78;
		snprintf(error_out, BIND_ERROR, "%s: user = \"%s\": there is no such user; make it, or name another", g->conf->file,
		    g->conf->user);
		generation_free(&g);
		return NULL;
	}
	if (!spool_make(g)) {
		*code_out = 78;
		snprintf(error_out, BIND_ERROR, "%s: %s", g->conf->spool_dir, strerror(errno));
		generation_free(&g);
		return NULL;
	}
	g->spool = spool_for(held, g->conf, number == 1 ? SPOOL_WAIT_MS : 0, error_out);
	if (!g->spool) {
		generation_free(&g);
		return NULL;
	}
	for (size_t i = 0; i < g->conf->listener_count; i++) {
		const struct conf_listener *l = &g->conf->listeners[i];

		for (size_t k = 0; k < l->address_count; k++) {
			g->listen_fds[n] = socket_for(held, &l->addresses[k], error_out);
			if (g->listen_fds[n++] < 0) {
				generation_free(&g);
				return NULL;
			}
		}
	}
	g->number = number;
	return g;
}

bool generation_mail(const struct generation *g)
{
	int fd = openat(g->spool->fd, "mail", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *mail = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry = NULL;

	if (mail) {
		do
			entry = readdir(mail);
		while (entry && entry->d_name[0] == '.');
		closedir(mail);
	} else if (fd >= 0) {
		close(fd);
	}
	return entry != NULL;
}

static bool workers_all(const struct generation *g, bool ready)
{
	for (size_t i = 0; i < g->worker_count; i++)
		if (ready ? !g->workers[i].ready : g->workers[i].pid != 0)
			return false;
	return true;
}

bool generation_ready(const struct generation *g)
{
	return workers_all(g, true);
}

bool generation_idle(const struct generation *g)
{
	return workers_all(g, false);
}

bool generation_drained(const struct generation *g)
{
	return generation_idle(g) && (!g->queue || g->queue->pid == 0);
}

bool generation_gone(const struct generation *g)
{
	for (size_t i = 0; i < g->process_count; i++)
		if (g->processes[i].pid)
			return false;
	return true;
}

static void spools_sweep(const struct generation *newest, struct held *held)
{
	struct spool_row **at = &held->spools;

	while (*at) {
		struct spool_row *row = *at;
		const struct generation *g = newest;

		while (g && g->spool != row)
			g = g->next;
		if (g) {
			at = &row->next;
			continue;
		}
		*at = row->next;
		close(row->fd);
		free(row);
	}
}

void generation_sweep(const struct generation *newest, struct held *held)
{
	struct socket_row **at = &held->sockets;

	while (*at) {
		struct socket_row *row = *at;
		bool used = false;

		for (const struct generation *g = newest; g && !used; g = g->next)
			for (size_t i = 0; i < g->listen_count && g->state < GENERATION_DRAINING && !used; i++)
				used = g->listen_fds[i] == row->fd;
		if (used) {
			at = &row->next;
			continue;
		}
		*at = row->next;
		close(row->fd);
		free(row);
	}
	spools_sweep(newest, held);
}
