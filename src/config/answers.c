#include <stdlib.h>

#include <jansson.h>

#include "base/ip.h"
#include "base/map.h"
#include "config/answers.h"
#include "mail/domain.h"

enum { ARENA_OCTETS = 1 << 28, CNAMES = 8 };

/* What one name answers. */
struct entry {
	enum dns_status status; /* DNS_OK: what stands in its records */
	bool secure;
	struct slice *records[ANSWERS_TYPES];
	size_t count[ANSWERS_TYPES];
};

struct answers {
	struct arena arena;
	struct map names;
};

static const char *const types[ANSWERS_TYPES] = { "TXT", "MX", "A", "AAAA", "PTR", "TLSA", "CNAME" };

/* What a record may point at: no host has a blank in its name, though one may be asked for. */
static bool name_valid(struct slice s)
{
	unsigned char octets[DNS_NAME_OCTETS];
	struct slice normal;

	return slice_find(s, ' ') == s.n && dns_name_normal(s, octets, &normal);
}

static bool mx_valid(struct slice s)
{
	struct slice preference;
	uint64_t v;

	return slice_cut(&s, ' ', &preference) && slice_u64(preference, 65535, &v) &&
	    (slice_eq(s, S(".")) || name_valid(s));
}

static bool tlsa_valid(struct slice s)
{
	struct slice part;
	uint64_t v;

	for (int i = 0; i < 3; i++)
		if (!slice_cut(&s, ' ', &part) || !slice_u64(part, 255, &v))
			return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_digit(s.at[i]) && !(ascii_lower(s.at[i]) >= 'a' && ascii_lower(s.at[i]) <= 'f'))
			return false;
	return s.n > 0 && s.n % 2 == 0;
}

static bool record_valid(enum answers_type type, struct slice s)
{
	unsigned char address[16];

	switch (type) {
	case ANSWERS_TXT:
		return true;
	case ANSWERS_MX:
		return mx_valid(s);
	case ANSWERS_A:
		return slice_find(s, ':') == s.n && ip_parse(s, address);
	case ANSWERS_AAAA:
		return slice_find(s, ':') != s.n && ip_parse(s, address);
	case ANSWERS_TLSA:
		return tlsa_valid(s);
	default:
		return name_valid(s);
	}
}

static const char *record_expected(enum answers_type type)
{
	static const char *const texts[ANSWERS_TYPES] = { "a text", "\"10 mx.example.net\"", "an IPv4 address",
		"an IPv6 address", "a name", "\"3 1 1 hexadecimal\"", "a name" };

	return texts[type];
}

static bool fail(struct buf *error, const char *name, const char *what)
{
	buf_printf(error, "name \"%s\": %s\n", name, what);
	return false;
}

static bool read_record(struct answers *a, struct entry *e, enum answers_type type, const json_t *value, const char *name,
    struct buf *error)
{
	struct slice s;

	if (!json_is_string(value))
		return fail(error, name, "a record that is no string, expected a list of strings");
	s = slice_of(json_string_value(value), json_string_length(value));
	if (!record_valid(type, s)) {
		buf_printf(error, "name \"%s\": \"%.*s\" in %s, expected %s\n", name, SLICE_FMT(s), types[type],
		    record_expected(type));
		return false;
	}
	e->records[type][e->count[type]++] = arena_copy(&a->arena, s);
	return true;
}

static bool read_records(struct answers *a, struct entry *e, enum answers_type type, const json_t *value, const char *name,
    struct buf *error)
{
	bool one = type == ANSWERS_CNAME;

	if (!one && !json_is_array(value))
		return fail(error, name, "records that are no list, expected a list of strings");
	e->records[type] = ARENA_ARRAY(&a->arena, one ? 1 : json_array_size(value), struct slice);
	if (!e->records[type])
		return fail(error, name, "out of memory");
	if (one)
		return read_record(a, e, type, value, name, error);
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!read_record(a, e, type, json_array_get(value, i), name, error))
			return false;
	return true;
}

