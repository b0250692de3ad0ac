#include "core/task.h"

#include <string.h>

#include "core/clock.h"
#include "core/csr.h"
#include "core/fp.h"
#include "core/kernel_map.h"
#include "core/offsets.h"
#include "core/panic.h"
#include "core/personality.h"
#include "core/trace.h"
#include "core/trap.h"

_Static_assert(offsetof(struct task, registers.x) == TASK_PC, "core/offsets.h");
_Static_assert(offsetof(struct task, hart) == TASK_HART, "core/offsets.h");
_Static_assert(offsetof(struct task, state) == TASK_FLAGS, "core/offsets.h");
_Static_assert(offsetof(struct task, return_work) == TASK_FLAGS + 1, "core/offsets.h");
_Static_assert(offsetof(struct task, resched) == TASK_FLAGS + 2, "core/offsets.h");
_Static_assert(offsetof(struct task, reload) == TASK_FLAGS + 3, "core/offsets.h");
_Static_assert(offsetof(struct hart, stack_top) == HART_STACK_TOP, "core/offsets.h");
_Static_assert(offsetof(struct hart, stack_bottom) == HART_STACK_BOTTOM, "core/offsets.h");
_Static_assert(offsetof(struct hart, syscall_entry) == HART_SYSCALL_ENTRY, "core/offsets.h");
_Static_assert(offsetof(struct hart, syscall_table) == HART_SYSCALL_TABLE, "core/offsets.h");
_Static_assert(offsetof(struct hart, syscall_odd) == HART_SYSCALL_ODD, "core/offsets.h");
_Static_assert(offsetof(struct task, reload) == TASK_RELOAD, "core/offsets.h");
_Static_assert(offsetof(struct syscall_slot, handler) == SLOT_HANDLER, "core/offsets.h");
_Static_assert(offsetof(struct syscall_slot, calls) == SLOT_CALLS, "core/offsets.h");
_Static_assert(sizeof(struct syscall_slot) == 1 << SLOT_BYTES_LOG2, "core/offsets.h");
_Static_assert(offsetof(struct hart, inline_flags) == HART_INLINE_FLAGS, "core/offsets.h");
_Static_assert(offsetof(struct hart, loop.pending_mask) == HART_PENDING_MASK, "core/offsets.h");
_Static_assert(offsetof(struct hart, timer_armed_ns) == HART_TIMER_ARMED, "core/offsets.h");
_Static_assert(offsetof(struct hart, loop.heap) == HART_HEAP, "core/offsets.h");
_Static_assert(offsetof(struct hart, loop.heap_count) == HART_HEAP_COUNT, "core/offsets.h");
_Static_assert(LOOP_HEAP_ROOT * sizeof(struct loop_heap_node) +
                               offsetof(struct loop_heap_node, deadline_ns) ==
                       HEAP_ROOT_DEADLINE,
               "core/offsets.h");
_Static_assert(offsetof(struct trap_frame, status) == FRAME_STATUS, "core/offsets.h");
_Static_assert(offsetof(struct trap_frame, cause) == FRAME_CAUSE, "core/offsets.h");
_Static_assert(offsetof(struct trap_frame, value) == FRAME_VALUE, "core/offsets.h");
_Static_assert(sizeof(struct trap_frame) == FRAME_BYTES, "core/offsets.h");

void fp_registers_store(struct task_fp *fp);
void fp_registers_load(const struct task_fp *fp);

void task_init(struct task *task, struct hart *hart)
{
	memset(task, 0, sizeof *task);
	task->hart = hart;
	task->satp = kernel_satp;
	task->state = TASK_NEW;
	list_node_init(&task->run_link);
}

void task_make_runnable(struct task *task)
{
	if (task->state != TASK_NEW && task->state != TASK_PARKED)
		return;
	struct hart *hart = task->hart;
	bool first = list_is_empty(&hart->run_queue);
	task->state = TASK_RUNNABLE;
	list_push_back(&hart->run_queue, &task->run_link);
	trace(TRACE_WAKE, task->id, 0);
	if (first)
		hart_note_runnable(hart);
}

void task_park(struct task *task)
{
	struct hart *hart = task->hart;
	KASSERT(hart->current == task);
	fp_leave(hart, task);
	hart->current = NULL;
	task->state = TASK_PARKED;
	trace(TRACE_PARK, task->registers.x[REG_A7], task->id);
}

void task_kill(struct task *task)
{
	struct hart *hart = task->hart;
	list_remove(&task->run_link);
	task_fp_forget(task);
	if (hart->current == task)
		hart->current = NULL;
	task->state = TASK_DEAD;
}

void task_activate_memory(struct task *task)
{
	hart_activate_satp(task->hart, task->satp);
}

uint64_t task_cpu_ns(struct task *task)
{
	uint64_t total = task->user_ns + task->system_ns;
	if (task->hart->entered == task) {
		uint64_t elapsed = clock_read_ns() - task->accounted_ns;
		total += elapsed - steal_peek(&task->hart->steal, elapsed);
	}
	return total;
}

/* sstatus.FS is the current task's while there is one; otherwise the task's own copy is. */
static uint64_t fp_status(const struct task *task)
{
	uint64_t status = task->hart->current == task ? csr_read(sstatus) : task->registers.status;
	return status & SSTATUS_FS;
}

static void fp_set_status(uint64_t status)
{
	csr_clear(sstatus, SSTATUS_FS);
	csr_set(sstatus, status);
}

void fp_leave(struct hart *hart, struct task *task)
{
	if (hart->fp_owner == task)
		task->registers.status = csr_read(sstatus) & SSTATUS_FS;
}

void fp_enter(struct hart *hart, struct task *task)
{
	if (__builtin_expect(task->fp_soon, 0)) {
		task->fp_soon = false;
		fp_set_status(0);
		fp_take(hart, task);
		return;
	}
	uint64_t wanted = hart->fp_owner == task ? task->registers.status : 0;
	if ((csr_read(sstatus) & SSTATUS_FS) != wanted)
		fp_set_status(wanted);
}

void task_fp_save(struct task *task)
{
	struct hart *hart = task->hart;
	if (hart->fp_owner != task || fp_status(task) != SSTATUS_FS_DIRTY)
		return;
	uint64_t live = csr_read(sstatus) & SSTATUS_FS;
	csr_set(sstatus, SSTATUS_FS);
	fp_registers_store(&task->fp);
	if (hart->current == task) {
		live = SSTATUS_FS_CLEAN;
	} else {
		task->registers.status = SSTATUS_FS_CLEAN;
	}
	fp_set_status(live);
}

void task_fp_forget(struct task *task)
{
	struct hart *hart = task->hart;
	if (hart->fp_owner != task)
		return;
	hart->fp_owner = NULL;
	if (hart->current == task)
		csr_clear(sstatus, SSTATUS_FS);
}

bool fp_take(struct hart *hart, struct task *task)
{
	if (csr_read(sstatus) & SSTATUS_FS)
		return false;
	if (hart->fp_owner)
		task_fp_save(hart->fp_owner);
	if (!task->fp_live) {
		memset(&task->fp, 0, sizeof task->fp);
		task->fp_live = true;
	}
	hart->fp_owner = task;
	csr_set(sstatus, SSTATUS_FS);
	fp_registers_load(&task->fp);
	fp_set_status(SSTATUS_FS_CLEAN);
	return true;
}
