#include "base/limits.h"
#include "mail/addr.h"
#include "mail/from.h"

bool from_domains(struct arena *a, const struct header *h, struct slice **domains_out, size_t *n_out)
{
	struct slice *domains = NULL;
	size_t n = 0, room = 0, octets = 0;

	for (size_t i = header_find(h, S("from"), 0); i < h->n; i = header_find(h, S("from"), i + 1)) {
		struct slice value = h->fields[i].value;
		struct addr *list;
		size_t count;

		if (value.n > LIMIT_ADDR_LIST - octets || !addr_list(a, value, &list, &count))
			return false;
		octets += value.n;
		if (count > room - n) {
			size_t more_room = 2 * room + count;
			struct slice *more = ARENA_ARRAY(a, more_room, struct slice);

			if (!more)
				return false;
			if (n)
				memcpy(more, domains, n * sizeof(*more));
			domains = more;
			room = more_room;
		}
		for (size_t k = 0; k < count; k++)
			domains[n++] = list[k].domain;
	}
	*domains_out = domains;
	*n_out = n;
	return n > 0;
}
