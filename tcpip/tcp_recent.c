/*
 * What the straight paths keep of a connection, for those that lately had traffic: tens of
 * thousands of idle ones share what a thousand busy ones need.
 */
#include "tcpip/tcp_internal.h"

void tcp_recent_drop(struct tcp_connection *c)
{
	struct tcp_stack *tcp = c->tcp;
	struct tcp_recent *recent = c->recent;
	if (!recent)
		return;
	if (tcp->recent[recent->slot] == recent)
		tcp->recent[recent->slot] = NULL;
	recent->connection = NULL;
	c->recent = NULL;
	list_remove(&recent->link);
	list_push_front(&tcp->recent_order, &recent->link);
}

/* The oldest, or one that nobody has; NULL: there are none at all. */
static struct tcp_recent *take_oldest(struct tcp_stack *tcp)
{
	struct list_node *first = list_first(&tcp->recent_order);
	if (!first)
		return NULL;
	struct tcp_recent *recent = list_entry(first, struct tcp_recent, link);
	if (recent->connection)
		tcp_recent_drop(recent->connection);
	list_remove(&recent->link);
	return recent;
}

struct tcp_recent *tcp_recent_claim(struct tcp_connection *c)
{
	struct tcp_stack *tcp = c->tcp;
	struct list_node *first = list_first(&tcp->recent_order);
	bool spare = first && !list_entry(first, struct tcp_recent, link)->connection;
	struct tcp_recent *recent = NULL;
	if (c->notsent_lowat) /* the straight paths do not look at it */
		return NULL;
	if (!spare && tcp->recent_count < TCP_RECENT_MAX) {
		recent = tcp_alloc(tcp, sizeof(*recent));
		tcp->recent_count += recent != NULL;
	}
	if (!recent)
		recent = take_oldest(tcp);
	if (!recent)
		return NULL;
	recent->connection = c;
	recent->headers.generation = 0;
	recent->slot = 0;
	list_push_back(&tcp->recent_order, &recent->link);
	c->recent = recent;
	return recent;
}

void tcp_recent_fini(struct tcp_stack *tcp)
{
	list_for_each_safe(node, &tcp->recent_order)
	        tcp_free(tcp, list_entry(node, struct tcp_recent, link), sizeof(struct tcp_recent));
}

const char *tcp_recent_verify(const struct tcp_stack *tcp)
{
	uint32_t count = 0;
	list_for_each(node, &tcp->recent_order)
	{
		const struct tcp_recent *recent = list_entry(node, struct tcp_recent, link);
		count++;
		if (recent->connection && recent->connection->recent != recent)
			return "a connection does not know its templates";
	}
	for (uint32_t i = 0; i < TCP_RECENT_SLOTS; i++) {
		const struct tcp_recent *recent = tcp->recent[i];
		if (recent && (!recent->connection || recent->slot != i))
			return "templates in a place that is not theirs";
	}
	return count == tcp->recent_count ? NULL : "templates are miscounted";
}
