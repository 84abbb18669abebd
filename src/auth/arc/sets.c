#include "auth/arc/sets.h"
#include "mail/cfws.h"

static const char *const part_names[ARC_PARTS] = { "ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal" };

enum arc_part arc_part_of(struct slice name)
{
	enum arc_part part = ARC_AAR;

	if (!slice_istarts(name, S("ARC-")))
		return ARC_PARTS;
	while (part < ARC_PARTS && !slice_ieq(name, slice_str(part_names[part])))
		part++;
	return part;
}

static void wrong(struct arc_sets *s, enum arc_kind about, struct slice reason)
{
	if (s->about == ARC_ABOUT_NOTHING) {
		s->about = about;
		s->reason = reason;
	}
}

/* RFC 8617 4.2.1: position = 1*2DIGIT ; 1 - 50. 0: it is none. */
static uint64_t position(struct slice text)
{
	uint64_t i;

	return text.n <= 2 && slice_u64(text, LIMIT_ARC_SETS, &i) ? i : 0;
}

/* instance [CFWS] ";" authres-payload (RFC 8617 4.1.1). 0: it does not begin so. */
static uint64_t read_aar(struct slice value, struct slice *payload_out)
{
	struct slice rest = value, name, digits;
	size_t n = 0;
	uint64_t i;

	if (!cfws_skip(&rest) || !slice_take(&rest, 1, &name) || name.at[0] != 'i' || !cfws_skip(&rest) ||
	    !slice_take(&rest, 1, &name) || name.at[0] != '=' || !cfws_skip(&rest))
		return 0;
	while (n < rest.n && ascii_digit(rest.at[n]))
		n++;
	digits = slice_sub(rest, 0, n);
	rest = slice_sub(rest, n, SIZE_MAX);
	i = position(digits);
	if (!i || !cfws_skip(&rest) || !slice_take(&rest, 1, &name) || name.at[0] != ';')
		return 0;
	*payload_out = slice_trim(rest);
	return i;
}

static void read_field(struct arc_sets *s, struct arena *a, const struct header *h, size_t index, enum arc_part part)
{
	const struct field *f = &h->fields[index];
	struct taglist tags = { 0 };
	struct slice payload = SLICE_NONE;
	struct arc_link *link;
	const struct tag *tag;
	uint64_t i;

	if (part == ARC_AAR) {
		i = read_aar(f->value, &payload);
	} else {
		if (!taglist_parse(a, f->value, TAGLIST_UTF8, &tags)) {
			wrong(s, ARC_ABOUT_SYNTAX, arena_printf(a, "%s is no tag list", part_names[part]));
			return;
		}
		tag = taglist_find(&tags, TAGLIST_UTF8, S("i"));
		i = tag ? position(tag->value) : 0;
	}
	if (!i) {
		wrong(s, ARC_ABOUT_STRUCTURE, arena_printf(a, "%s has no i= from 1 to %d", part_names[part], LIMIT_ARC_SETS));
		return;
	}
	link = &s->links[i - 1];
	if (i > s->n)
		s->n = (size_t)i;
	if (link->fields[part]) {
		wrong(s, ARC_ABOUT_STRUCTURE, arena_printf(a, "more than one %s i=%u", part_names[part], (unsigned)i));
		return;
	}
	link->fields[part] = f;
	link->at[part] = index;
	if (part == ARC_AAR)
		link->aar = payload;
	else
		*(part == ARC_AMS ? &link->ams : &link->seal) = tags;
}

static struct slice cv_of(const struct arc_link *link)
{
	const struct tag *cv = taglist_find(&link->seal, TAGLIST_UTF8, S("cv"));

	return cv ? cv->value : SLICE_NONE;
}

