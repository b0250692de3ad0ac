#include "tcpip/tests/frames.h"

#include <string.h>

const struct ethernet_address PEER_MAC = { { 0x02, 0, 0, 0, 0, 0x99 } };

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

uint16_t naive_checksum(uint32_t sum, const uint8_t *bytes, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++) {
		sum += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)~sum;
}

uint32_t naive_pseudo(struct ipv4_address source, struct ipv4_address destination, uint8_t protocol,
                      uint32_t length)
{
	uint8_t pseudo[12] = { 0 };
	put32(pseudo, source.value);
	put32(pseudo + 4, destination.value);
	pseudo[9] = protocol;
	put16(pseudo + 10, length);
	return (uint16_t)~naive_checksum(0, pseudo, sizeof(pseudo));
}

static void frame_begin(struct frame *frame, const struct ethernet_address *to, uint16_t type)
{
	memset(frame, 0, sizeof(*frame));
	memcpy(frame->bytes, to->byte, 6);
	memcpy(frame->bytes + 6, PEER_MAC.byte, 6);
	put16(frame->bytes + 12, type);
	frame->length = 14;
}

struct frame frame_ipv4(const struct sim_host *host, const struct ip_spec *ip, const void *payload,
                        uint32_t length)
{
	struct frame frame;
	CHECK(34 + length <= sizeof(frame.bytes));
	frame_begin(&frame, &host->netif.mac, 0x0800);
	uint8_t *h = frame.bytes + 14;
	h[0] = 0x45;
	h[1] = ip->tos;
	put16(h + 2, 20 + length);
	put16(h + 4, ip->identification);
	put16(h + 6, ip->fragment);
	h[8] = ip->ttl ? ip->ttl : 64;
	h[9] = ip->protocol;
	put32(h + 12, ip->source.value);
	put32(h + 16, ip->destination.value);
	put16(h + 10, naive_checksum(0, h, 20));
	memcpy(h + 20, payload, length);
	frame.length = 34 + length;
	return frame;
}

struct frame frame_udp(const struct sim_host *host, struct endpoint from, struct endpoint to,
                       const void *payload, uint32_t length)
{
	uint8_t datagram[2000];
	struct ip_spec ip = { .source = from.address, .destination = to.address, .protocol = 17 };
	put16(datagram, from.port);
	put16(datagram + 2, to.port);
	put16(datagram + 4, 8 + length);
	put16(datagram + 6, 0);
	memcpy(datagram + 8, payload, length);
	uint16_t sum = naive_checksum(naive_pseudo(from.address, to.address, 17, 8 + length),
	                              datagram, 8 + length);
	put16(datagram + 6, sum ? sum : 0xffff);
	return frame_ipv4(host, &ip, datagram, 8 + length);
}

struct frame frame_icmp(const struct sim_host *host, struct ipv4_address from,
                        struct ipv4_address to, uint8_t type, uint8_t code, uint32_t rest,
                        const void *payload, uint32_t length)
{
	uint8_t message[2000] = { type, code };
	struct ip_spec ip = { .source = from, .destination = to, .protocol = 1 };
	put32(message + 4, rest);
	memcpy(message + 8, payload, length);
	put16(message + 2, naive_checksum(0, message, 8 + length));
	return frame_ipv4(host, &ip, message, 8 + length);
}

struct frame frame_arp(const struct sim_host *host, uint16_t operation, struct ipv4_address sender,
                       const struct ethernet_address *sender_mac, struct ipv4_address target)
{
	struct frame frame;
	frame_begin(&frame, &host->netif.mac, 0x0806);
	uint8_t *p = frame.bytes + 14;
	memcpy(p, "\x00\x01\x08\x00\x06\x04", 6);
	put16(p + 6, operation);
	memcpy(p + 8, sender_mac->byte, 6);
	put32(p + 14, sender.value);
	memcpy(p + 18, host->netif.mac.byte, 6);
	put32(p + 24, target.value);
	frame.length = 42;
	return frame;
}

static bool catch_tap(struct sim_host *host, const uint8_t *bytes, uint32_t length)
{
	struct catch *catch = host->tap_context;
	struct frame *frame = &catch->frame[catch->count++ % CATCH_MAX];
	CHECK(length <= sizeof(frame->bytes));
	frame->length = length;
	memcpy(frame->bytes, bytes, length);
	return true;
}

void catch_start(struct sim_host *host, struct catch *catch)
{
	catch->count = 0;
	host->tap = catch_tap;
	host->tap_context = catch;
}

bool frame_checksums_hold(const struct frame *frame)
{
	const uint8_t *ip = frame->bytes + 14, *transport = ip + 20;
	uint32_t length = frame->length - 34;
	struct ipv4_address source = { frame_be32(frame, 26) },
	                    destination = { frame_be32(frame, 30) };
	if (naive_checksum(0, ip, 20) || frame_be16(frame, 16) != frame->length - 14)
		return false;
	if (ip[9] == 1)
		return naive_checksum(0, transport, length) == 0;
	return naive_checksum(naive_pseudo(source, destination, ip[9], length), transport,
	                      length) == 0;
}
