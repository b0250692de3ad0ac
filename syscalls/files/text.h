/* Text that grows: the contents of /proc and /sys files. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *bytes;
	size_t length, capacity;
	bool failed; /* memory was short: the text is cut */
};

void text_append(struct text *text, const char *bytes, size_t length);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *text);
/* The emit function of describe functions elsewhere; `context` is a struct text. */
void text_emit(void *context, const char *line);
