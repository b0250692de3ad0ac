/* Programs of many small named cases, each of which prints one line of what it observed.
 *
 *     CASE(bind_port_in_use)
 *     {
 *             int first = tcp_listener(1, NULL), second = tcp_socket();
 *             struct sockaddr_in address = name_of(first);
 *             observe("bind", bind(second, (struct sockaddr *)&address, sizeof(address)));
 *     }
 *
 * prints `bind_port_in_use: bind=-1 EADDRINUSE`. The same program runs on Linux and on Hartloop,
 * and the two outputs are compared: a line holds no process ids, no times, no addresses of memory
 * and no ephemeral ports.
 *
 * Each case runs in a child of its own, which leads a process group, starts in an empty directory
 * with 1024 descriptors, and has a time limit. When it ends, all that is left of its group is
 * killed. A case may fork; what its children observe is added to the same line, in the order in
 * which it happens, which the case has to fix.
 *
 * Ports that a case chooses lie outside 32768 to 60999, from which ephemeral ones are taken; see
 * observe_address. */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

struct conform_case {
	const char *name;
	void (*run)(void);
	const char *file;
	int line; /* cases run in the order of file and line */
	int seconds;
};

/* Defines a case; its body follows. seconds: its time limit, 10 unless said otherwise. */
#define CASE(name) CASE_SECONDS(name, 10)
#define CASE_SECONDS(name, seconds)                                                                \
	static void name##_case(void);                                                             \
	static const struct conform_case name##_entry = { #name, name##_case, __FILE__, __LINE__,  \
		                                          seconds };                               \
	__attribute__((used, section("conform_cases"))) static const struct conform_case           \
	        *const name##_pointer = &name##_entry;                                             \
	static void name##_case(void)

/* What a case notes; each adds ` label=...` to its line. Labels are one word. A result of -1 is
 * noted with the name of errno, which none of these change: pass the call itself as the result. */

/* The result of a call: its value, or -1 and the error. */
void observe(const char *label, long result);
/* The result of a call that returns a descriptor: `fd`, or -1 and the error. */
int observe_fd(const char *label, int fd);
/* Text as printf forms it; without blanks it stays one word of the comparison. */
void observe_text(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The address that a call with that result filled in: 127.0.0.1:80, 0.0.0.0:EPHEMERAL, unix:/path,
 * unix:@abstract. A length that is not that of the family's structure is noted behind it. */
void observe_address(const char *label, int result, const void *address, socklen_t length);
/* What getsockname and getpeername say of a socket. */
void observe_name(const char *label, int fd);
void observe_peer(const char *label, int fd);
/* A mask of poll or epoll by name: IN|RDHUP, or 0. */
void observe_events(const char *label, unsigned int events);
/* What poll says of one descriptor: its events, 0 when the time is over, or -1 and the error. */
void observe_poll(const char *label, int fd, int events, int timeout_ms);
/* The bytes that a call with that result put into a buffer: 5"hello", unprintable ones as \xNN. Of
 * more than 64 bytes the first 64 and a sum of all. */
void observe_bytes(const char *label, ssize_t result, const void *buffer);
/* The monotonic clock in milliseconds, and whether since then at least and at most so many have
 * passed: `in-time`, `early`, `late`. The machine may be slow: at_most_ms has to be generous. */
long now_ms(void);
void observe_waited(const char *label, long since_ms, long at_least_ms, long at_most_ms);

/* The result of a step of the set-up; when it is -1, the case notes it and ends there. */
long must(const char *label, long result);

/* Set-ups. What fails in them ends the case, as must does. Addresses are of AF_INET; text is
 * dotted. */

struct sockaddr_in inet_address(const char *text, int port);
struct sockaddr_in own_address(int port);     /* the network card's, found through SIOCGIFCONF */
struct sockaddr_in gateway_address(int port); /* of the environment's GATEWAY, or 10.0.2.2 */
struct sockaddr_in name_of(int fd);           /* getsockname */

/* bind, connect without casts. */
int bind_to(int fd, struct sockaddr_in address);
int connect_to(int fd, struct sockaddr_in address);

int tcp_socket(void);
int udp_socket(void);
/* Listens on an ephemeral port of 127.0.0.1; address: where, unless NULL. */
int tcp_listener(int backlog, struct sockaddr_in *address);
/* Two connected TCP sockets over 127.0.0.1: the one that connected and the accepted one. */
void tcp_pair(int pair[2]);
/* Two UDP sockets on 127.0.0.1, each connected to the other. */
void udp_pair(int pair[2]);
/* socketpair of AF_UNIX. */
void unix_pair(int type, int pair[2]);

/* Listens like tcp_listener, with a full queue of connections: a further SYN is dropped. */
int full_listener(struct sockaddr_in *address);

/* SO_ERROR by name, and cleared; 0 when there was none. */
void observe_so_error(const char *label, int fd);
/* An option that is an int. */
int set_int(int fd, int level, int option, int value);
void observe_int(const char *label, int fd, int level, int option);
/* SO_RCVTIMEO or SO_SNDTIMEO. */
void set_timeout(int fd, int option, int ms);
void set_nonblocking(int fd);

/* A handler for SIGALRM with these flags of sigaction, and the signal once, after so many ms. */
void interrupt_after(int ms, int flags);
void pause_ms(int ms);
