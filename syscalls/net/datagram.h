/* What UDP, ping and partly TCP sockets share: copying payloads, and the ancillary data of ip(7).
 */
#pragma once

#include "syscalls/net/control.h"
#include "tcpip/udp.h"

/* False: a fault. */
bool datagram_fill(struct pbuf *payload, struct uio *uio);
/* From byte `offset` on. Bytes copied (the rest does not fit), or -EFAULT. */
long datagram_copy(const struct udp_datagram *datagram, uint32_t offset, struct uio *uio);
/* SO_TIMESTAMP and its variants. */
void datagram_put_time(const struct socket_options *options, struct control_writer *writer,
                       uint64_t wall_ns);
/* What MSG_ERRQUEUE says of an error: struct sock_extended_err and the offender. */
void datagram_put_error(struct control_writer *writer, const struct queued_error *error);
/* MSG_ERRQUEUE: one of these, whose payload goes. Bytes copied, or -EFAULT. */
long datagram_receive_error(struct message *message, const struct queued_error *error);
void datagram_put_control(const struct socket_options *options, struct control_writer *writer,
                          const struct udp_datagram *datagram);
