/* The kernel command line: `key=value ... -- program argument ...` (core/boot.h). Pure. */
#include "core/boot.h"

#include <errno.h>
#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

struct word {
	bool open;    /* a quote was not closed */
	size_t bytes; /* unquoted length; only what fits is stored */
};

/* Unquote the word that starts at `*text` into `out` (NUL-terminated when room allows) and move
 * `*text` behind it. */
static struct word next_word(const char **text, char *out, size_t room)
{
	struct word word = { 0 };
	bool quoting = false;
	const char *at = *text;
	for (; *at && (quoting || !is_blank(*at)); at++) {
		if (*at == '"') {
			quoting = !quoting;
			continue;
		}
		if (quoting && *at == '\\' && (at[1] == '"' || at[1] == '\\'))
			at++;
		if (word.bytes < room)
			out[word.bytes] = *at;
		word.bytes++;
	}
	if (room)
		out[word.bytes < room ? word.bytes : room - 1] = '\0';
	word.open = quoting;
	*text = at;
	return word;
}

static const char *skip_blanks(const char *text)
{
	while (is_blank(*text))
		text++;
	return text;
}

/* The word at `text` is the separator of options and arguments. */
static bool is_separator(const char *text)
{
	return text[0] == '-' && text[1] == '-' && (text[2] == '\0' || is_blank(text[2]));
}

bool boot_option(const char *command_line, const char *key, unsigned nth, char *value, size_t room)
{
	size_t key_length = strlen(key);
	const char *at = skip_blanks(command_line);
	for (; *at && !is_separator(at); at = skip_blanks(at)) {
		bool matches = strncmp(at, key, key_length) == 0 &&
		               (at[key_length] == '=' || at[key_length] == '\0' ||
		                is_blank(at[key_length]));
		if (matches && nth-- == 0) {
			at += key_length;
			at += *at == '=';
			next_word(&at, value, room);
			return true;
		}
		next_word(&at, NULL, 0);
	}
	return false;
}

uint64_t boot_option_number(const char *command_line, const char *key, uint64_t fallback)
{
	char text[24];
	if (!boot_option(command_line, key, 0, text, sizeof text) || text[0] == '\0')
		return fallback;
	uint64_t value = 0;
	for (const char *at = text; *at; at++) {
		if (*at < '0' || *at > '9' || value > UINT64_MAX / 10 - 1)
			return fallback;
		value = value * 10 + (uint64_t)(*at - '0');
	}
	return value;
}

static int digit_of(char c, unsigned base)
{
	unsigned digit = base;
	if (c >= '0' && c <= '9')
		digit = (unsigned)(c - '0');
	else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		digit = (unsigned)((c | 0x20) - 'a') + 10;
	return digit < base ? (int)digit : -1;
}

/* A number with its suffix at `*text`, which is moved behind it. False: none, or above 2^64 - 1. */
static bool parse_size(const char **text, uint64_t *out)
{
	const char *at = *text;
	unsigned base = 10, shift = 0;
	if (at[0] == '0' && (at[1] | 0x20) == 'x') {
		base = 16;
		at += 2;
	}
	if (digit_of(*at, base) < 0)
		return false;
	uint64_t value = 0;
	for (; digit_of(*at, base) >= 0; at++) {
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit_of(*at, base), &value))
			return false;
	}
	char suffix = *at | 0x20;
	if (suffix == 'k' || suffix == 'm' || suffix == 'g') {
		shift = suffix == 'k' ? 10 : suffix == 'm' ? 20 : 30;
		at++;
	}
	if (value << shift >> shift != value)
		return false;
	*out = value << shift;
	*text = at;
	return true;
}

int boot_option_range(const char *command_line, const char *key, uint64_t *address, uint64_t *bytes)
{
	char text[64];
	const char *at = text;
	if (!boot_option(command_line, key, 0, text, sizeof text))
		return -ENOENT;
	uint64_t start, length;
	if (!parse_size(&at, &start) || *at++ != ',' || !parse_size(&at, &length) || *at ||
	    length == 0 || start + length < start)
		return -EINVAL;
	*address = start;
	*bytes = length;
	return 0;
}

int boot_arguments(const char *command_line, char **argv, int max, char *storage,
                   size_t storage_bytes)
{
	const char *at = skip_blanks(command_line);
	while (*at && !is_separator(at)) {
		next_word(&at, NULL, 0);
		at = skip_blanks(at);
	}
	if (!*at)
		return 0;
	int count = 0;
	for (at = skip_blanks(at + 2); *at; at = skip_blanks(at)) {
		struct word word = next_word(&at, storage, storage_bytes);
		if (word.open)
			return -EINVAL;
		if (count == max || word.bytes + 1 > storage_bytes)
			return -E2BIG;
		argv[count++] = storage;
		storage += word.bytes + 1;
		storage_bytes -= word.bytes + 1;
	}
	return count;
}
