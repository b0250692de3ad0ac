/* printf's formatting, as far as core/console.h promises it. Pure. */
#include "core/console.h"

#include <string.h>

struct output {
	char *at, *end; /* the last byte is kept for NUL */
	size_t length;  /* that a large enough buffer would hold */
};

struct conversion {
	bool left, zero;
	unsigned width;
	int precision; /* -1: none */
	unsigned longs;
};

static void put(struct output *out, char c)
{
	if (out->at < out->end)
		*out->at++ = c;
	out->length++;
}

static void put_repeated(struct output *out, char c, size_t count)
{
	while (count--)
		put(out, c);
}

static void put_padded(struct output *out, const struct conversion *conversion, const char *prefix,
                       const char *text, size_t length)
{
	size_t prefix_length = strlen(prefix), total = prefix_length + length;
	size_t padding = conversion->width > total ? conversion->width - total : 0;
	bool zeroes = conversion->zero && !conversion->left;
	if (!conversion->left && !zeroes)
		put_repeated(out, ' ', padding);
	for (; *prefix; prefix++)
		put(out, *prefix);
	if (zeroes)
		put_repeated(out, '0', padding);
	for (size_t i = 0; i < length; i++)
		put(out, text[i]);
	if (conversion->left)
		put_repeated(out, ' ', padding);
}

static void put_number(struct output *out, const struct conversion *conversion, const char *prefix,
                       uint64_t value, unsigned base, const char *digits)
{
	char text[24];
	size_t at = sizeof text;
	do {
		text[--at] = digits[value % base];
		value /= base;
	} while (value);
	put_padded(out, conversion, prefix, text + at, sizeof text - at);
}

static const char *parse_conversion(const char *format, struct conversion *out, va_list *arguments)
{
	*out = (struct conversion){ .precision = -1 };
	for (;; format++) {
		if (*format == '-')
			out->left = true;
		else if (*format == '0')
			out->zero = true;
		else
			break;
	}
	if (*format == '*') {
		int width = va_arg(*arguments, int);
		out->left |= width < 0;
		out->width = (unsigned)(width < 0 ? -width : width);
		format++;
	}
	for (; *format >= '0' && *format <= '9'; format++)
		out->width = out->width * 10 + (unsigned)(*format - '0');
	if (*format == '.') {
		format++;
		out->precision = 0;
		if (*format == '*') {
			out->precision = va_arg(*arguments, int);
			format++;
		}
		for (; *format >= '0' && *format <= '9'; format++)
			out->precision = out->precision * 10 + (*format - '0');
	}
	for (; *format == 'l' || *format == 'z' || *format == 'h'; format++)
		out->longs += *format != 'h';
	return format;
}

static void put_signed(struct output *out, const struct conversion *conversion, int64_t value)
{
	uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
	put_number(out, conversion, value < 0 ? "-" : "", magnitude, 10, "0123456789");
}

int format_string_v(char *room_start, size_t room, const char *format, va_list given)
{
	struct output out = { room_start, room ? room_start + room - 1 : room_start, 0 };
	va_list arguments;
	va_copy(arguments, given);
	for (; *format; format++) {
		if (*format != '%') {
			put(&out, *format);
			continue;
		}
		struct conversion conversion;
		format = parse_conversion(format + 1, &conversion, &arguments);
		bool wide = conversion.longs != 0;
		switch (*format) {
		case 'd':
		case 'i':
			put_signed(&out, &conversion,
			           wide ? va_arg(arguments, long) : va_arg(arguments, int));
			break;
		case 'u':
			put_number(&out, &conversion, "",
			           wide ? va_arg(arguments, unsigned long)
			                : va_arg(arguments, unsigned),
			           10, "0123456789");
			break;
		case 'x':
		case 'X':
			put_number(&out, &conversion, "",
			           wide ? va_arg(arguments, unsigned long)
			                : va_arg(arguments, unsigned),
			           16, *format == 'x' ? "0123456789abcdef" : "0123456789ABCDEF");
			break;
		case 'p':
			put_number(&out, &conversion, "0x", (uintptr_t)va_arg(arguments, void *),
			           16, "0123456789abcdef");
			break;
		case 's': {
			const char *text = va_arg(arguments, const char *);
			if (!text)
				text = "(null)";
			size_t length = conversion.precision >= 0
			                        ? strnlen(text, (size_t)conversion.precision)
			                        : strlen(text);
			conversion.zero = false;
			put_padded(&out, &conversion, "", text, length);
			break;
		}
		case 'c': {
			char c = (char)va_arg(arguments, int);
			conversion.zero = false;
			put_padded(&out, &conversion, "", &c, 1);
			break;
		}
		case '%':
			put(&out, '%');
			break;
		default: /* unknown: shown as it stands */
			put(&out, '%');
			if (*format)
				put(&out, *format);
			else
				format--;
		}
	}
	va_end(arguments);
	if (room)
		*out.at = '\0';
	return (int)out.length;
}

int format_string(char *out, size_t room, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = format_string_v(out, room, format, arguments);
	va_end(arguments);
	return length;
}
