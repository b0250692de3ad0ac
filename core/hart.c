#include "core/hart.h"

#include <string.h>

#include "core/boot.h"
#include "core/clock.h"
#include "core/clock_setup.h"
#include "core/console.h"
#include "core/csr.h"
#include "core/fp.h"
#include "core/hart_setup.h"
#include "core/irq_setup.h"
#include "core/kernel_map.h"
#include "core/memory.h"
#include "core/personality.h"
#include "core/sbi.h"
#include "core/stretch.h"
#include "core/task.h"
#include "core/trace.h"
#include "core/trap.h"

struct hart *harts[HARTS_MAX];
uint32_t hart_count;

static struct {
	uint64_t slice_ns, backstop_ns, stretch_ns;
	struct idle_poll idle_poll;
	bool inline_return, measure;
} options = { 2000000, HART_BACKSTOP_NS, HART_STRETCH_NS, { 0, 0 }, true, false };

static struct steal_record steal_records[HARTS_MAX];

/* Output that is deferred for longer leaves in fewer pieces, each of which KVM hears of by an exit:
 * it may wait for a few times what one costs. */
#define BACKSTOP_EXITS   8
#define BACKSTOP_MOST_NS 100000

static uint64_t backstop_usual_ns(void)
{
	if (sbi_firmware.implementation != SBI_KVM)
		return HART_BACKSTOP_NS;
	uint64_t exits_ns = clock_ticks_to_ns(BACKSTOP_EXITS * sbi_firmware.call_ticks);
	return exits_ns < HART_BACKSTOP_NS   ? HART_BACKSTOP_NS
	       : exits_ns > BACKSTOP_MOST_NS ? BACKSTOP_MOST_NS
	                                     : exits_ns;
}

/* A wait is dear where it leaves a virtual machine that KVM runs, and cheap elsewhere. */
static struct idle_poll idle_poll_option(const char *command_line)
{
	const struct idle_poll adaptive = { 0, IDLE_POLL_MOST_NS };
	char text[16];
	if (boot_option(command_line, "idle_poll_us", 0, text, sizeof text) &&
	    strcmp(text, "adaptive") == 0)
		return adaptive;
	uint64_t fixed_us = boot_option_number(command_line, "idle_poll_us", UINT64_MAX);
	if (fixed_us != UINT64_MAX)
		return (struct idle_poll){ fixed_us * 1000, 0 };
	return sbi_firmware.implementation == SBI_KVM ? adaptive : (struct idle_poll){ 0, 0 };
}

