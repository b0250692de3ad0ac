/*
 * The queue of errors of a socket (ip(7), IP_RECVERR and MSG_ERRQUEUE), each with the bytes that it is about. A queue belongs to its
 * socket, which empties it before it goes.
 */
#pragma once

#include "tcpip/stack.h"

#define ERROR_QUEUE_MAX 64 /* kept per socket */

enum error_origin { ERROR_ORIGIN_LOCAL = 1, ERROR_ORIGIN_ICMP = 2 };
struct queued_error {
	int error; /* positive errno */
	uint8_t origin, type, code;
	uint32_t information;         /* the MTU of EMSGSIZE */
	uint32_t data;                /* of origins that are not the stack's */
	struct ipv4_address offender; /* of ICMP */
	struct endpoint remote;       /* where the packet was sent to */
	struct pbuf *payload;         /* its bytes as far as they are known; NULL: none are */
};

struct error_queue {
	struct list errors;
	uint32_t count;
};

struct icmp_error;

void error_queue_init(struct error_queue *queue);
/* Takes the payload. False: there is no room, it is lost. */
bool error_queue_add(struct stack *stack, struct error_queue *queue,
                     const struct queued_error *error);
/* The same of an ICMP error; what is about it are the quoted bytes from `offset` of its message on. */
bool error_queue_add_icmp(struct stack *stack, struct error_queue *queue,
                          const struct icmp_error *error, uint32_t offset);
/* The oldest; the payload becomes the caller's. False: none. */
bool error_queue_take(struct stack *stack, struct error_queue *queue, struct queued_error *out);
/* What taking that one makes of the pending error of its socket: as on Linux that of the next one in the queue. */
int error_queue_pending(const struct error_queue *queue, const struct queued_error *taken,
                        int pending);
void error_queue_clear(struct stack *stack, struct error_queue *queue);
