/* Between the files of the group wire. The other machines are wire_peer.py. */
#pragma once

#include "conform.h"

#include <linux/errqueue.h>

#define HOST "10.0.2.20"

/* A command of wire_peer.py's, and, observed, its answer: what it sends has arrived then. */
void command(const char *format, ...) __attribute__((format(printf, 1, 2)));
void observe_command(const char *label, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
int port_of(int fd);
/* Connected to that port of HOST. */
int connected_to_host(int port);
void observe_state(const char *label, int fd);
void observe_error_queue(const char *label, int fd);