static bool read_error(struct entry *e, const json_t *value, const char *name, struct buf *error)
{
	struct slice s = slice_str(json_string_value(value));

	if (slice_eq(s, S("timeout")))
		e->status = DNS_TIMEOUT;
	else if (slice_eq(s, S("servfail")))
		e->status = DNS_SERVFAIL;
	else
		return fail(error, name, "unknown error, expected \"timeout\" or \"servfail\"");
	return true;
}

static bool read_member(struct answers *a, struct entry *e, const char *key, const json_t *value, const char *name,
    struct buf *error)
{
	for (size_t i = 0; i < ANSWERS_TYPES; i++)
		if (strcmp(key, types[i]) == 0)
			return read_records(a, e, (enum answers_type)i, value, name, error);
	if (strcmp(key, "error") == 0)
		return read_error(e, value, name, error);
	if (strcmp(key, "secure") != 0) {
		buf_printf(error, "name \"%s\": unknown \"%s\", expected TXT, MX, A, AAAA, PTR, CNAME, TLSA, error or secure\n", name,
		    key);
		return false;
	}
	if (!json_is_boolean(value))
		return fail(error, name, "\"secure\" is no boolean, expected true or false");
	e->secure = json_is_true(value);
	return true;
}

static bool entry_check(const struct entry *e, const char *name, struct buf *error)
{
	size_t others = 0;

	for (size_t i = 0; i < ANSWERS_TYPES; i++)
		others += i == ANSWERS_CNAME ? 0 : e->count[i];
	if (others && e->count[ANSWERS_CNAME])
		return fail(error, name, "a CNAME beside other records, expected it alone");
	if ((others || e->count[ANSWERS_CNAME]) && e->status != DNS_OK)
		return fail(error, name, "an error beside records, expected one of them");
	return true;
}

static bool read_name(struct answers *a, const char *name, json_t *value, struct buf *error)
{
	struct entry *e = ARENA_NEW(&a->arena, struct entry);
	unsigned char octets[DNS_NAME_OCTETS];
	struct slice normal;
	const char *key;
	json_t *member;

	if (!e)
		return fail(error, name, "out of memory");
	if (!dns_name_normal(slice_str(name), octets, &normal))
		return fail(error, name, "no name DNS could hold, expected labels of 1..63 octets, 253 in all");
	if (map_get(&a->names, normal))
		return fail(error, name, "the same name again in another case or with a final dot, expected it once");
	if (json_is_object(value)) {
		json_object_foreach(value, key, member)
			if (!read_member(a, e, key, member, name, error))
				return false;
	} else if (!read_records(a, e, ANSWERS_TXT, value, name, error)) {
		return false;
	}
	if (!entry_check(e, name, error))
		return false;
	if (!map_put(&a->names, normal, e, NULL) || arena_failed(&a->arena))
		return fail(error, name, "out of memory");
	return true;
}

struct answers *answers_new(struct slice json, struct buf *error_out)
{
	static const uint64_t seed[2] = { 0, 0 }; /* the operator chose the names */
	struct answers *a = calloc(1, sizeof(*a));
	json_error_t why;
	json_t *root = json_loadb(json.n ? (const char *)json.at : "", json.n, JSON_REJECT_DUPLICATES, &why), *value;
	const char *name;
	bool good = false;

	if (!root) {
		buf_printf(error_out, "line %d: %s\n", why.line < 1 ? 1 : why.line, why.text);
	} else if (!json_is_object(root)) {
		buf_str(error_out, "line 1: no object, expected {\"name\": [\"text\"], ...}\n");
	} else if (a) {
		arena_init(&a->arena, ARENA_OCTETS);
		map_init(&a->names, seed);
		good = true;
		json_object_foreach(root, name, value)
			good = good && read_name(a, name, value, error_out);
		if (!good) {
			map_release(&a->names, NULL);
			arena_clear(&a->arena);
		}
	}
	json_decref(root);
	if (!good) {
		free(a);
		a = NULL;
	}
	return a;
}

void answers_free(struct answers **a)
{
	if (!*a)
		return;
	map_release(&(*a)->names, NULL);
	arena_clear(&(*a)->arena);
	free(*a);
	*a = NULL;
}

static bool entry_empty(const struct entry *e)
{
	for (size_t i = 0; i < ANSWERS_TYPES; i++)
		if (e->count[i])
			return false;
	return true;
}

