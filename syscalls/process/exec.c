/*
 * execve(2): a new address space is built completely while the old one stays as it is; only then
 * does the process change over, so that every failure is an ordinary error.
 */
#include "syscalls/process/exec.h"

#define ARGUMENT_BYTES_MAX  (2u << 20)
#define STRING_BYTES_MAX    (128u << 10)
#define HEAD_BYTES          4096
#define PROGRAM_BASE        0x2aaaaaa000ull /* two thirds of the address space, as Linux */
#define STACK_BYTES_MAX     (60ull << 20)   /* what lies free above mmap's top */
#define SCRIPT_DEPTH        5
#define PATH_BYTES          4096
#define PATH_BYTES_SHORT    256
#define MAIN_LIMIT          (USER_END - (64ull << 20)) /* the stack lies above */
#define AT_FDCWD            (-100)
#define AT_EMPTY_PATH       0x1000
#define AT_SYMLINK_NOFOLLOW 0x100

/* ---- strings ---- */

void exec_strings_free(struct exec_strings *strings)
{
	heap_free(strings->bytes);
	strings->bytes = NULL;
}

static int reserve(struct exec_strings *strings, size_t bytes)
{
	if (strings->used + bytes > ARGUMENT_BYTES_MAX)
		return -E2BIG;
	if (strings->used + bytes <= strings->room)
		return 0;
	size_t room = strings->room ? strings->room : 1024;
	while (room < strings->used + bytes)
		room *= 2;
	char *bigger = heap_reallocate(strings->bytes, strings->room, room);
	if (!bigger)
		return -ENOMEM;
	strings->bytes = bigger;
	strings->room = room;
	return 0;
}

int exec_strings_add(struct exec_strings *strings, const char *text)
{
	size_t bytes = strlen(text) + 1;
	int error = reserve(strings, bytes);
	if (error)
		return error;
	memcpy(strings->bytes + strings->used, text, bytes);
	strings->used += bytes;
	return 0;
}

static int add_user_string(struct exec_strings *strings, uint64_t from)
{
	size_t room = 256;
	for (;; room *= 4) {
		int error = reserve(strings, room);
		if (error)
			return error;
		int64_t length =
		        copy_string_from_user(strings->bytes + strings->used, user(from), room);
		if (length >= 0) {
			strings->used += (size_t)length + 1;
			return 0;
		}
		if (length != -ENAMETOOLONG)
			return (int)length;
		if (room >= STRING_BYTES_MAX)
			return -E2BIG;
	}
}

static int add_user_vector(struct exec_strings *strings, uint64_t vector, uint32_t *count)
{
	for (; vector; vector += 8) {
		uint64_t text;
		if (user_load_u64(user(vector), &text))
			return -EFAULT;
		if (!text)
			break;
		int error = add_user_string(strings, text);
		if (error)
			return error;
		++*count;
	}
	return 0;
}

/* ---- files ---- */

static int parse(struct file *file, struct elf_image *elf, char *head, size_t head_bytes)
{
	struct file_status status = { 0 };
	size_t needed = 0;
	if (file->operations->status(file, &status))
		return -EACCES;
	int error = elf_parse(elf, head, head_bytes, status.size, MAIN_LIMIT, &needed);
	if (error != -E2BIG)
		return error;
	char *more = heap_alloc(needed);
	if (!more)
		return -ENOMEM;
	long got = file_read_kernel(file, more, needed, 0);
	error = got < 0 ? (int)got
	                : elf_parse(elf, more, (size_t)got, status.size, MAIN_LIMIT, &needed);
	heap_free(more);
	return error == -E2BIG ? -ENOEXEC : error;
}

/* `path` has room for PATH_BYTES. */
static int open_interpreter(struct thread *thread, struct exec_program *program, char *path,
                            char *head)
{
	const struct elf_image *elf = &program->main.elf;
	if (!elf->interpreter_bytes)
		return 0;
	if (elf->interpreter_bytes > PATH_BYTES)
		return -ENOEXEC;
	long got = file_read_kernel(program->main.file, path, elf->interpreter_bytes,
	                            elf->interpreter_offset);
	if (got != (long)elf->interpreter_bytes || path[got - 1])
		return -ENOEXEC;
	int error = program_open(thread, path, &program->interpreter.file);
	if (error) {
		log_warning("%s: its interpreter %s cannot be opened (error %d)", program->path,
		            path, -error);
		return error;
	}
	got = file_read_kernel(program->interpreter.file, head, HEAD_BYTES, 0);
	return got < 0 ? (int)got
	               : parse(program->interpreter.file, &program->interpreter.elf, head,
	                       (size_t)got);
}

/* ---- mapping ---- */

