/* The line discipline. VEOF is kept in the ring as a byte of its own that ends a line and is never
 * handed out. */
#include "syscalls/files/tty_line.h"

#include <string.h>

#define SIGNAL_INTERRUPT 2
#define SIGNAL_QUIT      3
#define SIGNAL_STOP      20
#define DISABLED         0
#define MASK             (TTY_LINE_BYTES - 1)

void tty_line_init(struct tty_line *line)
{
	static const uint8_t control[TTY_CONTROLS] = { 3,  28, 127, 21, 4,  0,  1,  0, 17,
		                                       19, 26, 0,   18, 15, 23, 22, 0 };
	line->settings = (struct user_termios){
		.iflag = ICRNL | IXON | IUTF8,
		.oflag = OPOST,
		.cflag = 015 | 060 | 0200, /* B9600, CS8, CREAD */
		.lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	};
	memcpy(line->settings.control, control, sizeof(control));
	line->head = line->ready = line->editing = line->ends = 0;
	line->quote_next = false;
}

static bool has(const struct tty_line *line, uint32_t flag)
{
	return line->settings.lflag & flag;
}

static bool is_control(const struct tty_line *line, uint8_t byte, int which)
{
	uint8_t control = line->settings.control[which];
	return control != DISABLED && control == byte;
}

static void echo_text(struct tty_line *line, const char *text, size_t length)
{
	line->echo(line->context, text, length);
}

static void echo_byte(struct tty_line *line, uint8_t byte)
{
	char text[2] = { (char)byte, 0 };
	if (byte == '\n') {
		if (has(line, ECHO) || (has(line, ECHONL) && has(line, ICANON)))
			echo_text(line, text, 1);
		return;
	}
	if (!has(line, ECHO))
		return;
	if (has(line, ECHOCTL) && ((byte < ' ' && byte != '\t') || byte == 127)) {
		text[0] = '^';
		text[1] = (char)(byte ^ 0x40);
		echo_text(line, text, 2);
	} else {
		echo_text(line, text, 1);
	}
}

static void store(struct tty_line *line, uint8_t byte)
{
	uint32_t used = line->ready + line->editing;
	/* Full: typed bytes are lost, as on any terminal; the last place is for the end of the
	 * line. */
	if (used >= TTY_LINE_BYTES - (byte != '\n' && !is_control(line, byte, VEOF)))
		return;
	line->bytes[(line->head + used) & MASK] = byte;
	line->boundary[(line->head + used) & MASK] = false;
	line->editing++;
}

static void finish_line(struct tty_line *line)
{
	if (line->editing) {
		line->boundary[(line->head + line->ready + line->editing - 1) & MASK] = true;
		line->ends++;
	}
	line->ready += line->editing;
	line->editing = 0;
}

static uint8_t last_edited(const struct tty_line *line)
{
	return line->bytes[(line->head + line->ready + line->editing - 1) & MASK];
}

static void erase_one(struct tty_line *line)
{
	uint8_t byte;
	do { /* the whole of a UTF-8 character */
		byte = last_edited(line);
		line->editing--;
	} while (line->editing && line->settings.iflag & IUTF8 && (byte & 0xc0) == 0x80);
	if (!has(line, ECHO) || !has(line, ECHOE))
		return;
	echo_text(line, "\b \b", 3);
	if (has(line, ECHOCTL) && byte < ' ' && byte != '\t')
		echo_text(line, "\b \b", 3);
}

static bool edit_canonical(struct tty_line *line, uint8_t byte)
{
	if (is_control(line, byte, VERASE) ||
	    (byte == '\b' && line->settings.control[VERASE] == 127)) {
		if (line->editing)
			erase_one(line);
	} else if (is_control(line, byte, VWERASE) && has(line, IEXTEN)) {
		while (line->editing && last_edited(line) == ' ')
			erase_one(line);
		while (line->editing && last_edited(line) != ' ')
			erase_one(line);
	} else if (is_control(line, byte, VKILL)) {
		while (line->editing)
			erase_one(line);
	} else if (is_control(line, byte, VLNEXT) && has(line, IEXTEN)) {
		line->quote_next = true;
	} else if (is_control(line, byte, VEOF)) {
		store(line, byte);
		finish_line(line);
	} else {
		return false;
	}
	return true;
}

static int signal_of(const struct tty_line *line, uint8_t byte)
{
	if (!has(line, ISIG))
		return 0;
	if (is_control(line, byte, VINTR))
		return SIGNAL_INTERRUPT;
	if (is_control(line, byte, VQUIT))
		return SIGNAL_QUIT;
	return is_control(line, byte, VSUSP) ? SIGNAL_STOP : 0;
}

void tty_line_input(struct tty_line *line, uint8_t byte)
{
	uint32_t iflag = line->settings.iflag;
	if (iflag & ISTRIP)
		byte &= 0x7f;
	if (!line->quote_next) {
		int signal = signal_of(line, byte);
		if (signal) {
			if (!has(line, NOFLSH))
				tty_line_flush(line);
			echo_byte(line, byte);
			line->signal(line->context, signal);
			return;
		}
		if (byte == '\r' && iflag & IGNCR)
			return;
		if (byte == '\r' && iflag & ICRNL)
			byte = '\n';
		else if (byte == '\n' && iflag & INLCR)
			byte = '\r';
		if (has(line, ICANON) && edit_canonical(line, byte))
			return;
	}
	bool quoted = line->quote_next;
	line->quote_next = false;
	echo_byte(line, byte);
	store(line, byte);
	if (!has(line, ICANON) || (!quoted && (byte == '\n' || is_control(line, byte, VEOL) ||
	                                       is_control(line, byte, VEOL2))))
		finish_line(line);
}

bool tty_line_can_read(const struct tty_line *line)
{
	return has(line, ICANON) ? line->ends > 0 : line->ready > 0;
}

uint32_t tty_line_available(const struct tty_line *line)
{
	return tty_line_can_read(line) ? line->ready : 0;
}

size_t tty_line_take(struct tty_line *line, char *out, size_t room, bool *end_of_file)
{
	size_t taken = 0;
	bool canonical = has(line, ICANON), end = false;
	*end_of_file = false;
	while (taken < room && line->ready && !(canonical && end)) {
		uint32_t at = line->head & MASK;
		uint8_t byte = line->bytes[at];
		end = line->boundary[at];
		if (canonical && end && is_control(line, byte, VEOF))
			*end_of_file = taken == 0;
		else
			out[taken++] = (char)byte;
		if (end)
			line->ends--;
		line->head = (line->head + 1) & MASK;
		line->ready--;
	}
	/* A read that took exactly the line before a VEOF must not see an end of file next time. */
	uint32_t at = line->head & MASK;
	if (canonical && taken && !end && line->ready && line->boundary[at] &&
	    is_control(line, line->bytes[at], VEOF)) {
		line->head = (line->head + 1) & MASK;
		line->ready--;
		line->ends--;
	}
	return taken;
}

void tty_line_flush(struct tty_line *line)
{
	line->ready = line->editing = line->ends = 0;
	line->quote_next = false;
}

void tty_line_changed(struct tty_line *line, uint32_t old_lflag)
{
	if (old_lflag & ICANON && !has(line, ICANON)) {
		line->ready += line->editing;
		line->editing = 0;
	}
}
