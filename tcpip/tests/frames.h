/* Frames written by hand and frames caught, for tests that play the peer. Written without the library's own builders. */
#pragma once

#include "tcpip/tests/sim.h"

struct frame {
	uint32_t length;
	uint8_t bytes[2048];
};

struct ip_spec {
	struct ipv4_address source, destination;
	uint8_t protocol, ttl, tos; /* ttl 0: 64 */
	uint16_t identification, fragment;
};

/* Ones' complement checksum of the bytes, complemented; byte by byte. */
uint16_t naive_checksum(uint32_t sum, const uint8_t *bytes, uint32_t length);
uint32_t naive_pseudo(struct ipv4_address source, struct ipv4_address destination, uint8_t protocol,
                      uint32_t length);
/* The MAC of the hand-played peer. */
extern const struct ethernet_address PEER_MAC;

/* An Ethernet frame to `host` with an IPv4 packet. */
struct frame frame_ipv4(const struct sim_host *host, const struct ip_spec *ip, const void *payload,
                        uint32_t length);
struct frame frame_udp(const struct sim_host *host, struct endpoint from, struct endpoint to,
                       const void *payload, uint32_t length);
struct frame frame_icmp(const struct sim_host *host, struct ipv4_address from, struct ipv4_address to,
                        uint8_t type, uint8_t code, uint32_t rest, const void *payload,
                        uint32_t length);
struct frame frame_arp(const struct sim_host *host, uint16_t operation, struct ipv4_address sender,
                       const struct ethernet_address *sender_mac, struct ipv4_address target);

/* The last frames that a host sent. */
#define CATCH_MAX 64
struct catch {
	uint32_t count; /* all, also those that were not kept */
	struct frame frame[CATCH_MAX];
};
/* Divert what `host` sends into `catch` (nothing reaches the wire any more). */
void catch_start(struct sim_host *host, struct catch *catch);

/* Of a caught frame */
static inline uint16_t frame_be16(const struct frame *frame, uint32_t offset)
{
	return (uint16_t)(frame->bytes[offset] << 8 | frame->bytes[offset + 1]);
}
static inline uint32_t frame_be32(const struct frame *frame, uint32_t offset)
{
	return (uint32_t)frame_be16(frame, offset) << 16 | frame_be16(frame, offset + 2);
}
static inline bool frame_is_ip(const struct frame *frame, uint8_t protocol)
{
	return frame->length >= 34 && frame_be16(frame, 12) == 0x0800 && frame->bytes[23] == protocol;
}
/* The frame's IP, ICMP, UDP or TCP checksums hold. */
bool frame_checksums_hold(const struct frame *frame);
