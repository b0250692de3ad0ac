/* TCP options on the wire: parsing what a peer sent, and building ours in Linux's order. */
#include "tcpip/tcp_internal.h"

enum option_kind {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WINDOW_SCALE = 3,
	OPTION_SACK_PERMITTED = 4,
	OPTION_SACK = 5,
	OPTION_TIMESTAMPS = 8,
};

static void parse_sack(const uint8_t *body, uint32_t bytes, struct tcp_options *out)
{
	for (uint32_t at = 0; at + 8 <= bytes && out->sack_count < 4; at += 8) {
		struct tcp_interval *block = &out->sack[out->sack_count];
		block->start = seq(load_be32(body + at));
		block->end = seq(load_be32(body + at + 4));
		if (seq_lt(block->start, block->end))
			out->sack_count++;
	}
}

static void parse_one(uint8_t kind, const uint8_t *body, uint32_t bytes, struct tcp_options *out)
{
	switch (kind) {
	case OPTION_MSS:
		if (bytes == 2)
			out->mss = load_be16(body);
		break;
	case OPTION_WINDOW_SCALE: /* more than 14 counts as 14 (RFC 7323 §2.3) */
		if (bytes == 1) {
			out->has_window_scale = true;
			out->window_scale = (uint8_t)min_u32(body[0], TCP_MAX_WSCALE);
		}
		break;
	case OPTION_SACK_PERMITTED:
		if (bytes == 0)
			out->sack_permitted = true;
		break;
	case OPTION_SACK:
		parse_sack(body, bytes, out);
		break;
	case OPTION_TIMESTAMPS:
		if (bytes == 8) {
			out->has_timestamp = true;
			out->timestamp_value = load_be32(body);
			out->timestamp_echo = load_be32(body + 4);
		}
		break;
	}
}

#define SYN_OPTION_BYTES 20

/* A SYN's options as Linux and most others order them: MSS, SACK permitted, timestamps, NOP, window
 * scale. False: not these. */
static bool parse_syn(const uint8_t *options, struct tcp_options *out)
{
	uint32_t first = load_word(options), last = load_word(options + 16);
	if (first >> 16 != (OPTION_MSS << 8 | 4) || load_word(options + 4) != 0x0402080a ||
	    last >> 8 != (OPTION_NOP << 16 | OPTION_WINDOW_SCALE << 8 | 3))
		return false;
	out->mss = (uint16_t)first;
	out->sack_permitted = out->has_timestamp = out->has_window_scale = true;
	out->timestamp_value = load_word(options + 8);
	out->timestamp_echo = load_word(options + 12);
	out->window_scale = (uint8_t)min_u32(last & 0xff, TCP_MAX_WSCALE);
	return true;
}

/* False: malformed (a length that does not fit); what was found before it stays valid. */
bool tcp_parse_options(const uint8_t *options, uint32_t length, struct tcp_options *out)
{
	memset(out, 0, sizeof(*out));
	if (length == TCP_TIMESTAMP_BYTES && load_word(options) == TCP_TIMESTAMP_WORD) {
		out->has_timestamp = true;
		out->timestamp_value = load_word(options + 4);
		out->timestamp_echo = load_word(options + 8);
		return true;
	}
	if (length == SYN_OPTION_BYTES && parse_syn(options, out))
		return true;
	for (uint32_t at = 0; at < length;) {
		uint8_t kind = options[at];
		if (kind == OPTION_END)
			return true;
		if (kind == OPTION_NOP) {
			at++;
			continue;
		}
		if (at + 1 >= length)
			return false;
		uint32_t bytes = options[at + 1];
		if (bytes < 2 || at + bytes > length)
			return false;
		parse_one(kind, options + at + 2, bytes - 2, out);
		at += bytes;
	}
	return true;
}

static uint8_t *put_timestamps(uint8_t *at, uint32_t value, uint32_t echo)
{
	store_be32(at + 2, value);
	store_be32(at + 6, echo);
	at[0] = OPTION_TIMESTAMPS;
	at[1] = 10;
	return at + 10;
}

/* MSS, then SACK-permitted (or two NOPs in its place), timestamps, NOP, window scale. */
uint32_t tcp_build_syn_options(uint8_t *start, const struct tcp_syn_options *options)
{
	uint8_t *at = start;
	*at++ = OPTION_MSS;
	*at++ = 4;
	store_be16(at, options->mss);
	at += 2;
	if (options->timestamps) {
		*at++ = options->sack ? OPTION_SACK_PERMITTED : OPTION_NOP;
		*at++ = options->sack ? 2 : OPTION_NOP;
		at = put_timestamps(at, options->timestamp_value, options->timestamp_echo);
	} else if (options->sack) {
		*at++ = OPTION_NOP;
		*at++ = OPTION_NOP;
		*at++ = OPTION_SACK_PERMITTED;
		*at++ = 2;
	}
	if (options->window_scaling) {
		*at++ = OPTION_NOP;
		*at++ = OPTION_WINDOW_SCALE;
		*at++ = 3;
		*at++ = options->window_scale;
	}
	return (uint32_t)(at - start);
}

static uint8_t *put_block(uint8_t *at, const struct tcp_interval *block)
{
	store_word(at, block->start.value);
	store_word(at + 4, block->end.value);
	return at + 8;
}

/* A duplicate first (RFC 2883 §4), then what waits for the missing segments. */
static uint8_t *put_sack(uint8_t *at, struct tcp_connection *c)
{
	const struct tcp_reassembly *r = c->reassembly;
	uint32_t room = c->timestamps ? 3 : 4, blocks = r ? r->block_count : 0;
	blocks = min_u32(blocks, room - c->dsack_due);
	store_word(at, 0x01010000 | OPTION_SACK << 8 | (2 + 8 * (blocks + c->dsack_due)));
	at += 4;
	if (c->dsack_due)
		at = put_block(at, &c->dsack);
	for (uint32_t i = 0; i < blocks; i++)
		at = put_block(at, &r->block[i]);
	c->dsack_due = false;
	return at;
}

/* Options of a segment in a synchronized state; `start` is 4-aligned. */
uint32_t tcp_build_options(uint8_t *start, struct tcp_connection *c, bool sack_blocks)
{
	uint8_t *at = start;
	if (c->timestamps) {
		store_word(at, TCP_TIMESTAMP_WORD);
		store_word(at + 4, tcp_now_ms(c->tcp) + c->timestamp_offset);
		store_word(at + 8, c->timestamp_recent);
		at += TCP_TIMESTAMP_BYTES;
	}
	bool blocks = c->reassembly && c->reassembly->block_count;
	if (sack_blocks && c->sack && (blocks || c->dsack_due))
		at = put_sack(at, c);
	return (uint32_t)(at - start);
}
