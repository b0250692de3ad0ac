/* Boot arguments of the network. */
#include "syscalls/net/boot_options.h"

#include <errno.h>
#include <string.h>

bool boot_flag(const char *command_line, const char *key, bool fallback)
{
	char value[8];
	if (!boot_option(command_line, key, 0, value, sizeof(value)))
		return fallback;
	if (strcmp(value, "0") == 0 || strcmp(value, "off") == 0)
		return false;
	return value[0] == 0 || strcmp(value, "1") == 0 || strcmp(value, "on") == 0 ? true
	                                                                            : fallback;
}

/* Digits from `text` on, at most `most`; *end behind them. False: none, or too large. */
static bool number_parse(const char *text, uint64_t most, uint64_t *out, const char **end)
{
	uint64_t number = 0;
	const char *at = text;
	for (; *at >= '0' && *at <= '9'; at++) {
		number = number * 10 + (uint64_t)(*at - '0');
		if (number > most)
			return false;
	}
	*out = number;
	*end = at;
	return at != text;
}

uint64_t boot_number(const char *command_line, const char *key, uint64_t fallback, uint64_t least,
                     uint64_t most)
{
	char value[24];
	uint64_t number;
	const char *end;
	if (!boot_option(command_line, key, 0, value, sizeof(value)))
		return fallback;
	if (!number_parse(value, UINT32_MAX, &number, &end) || *end)
		return fallback;
	return number < least ? least : number > most ? most : number;
}

bool ipv4_parse(const char *text, struct ipv4_address *out, const char **end)
{
	uint32_t value = 0;
	for (int i = 0; i < 4; i++) {
		uint64_t byte;
		if (i && *text++ != '.')
			return false;
		if (!number_parse(text, 255, &byte, &text))
			return false;
		value = value << 8 | (uint32_t)byte;
	}
	out->value = value;
	*end = text;
	return true;
}

int address_option_parse(const char *text, struct address_option *out)
{
	struct address_option option = { .prefix_length = 24 };
	if (strcmp(text, "dhcp") == 0 || strcmp(text, "none") == 0) {
		option.dhcp = text[0] == 'd';
		option.none = text[0] == 'n';
		*out = option;
		return 0;
	}
	if (!ipv4_parse(text, &option.address, &text))
		return -EINVAL;
	if (*text == '/') {
		uint64_t length;
		if (!number_parse(text + 1, 32, &length, &text))
			return -EINVAL;
		option.prefix_length = (uint8_t)length;
	}
	if (*text == ',' && !ipv4_parse(text + 1, &option.gateway, &text))
		return -EINVAL;
	if (*text)
		return -EINVAL;
	*out = option;
	return 0;
}
