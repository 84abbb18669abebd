/* A table of next hops: what is taken can be asked, and each of its lists has next hops of printable octets. */
#include "base/limits.h"
#include "fuzz.h"
#include "route/table.h"

static void on_mistake(void *arg, unsigned line, struct slice word, const char *what)
{
	WANT(line > 0 && what && (word.at || !word.n));
	++*(size_t *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice rest = slice_of(at, n), domain;
	struct table *t;
	struct arena a;
	size_t mistakes = 0, list;

	arena_init(&a, 1 << 24);
	t = table_new(&a, rest, on_mistake, &mistakes);
	WANT(t || arena_failed(&a));
	for (size_t i = 0; t && i < table_list_count(t); i++) {
		WANT(table_list(t, i)->hop_count > 0 && table_list(t, i)->hop_count <= LIMIT_ROUTE);
		for (size_t k = 0; k < table_list(t, i)->hop_count; k++)
			WANT(table_list(t, i)->hops[k].n > 0);
	}
	/* What the lines hold are domains to ask for as well. */
	while (t && rest.n) {
		slice_cut(&rest, ' ', &domain);
		if (table_find(t, domain, &list))
			WANT(list < table_list_count(t));
	}
	arena_clear(&a);
	return 0;
}
