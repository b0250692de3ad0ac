/* Options of a connection: one range table, one place that applies a change. */
#include "tcpip/tcp_internal.h"

#define BUFFER_LEAST 2304u /* Linux's SOCK_MIN_RCVBUF */
#define BUFFER_MOST  (1u << 30)

static const struct range {
	int64_t least, most;
} ranges[] = {
	[TCP_OPTION_NODELAY] = { 0, 1 },
	[TCP_OPTION_CORK] = { 0, 1 },
	[TCP_OPTION_QUICKACK] = { 0, 1 },
	[TCP_OPTION_KEEPALIVE] = { 0, 1 },
	[TCP_OPTION_KEEPIDLE_S] = { 1, 32767 },
	[TCP_OPTION_KEEPINTVL_S] = { 1, 32767 },
	[TCP_OPTION_KEEPCNT] = { 1, 127 },
	[TCP_OPTION_MAXSEG] = { 0, 65535 },
	[TCP_OPTION_SYNCNT] = { 1, 127 },
	[TCP_OPTION_USER_TIMEOUT_MS] = { 0, INT32_MAX },
	[TCP_OPTION_DEFER_ACCEPT_S] = { 0, 32767 },
	[TCP_OPTION_LINGER2_S] = { 0, 120 },
	[TCP_OPTION_WINDOW_CLAMP] = { 0, UINT32_MAX },
	[TCP_OPTION_NOTSENT_LOWAT] = { 0, UINT32_MAX },
	[TCP_OPTION_RECEIVE_BUFFER] = { 0, INT32_MAX },
	[TCP_OPTION_SEND_BUFFER] = { 0, INT32_MAX },
	[TCP_OPTION_RECEIVE_LOWAT] = { 0, INT32_MAX },
	[TCP_OPTION_LINGER_S] = { -1, INT32_MAX },
	[TCP_OPTION_TOS] = { 0, 255 },
	[TCP_OPTION_TTL] = { 1, 255 },
	[TCP_OPTION_FREE_BIND] = { 0, 1 },
	[TCP_OPTION_BIND_NO_PORT] = { 0, 1 },
	[TCP_OPTION_ON_LINK_ONLY] = { 0, 1 },
	[TCP_OPTION_TELL_ERRORS] = { 0, 1 },
	[TCP_OPTION_INTERFACE] = { 0, 255 },
	[TCP_OPTION_MIN_TTL] = { 0, 255 },
	[TCP_OPTION_PORT_RANGE] = { 0, UINT32_MAX },
	[TCP_OPTION_OOB_INLINE] = { 0, 1 },
	[TCP_OPTION_SAVE_SYN] = { 0, 2 },
};

static void apply_flag(struct tcp_connection *c, enum tcp_option option, bool on)
{
	switch (option) {
	case TCP_OPTION_NODELAY:
		c->nodelay = on;
		if (on)
			tcp_output_schedule(c);
		break;
	case TCP_OPTION_CORK:
		c->cork = on;
		if (!on) {
			c->more = false;
			tcp_output_schedule(c);
		}
		break;
	case TCP_OPTION_QUICKACK: /* Linux: also sends a delayed ACK now */
		c->quickack_off = !on;
		c->quickack_asked = on;
		c->pingpong = !on;
		if (on && c->delayed_ack_ns != LOOP_NEVER)
			tcp_ack_schedule(c);
		break;
	case TCP_OPTION_KEEPALIVE:
		c->keepalive = on;
		tcp_keepalive_restart(c);
		break;
	case TCP_OPTION_FREE_BIND:
		c->free_bind = on;
		break;
	case TCP_OPTION_BIND_NO_PORT:
		c->bind_no_port = on;
		break;
	case TCP_OPTION_ON_LINK_ONLY:
		c->on_link_only = on;
		break;
	case TCP_OPTION_TELL_ERRORS:
		c->tells_errors = on;
		if (!on)
			tcp_forget_errors(c);
		break;
	default:
		c->oob_inline = on;
		break;
	}
}

