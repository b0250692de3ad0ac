#include "core/hart.h"

#include "core/boot.h"
#include "core/clock.h"
#include "core/clock_setup.h"
#include "core/csr.h"
#include "core/fp.h"
#include "core/hart_setup.h"
#include "core/irq_setup.h"
#include "core/memory.h"
#include "core/personality.h"
#include "core/sbi.h"
#include "core/task.h"
#include "core/trace.h"
#include "core/trap.h"

struct hart *harts[HARTS_MAX];
uint32_t hart_count;

static struct {
	uint64_t slice_ns, backstop_ns, idle_poll_ns;
	bool inline_return, measure;
} options = { 2000000, HART_BACKSTOP_NS, 0, true, false };

void hart_read_options(const char *command_line)
{
	options.slice_ns = boot_option_number(command_line, "slice_us", 2000) * 1000;
	options.backstop_ns =
	        boot_option_number(command_line, "backstop_us", HART_BACKSTOP_NS / 1000) * 1000;
	options.idle_poll_ns = boot_option_number(command_line, "idle_poll_us", 0) * 1000;
	options.inline_return = boot_option_number(command_line, "inline", 1);
	options.measure = boot_option_number(command_line, "measure", 0);
}

static void *reallocate(void *context, void *old, size_t old_bytes, size_t new_bytes)
{
	(void)context;
	if (new_bytes == 0) {
		heap_free(old);
		return NULL;
	}
	return heap_reallocate(old, old_bytes, new_bytes);
}

/* The syscall entry of measure=1 and trace=1: what the plain one leaves out. */
static void syscall_observed(struct task *task)
{
	struct hart *hart = task->hart;
	uint64_t number = task->registers.x[REG_A7], start = clock_read_ns();
	trace(TRACE_SYSCALL, number, task->registers.x[REG_A0]);
	personality_ops.syscall(task);
	trace(TRACE_RETURN, number, task->registers.x[REG_A0]);
	uint64_t end = clock_read_ns();
	if (end - start > hart->statistics.longest_run_ns)
		hart->statistics.longest_run_ns = end - start;
	task->user_ns += start - task->accounted_ns;
	task->system_ns += end - start;
	task->accounted_ns = end;
}

int hart_init(struct hart *hart, uint32_t index, uint64_t hartid)
{
	hart->index = index;
	hart->hartid = hartid;
	hart->in_loop = true;
	hart->inline_flags = options.inline_return ? TASK_RUNNING : UINT32_MAX;
	hart->syscall_entry =
	        options.measure || trace_enabled ? syscall_observed : personality_ops.syscall;
	hart->syscall_table =
	        options.measure || trace_enabled ? NULL : personality_ops.syscall_table;
	hart->syscall_odd = personality_ops.syscall_odd;
	hart->timer_armed_ns = 0; /* unknown: the first deadline is written */
	hart->backstop_ns = LOOP_NEVER;
	list_init(&hart->idle_hooks);
	list_init(&hart->run_queue);
	struct loop_config config = { .reallocate = reallocate };
	return loop_init(&hart->loop, &config);
}

void hart_open_interrupts(void)
{
	csr_write(scounteren, 7); /* cycle, time and instret in user mode */
	csr_clear(sstatus, SSTATUS_SIE | SSTATUS_SPIE | SSTATUS_SPP | SSTATUS_SUM | SSTATUS_FS);
	csr_write(sie, INTERRUPT_SOFTWARE | INTERRUPT_TIMER | INTERRUPT_EXTERNAL);
}

void hart_add_idle_hook(struct hart *hart, struct hart_idle_hook *hook)
{
	list_push_back(&hart->idle_hooks, &hook->link);
}

void hart_remove_idle_hook(struct hart_idle_hook *hook)
{
	list_remove(&hook->link);
}

void hart_activate_satp(struct hart *hart, uint64_t satp)
{
	if (hart->active_satp == satp)
		return;
	hart->active_satp = satp;
	csr_write(satp, satp);
	if ((satp >> SATP_ASID_SHIFT & 0xffff) == 0)
		tlb_flush_all(); /* the shared ASID */
}

/* An interrupt that comes too early costs a turn; rewriting the comparator for every deadline that
 * moves later would cost more. */
static void arm_timer(struct hart *hart, uint64_t deadline_ns, uint64_t now_ns)
{
	if (hart->timer_armed_ns > now_ns && hart->timer_armed_ns <= deadline_ns)
		return;
	hart->timer_armed_ns = deadline_ns;
	clock_arm(deadline_ns);
}

uint64_t hart_refresh_now(struct hart *hart)
{
	hart->loop.now_ns = clock_read_ns();
	return hart->loop.now_ns;
}

void hart_note_output(struct hart *hart)
{
	if (hart->in_loop || hart->backstop_ns != LOOP_NEVER)
		return;
	uint64_t now = clock_read_ns();
	hart->backstop_ns = now + options.backstop_ns;
	arm_timer(hart, hart->backstop_ns, now);
}

void hart_note_runnable(struct hart *hart)
{
	if (hart->in_loop)
		return; /* entering a task arms the timer */
	uint64_t now = clock_read_ns();
	if (hart->slice_end_ns <= now)
		hart->slice_end_ns = now + options.slice_ns;
	arm_timer(hart, hart->slice_end_ns, now);
}

