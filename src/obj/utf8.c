/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "obj/utf8.h"

#include <stdint.h>
#include <string.h>

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* The second byte is where overlong forms, surrogates and what is too large show themselves. */
static bool second_fits(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0 && second <= 0xbf;
	case 0xed:
		return second >= 0x80 && second <= 0x9f;
	case 0xf0:
		return second >= 0x90 && second <= 0xbf;
	case 0xf4:
		return second >= 0x80 && second <= 0x8f;
	default:
		return is_tail(second);
	}
}

size_t mp__utf8_char(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n;

	if (length == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (length < n || !second_fits(s[0], s[1]))
		return 0;
	for (size_t i = 2; i < n; i++) {
		if (!is_tail(s[i]))
			return 0;
	}
	return n;
}

/* Eight bytes that are all ASCII and none of them NUL. */
static bool plain_word(const char *text)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	const uint64_t highs = UINT64_C(0x8080808080808080);
	uint64_t word;

	memcpy(&word, text, sizeof(word));
	/* Without high bits the subtraction borrows exactly where a byte is 0. */
	return ((word | (word - ones)) & highs) == 0;
}

bool mp__utf8_valid(const char *text, size_t length)
{
	size_t i = 0;

	while (i < length) {
		if (length - i >= sizeof(uint64_t) && plain_word(text + i)) {
			i += sizeof(uint64_t);
			continue;
		}
		size_t n = mp__utf8_char(text + i, length - i);
		if (n == 0 || text[i] == '\0')
			return false;
		i += n;
	}
	return true;
}