static void apply_buffer(struct tcp_connection *c, enum tcp_option option, int64_t value)
{
	uint32_t bytes = (uint32_t)(value < BUFFER_LEAST  ? BUFFER_LEAST
	                            : value > BUFFER_MOST ? BUFFER_MOST
	                                                  : value);
	if (option == TCP_OPTION_RECEIVE_BUFFER) {
		c->receive_buffer = bytes;
		c->receive_locked = true;
	} else {
		bool was_writable = tcp_is_writable(c);
		c->send_buffer = max_u32(bytes, 2 * BUFFER_LEAST);
		c->send_locked = true;
		if (!was_writable && tcp_is_writable(c))
			tcp_notify(c, NET_WRITABLE);
	}
}

/* It counts in the handshake: as on Linux, who is connected keeps the segments agreed on. */
static int apply_maxseg(struct tcp_connection *c, int64_t value)
{
	if (value && value < 88)
		return -EINVAL;
	c->user_mss = (uint16_t)value;
	return 0;
}

/* Linux's tcp_set_rcvlowat: no more than the buffer can come to hold, which grows to hold it. */
static void apply_lowat(struct tcp_connection *c, uint32_t wanted)
{
	uint32_t most = (c->receive_locked ? c->receive_buffer : c->tcp->receive_max) / 2;
	c->receive_lowat = wanted ? min_u32(wanted, most) : 1;
	/* The window is told in units of its scale: a little more room, and all of it comes. */
	uint32_t buffer = min_u32(2 * (c->receive_lowat + TCP_DEFAULT_MSS), c->tcp->receive_max);
	if (!c->receive_locked)
		c->receive_buffer = max_u32(c->receive_buffer, buffer);
	tcp_notify(c, NET_READABLE);
}

/* The fast path asks neither for a segment's TTL nor where it came from. */
static void guard_update(struct tcp_connection *c)
{
	if (c->min_ttl || c->bound_interface)
		c->odd |= TCP_ODD_GUARDED;
	else
		c->odd &= (uint8_t)~TCP_ODD_GUARDED;
}

static void apply_number(struct tcp_connection *c, enum tcp_option option, int64_t value)
{
	switch (option) {
	case TCP_OPTION_KEEPIDLE_S:
		c->keepidle_s = (uint16_t)value;
		tcp_keepalive_restart(c);
		break;
	case TCP_OPTION_KEEPINTVL_S:
		c->keepintvl_s = (uint16_t)value;
		break;
	case TCP_OPTION_KEEPCNT:
		c->keepcnt = (uint8_t)value;
		break;
	case TCP_OPTION_SYNCNT:
		c->syncnt = (uint8_t)value;
		break;
	case TCP_OPTION_USER_TIMEOUT_MS:
		c->user_timeout_ms = (uint32_t)value;
		break;
	case TCP_OPTION_DEFER_ACCEPT_S:
		c->defer_accept_s = (uint16_t)value;
		break;
	case TCP_OPTION_LINGER2_S:
		c->linger2_s = (uint16_t)value;
		break;
	case TCP_OPTION_WINDOW_CLAMP:
		c->window_clamp = value ? max_u32((uint32_t)value, BUFFER_LEAST / 2) : 0;
		break;
	case TCP_OPTION_NOTSENT_LOWAT:
		c->notsent_lowat = (uint32_t)value;
		if (value)
			tcp_recent_drop(c);
		tcp_notify(c, NET_WRITABLE);
		break;
	case TCP_OPTION_RECEIVE_LOWAT:
		apply_lowat(c, (uint32_t)value);
		break;
	case TCP_OPTION_LINGER_S:
		c->linger_s = (int32_t)value;
		break;
	case TCP_OPTION_INTERFACE:
		c->bound_interface = (uint8_t)value;
		c->route.generation = 0; /* looked up again */
		tcp_recent_drop(c);
		guard_update(c);
		break;
	case TCP_OPTION_MIN_TTL:
		c->min_ttl = (uint8_t)value;
		guard_update(c);
		break;
	case TCP_OPTION_PORT_RANGE:
		if (!c->ever_connected)
			c->port_range =
			        (struct port_range){ (uint16_t)value, (uint16_t)(value >> 16) };
		break;
	case TCP_OPTION_SAVE_SYN:
		c->save_syn = value & 3;
		break;
	case TCP_OPTION_TOS:
		c->tos = (uint8_t)(value & ~3); /* the ECN bits are not the user's */
		tcp_recent_drop(c);
		break;
	default:
		c->ttl = (uint8_t)value;
		tcp_recent_drop(c);
		break;
	}
}