static int protection_of(uint32_t permission)
{
	return (permission & ELF_READ ? PROT_READ : 0) | (permission & ELF_WRITE ? PROT_WRITE : 0) |
	       (permission & ELF_EXECUTE ? PROT_EXEC : 0);
}

static int map_segment(struct address_space *space, const struct exec_image *image,
                       const struct elf_segment *segment)
{
	uint64_t address = image->base + segment->address, start = address & ~PAGE_MASK;
	uint64_t file_end = address + segment->file_bytes, end = address + segment->memory_bytes;
	uint64_t file_pages_end = (file_end + PAGE_MASK) & ~PAGE_MASK,
	         pages_end = (end + PAGE_MASK) & ~PAGE_MASK;
	int protection = protection_of(segment->permission);
	if (segment->file_bytes) {
		int64_t at = address_space_map(space, user(start), file_pages_end - start,
		                               protection, MAP_PRIVATE | MAP_FIXED, image->file,
		                               segment->offset & ~PAGE_MASK);
		if (at < 0)
			return (int)at;
	} else {
		file_pages_end = start;
	}
	if (pages_end > file_pages_end) {
		int64_t at = address_space_map(space, user(file_pages_end),
		                               pages_end - file_pages_end, protection,
		                               MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, NULL, 0);
		if (at < 0)
			return (int)at;
	}
	/* What follows the file's bytes in their last page reads as zero, to the page's end:
	 * dynamic loaders take memory from there. */
	if (segment->memory_bytes > segment->file_bytes && segment->file_bytes &&
	    (segment->permission & ELF_WRITE) && (file_end & PAGE_MASK))
		return zero_user(user(file_end), file_pages_end - file_end);
	return 0;
}

static int map_image(struct address_space *space, struct exec_image *image, uint64_t at)
{
	const struct elf_image *elf = &image->elf;
	image->base = elf->position_independent
	                      ? ((at + elf->alignment - 1) & ~(elf->alignment - 1)) - elf->low
	                      : 0;
	for (uint32_t i = 0; i < elf->segment_count; i++) {
		int error = map_segment(space, image, &elf->segments[i]);
		if (error)
			return error;
	}
	return 0;
}

static int map_stack(struct thread *thread, struct address_space *space,
                     struct exec_program *program)
{
	uint64_t bytes = thread->process->limits[LIMIT_STACK].soft;
	if (bytes > STACK_BYTES_MAX)
		bytes = bytes == UINT64_MAX ? 8ull << 20 : STACK_BYTES_MAX;
	if (bytes < program->strings->used + (128u << 10))
		bytes = program->strings->used + (128u << 10);
	bytes = (bytes + PAGE_MASK) & ~PAGE_MASK;
	program->stack_top = USER_END - PAGE_SIZE;
	int protection =
	        PROT_READ | PROT_WRITE | (program->main.elf.stack_executable ? PROT_EXEC : 0);
	int64_t at = address_space_map(
	        space, user(program->stack_top - bytes), bytes, protection,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE | MAP_STACK, NULL, 0);
	if (at >= 0)
		address_space_set_name(space, user((uint64_t)at), "[stack]");
	return at < 0 ? (int)at : 0;
}

static int map_vdso(struct address_space *space, struct exec_program *program)
{
	uint64_t bytes;
	uint8_t *pages = vdso_pages(&bytes);
	int64_t at = address_space_room(space, bytes);
	if (at < 0)
		return (int)at;
	program->vdso = (uint64_t)at;
	address_space_set_vdso(space, program->vdso);
	int error = address_space_map_kernel(space, user(program->vdso), pages, VDSO_DATA_BYTES,
	                                     PROT_READ, "[vvar]");
	return error ? error
	             : address_space_map_kernel(space, user(program->vdso + VDSO_DATA_BYTES),
	                                        pages + VDSO_DATA_BYTES, bytes - VDSO_DATA_BYTES,
	                                        PROT_READ | PROT_EXEC, "[vdso]");
}

static void use_memory(struct thread *thread, struct address_space *space)
{
	thread->process->memory = space;
	thread->task.satp = address_space_satp(space);
	task_activate_memory(&thread->task);
}

/* Everything into the new space, which is active meanwhile. */
static int build(struct thread *thread, struct address_space *space, struct exec_program *program)
{
	int error = map_stack(thread, space, program);
	if (!error)
		error = map_vdso(space, program);
	if (!error)
		error = map_image(space, &program->main, PROGRAM_BASE);
	if (!error) {
		uint64_t end = program->main.base + program->main.elf.high;
		address_space_set_brk(space, end);
	}
	if (!error && program->interpreter.file) {
		const struct elf_image *elf = &program->interpreter.elf;
		int64_t at = address_space_room(space, elf->high - elf->low + elf->alignment);
		error = at < 0 ? (int)at : map_image(space, &program->interpreter, (uint64_t)at);
	}
	return error ? error : exec_build_stack(thread, program);
}

