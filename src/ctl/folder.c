#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/folder.h"

struct folder {
	FTS *walk;        /* NULL: standard input */
	bool ended;
};

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

struct folder *folder_new(const char *path, int *code_out)
{
	struct folder *f = calloc(1, sizeof(*f));
	char *copy = strdup(path);
	char *paths[] = { copy, NULL };
	struct stat st;

	*code_out = CTL_TEMPORARY;
	if (!f || !copy)
		goto failed;
	if (strcmp(path, "-") != 0) {
		if (stat(path, &st) != 0) {
			ctl_complain("%s: %s", path, strerror(errno));
			*code_out = CTL_NO_INPUT;
			goto failed;
		}
		f->walk = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, by_name);
		if (!f->walk) {
			ctl_complain("%s: %s", path, strerror(errno));
			goto failed;
		}
	}
	free(copy);
	*code_out = CTL_DONE;
	return f;
failed:
	free(copy);
	free(f);
	return NULL;
}

void folder_free(struct folder **f)
{
	if (!*f)
		return;
	if ((*f)->walk)
		fts_close((*f)->walk);
	free(*f);
	*f = NULL;
}

/* Beside e. All paths of a walk are in one place, that of e is in it now. */
static bool is_folder(const FTSENT *e, const char *name)
{
	char path[4096];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%.*s/%s", (int)e->fts_parent->fts_pathlen, e->fts_path, name);

	return n > 0 && (size_t)n < sizeof(path) && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Does e lie in one? Asked once a folder. */
static bool in_maildir(const FTSENT *e)
{
	enum { UNKNOWN, NO, YES };

	if (e->fts_level < 1)
		return false;
	if (e->fts_parent->fts_number == UNKNOWN)
		e->fts_parent->fts_number = is_folder(e, "cur") && is_folder(e, "new") && is_folder(e, "tmp") ? YES : NO;
	return e->fts_parent->fts_number == YES;
}

enum folder_result folder_next(struct folder *f, const char **path_out, uint64_t *octets_out, const char **why_out)
{
	FTSENT *e;

	*octets_out = 0;
	if (!f->walk) {
		*path_out = "-";
		if (f->ended)
			return FOLDER_END;
		f->ended = true;
		return FOLDER_FILE;
	}
	while ((e = fts_read(f->walk)) != NULL) {
		bool own = in_maildir(e);

		*path_out = e->fts_path;
		switch (e->fts_info) {
		case FTS_D:
			if (!own || strcmp(e->fts_name, "tmp") != 0)
				break;
			fts_set(f->walk, e, FTS_SKIP);
			return FOLDER_PASSED;
		case FTS_DP:
			break;
		case FTS_F:
			if (own)
				return FOLDER_PASSED;
			*octets_out = (uint64_t)e->fts_statp->st_size;
			return FOLDER_FILE;
		case FTS_DC:
			*why_out = "a link to a folder that it lies in";
			return FOLDER_BAD;
		case FTS_DNR:
		case FTS_ERR:
		case FTS_NS:
			*why_out = strerror(e->fts_errno);
			return FOLDER_BAD;
		case FTS_SL:
		case FTS_SLNONE:
			*why_out = "a link to nothing";
			return FOLDER_BAD;
		default:
			if (e->fts_level == 0) /* a pipe that was named */
				return FOLDER_FILE;
			*why_out = "no file";
			return FOLDER_BAD;
		}
	}
	if (errno) {
		*path_out = "-";
		*why_out = strerror(errno);
		errno = 0;
		if (!f->ended) {
			f->ended = true;
			return FOLDER_BAD;
		}
	}
	return FOLDER_END;
}
