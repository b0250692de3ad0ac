#include "tcpip/dhcp_message.h"

#include "tcpip/internal.h"

enum layout {
	OFFSET_OP = 0,
	OFFSET_TRANSACTION = 4,
	OFFSET_SECONDS = 8,
	OFFSET_CURRENT = 12,
	OFFSET_YOURS = 16,
	OFFSET_CLIENT = 28,
	OFFSET_SERVER_NAME = 44,
	OFFSET_FILE = 108,
	OFFSET_COOKIE = 236,
	OFFSET_OPTIONS = 240,
};

enum option {
	OPTION_PAD = 0,
	OPTION_MASK = 1,
	OPTION_ROUTER = 3,
	OPTION_DNS = 6,
	OPTION_DOMAIN = 15,
	OPTION_MTU = 26,
	OPTION_REQUESTED = 50,
	OPTION_LEASE = 51,
	OPTION_OVERLOAD = 52,
	OPTION_TYPE = 53,
	OPTION_SERVER = 54,
	OPTION_PARAMETERS = 55,
	OPTION_MAX_SIZE = 57,
	OPTION_RENEW = 58,
	OPTION_REBIND = 59,
	OPTION_CLIENT_ID = 61,
	OPTION_END = 255,
};

#define MAGIC_COOKIE 0x63825363
#define BOOT_REQUEST 1
#define BOOT_REPLY   2

/* ---- reading ---- */

static bool mask_to_prefix(uint32_t mask, uint8_t *out)
{
	uint8_t length = 0;
	while (length < 32 && mask & 0x80000000u >> length)
		length++;
	*out = length;
	return length && (length == 32 || mask << length == 0);
}

/* Only letters, digits, hyphens and dots get through: it ends up in resolv.conf. */
static void domain_read(char out[64], const uint8_t *value, uint8_t length)
{
	uint8_t n = 0;
	for (uint8_t i = 0; i < length && n < 63; i++) {
		uint8_t c = value[i], lower = c | 0x20;
		if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		    c == '.')
			out[n++] = (char)c;
	}
	out[n] = 0;
}

/* False: the option's length is wrong for it. */
static bool option_read(struct dhcp_reply *out, uint8_t code, const uint8_t *value, uint8_t length,
                        uint8_t *overload)
{
	bool word = length == 4;
	switch (code) {
	case OPTION_TYPE:
		out->type = value[0];
		return length == 1 && value[0] >= DHCP_DISCOVER && value[0] <= DHCP_NAK;
	case OPTION_OVERLOAD:
		*overload = value[0];
		return length == 1;
	case OPTION_MASK:
		return word && mask_to_prefix(load_be32(value), &out->prefix_length);
	case OPTION_ROUTER:
		if (length >= 4 && length % 4 == 0)
			out->gateway.value = load_be32(value);
		return length >= 4 && length % 4 == 0;
	case OPTION_DNS:
		for (uint8_t i = 0; i < 3 && 4 * i + 4 <= length; i++)
			out->dns[i].value = load_be32(value + 4 * i);
		return length >= 4 && length % 4 == 0;
	case OPTION_DOMAIN:
		domain_read(out->domain, value, length);
		return true;
	case OPTION_MTU:
		out->mtu = length == 2 ? load_be16(value) : 0;
		return length == 2;
	case OPTION_SERVER:
		out->server.value = word ? load_be32(value) : 0;
		return word;
	case OPTION_LEASE:
		out->lease_s = word ? load_be32(value) : 0;
		return word;
	case OPTION_RENEW:
		out->renew_s = word ? load_be32(value) : 0;
		return word;
	case OPTION_REBIND:
		out->rebind_s = word ? load_be32(value) : 0;
		return word;
	default:
		return true;
	}
}

