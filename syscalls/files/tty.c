/* The console's terminal: /dev/console, /dev/tty. */
#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "core/user.h"
#include "syscalls/files/devices.h"
#include "syscalls/files/node.h"
#include "syscalls/files/tty_line.h"
#include "syscalls/process.h"

#define OUTPUT_CHUNK 1024
#define OUTPUT_BYTES (2 * OUTPUT_CHUNK) /* a chunk of nothing but newlines */
#define SIGWINCH     28

enum {
	TCGETS = 0x5401,
	TCSETS,
	TCSETSW,
	TCSETSF,
	TCGETA,
	TCSETA,
	TCSETAW,
	TCSETAF,
	TCSBRK,
	TCXONC,
	TCFLSH,
	TIOCEXCL,
	TIOCNXCL,
	TIOCSCTTY,
	TIOCGPGRP,
	TIOCSPGRP,
	TIOCOUTQ,
	TIOCSTI,
	TIOCGWINSZ,
	TIOCSWINSZ,
	TIOCMGET,
	FIONREAD = 0x541b,
	TIOCNOTTY = 0x5422,
	TIOCSETD = 0x5423,
	TIOCGETD = 0x5424,
	TCSBRKP = 0x5425,
	TIOCGSID = 0x5429
};
#define TCGETS2  0x802c542au
#define TCSETS2  0x402c542bu
#define TCSETSW2 0x402c542cu
#define TCSETSF2 0x402c542du

struct user_termios2 {
	struct user_termios base;
	uint32_t input_speed, output_speed;
};

struct window {
	uint16_t rows, columns, width, height;
};

static struct {
	struct tty_line line;
	struct list files;
	struct window window;
	int32_t foreground, session;
} tty;

/* One open file of the terminal. */
struct tty_file {
	struct file file;
	struct list_node link; /* tty.files */
};

static void output(const char *bytes, size_t length)
{
	uint32_t oflag = tty.line.settings.oflag;
	if (!(oflag & OPOST) || !(oflag & ONLCR)) {
		console_write(bytes, length);
		return;
	}
	char out[OUTPUT_BYTES];
	size_t used = 0;
	for (; length; length--, bytes++) {
		if (used + 2 > sizeof(out)) {
			console_write(out, used);
			used = 0;
		}
		if (*bytes == '\n')
			out[used++] = '\r';
		out[used++] = *bytes;
	}
	console_write(out, used);
}

static void echo(void *context, const char *bytes, size_t length)
{
	(void)context;
	output(bytes, length);
}

static void signal_foreground(void *context, int number)
{
	(void)context;
	struct signal_information information = { .number = number,
		                                  .code = 0x80 /* SI_KERNEL */,
		                                  .own = true };
	list_for_each_safe(link, &all_processes)
	{
		struct process *process = list_entry(link, struct process, all_link);
		if (process->group_id == tty.foreground)
			signal_send_process(process, &information);
	}
}

static void input_arrived(void *context)
{
	(void)context;
	char bytes[64];
	size_t count;
	while ((count = console_read(bytes, sizeof(bytes)))) {
		for (size_t i = 0; i < count; i++)
			tty_line_input(&tty.line, (uint8_t)bytes[i]);
	}
	if (!tty_line_can_read(&tty.line))
		return;
	list_for_each(link, &tty.files)
	        file_notify(&list_entry(link, struct tty_file, link)->file, POLLIN | POLLRDNORM);
}

static long tty_read(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)file, (void)offset;
	const struct user_termios *settings = &tty.line.settings;
	bool end_of_file = false;
	long done = 0;
	if (!uio->remaining)
		return 0;
	if (!tty_line_can_read(&tty.line))
		return !(settings->lflag & ICANON) && !settings->control[VMIN] ? 0 : -EAGAIN;
	while (uio->remaining && tty_line_can_read(&tty.line)) {
		char chunk[OUTPUT_CHUNK];
		size_t room = uio->remaining < sizeof(chunk) ? uio->remaining : sizeof(chunk);
		size_t taken = tty_line_take(&tty.line, chunk, room, &end_of_file);
		if (uio_copy_out(uio, chunk, taken) < taken)
			return done ? done : -EFAULT;
		done += (long)taken;
		if (end_of_file ||
		    (settings->lflag & ICANON && (taken < room || chunk[taken - 1] == '\n')))
			break;
	}
	return done;
}

static long tty_write(struct file *file, struct uio *uio, uint64_t offset)
{
	(void)file, (void)offset;
	long done = 0;
	while (uio->remaining) {
		char chunk[OUTPUT_CHUNK];
		size_t wanted = uio->remaining < sizeof(chunk) ? uio->remaining : sizeof(chunk);
		size_t copied = uio_copy_in(uio, chunk, wanted);
		output(chunk, copied);
		done += (long)copied;
		if (copied < wanted)
			return done ? done : -EFAULT;
	}
	return done;
}

