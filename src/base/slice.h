/*
 * slice.h - borrowed octets. Pure, allocates nothing.
 *
 * A slice is not a C string: it may hold NUL and has no terminator.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HS_MUST_USE __attribute__((warn_unused_result))

struct slice {
	const unsigned char *at; /* NULL only when n is 0 */
	size_t n;                /* octets */
};

#define SLICE_NONE ((struct slice){ NULL, 0 })
/* A string literal as a slice, without its NUL. */
#define S(lit) ((struct slice){ (const unsigned char *)("" lit), sizeof(lit) - 1 })
/* For printf: "%.*s" with SLICE_FMT(s); only for octets known to be text. */
#define SLICE_FMT(s) (int)((s).n > 4096 ? 4096 : (s).n), (s).n ? (const char *)(s).at : ""

static inline struct slice slice_of(const void *at, size_t n)
{
	return (struct slice){ n ? (const unsigned char *)at : NULL, n };
}

static inline struct slice slice_str(const char *text)
{
	return text ? slice_of(text, strlen(text)) : SLICE_NONE;
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
}

/* Moves n octets off the front of *from. Too short: false, nothing moved. */
bool slice_take(struct slice *from, size_t n, struct slice *head_out);

/* The octets from `from` on, at most n of them; past the end: empty. */
struct slice slice_sub(struct slice s, size_t from, size_t n);

/*
 * Cuts *from at the first `c`: head_out is what stood before it, *from what
 * follows it. Without `c` head_out is all of it, *from is empty, and false.
 */
bool slice_cut(struct slice *from, unsigned char c, struct slice *head_out);

/* ASCII only, octets above 127 compare as they are. */
bool slice_ieq(struct slice a, struct slice b);
int slice_icmp(struct slice a, struct slice b);
int slice_cmp(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice head);
bool slice_istarts(struct slice s, struct slice head);
bool slice_ends(struct slice s, struct slice tail);

/* Index of the first `c`, or s.n. */
size_t slice_find(struct slice s, unsigned char c);

/* Without SP, HTAB, CR and LF at both ends. */
struct slice slice_trim(struct slice s);

/*
 * 1*DIGIT, no sign, no white space, at most max. Leading zeros are allowed
 * here; who forbids them checks s.at[0].
 */
bool slice_u64(struct slice s, uint64_t max, uint64_t *value_out);

static inline unsigned char ascii_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

static inline bool ascii_alpha(unsigned char c)
{
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z';
}

static inline bool ascii_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

#endif