static bool options_read(struct dhcp_reply *out, const uint8_t *p, size_t length, uint8_t *overload)
{
	size_t i = 0;
	while (i < length && p[i] != OPTION_END) {
		if (p[i] == OPTION_PAD) {
			i++;
			continue;
		}
		if (length - i < 2 || length - i - 2 < p[i + 1])
			return false;
		/* An empty option has no value to look at; none of ours may be empty. */
		if (p[i + 1] && !option_read(out, p[i], p + i + 2, p[i + 1], overload))
			return false;
		i += 2u + p[i + 1];
	}
	return true;
}

bool dhcp_reply_parse(const uint8_t *bytes, size_t length, struct dhcp_reply *out)
{
	uint8_t overload = 0, nested = 0;
	memset(out, 0, sizeof(*out));
	if (length < OFFSET_OPTIONS || bytes[OFFSET_OP] != BOOT_REPLY || bytes[1] != 1 ||
	    bytes[2] != 6 || load_be32(bytes + OFFSET_COOKIE) != MAGIC_COOKIE)
		return false;
	out->transaction = load_be32(bytes + OFFSET_TRANSACTION);
	out->address.value = load_be32(bytes + OFFSET_YOURS);
	memcpy(out->client.byte, bytes + OFFSET_CLIENT, 6);
	if (!options_read(out, bytes + OFFSET_OPTIONS, length - OFFSET_OPTIONS, &overload))
		return false;
	if (overload & 1 && !options_read(out, bytes + OFFSET_FILE, 128, &nested))
		return false;
	if (overload & 2 && !options_read(out, bytes + OFFSET_SERVER_NAME, 64, &nested))
		return false;
	return out->type != 0;
}

/* ---- writing ---- */

static uint8_t *option_write(uint8_t *p, enum option code, const void *value, uint8_t length)
{
	p[0] = (uint8_t)code;
	p[1] = length;
	memcpy(p + 2, value, length);
	return p + 2 + length;
}

static uint8_t *option_write_address(uint8_t *p, enum option code, struct ipv4_address address)
{
	uint8_t value[4];
	if (ipv4_is_any(address))
		return p;
	store_be32(value, address.value);
	return option_write(p, code, value, 4);
}

void dhcp_query_write(const struct dhcp_query *query, uint8_t out[DHCP_MESSAGE_BYTES])
{
	static const uint8_t parameters[] = { OPTION_MASK,   OPTION_ROUTER, OPTION_DNS,
		                              OPTION_DOMAIN, OPTION_MTU,    OPTION_LEASE,
		                              OPTION_SERVER, OPTION_RENEW,  OPTION_REBIND };
	uint8_t type = (uint8_t)query->type, client[7] = { 1 }, max_size[2];
	memset(out, 0, DHCP_MESSAGE_BYTES);
	out[OFFSET_OP] = BOOT_REQUEST;
	out[1] = 1; /* Ethernet */
	out[2] = 6;
	store_be32(out + OFFSET_TRANSACTION, query->transaction);
	store_be16(out + OFFSET_SECONDS, query->seconds);
	store_be32(out + OFFSET_CURRENT, query->current.value);
	memcpy(out + OFFSET_CLIENT, query->client.byte, 6);
	store_be32(out + OFFSET_COOKIE, MAGIC_COOKIE);
	memcpy(client + 1, query->client.byte, 6);
	store_be16(max_size, DHCP_MESSAGE_MAX + 28); /* the whole datagram */
	uint8_t *p = option_write(out + OFFSET_OPTIONS, OPTION_TYPE, &type, 1);
	p = option_write(p, OPTION_CLIENT_ID, client, sizeof(client));
	p = option_write_address(p, OPTION_REQUESTED, query->requested);
	p = option_write_address(p, OPTION_SERVER, query->server);
	p = option_write(p, OPTION_MAX_SIZE, max_size, sizeof(max_size));
	p = option_write(p, OPTION_PARAMETERS, parameters, sizeof(parameters));
	*p = OPTION_END;
}