/* ---- the change-over ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* The parts that a thread may share with other processes become its own. */
static int unshare(struct process *process)
{
	if (process->files->refs > 1) {
		struct file_table *files = file_table_copy(process->files);
		if (!files)
			return -ENOMEM;
		file_table_put(process->files);
		process->files = files;
	}
	if (process->actions->refs > 1) {
		struct signal_actions *actions = signal_actions_copy(process->actions);
		if (!actions)
			return -ENOMEM;
		signal_actions_put(process->actions);
		process->actions = actions;
	}
	return 0;
}

static void name_process(struct process *process, struct thread *thread,
                         struct exec_program *program)
{
	format_string(process->name, sizeof(process->name), "%s", base_name(program->path));
	memcpy(thread->name, process->name, sizeof(thread->name));
	size_t bytes = 0;
	for (uint32_t i = 0; i < program->strings->arguments; i++)
		bytes += strlen(program->strings->bytes + bytes) + 1;
	heap_free(process->command_line);
	process->command_line = heap_alloc(bytes ? bytes : 1);
	process->command_line_bytes = process->command_line ? bytes : 0;
	if (process->command_line)
		memcpy(process->command_line, program->strings->bytes, bytes);
	struct path_node *node = program->main.file->node;
	if (node)
		path_node_get(node);
	if (process->executable)
		path_node_put(process->executable);
	process->executable = node;
}

static void change_over(struct thread *thread, struct address_space *space,
                        struct exec_program *program)
{
	struct process *process = thread->process;
	struct task *task = &thread->task;
	struct address_space *old = process->memory;
	process_kill_other_threads(process, thread);
	if (thread->tid != process->pid)
		thread_rename(thread, process->pid);
	futex_thread_exit(thread, true);
	process->peak_resident_pages = process_peak_pages(process);
	use_memory(thread, space);
	if (old)
		address_space_put(old);
	process_vfork_release(process);
	file_table_close_on_exec(process->files);
	signal_actions_after_exec(process->actions);
	process_timers_after_exec(process);
	thread->altstack_base = thread->altstack_bytes = 0;
	thread->altstack_flags = 0;
	name_process(process, thread, program);
	process->execed = true;
	process->dumpable = process->credentials.euid == process->credentials.uid &&
	                    process->credentials.egid == process->credentials.gid;
	task_fp_forget(task);
	task->fp_live = false;
	memset(task->registers.x, 0, sizeof(task->registers.x));
	task->registers.x[REG_SP] = program->stack_pointer;
	const struct exec_image *start =
	        program->interpreter.file ? &program->interpreter : &program->main;
	task->registers.x[REG_PC] = start->base + start->elf.entry;
	task->reload = true;
}

/* ---- scripts (execve(2), "Interpreter scripts") ---- */

/* Rewrites the arguments: interpreter, its one optional argument, the script's path, the script's
 * own arguments. */
static int script_arguments(struct exec_strings *strings, const char *interpreter,
                            const char *option, const char *path)
{
	struct exec_strings new = { .environment = strings->environment };
	const char *rest =
	        strings->arguments ? strings->bytes + strlen(strings->bytes) + 1 : strings->bytes;
	size_t rest_bytes = strings->used - (size_t)(rest - strings->bytes);
	int error = exec_strings_add(&new, interpreter);
	if (!error && option)
		error = exec_strings_add(&new, option);
	if (!error)
		error = exec_strings_add(&new, path);
	if (!error)
		error = reserve(&new, rest_bytes);
	if (error) {
		exec_strings_free(&new);
		return error;
	}
	memcpy(new.bytes + new.used, rest, rest_bytes);
	new.used += rest_bytes;
	new.arguments = 2 + (option != NULL) + (strings->arguments ? strings->arguments - 1 : 0);
	exec_strings_free(strings);
	*strings = new;
	return 0;
}

/* Cuts "#!interpreter [argument]" into its words. -ENOEXEC. */
static int split_script(char *line, char **interpreter, char **option)
{
	char *end = strchr(line, '\n');
	if (!end)
		return -ENOEXEC;
	while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	*end = 0;
	char *at = line + 2;
	while (*at == ' ' || *at == '\t')
		at++;
	if (!*at)
		return -ENOEXEC;
	*interpreter = at;
	while (*at && *at != ' ' && *at != '\t')
		at++;
	if (*at)
		*at++ = 0;
	while (*at == ' ' || *at == '\t')
		at++;
	*option = *at ? at : NULL;
	return 0;
}

