/*
 * What few connections have, kept aside so that the many need no room for it. It hangs where a
 * listener and an accept queue have their place in a connection, and holds what is there for them.
 */
#include "tcpip/stack_internal.h"
#include "tcpip/tcp_internal.h"

struct tcp_extra *tcp_extra(const struct tcp_connection *c)
{
	if (!c->has_extra)
		return NULL;
	return c->flow.state == TCP_LISTEN ? c->listening->extra : c->extra;
}

struct tcp_extra *tcp_extra_make(struct tcp_connection *c)
{
	if (c->has_extra)
		return tcp_extra(c);
	struct tcp_extra *extra = tcp_alloc(c->tcp, sizeof(*extra));
	if (!extra)
		return NULL;
	c->has_extra = true;
	if (c->flow.state == TCP_LISTEN) {
		c->listening->extra = extra;
	} else {
		extra->parent = c->parent;
		c->extra = extra;
	}
	error_queue_init(&extra->errors);
	group_set_init(&extra->groups);
	return extra;
}

void tcp_extra_free(struct tcp_connection *c)
{
	struct tcp_extra *extra = tcp_extra(c);
	if (!extra)
		return;
	tcp_forget_saved_syn(c);
	tcp_forget_errors(c);
	tcp_leave_groups(c);
	c->has_extra = false;
	if (c->flow.state == TCP_LISTEN)
		c->listening->extra = NULL;
	else
		c->parent = extra->parent;
	tcp_free(c->tcp, extra, sizeof(*extra));
}

void tcp_extra_move(struct tcp_connection *to, struct tcp_connection *from)
{
	if (!from->has_extra)
		return;
	tcp_forget_saved_syn(from);
	to->extra = from->extra;
	to->has_extra = true;
	to->errors_kept = from->errors_kept;
	from->has_extra = from->errors_kept = false;
	from->extra = NULL;
}

struct tcp_connection *tcp_parent(const struct tcp_connection *c)
{
	if (c->flow.state == TCP_LISTEN)
		return NULL;
	return c->has_extra ? c->extra->parent : c->parent;
}

void tcp_set_parent(struct tcp_connection *c, struct tcp_connection *parent)
{
	if (c->has_extra)
		c->extra->parent = parent;
	else
		c->parent = parent;
}

void tcp_set_listening(struct tcp_connection *c, struct tcp_listener *listening)
{
	if (listening)
		listening->extra = c->has_extra ? c->extra : NULL;
	else if (c->has_extra)
		c->extra = c->listening->extra;
	if (listening || !c->has_extra)
		c->listening = listening;
}

/* ---- multicast groups ---- */

struct group_set *tcp_groups(struct tcp_connection *c)
{
	struct tcp_extra *extra = tcp_extra_make(c);
	return extra ? &extra->groups : NULL;
}

void tcp_leave_groups(struct tcp_connection *c)
{
	struct tcp_extra *extra = tcp_extra(c);
	if (extra)
		group_set_clear(c->tcp->stack, &extra->groups);
}

/* ---- errors ---- */

void tcp_keep_error(struct tcp_connection *c, const struct icmp_error *error)
{
	struct tcp_extra *extra = tcp_extra_make(c);
	if (extra &&
	    error_queue_add_icmp(c->tcp->stack, &extra->errors, error, error->quoted_offset))
		c->errors_kept = true;
}

bool tcp_take_kept_error(struct tcp_connection *c, struct queued_error *out)
{
	struct tcp_extra *extra = tcp_extra(c);
	if (!extra || !error_queue_take(c->tcp->stack, &extra->errors, out))
		return false;
	c->error = (uint16_t)error_queue_pending(&extra->errors, out, c->error);
	c->errors_kept = extra->errors.count != 0;
	return true;
}

void tcp_forget_errors(struct tcp_connection *c)
{
	if (c->errors_kept)
		error_queue_clear(c->tcp->stack, &tcp_extra(c)->errors);
	c->errors_kept = false;
}

/* ---- TCP_SAVE_SYN ---- */

enum { SAVE_FROM_ETHERNET = 2 };

/* A looped SYN never had Ethernet's header; another's may have been copied out of its place. */
uint8_t tcp_syn_headers_bytes(const struct tcp_connection *listener, const struct tcp_segment *s)
{
	if (!listener->save_syn)
		return 0;
	bool looped = s->packet->flags & PBUF_LOOPED;
	bool whole = listener->save_syn == SAVE_FROM_ETHERNET;
	uint32_t present = s->ip->header_bytes + (whole && !looped ? ETHERNET_HEADER_BYTES : 0u);
	if (pbuf_headroom(s->packet) < present)
		return 0;
	return (uint8_t)(s->ip->header_bytes + s->header_bytes +
	                 (whole ? ETHERNET_HEADER_BYTES : 0u));
}

void tcp_syn_headers_copy(uint8_t *to, uint32_t bytes, const struct tcp_segment *s)
{
	static const uint8_t looped[ETHERNET_HEADER_BYTES] = { [12] = 0x08 }; /* IPv4, to nobody */
	uint32_t plain = s->ip->header_bytes + s->header_bytes;
	if (bytes > plain && s->packet->flags & PBUF_LOOPED) {
		memcpy(to, looped, sizeof(looped));
		to += sizeof(looped);
		bytes = plain;
	}
	memcpy(to, s->packet->data + s->header_bytes - bytes, bytes);
}

void tcp_keep_saved_syn(struct tcp_connection *child, const uint8_t *headers, uint32_t bytes)
{
	struct tcp_extra *extra = tcp_extra_make(child);
	uint8_t *kept = extra ? tcp_alloc(child->tcp, bytes) : NULL;
	if (!kept)
		return;
	memcpy(kept, headers, bytes);
	extra->saved_syn = kept;
	extra->saved_syn_bytes = bytes;
}

const uint8_t *tcp_saved_syn(const struct tcp_connection *c, uint32_t *bytes)
{
	const struct tcp_extra *extra = tcp_extra(c);
	if (!extra || !extra->saved_syn)
		return NULL;
	*bytes = extra->saved_syn_bytes;
	return extra->saved_syn;
}

void tcp_forget_saved_syn(struct tcp_connection *c)
{
	struct tcp_extra *extra = tcp_extra(c);
	if (!extra || !extra->saved_syn)
		return;
	tcp_free(c->tcp, extra->saved_syn, extra->saved_syn_bytes);
	extra->saved_syn = NULL;
}
