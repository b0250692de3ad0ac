/*
 * ICMP for programs. A ping socket (Linux's SOCK_DGRAM + IPPROTO_ICMP) is known by its identifier;
 * it sends echo requests and receives the replies to them. A raw one (SOCK_RAW + IPPROTO_ICMP,
 * raw(7)) sends what it is given and receives a copy of every ICMP message, IP header included. It
 * belongs to its creator until ping_close. `event` must only note readiness.
 */
#pragma once

#include "tcpip/udp.h"

struct ping_socket;

int ping_create(struct stack *stack, struct ping_socket **out, udp_event *event, void *context);
int ping_create_raw(struct stack *stack, struct ping_socket **out, udp_event *event, void *context);
void ping_close(struct ping_socket *socket);
/* The multicast groups that it is a member of; they end with it. */
struct group_set *ping_groups(struct ping_socket *socket);
/* 0: any free identifier (also taken by the first send). -EADDRINUSE, -EINVAL (already bound),
 * -EAGAIN (none free). */
int ping_bind(struct ping_socket *socket, uint16_t identifier);
uint16_t ping_identifier(const struct ping_socket *socket);
uint32_t ping_queue_bytes(const struct ping_socket *socket); /* in true size */
/* A buffer for a message of `bytes` <= 65507, ICMP header included. NULL: pool exhausted. */
struct pbuf *ping_message_alloc(struct ping_socket *socket, uint32_t bytes);
/* `message` starts at the ICMP header: type 8, code 0, sequence number; identifier and checksum are
 * filled in. Takes the message, also on error. -EINVAL (not an echo request), -EMSGSIZE,
 * -ENETUNREACH, -ENOBUFS, a pending error. */
int ping_send(struct ping_socket *socket, struct ipv4_address destination, struct pbuf *message,
              uint8_t ttl);
/* For a raw socket: the whole message, checksum included, is the caller's. */
int ping_send_raw(struct ping_socket *socket, struct ipv4_address destination, struct pbuf *message,
                  uint8_t ttl);
/* For a raw socket: what it receives must be for `local` and from `remote`, unless these are 0, and
 * of no type whose bit is set in `filtered` (ICMP_FILTER); `local` is also what it sends from. */
void ping_select(struct ping_socket *socket, struct ipv4_address local, struct ipv4_address remote,
                 uint32_t filtered);
/* The first reply, ICMP header included; ports are 0. As udp_receive. */
bool ping_receive(struct ping_socket *socket, struct udp_datagram *out, bool peek);
uint32_t ping_readiness(const struct ping_socket *socket);
int ping_take_error(struct ping_socket *socket);
