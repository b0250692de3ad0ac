/* The personality as the machine layer sees it, and its start: from the command line to the first
 * program. */
#include "syscalls/process/internal.h"

#define ARGUMENTS_MAX   64
#define ARGUMENTS_BYTES 4096
#define EXIT_NOT_FOUND  127
#define EXIT_NOT_RUN    126

bool boot_flag_strace;

static bool user_fault(struct task *task, struct user_addr address, enum fault_access access)
{
	struct thread *thread = thread_of(task);
	int code = 0;
	int result = address_space_fault(thread->process->memory, address, access, &code);
	thread->process->minor_faults++;
	if (!result)
		return true;
	signal_force(thread, -result, code, address.value);
	return false;
}

static bool kernel_fault(struct user_addr address, enum fault_access access)
{
	struct thread *thread = current_thread();
	int code;
	if (!thread || !thread->process->memory)
		return false;
	int result = address_space_fault(thread->process->memory, address, access, &code);
	if (result == -SIGKILL)
		signal_force(thread, SIGKILL, SI_KERNEL, address.value);
	return result == 0;
}

/* Causes of scause (privileged ISA §10.1.8). */
static void exception(struct task *task, uint64_t cause, uint64_t value)
{
	struct thread *thread = thread_of(task);
	enum { ILLEGAL = 2, BREAKPOINT = 3 };
	uint64_t pc = task->registers.x[REG_PC];
	switch (cause) {
	case ILLEGAL:
		signal_force(thread, SIGILL, ILL_ILLOPC, pc);
		return;
	case BREAKPOINT:
		signal_force(thread, SIGTRAP, TRAP_BRKPT, pc);
		return;
	case 0: /* instruction, load, store address misaligned */
	case 4:
	case 6:
		signal_force(thread, SIGBUS, BUS_ADRALN, value);
		return;
	default: /* access faults */
		signal_force(thread, SIGBUS, BUS_ADRERR, value);
	}
}

static void dump(void)
{
	static const char *const states[] = { "new", "runnable", "running", "parked", "dead" };
	list_for_each(node, &all_processes)
	{
		struct process *process = list_entry(node, struct process, all_link);
		list_for_each(thread_node, &process->threads)
		{
			struct thread *thread =
			        list_entry(thread_node, struct thread, process_link);
			const char *name = syscall_name(thread->syscall_number);
			console_printf("  %d/%d %s: %s, last call %s(0x%lx), pc 0x%lx, pending "
			               "0x%lx, blocked 0x%lx\n",
			               process->pid, thread->tid, thread->name,
			               states[thread->task.state], name ? name : "?",
			               thread->first_argument, thread->task.registers.x[REG_PC],
			               thread->pending | process->pending, thread->blocked);
		}
	}
	net_dump();
}

/* ---- the first process ---- */

_Noreturn static void give_up(int code, const char *what, const char *path, int error)
{
	console_printf("hartloop: %s%s%s", what, path ? ": " : "", path ? path : "");
	if (error)
		console_printf(" (error %d)", -error);
	console_printf("\n");
	machine_exit((uint8_t)code);
}

static void set_limits(struct process *process)
{
	for (int i = 0; i < LIMITS; i++)
		process->limits[i].soft = process->limits[i].hard = UINT64_MAX;
	process->limits[LIMIT_STACK].soft = 8ull << 20;
	process->limits[LIMIT_CORE].soft = 0;
	process->limits[LIMIT_NOFILE].soft = 65536;
	process->limits[LIMIT_NOFILE].hard = OPEN_FILES_MAX;
	process->limits[LIMIT_MEMLOCK].soft = process->limits[LIMIT_MEMLOCK].hard = 8ull << 20;
	process->limits[LIMIT_SIGPENDING].soft = process->limits[LIMIT_SIGPENDING].hard = 4096;
	process->limits[LIMIT_NPROC].soft = process->limits[LIMIT_NPROC].hard = threads_max / 2;
	process->limits[LIMIT_MSGQUEUE].soft = process->limits[LIMIT_MSGQUEUE].hard = 819200;
	process->limits[LIMIT_NICE].soft = process->limits[LIMIT_NICE].hard = 0;
	process->limits[LIMIT_RTPRIO].soft = process->limits[LIMIT_RTPRIO].hard = 0;
}

static struct thread *make_first_process(struct hart *hart)
{
	struct process *process = process_create(NULL, identifier_allocate());
	if (!process)
		return NULL;
	process->group_id = process->session_id = process->pid;
	process->credentials.capabilities = (1ull << 41) - 1;
	process->exit_signal = SIGCHLD;
	set_limits(process);
	process->actions = signal_actions_copy(NULL);
	process->files = file_table_create();
	process->fs = heap_alloc_zeroed(sizeof(*process->fs));
	struct thread *thread = thread_create(process, process->pid, hart);
	if (!process->actions || !process->files || !process->fs || !thread)
		return NULL;
	process->fs->refs = 1;
	process->fs->umask = 022;
	process_link(process);
	thread_link(thread);
	first_process = process;
	process->unkillable = true;
	return thread;
}

