/* Text that grows: the contents of /proc and /sys files. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "syscalls/uio.h"

/* In pieces: no text needs more contiguous memory than one of them. All zero: empty. */
struct text {
	struct text_piece *first, *last;
	size_t length;
	bool failed; /* memory was short: the text is cut */
};

/* Where a long text goes on that is made in pieces; all 0: at its start. */
struct text_position {
	uint64_t place; /* the maker's own; TEXT_END: there is no more */
	uint32_t row;   /* lines made so far */
};
#define TEXT_END UINT64_MAX

void text_append(struct text *text, const char *bytes, size_t length);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Its bytes from `offset` on, as many as the uio takes. Returns their number; -EFAULT. */
long text_copy_out(const struct text *text, struct uio *uio, size_t offset);
/* Empty again. */
void text_free(struct text *text);
/* The emit function of describe functions elsewhere; `context` is a struct text. */
void text_emit(void *context, const char *line);
