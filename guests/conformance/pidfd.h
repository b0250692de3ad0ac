/* Between the files of the group pidfd. */
#pragma once

#include "conform.h"

#include <sys/syscall.h>

#define P_PIDFD_OF_WAITID 3

/* The calls; -1 and errno. */
int pidfd_open_of(pid_t pid, unsigned flags);
long pidfd_signal(int fd, int number, void *information, unsigned flags);
long pidfd_fetch(int fd, int wanted, unsigned flags);
/* A child that waits to be killed, or, when told so, ends with that status. */
pid_t sleeping_child(void);
pid_t ending_child(int status);
void wait_for_end(pid_t child); /* it is a zombie then */
void reap(pid_t child);
void observe_pidfd(const char *label, int fd);
/* What waitid says: the result, and who it was (`child`, or something else) and how it ended. */
void observe_waitid(const char *label, int fd, int options, pid_t child);