static bool has_variable(const struct exec_strings *strings, const char *name)
{
	const char *text = strings->bytes;
	size_t length = strlen(name);
	for (uint32_t i = 0; i < strings->arguments + strings->environment; i++) {
		if (i >= strings->arguments && !strncmp(text, name, length) && text[length] == '=')
			return true;
		text += strlen(text) + 1;
	}
	return false;
}

static int add_environment(struct exec_strings *strings, const char *command_line)
{
	static const struct {
		const char *name, *setting;
	} defaults[] = { { "PATH",
		           "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
		         { "HOME", "HOME=/root" },
		         { "TERM", "TERM=linux" } };
	char setting[1024];
	int error = 0;
	for (unsigned nth = 0;
	     !error && boot_option(command_line, "env", nth, setting, sizeof(setting)); nth++) {
		error = exec_strings_add(strings, setting);
		strings->environment += !error;
	}
	for (unsigned i = 0; !error && i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		if (has_variable(strings, defaults[i].name))
			continue;
		error = exec_strings_add(strings, defaults[i].setting);
		strings->environment += !error;
	}
	return error;
}

static void start_first_program(struct thread *thread, const char *command_line)
{
	static char storage[ARGUMENTS_BYTES];
	char *words[ARGUMENTS_MAX];
	struct exec_strings strings = { 0 };
	int count = boot_arguments(command_line, words, ARGUMENTS_MAX, storage, sizeof(storage));
	if (count < 0)
		give_up(EXIT_NOT_RUN, "the program's arguments behind ` -- ` cannot be read", NULL,
		        count);
	const char *path = count ? words[0] : "/init";
	int error = 0;
	for (int i = 0; i < count && !error; i++)
		error = exec_strings_add(&strings, words[i]);
	if (!count)
		error = exec_strings_add(&strings, path);
	strings.arguments = count ? (uint32_t)count : 1;
	if (!error)
		error = add_environment(&strings, command_line);
	resuming_thread = thread; /* whose memory the loader writes to */
	if (!error)
		error = exec_load(thread, path, &strings);
	resuming_thread = NULL;
	exec_strings_free(&strings);
	if (error == -ENOENT || error == -ENOTDIR)
		give_up(EXIT_NOT_FOUND,
		        count ? "program not found"
		              : "no program named behind ` -- `, and not found",
		        path, 0);
	if (error == -ENOEXEC)
		give_up(EXIT_NOT_RUN, "not a riscv64 program", path, 0);
	if (error == -EACCES)
		give_up(EXIT_NOT_RUN, "not executable", path, 0);
	if (error)
		give_up(EXIT_NOT_RUN, "the program cannot be started", path, error);
	task_make_runnable(&thread->task);
}

/* The archive, which holds the program's files, is in neither sum. */
static void report_memory(void)
{
	struct memory_statistics memory;
	memory_read_statistics(&memory);
	log_info("%lu KiB in use before the first program",
	         (memory.image_pages + memory.total_pages - memory.free_pages) << PAGE_SHIFT >> 10);
}

static void start(struct hart *hart, const struct boot_information *boot)
{
	char value[16];
	boot_flag_strace = boot_option(boot->command_line, "strace", 0, value, sizeof(value)) &&
	                   value[0] != '0';
	if (boot_flag_strace)
		syscall_show(hart);
	random_init(boot);
	system_init(boot);
	process_tables_init();
	futex_init();
	address_space_init();
	int error = vdso_init();
	if (error)
		give_up(EXIT_NOT_RUN, "no memory for the vDSO", NULL, error);
	error = files_init(boot);
	if (error == -ENOMEM)
		give_up(EXIT_NOT_RUN, "no memory for the root file system", NULL, error);
	if (error)
		log_error("the initial root archive is broken (error %d); going on with what was "
		          "read",
		          -error);
	error = net_init(hart, boot);
	if (error)
		log_error("the network cannot be started (error %d)", -error);
	struct thread *thread = make_first_process(hart);
	error = thread ? files_first_process(thread) : -ENOMEM;
	if (error)
		give_up(EXIT_NOT_RUN, "no memory for the first process", NULL, error);
	report_memory();
	start_first_program(thread, boot->command_line);
}

static const struct personality linux_personality = {
	.start = start,
	.syscall = syscall_enter,
	.syscall_table = syscall_slots,
	.syscall_odd = syscall_odd,
	.user_fault = user_fault,
	.kernel_fault = kernel_fault,
	.exception = exception,
	.before_user = signal_before_user,
	.dump = dump,
};

void personality_install(void)
{
	personality_register(&linux_personality);
}
