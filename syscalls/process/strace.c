/* strace=1: every system call on the console as it begins, and its result; the format letters come
 * from the table. */
#include "syscalls/process/internal.h"

#define STRING_SHOWN 48

static int append_argument(char *out, size_t room, char letter, uint64_t value)
{
	char text[STRING_SHOWN + 1];
	switch (letter) {
	case 'd':
	case 'f':
		return format_string(out, room, "%d", (int)value);
	case 'u':
		return format_string(out, room, "%lu", value);
	case 's':
		if (copy_string_from_user(text, user(value), sizeof text) >= 0)
			return format_string(out, room, "\"%s\"", text);
		/* fall through */
	default:
		return format_string(out, room, "0x%lx", value);
	}
}

/* A call that parks is shown when it begins and again, by name, with its result. */
void strace_call(struct thread *thread, uint64_t number, const char *name, const char *format,
                 const uint64_t *argument)
{
	char line[320];
	int used = name ? format_string(line, sizeof line, "%s(", name)
	                : format_string(line, sizeof line, "syscall_%lu(", number);
	for (int i = 0; format[i] && used < (int)sizeof line - 64; i++) {
		if (i)
			used += format_string(line + used, sizeof line - (size_t)used, ", ");
		used += append_argument(line + used, sizeof line - (size_t)used, format[i],
		                        argument[i]);
	}
	console_printf("[%d %s] %s)\n", thread->tid, thread->name, line);
}

void strace_result(struct thread *thread, uint64_t number, const char *name, long result)
{
	if (name)
		console_printf("[%d %s] %s = %ld\n", thread->tid, thread->name, name, result);
	else
		console_printf("[%d %s] syscall_%lu = %ld\n", thread->tid, thread->name, number,
		               result);
}