/* Opens the program that `path` leads to, through scripts. */
static int open_program(struct thread *thread, struct exec_program *program, struct file *file,
                        char *path, char *head)
{
	for (int depth = 0;; depth++) {
		int error = file ? program_check(thread, file) : program_open(thread, path, &file);
		program->main.file = file;
		if (!error && depth > SCRIPT_DEPTH) /* as Linux, when the one too many is found */
			error = -ELOOP;
		long got = error ? error : file_read_kernel(file, head, HEAD_BYTES, 0);
		if (got < 0)
			return (int)got;
		head[got] = 0;
		if (got < 2 || head[0] != '#' || head[1] != '!')
			return parse(file, &program->main.elf, head, (size_t)got);
		char *interpreter, *option;
		error = split_script(head, &interpreter, &option);
		if (!error)
			error = script_arguments(program->strings, interpreter, option, path);
		if (error)
			return error;
		format_string(path, PATH_BYTES, "%s", interpreter);
		file_put(file);
		program->main.file = file = NULL;
	}
}

static int load(struct thread *thread, struct file *file, char *path, struct exec_strings *strings)
{
	struct process *process = thread->process;
	char name[PATH_BYTES_SHORT];
	char *head = heap_alloc(HEAD_BYTES + 1);
	struct exec_program program = { .strings = strings };
	struct address_space *space, *old = process->memory;
	format_string(name, sizeof(name), "%s", path);
	program.path = name;
	int error = head ? open_program(thread, &program, file, path, head) : -ENOMEM;
	if (!error)
		error = open_interpreter(thread, &program, path, head);
	if (!error)
		error = unshare(process);
	if (!error)
		error = address_space_create(&space);
	if (!error) {
		use_memory(thread, space);
		error = build(thread, space, &program);
		if (old)
			use_memory(thread, old);
		else
			process->memory = NULL;
		if (error)
			address_space_put(space);
		else
			change_over(thread, space, &program);
	}
	if (program.main.file)
		file_put(program.main.file);
	if (program.interpreter.file)
		file_put(program.interpreter.file);
	heap_free(head);
	return error;
}

int exec_load(struct thread *thread, const char *path, struct exec_strings *strings)
{
	char *copy = heap_alloc(PATH_BYTES);
	if (!copy)
		return -ENOMEM;
	format_string(copy, PATH_BYTES, "%s", path);
	int error = load(thread, NULL, copy, strings);
	heap_free(copy);
	return error;
}

static long execute(struct thread *thread, struct file *file, char *path, uint64_t arguments,
                    uint64_t environment)
{
	struct exec_strings strings = { 0 };
	int error = add_user_vector(&strings, arguments, &strings.arguments);
	if (!error &&
	    !strings.arguments) { /* Linux ≥ 5.18: an empty argv becomes one empty string */
		error = exec_strings_add(&strings, "");
		strings.arguments = 1;
	}
	if (!error)
		error = add_user_vector(&strings, environment, &strings.environment);
	if (!error)
		error = load(thread, file, path, &strings);
	else if (file)
		file_put(file);
	exec_strings_free(&strings);
	return error;
}

static int64_t read_path(char **out, uint64_t from)
{
	*out = heap_alloc(PATH_BYTES);
	if (!*out)
		return -ENOMEM;
	int64_t length = copy_string_from_user(*out, user(from), PATH_BYTES);
	if (length < 0)
		heap_free(*out);
	return length;
}

long sys_execve(struct thread *thread, const uint64_t *argument)
{
	char *path;
	int64_t length = read_path(&path, argument[0]);
	if (length < 0)
		return length;
	long result = length ? execute(thread, NULL, path, argument[1], argument[2]) : -ENOENT;
	heap_free(path);
	return result;
}

long sys_execveat(struct thread *thread, const uint64_t *argument)
{
	int directory = (int)argument[0];
	uint64_t flags = argument[4];
	char *path;
	if (flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	int64_t length = read_path(&path, argument[1]);
	if (length < 0)
		return length;
	struct file *file = NULL;
	long result = length || (flags & AT_EMPTY_PATH) ? 0 : -ENOENT;
	if (!result && path[0] != '/' && directory != AT_FDCWD) {
		struct file *base = thread_file(thread, argument[0]);
		int name = base && base->node ? path_name(base->node, path, PATH_BYTES) : -EBADF;
		if (name < 0)
			result = name;
		else if (!length)
			file = file_get(base);
		else if (copy_string_from_user(path + name + 1, user(argument[1]),
		                               PATH_BYTES - (size_t)name - 1) < 0)
			result = -ENAMETOOLONG;
		else
			path[name] = '/';
	}
	if (!result)
		result = execute(thread, file, path, argument[2], argument[3]);
	heap_free(path);
	return result;
}