void hart_interrupt(struct hart *hart)
{
	sbi_send_ipi(hart->hartid);
}

/* Look at what interrupts would report, then take one turn of the loop. True: events are left. */
static bool take_turn(struct hart *hart, uint64_t now)
{
	uint64_t pending = csr_read(sip);
	if (pending & INTERRUPT_SOFTWARE)
		csr_clear(sip, INTERRUPT_SOFTWARE);
	if (pending & INTERRUPT_EXTERNAL)
		irq_dispatch(hart);
	/* Also without a reason: QEMU may raise it for a deadline that was just moved. Only writing
	 * the comparator takes it back. */
	if (pending & INTERRUPT_TIMER)
		hart->timer_armed_ns = 0;
	hart->backstop_ns = LOOP_NEVER;
	return loop_turn(&hart->loop, now);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* False: some device has work already. */
static bool rearm_notifications(struct hart *hart)
{
	bool quiet = true;
	list_for_each(node, &hart->idle_hooks)
	{
		struct hart_idle_hook *hook = list_entry(node, struct hart_idle_hook, link);
		quiet &= hook->prepare_wait(hook->context);
	}
	return quiet;
}

static void note_run(struct hart *hart, uint64_t started_ns, uint64_t now_ns)
{
	if (now_ns - started_ns > hart->statistics.longest_run_ns)
		hart->statistics.longest_run_ns = now_ns - started_ns;
}

/* The task to run: the current one until its slice is over or it yields, then the first of the
 * queue. NULL: none. */
static struct task *choose_task(struct hart *hart, uint64_t now)
{
	struct task *task = hart->current;
	if (task) {
		if (list_is_empty(&hart->run_queue) ||
		    (!task->resched && now < hart->slice_end_ns)) {
			task->resched = false;
			return task;
		}
		fp_leave(hart, task);
		task->state = TASK_RUNNABLE;
		list_push_back(&hart->run_queue, &task->run_link);
	}
	struct list_node *first = list_pop_front(&hart->run_queue);
	task = first ? list_entry(first, struct task, run_link) : NULL;
	hart->current = task;
	if (!task)
		return NULL;
	task->state = TASK_RUNNING;
	task->resched = false;
	fp_enter(hart, task);
	hart->slice_end_ns = now + options.slice_ns;
	hart->statistics.task_switches++;
	trace(TRACE_SWITCH, task->id, 0);
	return task;
}

/* While events keep coming the task runs as long as the turn took: what it does for the packets
 * that were received (accept them, above all) must not fall behind receiving ever more. Comes back
 * only when the personality parked or killed the task instead. */
static void enter_task(struct hart *hart, struct task *task, uint64_t started_ns, bool more)
{
	hart_activate_satp(hart, task->satp);
	if (task->return_work) {
		personality_ops.before_user(task);
		if (hart->current != task || task->state != TASK_RUNNING)
			return;
		hart_activate_satp(hart, task->satp);
	}
	bool quiet = rearm_notifications(hart);
	uint64_t now = clock_read_ns();
	if (more || !quiet || loop_has_pending(&hart->loop))
		hart->backstop_ns = now + later(options.backstop_ns, now - started_ns);
	uint64_t deadline = earlier(loop_next_deadline(&hart->loop), hart->backstop_ns);
	if (!list_is_empty(&hart->run_queue))
		deadline = earlier(deadline, hart->slice_end_ns);
	arm_timer(hart, deadline, now);
	if (hart_count > 1)
		loop_sleep_begin(&hart->loop); /* from here on mail needs an interrupt */
	note_run(hart, started_ns, now);
	hart->in_loop = false;
	hart->entered = task;
	task->accounted_ns = now;
	task->reload = false;
	trap_enter_task(task);
}

static void wait_for_interrupt(struct hart *hart, uint64_t started_ns)
{
	if (!rearm_notifications(hart) || !loop_sleep_begin(&hart->loop))
		return;
	uint64_t now = clock_read_ns(), deadline = loop_next_deadline(&hart->loop);
	arm_timer(hart, deadline, now);
	note_run(hart, started_ns, now);
	trace(TRACE_WAIT, deadline, 0);
	hart->statistics.waits++;
	__asm__ volatile("wfi" ::: "memory"); /* anything pending in sip & sie ends it */
	loop_sleep_end(&hart->loop);
}

/* Entered from hart_loop with an empty stack. */
_Noreturn void hart_run(struct hart *hart)
{
	uint64_t now = clock_read_ns();
	uint64_t poll_end = now + options.idle_poll_ns;
	hart->in_loop = true;
	hart->statistics.passes++;
	if (hart->entered) {
		hart->entered->user_ns += now - hart->entered->accounted_ns;
		hart->entered->accounted_ns = now;
		hart->entered = NULL;
	}
	if (hart_count > 1)
		loop_sleep_end(&hart->loop);
	for (;;) {
		bool more = take_turn(hart, now);
		struct task *task = choose_task(hart, now);
		if (task) {
			enter_task(hart, task, now, more);
		} else if (!more && now < poll_end) {
			hart->statistics.polls++;
		} else if (!more) {
			uint64_t waits = hart->statistics.waits;
			wait_for_interrupt(hart, now);
			if (waits != hart->statistics.waits)
				poll_end = clock_read_ns() + options.idle_poll_ns;
		}
		now = clock_read_ns();
	}
}
