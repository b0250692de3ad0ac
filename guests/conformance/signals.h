/* Between the files of the group signals. */
#pragma once

#include "conform.h"

/* A call that waits, in a process of its own. `open` makes what it needs, `run` is the call, and
 * `complete`, made by the parent, ends its wait. The three share the descriptors fds. */
struct waiting_call {
	void (*open)(void);
	long (*run)(void);
	void (*complete)(void);
};

extern int fds[8];

/* What the call returns when a signal with a handler comes (`plain`), with SA_RESTART (`restart`),
 * and when the process is stopped and continued (`stop`). A call that goes on is completed then. */
void observe_interruptions(const struct waiting_call *call);
/* A case of that. */
#define INTERRUPTED(name, open, run, complete)                                                     \
	CASE_SECONDS(name, 30)                                                                     \
	{                                                                                          \
		static const struct waiting_call call = { open, run, complete };                   \
		observe_interruptions(&call);                                                      \
	}
/* To be called by `run`: notes something more of this run, such as the rest of a time. */
void note_more(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Waits until the process sleeps or is stopped ('S', 'T'), as /proc says. */
void wait_for_state(pid_t pid, char state);
void block_signal(int number);