void hart_read_options(const char *command_line)
{
	options.slice_ns = boot_option_number(command_line, "slice_us", 2000) * 1000;
	options.backstop_ns =
	        boot_option_number(command_line, "backstop_us", backstop_usual_ns() / 1000) * 1000;
	options.stretch_ns =
	        boot_option_number(command_line, "stretch_us", HART_STRETCH_NS / 1000) * 1000;
	options.idle_poll = idle_poll_option(command_line);
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

/* The stretch of user mode up to now is the task's, but for what the hypervisor took of it. Returns
 * that. */
static uint64_t account_user(struct hart *hart, struct task *task, uint64_t now)
{
	uint64_t elapsed = now - task->accounted_ns, stolen = steal_take(&hart->steal, elapsed);
	task->user_ns += elapsed - stolen;
	task->accounted_ns = now;
	return stolen;
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
	hart->slice_end_ns += account_user(hart, task, start);
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
	hart->idle_poll = options.idle_poll;
	hart->timer_armed_ns = 0; /* unknown: the first deadline is written */
	hart->backstop_ns = hart->turn_by_ns = LOOP_NEVER;
	hart->stretch_ns = options.backstop_ns;
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
	struct hart *hart = this_hart();
	struct steal_record *record = &steal_records[hart->index];
	steal_start(&hart->steal, record, kernel_physical(record).value);
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
	hart->statistics.timer_writes++;
	clock_arm(deadline_ns);
}

/* Before a wait, which may well last until a deadline that was armed for the sake of a task: a
 * backstop, the end of a slice. To be woken by it for nothing costs far more than to move it. */
#define ARMED_FOR_TASK_NS 1000000

static void arm_timer_to_wait(struct hart *hart, uint64_t deadline_ns, uint64_t now_ns)
{
	if (hart->timer_armed_ns < deadline_ns && hart->timer_armed_ns < now_ns + ARMED_FOR_TASK_NS)
		hart->timer_armed_ns = 0;
	arm_timer(hart, deadline_ns, now_ns);
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
	hart->backstop_ns = now + hart->stretch_ns;
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
	if (!irq_interrupt_hart(hart))
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
	hart->forced = hart->backstop_ns <= now;
	hart->backstop_ns = hart->turn_by_ns = LOOP_NEVER;
	bool more = loop_turn(&hart->loop, now);
	if (hart->forced)
		hart->stretch_ns =
		        stretch_next(hart->stretch_ns, hart->frames_moved, hart->input_waits,
		                     options.backstop_ns, options.stretch_ns);
	return more;
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

/* What was stolen up to now is nobody's. */
static void note_run(struct hart *hart, uint64_t started_ns, uint64_t now_ns)
{
	uint64_t run_ns = now_ns - started_ns;
	run_ns -= steal_take(&hart->steal, run_ns);
	if (run_ns > hart->statistics.longest_run_ns)
		hart->statistics.longest_run_ns = run_ns;
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
		hart->backstop_ns = now + later(hart->stretch_ns, now - started_ns);
	uint64_t deadline = earlier(hart->turn_by_ns, hart->backstop_ns);
	deadline = earlier(deadline, loop_next_deadline(&hart->loop));
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

/* False: there is work after all. */
static bool wait_for_interrupt(struct hart *hart, uint64_t started_ns)
{
	if (hart->index == 0)
		console_flush();
	if (!rearm_notifications(hart) || !loop_sleep_begin(&hart->loop))
		return false;
	uint64_t now = clock_read_ns(), deadline = loop_next_deadline(&hart->loop);
	arm_timer_to_wait(hart, deadline, now);
	note_run(hart, started_ns, now);
	trace(TRACE_WAIT, deadline, 0);
	hart->stretch_ns = options.backstop_ns;
	hart->statistics.waits++;
	__asm__ volatile("wfi" ::: "memory"); /* anything pending in sip & sie ends it */
	loop_sleep_end(&hart->loop);
	return true;
}

static bool quieten_notifications(struct hart *hart)
{
	bool quiet = true;
	list_for_each(node, &hart->idle_hooks)
	{
		struct hart_idle_hook *hook = list_entry(node, struct hart_idle_hook, link);
		quiet &= !hook->prepare_poll || hook->prepare_poll(hook->context);
	}
	return quiet;
}

/* The last turn left nothing to do. Returns since when that is so, 0 when it no longer is. While
 * the hart polls, notifications stay off and nothing is touched that would leave the machine. */
static uint64_t idle(struct hart *hart, uint64_t since_ns, uint64_t started_ns)
{
	struct idle_poll *poll = &hart->idle_poll;
	if (since_ns == 0) {
		if (poll->limit_ns && !quieten_notifications(hart))
			return 0;
		since_ns = poll->limit_ns ? clock_read_ns() : started_ns;
	}
	if (poll->limit_ns && clock_read_ns() - since_ns < poll->limit_ns) {
		hart->statistics.polls++;
		cpu_pause();
		return since_ns;
	}
	if (!wait_for_interrupt(hart, started_ns))
		return 0;
	idle_poll_adapt(poll, clock_read_ns() - since_ns);
	return 0;
}

/* Entered from hart_loop with an empty stack. */
_Noreturn void hart_run(struct hart *hart)
{
	uint64_t now = clock_read_ns(), idle_since = 0;
	hart->in_loop = true;
	hart->statistics.passes++;
	if (hart->entered) {
		hart->slice_end_ns += account_user(hart, hart->entered, now);
		hart->entered = NULL;
	}
	if (hart_count > 1)
		loop_sleep_end(&hart->loop);
	for (;;) {
		bool more = take_turn(hart, now);
		struct task *task = choose_task(hart, now);
		if (task)
			enter_task(hart, task, now, more);
		idle_since = task || more ? 0 : idle(hart, idle_since, now);
		now = clock_read_ns();
	}
}
