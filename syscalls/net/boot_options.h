/* Boot arguments of the network, read with their bounds. Pure but for boot_option. */
#pragma once

#include "core/boot.h"
#include "tcpip/address.h"

/* key, key=1, key=on: true; key=0, key=off: false; else the default. */
bool boot_flag(const char *command_line, const char *key, bool fallback);
/* A decimal number, brought into [least, most]. */
uint64_t boot_number(const char *command_line, const char *key, uint64_t fallback, uint64_t least,
                     uint64_t most);

struct address_option {
	bool dhcp, none;
	struct ipv4_address address, gateway;
	uint8_t prefix_length;
};
/* "ADDR/LEN,GATEWAY", "ADDR/LEN", "dhcp" or "none". -EINVAL: *out is unchanged. */
int address_option_parse(const char *text, struct address_option *out);
/* Dotted decimal; *end behind it. False: not an address. */
bool ipv4_parse(const char *text, struct ipv4_address *out, const char **end);