/* Steps 2 and 3 of 5.2: what the newest says counts even if what is below it is broken. */
static void judge(struct arc_sets *s, struct arena *a)
{
	if (s->n && slice_ieq(cv_of(&s->links[s->n - 1]), S("fail"))) {
		s->about = ARC_ABOUT_CV;
		s->reason = arena_printf(a, "the newest seal, i=%zu, says cv=fail", s->n);
		return;
	}
	for (size_t k = 0; k < s->n; k++)
		for (enum arc_part part = ARC_AAR; part < ARC_PARTS; part++)
			if (!s->links[k].fields[part])
				wrong(s, ARC_ABOUT_STRUCTURE, arena_printf(a, "no %s i=%zu", part_names[part], k + 1));
	for (size_t k = 0; s->about == ARC_ABOUT_NOTHING && k < s->n; k++) {
		struct slice cv = cv_of(&s->links[k]);

		/* RFC 8617 4.1.3: "h" MUST result in fail; "bh" is none of its tags, as it covers no body */
		if (taglist_find(&s->links[k].seal, TAGLIST_UTF8, S("h")) || taglist_find(&s->links[k].seal, TAGLIST_UTF8, S("bh")))
			wrong(s, ARC_ABOUT_SYNTAX, arena_printf(a, "ARC-Seal i=%zu has an h= or bh=", k + 1));
		if (!cv.n)
			wrong(s, ARC_ABOUT_SYNTAX, arena_printf(a, "ARC-Seal i=%zu has no cv=", k + 1));
		else if (!slice_ieq(cv, k ? S("pass") : S("none")))
			wrong(s, ARC_ABOUT_CV, arena_printf(a, "cv= of ARC-Seal i=%zu is not %s", k + 1, k ? "pass" : "none"));
	}
}

bool arc_sets_read(struct arc_sets *s, struct arena *a, const struct header *h)
{
	*s = (struct arc_sets){ 0 };
	for (size_t k = 0; k < h->n; k++)
		s->fields += arc_part_of(h->fields[k].name) != ARC_PARTS;
	if (s->fields > LIMIT_ARC_SETS * (size_t)ARC_PARTS) {
		wrong(s, ARC_ABOUT_STRUCTURE, arena_printf(a, "%zu ARC fields are more than %d sets have", s->fields, LIMIT_ARC_SETS));
		return !arena_failed(a);
	}
	for (size_t k = 0; s->fields && k < h->n; k++) {
		enum arc_part part = arc_part_of(h->fields[k].name);

		if (part != ARC_PARTS)
			read_field(s, a, h, k, part);
	}
	judge(s, a);
	return !arena_failed(a);
}

static void add(struct digest *run, const struct arc_link *link, enum arc_part from, enum arc_part to)
{
	struct digest *digests[DIGEST_ALGS] = { [DIGEST_SHA256] = run };
	struct canon_sink sink;

	canon_sink_init(&sink, digests);
	for (enum arc_part part = from; part <= to; part++)
		canon_relaxed(&sink, link->fields[part]);
	canon_sink_flush(&sink);
}

void arc_sets_add(struct digest *run, const struct arc_link *link)
{
	add(run, link, ARC_AAR, ARC_SEAL);
}

bool arc_seal_input(struct digest *run, const struct arc_link *link, struct slice hole, unsigned char out[32])
{
	struct digest *own[DIGEST_ALGS] = { NULL };
	struct canon_sink sink;
	unsigned char octets[DIGEST_OCTETS];

	add(run, link, ARC_AAR, ARC_AMS);
	own[DIGEST_SHA256] = digest_fork(run);
	if (!own[DIGEST_SHA256])
		return false;
	add(run, link, ARC_SEAL, ARC_SEAL);
	canon_sink_init(&sink, own);
	canon_signature(&sink, CANON_RELAXED, link->fields[ARC_SEAL], hole);
	canon_sink_flush(&sink);
	digest_end(own[DIGEST_SHA256], octets);
	digest_free(&own[DIGEST_SHA256]);
	memcpy(out, octets, 32);
	return true;
}
