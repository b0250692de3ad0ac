/* Console output that waits comes out whole and in order. */
#include <stdlib.h>

#include "core/console_batch.h"
#include "evloop/check.h"

#define TOTAL (1u << 20)

static struct {
	char *bytes;
	size_t length;
	unsigned pieces;
} wire;

static void out(const char *bytes, size_t length)
{
	CHECK(length > 0 && wire.length + length <= TOTAL);
	memcpy(wire.bytes + wire.length, bytes, length);
	wire.length += length;
	wire.pieces++;
}

static void test_lines_leave_together(struct console_batch *batch)
{
	for (unsigned i = 0; i < 50; i++)
		console_batch_add(batch, "a line of a log\n", 16);
	CHECK(wire.pieces == 0 && batch->held == 50 * 16);
	console_batch_flush(batch);
	CHECK(wire.pieces == 1 && wire.length == 50 * 16 && batch->held == 0);
	console_batch_flush(batch); /* nothing is written for nothing */
	CHECK_EQ(wire.pieces, 1);
}

static void test_full(struct console_batch *batch)
{
	char line[CONSOLE_BATCH_BYTES];
	memset(line, 'x', sizeof line);
	console_batch_add(batch, line, sizeof line);
	CHECK(wire.pieces == 0 && batch->held == sizeof line);
	console_batch_add(batch, "y", 1);
	CHECK(wire.pieces == 1 && wire.length == sizeof line && batch->held == 1);
	console_batch_flush(batch);
	CHECK(wire.pieces == 2 && wire.bytes[sizeof line] == 'y');
}

/* Pieces of every size, also larger than the batch, against the same bytes in one. */
static void test_order(struct console_batch *batch)
{
	char *text = malloc(TOTAL);
	CHECK(text);
	for (size_t i = 0; i < TOTAL; i++)
		text[i] = (char)rand();
	size_t done = 0;
	while (done < TOTAL) {
		size_t piece = (size_t)rand() % (rand() % 8 ? 200 : 3 * CONSOLE_BATCH_BYTES);
		if (piece > TOTAL - done)
			piece = TOTAL - done;
		console_batch_add(batch, text + done, piece);
		done += piece;
		CHECK_EQ(wire.length + batch->held, done);
		if (rand() % 16 == 0)
			console_batch_flush(batch);
	}
	console_batch_flush(batch);
	CHECK(wire.length == TOTAL && memcmp(wire.bytes, text, TOTAL) == 0);
	free(text);
}

int main(void)
{
	static void (*const tests[])(struct console_batch *) = { test_lines_leave_together,
		                                                 test_full, test_order };
	static struct console_batch batch = { .out = out };
	wire.bytes = malloc(TOTAL);
	CHECK(wire.bytes);
	for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
		wire.length = wire.pieces = 0;
		tests[i](&batch);
	}
	free(wire.bytes);
	return 0;
}
