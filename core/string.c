/* The C library's few functions that are not in core/copy.S. */
#define STRING_DEFINES_FUNCTIONS
#include <string.h>

#include <stdint.h>

void *memmove(void *to, const void *from, size_t bytes)
{
	uint8_t *out = to;
	const uint8_t *in = from;
	if (out <= in || out >= in + bytes)
		return memcpy(to, from,
		              bytes); /* ours copies forward, a block's loads before its stores */
	out += bytes;
	in += bytes;
	if ((((uintptr_t)out ^ (uintptr_t)in) & 7) == 0) {
		while (bytes && ((uintptr_t)out & 7)) {
			*--out = *--in;
			bytes--;
		}
		for (; bytes >= 8; bytes -= 8) {
			out -= 8;
			in -= 8;
			uint64_t word;
			__builtin_memcpy(&word, __builtin_assume_aligned(in, 8), 8);
			__builtin_memcpy(__builtin_assume_aligned(out, 8), &word, 8);
		}
	}
	while (bytes--)
		*--out = *--in;
	return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const uint8_t *left = a, *right = b;
	if ((((uintptr_t)left | (uintptr_t)right) & 7) == 0) {
		for (; bytes >= 8; bytes -= 8, left += 8, right += 8) {
			uint64_t l, r;
			__builtin_memcpy(&l, __builtin_assume_aligned(left, 8), 8);
			__builtin_memcpy(&r, __builtin_assume_aligned(right, 8), 8);
			if (l != r)
				break;
		}
	}
	for (; bytes; bytes--, left++, right++) {
		if (*left != *right)
			return *left - *right;
	}
	return 0;
}

void *memchr(const void *in, int value, size_t bytes)
{
	for (const uint8_t *at = in; bytes; at++, bytes--) {
		if (*at == (uint8_t)value)
			return (void *)at;
	}
	return NULL;
}

size_t strnlen(const char *text, size_t max)
{
	size_t length = 0;
	while (length < max && text[length])
		length++;
	return length;
}

size_t strlen(const char *text)
{
	return strnlen(text, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t max)
{
	for (; max; a++, b++, max--) {
		if (*a != *b)
			return (unsigned char)*a - (unsigned char)*b;
		if (*a == '\0')
			break;
	}
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *in, int value)
{
	for (;; in++) {
		if (*in == (char)value)
			return (char *)in;
		if (*in == '\0')
			return NULL;
	}
}

char *strrchr(const char *in, int value)
{
	const char *found = NULL;
	for (;; in++) {
		if (*in == (char)value)
			found = in;
		if (*in == '\0')
			return (char *)found;
	}
}

char *strstr(const char *in, const char *what)
{
	size_t length = strlen(what);
	for (;; in++) {
		if (strncmp(in, what, length) == 0)
			return (char *)in;
		if (*in == '\0')
			return NULL;
	}
}
