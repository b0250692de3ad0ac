/*
 * All headers of an ordinary segment (Ethernet, IPv4, TCP with timestamps and no other option),
 * filled in as words from what the connection keeps (struct tcp_headers).
 */
#pragma once

#include "tcpip/tcp_internal.h"

typedef uint64_t __attribute__((may_alias)) long_alias;
typedef uint32_t __attribute__((may_alias)) word_alias;
typedef uint16_t __attribute__((may_alias)) half_alias;

#define HEADERS_BELOW_TCP 34 /* Ethernet and IP */
#define HEADERS_BYTES     (HEADERS_BELOW_TCP + TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES)
#define HEADERS_TIMESTAMP 0x0a080101ull /* NOP NOP TS 10, as it lies in memory */

/* Network order in the low bits of a word. */
static inline uint64_t wire32(uint32_t v)
{
	return __builtin_bswap32(v);
}
static inline uint64_t wire16(uint32_t v)
{
	return __builtin_bswap64(v) >> 48;
}

/* The packet's `data` is where TCP's header begins, 8-aligned, with 40 bytes of headroom (6 of them
 * are overwritten and not used); its lengths are the frame's already. Fills everything that the
 * driver's edge reads, for a packet that needs no segmentation. */
static inline void tcp_headers_put(struct tcp_connection *c, struct pbuf *packet,
                                   struct tcp_seq sequence, uint32_t length, uint8_t flags,
                                   uint16_t window)
{
	const struct tcp_headers *h = &c->recent->headers;
	long_alias *to = (long_alias *)(void *)(packet->data - 40);
	uint64_t tcp_length = wire16(TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES + length);
	uint64_t ip_length = wire16(20 + TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES + length);
	/* A sum of two that fit 16 bits carries once at most. */
	uint64_t ip_sum = h->ip_sum + ip_length, tcp_sum = h->tcp_sum + tcp_length;
	ip_sum += ip_sum >> 16;
	tcp_sum += tcp_sum >> 16;
	uint64_t flag_bytes = 0x80 | (uint64_t)flags << 8;
	to[0] = h->word[0];
	to[1] = h->word[1];
	to[2] = h->word[2] | ip_length << 48;
	to[3] = h->word[3] | ~ip_sum << 48;
	to[4] = h->word[4];
	to[5] = h->ports | wire32(sequence.value) << 32;
	to[6] = wire32(c->rcv_nxt.value) | flag_bytes << 32 | wire16(window) << 48;
	to[7] = (uint16_t)tcp_sum | HEADERS_TIMESTAMP << 32;
	to[8] = wire32(tcp_now_ms(c->tcp) + c->timestamp_offset) | wire32(c->timestamp_recent)
	                                                                   << 32;
	packet->data -= HEADERS_BELOW_TCP;
	packet->csum_start = HEADERS_BELOW_TCP;
	packet->csum_offset = 16;
	packet->gso_size = 0;
	packet->header_length = HEADERS_BYTES;
	packet->flags = PBUF_CSUM_PARTIAL;
}
