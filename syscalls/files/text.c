/* Text that grows. */
#include "syscalls/files/text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "core/console.h"
#include "core/memory.h"

#define FIRST_BYTES 512
#define MOST_BYTES  65536
#define LINE_BYTES  512

struct text_piece { /* of FIRST_BYTES, then twice as many as the one before, up to MOST_BYTES */
	struct text_piece *next;
	size_t used, room;
	char bytes[];
};

static struct text_piece *add_piece(struct text *text)
{
	size_t whole = FIRST_BYTES;
	if (text->last && text->last->room + sizeof(*text->last) < MOST_BYTES)
		whole = 2 * (text->last->room + sizeof(*text->last));
	else if (text->last)
		whole = MOST_BYTES;
	struct text_piece *piece = heap_alloc(whole);
	if (!piece)
		return NULL;
	*piece = (struct text_piece){ .room = whole - sizeof(*piece) };
	if (text->last)
		text->last->next = piece;
	else
		text->first = piece;
	text->last = piece;
	return piece;
}

void text_append(struct text *text, const char *bytes, size_t length)
{
	while (length && !text->failed) {
		struct text_piece *piece = text->last;
		if (!piece || piece->used == piece->room)
			piece = add_piece(text);
		if (!piece) {
			text->failed = true;
			return;
		}
		size_t part = piece->room - piece->used;
		if (part > length)
			part = length;
		memcpy(piece->bytes + piece->used, bytes, part);
		piece->used += part;
		text->length += part;
		bytes += part;
		length -= part;
	}
}

long text_copy_out(const struct text *text, struct uio *uio, size_t offset)
{
	size_t done = 0;
	for (const struct text_piece *piece = text->first; piece && uio->remaining;
	     piece = piece->next) {
		if (offset >= piece->used) {
			offset -= piece->used;
			continue;
		}
		size_t left = piece->used - offset;
		size_t wanted = left < uio->remaining ? left : uio->remaining;
		size_t copied = uio_copy_out(uio, piece->bytes + offset, wanted);
		done += copied;
		if (copied < wanted)
			return done ? (long)done : -EFAULT;
		offset = 0;
	}
	return (long)done;
}

void text_printf(struct text *text, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list arguments;
	va_start(arguments, format);
	format_string_v(line, sizeof(line), format, arguments);
	va_end(arguments);
	text_append(text, line, strlen(line));
}

void text_free(struct text *text)
{
	while (text->first) {
		struct text_piece *piece = text->first;
		text->first = piece->next;
		heap_free(piece);
	}
	*text = (struct text){ 0 };
}

void text_emit(void *context, const char *line)
{
	text_append(context, line, strlen(line));
}
