/* The echo servers, for their programs and for the checks of themselves. */
#pragma once

#include <stdint.h>

/* A listener on that port of every address, 0: an ephemeral one; ends the program when it can't. */
int tcp_echo_listen(uint16_t port);
void tcp_echo_serve(int listener) __attribute__((noreturn));
/* Each end to end over the loopback: prints what failed and a summary; the exit status. */
int tcp_echo_check(void);

/* The same for datagrams. */
int udp_echo_bind(uint16_t port);
void udp_echo_serve(int fd) __attribute__((noreturn));
int udp_echo_check(void);
