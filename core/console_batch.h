/* Console output that waits: each piece that leaves a virtual machine costs an exit, whatever its
 * size. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One page, which DBCN takes at once. */
#define CONSOLE_BATCH_BYTES 4096

/* Owned by core/console.c; all zero but for `out`: empty. */
struct console_batch {
	char bytes[CONSOLE_BATCH_BYTES] __attribute__((aligned(CONSOLE_BATCH_BYTES)));
	size_t held;
	void (*out)(const char *bytes, size_t length); /* at once */
};

static inline void console_batch_flush(struct console_batch *batch)
{
	size_t held = batch->held;
	batch->held = 0; /* first: what goes wrong in `out` ends in a panic, which flushes */
	if (held)
		batch->out(batch->bytes, held);
}

/* What no longer fits pushes out what was there before; what never fits goes out at once. */
static inline void console_batch_add(struct console_batch *batch, const char *bytes, size_t length)
{
	if (length > CONSOLE_BATCH_BYTES - batch->held)
		console_batch_flush(batch);
	if (length > CONSOLE_BATCH_BYTES) {
		batch->out(bytes, length);
		return;
	}
	memcpy(batch->bytes + batch->held, bytes, length);
	batch->held += length;
}
