/* The line discipline: what is typed against what is read, echoed and signalled. */
#include "syscalls/files/tty_line.h"

#include <string.h>

#include "syscalls/files/tests/host.h"

static struct tty_line line;
static char echoed[16384];
static size_t echoed_bytes;
static int signalled;

static void on_echo(void *context, const char *bytes, size_t length)
{
	(void)context;
	if (echoed_bytes + length < sizeof(echoed)) {
		memcpy(echoed + echoed_bytes, bytes, length);
		echoed_bytes += length;
	}
}

static void on_signal(void *context, int number)
{
	(void)context;
	signalled = number;
}

static void start(void)
{
	tty_line_init(&line);
	line.echo = on_echo;
	line.signal = on_signal;
	echoed_bytes = 0;
	signalled = 0;
}

static void type(const char *text)
{
	for (; *text; text++)
		tty_line_input(&line, (uint8_t)*text);
}

static void expect_read(const char *text)
{
	char out[256];
	bool end_of_file;
	CHECK(tty_line_can_read(&line));
	size_t length = tty_line_take(&line, out, sizeof(out), &end_of_file);
	CHECK_EQ(length, strlen(text));
	CHECK(memcmp(out, text, length) == 0);
	CHECK(!end_of_file);
}

static void expect_echo(const char *text)
{
	CHECK_EQ(echoed_bytes, strlen(text));
	CHECK(memcmp(echoed, text, echoed_bytes) == 0);
	echoed_bytes = 0;
}

static void test_canonical(void)
{
	start();
	type("ab");
	CHECK(!tty_line_can_read(&line));
	type("c\rsecond\n");
	expect_echo("abc\nsecond\n");
	expect_read("abc\n");
	expect_read("second\n");
	CHECK(!tty_line_can_read(&line));
	type("xyz\x7f\x7f"
	     "1\n");
	expect_echo("xyz\b \b\b \b"
	            "1\n");
	expect_read("x1\n");
	type("gone\x15kept\n");
	expect_read("kept\n");
	type("one two  \x17three\n");
	expect_read("one three\n");
	type("\x7f\x7f\n"); /* nothing to erase */
	expect_read("\n");
	echoed_bytes = 0;
	type("\xc3\xa4\x7f!\n"); /* a two-byte character is erased whole */
	expect_read("!\n");
}

static void test_pieces(void)
{
	char out[8];
	bool end_of_file;
	start();
	type("abcdef\n");
	CHECK_EQ(tty_line_take(&line, out, 4, &end_of_file), 4);
	CHECK_EQ(tty_line_available(&line), 3);
	expect_read("ef\n");
}

static void test_end_of_file(void)
{
	char out[8];
	bool end_of_file;
	start();
	type("\x04");
	CHECK(tty_line_can_read(&line));
	CHECK_EQ(tty_line_take(&line, out, sizeof(out), &end_of_file), 0);
	CHECK(end_of_file);
	CHECK(!tty_line_can_read(&line));
	type("ab\x04"); /* behind text: just ends the line */
	CHECK_EQ(tty_line_take(&line, out, 2, &end_of_file), 2);
	CHECK(!end_of_file);
	CHECK(!tty_line_can_read(&line));
	type("x\x16\x04y\n"); /* quoted: an ordinary byte */
	expect_read("x\x04y\n");
}

static void test_signals(void)
{
	start();
	type("half\x03");
	CHECK_EQ(signalled, 2);
	expect_echo("half^C");
	type("new\n");
	expect_read("new\n");
	type("\x1c");
	CHECK_EQ(signalled, 3);
	line.settings.lflag &= ~(uint32_t)ISIG;
	type("\x03\n");
	expect_read("\x03\n");
}

static void test_raw(void)
{
	start();
	type("ed");
	uint32_t old = line.settings.lflag;
	line.settings.lflag &= ~(uint32_t)(ICANON | ECHO);
	tty_line_changed(&line, old);
	expect_read("ed");
	echoed_bytes = 0;
	type("\x7f\x04q");
	expect_read("\x7f\x04q");
	CHECK_EQ(echoed_bytes, 0);
}

static void test_overflow(void)
{
	start();
	for (unsigned i = 0; i < 3 * TTY_LINE_BYTES; i++)
		tty_line_input(&line, 'a');
	type("\n");
	static char out[TTY_LINE_BYTES + 1];
	bool end_of_file;
	CHECK_EQ(tty_line_take(&line, out, sizeof(out), &end_of_file), TTY_LINE_BYTES);
	CHECK_EQ(out[TTY_LINE_BYTES - 1], '\n');
	type("ok\n");
	expect_read("ok\n");
}

static void test_random(void)
{
	start();
	for (int i = 0; i < 200000; i++) {
		char out[64];
		bool end_of_file;
		tty_line_input(&line, (uint8_t)host_random());
		if (host_random() % 16 == 0 && tty_line_can_read(&line))
			tty_line_take(&line, out, host_random() % sizeof(out), &end_of_file);
		if (host_random() % 512 == 0) {
			uint32_t old = line.settings.lflag;
			line.settings.lflag ^= ICANON;
			tty_line_changed(&line, old);
		}
		CHECK(line.ready + line.editing <= TTY_LINE_BYTES);
		CHECK(line.ends <= line.ready);
		echoed_bytes = 0;
	}
}

int main(void)
{
	test_canonical();
	test_pieces();
	test_end_of_file();
	test_signals();
	test_raw();
	test_overflow();
	test_random();
	return 0;
}
