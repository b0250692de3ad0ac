/* The floating-point unit. Its registers stay where they are until another task wants it:
 * hart->fp_owner says whose they are. */
#pragma once

#include <stdbool.h>

struct hart;
struct task;

/* The task used an instruction that the unit, being off, refused: give it the unit. False: it was
 * on, so the instruction is at fault. */
bool fp_take(struct hart *hart, struct task *task);
/* The task stops being the one whose sstatus.FS is live: note the state. */
void fp_leave(struct hart *hart, struct task *task);
/* The task will be entered next: sstatus.FS becomes its own. */
void fp_enter(struct hart *hart, struct task *task);