static uint32_t tty_poll(struct file *file)
{
	(void)file;
	uint32_t ready = POLLOUT | POLLWRNORM;
	return tty_line_can_read(&tty.line) ? ready | POLLIN | POLLRDNORM : ready;
}

static long settings_set(struct user_addr from, bool flush)
{
	struct user_termios settings;
	uint32_t old_lflag = tty.line.settings.lflag;
	if (copy_from_user(&settings, from, sizeof(settings)))
		return -EFAULT;
	if (flush)
		tty_line_flush(&tty.line);
	tty.line.settings = settings;
	tty_line_changed(&tty.line, old_lflag);
	return 0;
}

static long settings_get2(struct user_addr to)
{
	struct user_termios2 settings = { tty.line.settings, 9600, 9600 };
	return copy_to_user(to, &settings, sizeof(settings));
}

static long foreground_set(struct user_addr from)
{
	uint32_t group;
	if (copy_from_user(&group, from, sizeof(group)))
		return -EFAULT;
	if ((int32_t)group < 0)
		return -EINVAL;
	tty.foreground = (int32_t)group;
	return 0;
}

static long window_set(struct user_addr from)
{
	struct window window;
	if (copy_from_user(&window, from, sizeof(window)))
		return -EFAULT;
	bool changed = memcmp(&window, &tty.window, sizeof(window)) != 0;
	tty.window = window;
	if (changed)
		signal_foreground(NULL, SIGWINCH);
	return 0;
}

static long tty_number(struct user_addr to, uint32_t number)
{
	return copy_to_user(to, &number, sizeof(number));
}

static long tty_take_session(void)
{
	struct process *process = current_thread()->process;
	if (process->session_id != process->pid)
		return -EPERM;
	tty.session = process->session_id;
	tty.foreground = process->group_id;
	return 0;
}

static long tty_ioctl(struct file *file, uint32_t command, uint64_t argument)
{
	(void)file;
	struct user_addr at = user(argument);
	switch (command) {
	case TCGETS:
		return copy_to_user(at, &tty.line.settings, sizeof(tty.line.settings));
	case TCSETS:
	case TCSETS2:
		return settings_set(at, false);
	case TCSETSW:
	case TCSETSW2:
		console_flush();
		return settings_set(at, false);
	case TCSETSF:
	case TCSETSF2:
		console_flush();
		return settings_set(at, true);
	case TCGETS2:
		return settings_get2(at);
	case TIOCGWINSZ:
		return copy_to_user(at, &tty.window, sizeof(tty.window));
	case TIOCSWINSZ:
		return window_set(at);
	case TIOCGPGRP:
		return tty_number(at, (uint32_t)tty.foreground);
	case TIOCSPGRP:
		return foreground_set(at);
	case TIOCGSID:
		return tty_number(at, (uint32_t)tty.session);
	case TIOCSCTTY:
		return tty_take_session();
	case FIONREAD:
		return tty_number(at, tty_line_available(&tty.line));
	case TIOCOUTQ:
		console_flush();
		return tty_number(at, 0);
	case TIOCGETD:
		return tty_number(at, 0);
	case TCFLSH:
		if (argument != 1)
			tty_line_flush(&tty.line);
		return 0;
	case TCSBRK:
	case TCSBRKP:
		console_flush();
		return 0;
	case TIOCNOTTY:
	case TCXONC:
	case TIOCEXCL:
	case TIOCNXCL:
	case TIOCSETD:
		return 0;
	default:
		return -ENOTTY;
	}
}

static int tty_status(struct file *file, struct file_status *out)
{
	node_status(file->node, out);
	return 0;
}

static int32_t tty_async_owner(void)
{
	return -tty.foreground;
}

static void tty_release(struct file *file)
{
	struct tty_file *own = container_of(file, struct tty_file, file);
	list_remove(&own->link);
	heap_free(own);
}

static const struct file_operations tty_operations = {
	.kind = "tty",
	.read = tty_read,
	.write = tty_write,
	.poll = tty_poll,
	.ioctl = tty_ioctl,
	.status = tty_status,
	.can_be_async = true,
	.async_owner = tty_async_owner,
	.release = tty_release,
};

int tty_open(struct path_node *node, uint32_t flags, struct file **out)
{
	struct tty_file *own = heap_alloc(sizeof(*own));
	if (!own)
		return -ENOMEM;
	file_init(&own->file, &tty_operations, NULL, flags);
	own->file.node = path_node_get(node);
	list_push_back(&tty.files, &own->link);
	*out = &own->file;
	return 0;
}

int tty_init(void)
{
	tty_line_init(&tty.line);
	tty.line.echo = echo;
	tty.line.signal = signal_foreground;
	tty.foreground = tty.session = 1; /* the first process */
	list_init(&tty.files);
	console_on_input(input_arrived, NULL);
	return 0;
}
