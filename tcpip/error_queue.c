/* Errors that sockets keep for MSG_ERRQUEUE. */
#include "tcpip/error_queue.h"

#include "tcpip/internal.h"

struct kept_error {
	struct list_node link; /* error_queue.errors */
	struct queued_error error;
};

void error_queue_init(struct error_queue *queue)
{
	list_init(&queue->errors);
	queue->count = 0;
}

bool error_queue_add(struct stack *stack, struct error_queue *queue,
                     const struct queued_error *error)
{
	struct kept_error *kept = NULL;
	if (queue->count < ERROR_QUEUE_MAX)
		kept = stack_alloc(stack, sizeof(*kept));
	if (!kept) {
		if (error->payload)
			pbuf_free(error->payload);
		return false;
	}
	kept->error = *error;
	queue->count++;
	list_push_back(&queue->errors, &kept->link);
	return true;
}

static struct pbuf *quoted_payload(struct stack *stack, const struct icmp_error *error,
                                   uint32_t offset)
{
	struct pbuf *payload = pbuf_alloc(stack_pool(stack), PBUF_SMALL, 0);
	if (!payload)
		return NULL;
	payload->length =
	        pbuf_copy_out(error->packet, offset, payload->data, pbuf_tailroom(payload));
	payload->packet_length = payload->length;
	return payload;
}

bool error_queue_add_icmp(struct stack *stack, struct error_queue *queue,
                          const struct icmp_error *error, uint32_t offset)
{
	const struct queued_error kept = {
		.error = error->error,
		.origin = ERROR_ORIGIN_ICMP,
		.type = error->type,
		.code = error->code,
		.information = error->mtu,
		.offender = error->offender,
		.remote = error->remote,
		.payload = quoted_payload(stack, error, offset),
	};
	return error_queue_add(stack, queue, &kept);
}

bool error_queue_take(struct stack *stack, struct error_queue *queue, struct queued_error *out)
{
	struct list_node *node = list_pop_front(&queue->errors);
	if (!node)
		return false;
	struct kept_error *kept = list_entry(node, struct kept_error, link);
	*out = kept->error;
	queue->count--;
	stack_free(stack, kept, sizeof(*kept));
	return true;
}

int error_queue_pending(const struct error_queue *queue, const struct queued_error *taken,
                        int pending)
{
	const struct list_node *next = list_first(&queue->errors);
	const struct queued_error *following =
	        next ? &list_entry(next, struct kept_error, link)->error : NULL;
	if (following && following->origin == ERROR_ORIGIN_ICMP)
		return following->error;
	return taken->origin == ERROR_ORIGIN_ICMP ? 0 : pending;
}

void error_queue_clear(struct stack *stack, struct error_queue *queue)
{
	struct queued_error error;
	while (error_queue_take(stack, queue, &error)) {
		if (error.payload)
			pbuf_free(error.payload);
	}
}
