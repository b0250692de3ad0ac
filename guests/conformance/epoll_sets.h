/* epoll instances of the cases: items by a number, reports by that number. */
#pragma once

#include "conform.h"

#include <sys/epoll.h>

int epoll_new(void);
/* epoll_ctl; the item's data is `number`. */
int epoll_change(int epoll, int operation, int fd, unsigned int events, int number);
/* ADD that has to succeed. */
void epoll_add(int epoll, int fd, unsigned int events, int number);
/* What one epoll_wait reports: `label=1:IN,2:OUT|HUP`, `-` for nothing. */
void observe_wait(const char *label, int epoll, int max, int timeout_ms);
