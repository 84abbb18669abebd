#include "auth/dkim2/dkim2.h"
#include "mail/domain.h"
#include "mail/from.h"

bool dkim2_from_authentic(struct arena *a, const struct header *h, struct slice d)
{
	struct slice *domains;
	size_t n;

	if (!from_domains(a, h, &domains, &n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!domain_follows(domains[i], d))
			return false;
	return true;
}