int tcp_set_option(struct tcp_connection *c, enum tcp_option option, int64_t value)
{
	if ((unsigned)option >= sizeof(ranges) / sizeof(ranges[0]) ||
	    value < ranges[option].least || value > ranges[option].most)
		return -EINVAL;
	switch (option) {
	case TCP_OPTION_NODELAY:
	case TCP_OPTION_CORK:
	case TCP_OPTION_QUICKACK:
	case TCP_OPTION_KEEPALIVE:
	case TCP_OPTION_FREE_BIND:
	case TCP_OPTION_BIND_NO_PORT:
	case TCP_OPTION_ON_LINK_ONLY:
	case TCP_OPTION_TELL_ERRORS:
	case TCP_OPTION_OOB_INLINE:
		apply_flag(c, option, value);
		return 0;
	case TCP_OPTION_RECEIVE_BUFFER:
	case TCP_OPTION_SEND_BUFFER:
		apply_buffer(c, option, value);
		return 0;
	case TCP_OPTION_MAXSEG:
		return apply_maxseg(c, value);
	default:
		apply_number(c, option, value);
		return 0;
	}
}

int64_t tcp_get_option(const struct tcp_connection *c, enum tcp_option option)
{
	switch (option) {
	case TCP_OPTION_NODELAY:
		return c->nodelay;
	case TCP_OPTION_CORK:
		return c->cork;
	case TCP_OPTION_QUICKACK:
		return !c->quickack_off && !c->pingpong;
	case TCP_OPTION_KEEPALIVE:
		return c->keepalive;
	case TCP_OPTION_KEEPIDLE_S:
		return c->keepidle_s;
	case TCP_OPTION_KEEPINTVL_S:
		return c->keepintvl_s;
	case TCP_OPTION_KEEPCNT:
		return c->keepcnt;
	case TCP_OPTION_MAXSEG:
		if (!c->ever_connected)
			return c->user_mss ? c->user_mss : TCP_DEFAULT_MSS;
		return c->snd_mss;
	case TCP_OPTION_SYNCNT:
		return c->syncnt;
	case TCP_OPTION_USER_TIMEOUT_MS:
		return c->user_timeout_ms;
	case TCP_OPTION_DEFER_ACCEPT_S:
		return c->defer_accept_s;
	case TCP_OPTION_LINGER2_S:
		return c->linger2_s;
	case TCP_OPTION_WINDOW_CLAMP:
		return c->window_clamp || !c->ever_connected ? c->window_clamp
		                                             : tcp_window_space(c);
	case TCP_OPTION_NOTSENT_LOWAT:
		return c->notsent_lowat;
	case TCP_OPTION_RECEIVE_BUFFER:
		return c->receive_buffer;
	case TCP_OPTION_SEND_BUFFER:
		return c->send_buffer;
	case TCP_OPTION_RECEIVE_LOWAT:
		return c->receive_lowat;
	case TCP_OPTION_LINGER_S:
		return c->linger_s;
	case TCP_OPTION_TOS:
		return c->tos;
	case TCP_OPTION_TTL:
		return c->ttl;
	case TCP_OPTION_FREE_BIND:
		return c->free_bind;
	case TCP_OPTION_BIND_NO_PORT:
		return c->bind_no_port;
	case TCP_OPTION_ON_LINK_ONLY:
		return c->on_link_only;
	case TCP_OPTION_TELL_ERRORS:
		return c->tells_errors;
	case TCP_OPTION_INTERFACE:
		return c->bound_interface;
	case TCP_OPTION_MIN_TTL:
		return c->min_ttl;
	case TCP_OPTION_PORT_RANGE:
		return c->ever_connected ? 0 : c->port_range.first | c->port_range.last << 16;
	case TCP_OPTION_OOB_INLINE:
		return c->oob_inline;
	case TCP_OPTION_SAVE_SYN:
		return c->save_syn;
	}
	return -EINVAL;
}