enum dns_status answers_find(const struct answers *a, struct slice name, enum answers_type type,
    const struct slice **records_out, size_t *n_out, bool *secure_out)
{
	bool secure = true;

	*records_out = NULL;
	*n_out = 0;
	*secure_out = false;
	for (int i = 0; i <= CNAMES; i++) {
		unsigned char octets[DNS_NAME_OCTETS];
		struct slice normal;
		const struct entry *e;

		if (!dns_name_normal(name, octets, &normal) || !(e = map_get(&a->names, normal)))
			return DNS_NXDOMAIN;
		if (e->status != DNS_OK)
			return e->status;
		secure = secure && e->secure;
		if (e->count[type]) {
			*records_out = e->records[type];
			*n_out = e->count[type];
			*secure_out = secure;
			return DNS_OK;
		}
		if (!e->count[ANSWERS_CNAME]) {
			*secure_out = secure;
			return entry_empty(e) ? DNS_NXDOMAIN : DNS_NODATA;
		}
		name = e->records[ANSWERS_CNAME][0];
	}
	return DNS_SERVFAIL;
}

/* The records of a type, and how each is written on the wire. */
static const struct {
	unsigned qtype;
	enum answers_type type;
} numbers[] = {
	{ 1, ANSWERS_A }, { 28, ANSWERS_AAAA }, { 12, ANSWERS_PTR }, { 15, ANSWERS_MX }, { 16, ANSWERS_TXT },
};

/* They were looked at when the file was read. */
static struct slice on_wire(struct arena *to, enum answers_type type, struct slice text)
{
	unsigned char octets[2 + DNS_NAME_OCTETS + 2], normal_octets[DNS_NAME_OCTETS];
	struct slice normal = SLICE_NONE, preference;
	uint64_t number = 0;
	size_t n = 0;

	switch (type) {
	case ANSWERS_A:
	case ANSWERS_AAAA:
		if (!ip_parse(text, octets))
			return SLICE_NONE;
		return arena_copy(to, type == ANSWERS_AAAA ? slice_of(octets, 16) : slice_of(octets + 12, 4));
	case ANSWERS_MX:
		if (!slice_cut(&text, ' ', &preference) || !slice_u64(preference, 65535, &number))
			return SLICE_NONE;
		octets[n++] = (unsigned char)(number >> 8);
		octets[n++] = (unsigned char)(number & 0xff);
		break;
	case ANSWERS_PTR:
		break;
	default:
		return text;
	}
	if (!slice_eq(text, S(".")) && !dns_name_normal(text, normal_octets, &normal))
		return SLICE_NONE;
	n += dns_name_wire(normal, octets + n);
	return arena_copy(to, slice_of(octets, n));
}

enum dns_status answers_wire(const struct answers *a, struct arena *to, struct slice name, unsigned qtype,
    const struct slice **records_out, size_t *n_out, bool *secure_out)
{
	const struct slice *texts;
	struct slice *records;
	enum dns_status status;
	size_t i = 0;

	*records_out = NULL;
	*n_out = 0;
	*secure_out = false;
	while (i < sizeof(numbers) / sizeof(numbers[0]) && numbers[i].qtype != qtype)
		i++;
	if (i == sizeof(numbers) / sizeof(numbers[0]))
		return DNS_NODATA;
	status = answers_find(a, name, numbers[i].type, &texts, n_out, secure_out);
	if (*n_out == 0)
		return status;
	records = ARENA_ARRAY(to, *n_out, struct slice);
	for (size_t k = 0; records && k < *n_out; k++)
		records[k] = on_wire(to, numbers[i].type, texts[k]);
	*records_out = records;
	if (!arena_failed(to))
		return status;
	*n_out = 0;
	return DNS_SERVFAIL;
}

struct dnsrec *answers_rec(const struct answers *a, struct arena *scratch, struct slice name, enum dnsrec_type type)
{
	const struct slice *records;
	size_t n;
	bool secure;
	enum dns_status status = answers_wire(a, scratch, name, dnsrec_qtype(type), &records, &n, &secure);

	return dnsrec_new(type, status, records, n, secure);
}
