#include <idn2.h>

#include "base/limits.h"
#include "mail/domain.h"

enum { LABEL_OCTETS = 63, NAME_OCTETS = 253, UTF8_NAME_OCTETS = 1012 };

static bool label_octet(unsigned char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_';
}

bool domain_valid(struct slice name)
{
	size_t label = 0;

	if (name.n == 0 || name.n > NAME_OCTETS)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (name.at[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (!label_octet(name.at[i]) || ++label > LABEL_OCTETS) {
			return false;
		}
	}
	return label != 0;
}

static bool lower(struct arena *a, struct slice name, struct slice *out)
{
	size_t i = 0;
	unsigned char *p;

	while (i < name.n && ascii_lower(name.at[i]) == name.at[i])
		i++;
	if (i == name.n) {
		*out = name;
		return true;
	}
	p = arena_take(a, name.n);
	if (!p)
		return false;
	for (i = 0; i < name.n; i++)
		p[i] = ascii_lower(name.at[i]);
	*out = slice_of(p, name.n);
	return true;
}

static bool literal_valid(struct slice name)
{
	if (name.n < 3 || name.n > LIMIT_DOMAIN || name.at[name.n - 1] != ']')
		return false;
	for (size_t i = 1; i < name.n - 1; i++)
		if (name.at[i] < 0x21 || name.at[i] > 0x7e || name.at[i] == '[' || name.at[i] == ']' || name.at[i] == '\\')
			return false;
	return true;
}

/* U-labels to A-labels; NFC and UTS 46 mapping are libidn2's. */
static bool a_labels(struct arena *a, struct slice name, struct slice *out)
{
	char text[UTF8_NAME_OCTETS + 1];
	char *ascii = NULL;
	bool ok;

	if (name.n > UTF8_NAME_OCTETS || memchr(name.at, 0, name.n))
		return false;
	memcpy(text, name.at, name.n);
	text[name.n] = '\0';
	if (idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	*out = arena_copy(a, slice_str(ascii));
	ok = out->n > 0;
	idn2_free(ascii);
	return ok;
}

bool domain_normal(struct arena *a, struct slice name, struct slice *normal_out)
{
	struct slice s = name;

	if (s.n && s.at[0] == '[')
		return literal_valid(s) && lower(a, s, normal_out);
	for (size_t i = 0; i < s.n; i++) {
		if (s.at[i] >= 0x80) {
			if (!a_labels(a, s, &s))
				return false;
			break;
		}
	}
	if (s.n && s.at[s.n - 1] == '.')
		s = slice_sub(s, 0, s.n - 1);
	return domain_valid(s) && lower(a, s, normal_out);
}

bool domain_name_normal(struct arena *a, struct slice name, struct slice *normal_out)
{
	return name.n && name.at[0] != '[' && name.at[name.n - 1] != '.' && domain_normal(a, name, normal_out);
}

bool domain_follows(struct slice x, struct slice y)
{
	if (y.n == 0 || x.n < y.n)
		return false;
	if (x.n == y.n)
		return slice_eq(x, y);
	return x.at[x.n - y.n - 1] == '.' && slice_ends(x, y);
}
