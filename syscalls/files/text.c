/* Text that grows. */
#include "syscalls/files/text.h"

#include <stdarg.h>
#include <string.h>

#include "core/console.h"
#include "core/memory.h"

#define FIRST_CAPACITY 512
#define LINE_BYTES     512

void text_append(struct text *text, const char *bytes, size_t length)
{
	if (text->failed)
		return;
	if (text->length + length > text->capacity) {
		size_t capacity = text->capacity ? text->capacity * 2 : FIRST_CAPACITY;
		while (capacity < text->length + length)
			capacity *= 2;
		char *grown = heap_reallocate(text->bytes, text->capacity, capacity);
		if (!grown) {
			text->failed = true;
			return;
		}
		text->bytes = grown;
		text->capacity = capacity;
	}
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
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
	heap_free(text->bytes);
	*text = (struct text){ 0 };
}

void text_emit(void *context, const char *line)
{
	text_append(context, line, strlen(line));
}
