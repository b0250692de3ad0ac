/* The line discipline (termios(3)): what is typed becomes lines, echo and signals. Pure;
 * host-tested. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TTY_CONTROLS   19
#define TTY_LINE_BYTES 4096u

struct user_termios {
	uint32_t iflag, oflag, cflag, lflag;
	uint8_t line, control[TTY_CONTROLS];
};

enum {
	VINTR,
	VQUIT,
	VERASE,
	VKILL,
	VEOF,
	VTIME,
	VMIN,
	VSWTC,
	VSTART,
	VSTOP,
	VSUSP,
	VEOL,
	VREPRINT,
	VDISCARD,
	VWERASE,
	VLNEXT,
	VEOL2
};
enum { IGNCR = 0200, ICRNL = 0400, INLCR = 0100, ISTRIP = 040, IXON = 02000, IUTF8 = 040000 };
enum { OPOST = 01, ONLCR = 04, OCRNL = 010 };
enum {
	ISIG = 01,
	ICANON = 02,
	ECHO = 010,
	ECHOE = 020,
	ECHOK = 040,
	ECHONL = 0100,
	NOFLSH = 0200,
	ECHOCTL = 01000,
	ECHOKE = 04000,
	IEXTEN = 0100000
};

struct tty_line {
	struct user_termios settings;
	uint8_t bytes[TTY_LINE_BYTES]; /* ring: read, ready to be read, being edited */
	bool boundary[TTY_LINE_BYTES]; /* a line ends behind this byte */
	uint32_t head;                 /* next byte to read */
	uint32_t ready;                /* bytes behind it that may be read */
	uint32_t editing;              /* bytes behind those: the unfinished line */
	uint32_t ends;                 /* lines (and ends of file) among the ready bytes */
	bool quote_next;
	void (*echo)(void *context, const char *bytes, size_t length);
	void (*signal)(void *context, int number);
	void *context;
};

void tty_line_init(struct tty_line *line);
/* One typed byte. */
void tty_line_input(struct tty_line *line, uint8_t byte);
/* Bytes that a read of `room` would get now; in canonical mode up to the end of one line.
 * *end_of_file: an empty line ended by VEOF. */
size_t tty_line_take(struct tty_line *line, char *out, size_t room, bool *end_of_file);
bool tty_line_can_read(const struct tty_line *line);
/* FIONREAD. */
uint32_t tty_line_available(const struct tty_line *line);
/* TCFLSH. */
void tty_line_flush(struct tty_line *line);
/* Settings changed from `was`: leaving canonical mode makes the unfinished line readable. */
void tty_line_changed(struct tty_line *line, uint32_t old_lflag);
