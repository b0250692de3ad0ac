/* Limits of processes: groups, queued signals, timers, robust lists, scripts, the interpreter's
 * path. */
#define _GNU_SOURCE
#include "conform.h"

#include <elf.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static void limit(int resource, rlim_t most)
{
	struct rlimit both = { most, most };
	must("setrlimit", prlimit(0, resource, &both, NULL));
}

/* ---- supplementary groups ---- */

#define GROUPS_MOST 65536

static gid_t groups[GROUPS_MOST + 1];

CASE(groups_most)
{
	for (unsigned i = 0; i <= GROUPS_MOST; i++)
		groups[i] = 100000 + 3 * i;
	observe("too-many", setgroups(GROUPS_MOST + 1, groups));
	observe("negative", syscall(SYS_setgroups, -1, groups));
	observe("most", setgroups(GROUPS_MOST, groups));
	observe("count", getgroups(0, NULL));
	observe("no-room", getgroups(GROUPS_MOST - 1, groups));
	memset(groups, 0, sizeof(groups));
	observe("get", getgroups(GROUPS_MOST, groups));
	observe("first", groups[0]);
	observe("last", groups[GROUPS_MOST - 1]);
	int pair[2];
	socklen_t length = sizeof(groups);
	unix_pair(SOCK_STREAM, pair);
	memset(groups, 0, sizeof(groups));
	observe("peer", getsockopt(pair[0], SOL_SOCKET, SO_PEERGROUPS, groups, &length));
	observe("length", length);
	observe("last", groups[GROUPS_MOST - 1]);
	length = 1000;
	observe("peer-no-room", getsockopt(pair[0], SOL_SOCKET, SO_PEERGROUPS, groups, &length));
	observe("length", length);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		observe("inherited", getgroups(0, NULL));
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	observe("bad-address", setgroups(10, (gid_t *)16));
	observe("kept", getgroups(0, NULL));
	observe("none", setgroups(0, NULL));
	observe("count", getgroups(0, NULL));
}

CASE(groups_are_sorted)
{
	gid_t some[] = { 9, 3, 4000000000u, 3, 7 }, got[8] = { 0 };
	observe("set", setgroups(5, some));
	observe("get", getgroups(8, got));
	observe_text("list", "%u,%u,%u,%u,%u", got[0], got[1], got[2], got[3], got[4]);
}

/* Who may read a file of group 100000 + 3n, with so many groups that each is looked for. */
CASE(groups_permit)
{
	for (unsigned i = 0; i < GROUPS_MOST; i++)
		groups[i] = 100000 + 3 * i;
	must("chmod", chmod(".", 0755));
	int fd = (int)must("open", open("file", O_CREAT | O_RDWR, 0040));
	must("setgroups", setgroups(GROUPS_MOST, groups));
	must("setegid", setegid(1000));
	static const gid_t of_file[] = { 100000, 100003, 196608, 296605, 296608, 99999, 100001 };
	for (size_t i = 0; i < sizeof(of_file) / sizeof(of_file[0]); i++) {
		must("chown", fchown(fd, 2000, of_file[i]));
		must("seteuid", seteuid(1000));
		observe("open", open("file", O_RDONLY) >= 0 ? 0 : -1);
		must("seteuid", seteuid(0));
	}
}

CASE(groups_of_others)
{
	gid_t one = 5;
	must("seteuid", seteuid(1000));
	observe("set", setgroups(1, &one));
	observe("none", setgroups(0, NULL));
}

/* ---- queued signals and timers: RLIMIT_SIGPENDING ---- */

/* The limit is a user's: one that has nothing else. */
static void block_all(void)
{
	sigset_t all;
	must("setuid", setresuid(4321, 4321, 4321));
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

static int queue_value(int number, int value)
{
	return sigqueue(getpid(), number, (union sigval){ .sival_int = value });
}

/* The next of that number, without waiting for one. */
static void observe_next(const char *label, int number)
{
	siginfo_t info;
	sigset_t set;
	memset(&info, 0, sizeof(info));
	sigemptyset(&set);
	sigaddset(&set, number);
	if (sigtimedwait(&set, &info, &(struct timespec){ 0 }) < 0)
		observe_text(label, "none");
	else
		observe_text(label, "code%d,%s,%d", info.si_code,
		             info.si_pid == getpid() ? "own"
		             : info.si_pid           ? "other"
		                                     : "0",
		             info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
}

CASE(signals_queued_to_the_limit)
{
	block_all();
	limit(RLIMIT_SIGPENDING, 8);
	int count = 0;
	while (count < 100 && queue_value(SIGRTMIN, 1000 + count) == 0)
		count++;
	observe("queued", count);
	observe("full", queue_value(SIGRTMIN, 1));
	observe("other-number", queue_value(SIGRTMIN + 1, 1));
	observe("standard", queue_value(SIGUSR1, 5));
	observe("kill-standard", kill(getpid(), SIGUSR2));
	observe("kill-real-time", kill(getpid(), SIGRTMIN + 2));
	observe("tgkill-real-time", tgkill(getpid(), gettid(), SIGRTMIN + 3));
	observe("tgkill-standard", tgkill(getpid(), gettid(), SIGALRM));
	observe_next("usr1", SIGUSR1);
	observe_next("usr2", SIGUSR2);
	observe_next("killed-real-time", SIGRTMIN + 2);
	observe_next("killed-real-time", SIGRTMIN + 2);
	observe_next("tgkilled", SIGRTMIN + 3);
	observe_next("alarm", SIGALRM);
	observe_next("first", SIGRTMIN);
	observe("room", queue_value(SIGRTMIN + 1, 77));
	observe("full", queue_value(SIGRTMIN + 1, 78));
	for (int i = 0; i < 8; i++)
		observe_next("next", SIGRTMIN);
	observe_next("later", SIGRTMIN + 1);
	observe_next("later", SIGRTMIN + 1);
}

CASE(signals_limit_of_zero)
{
	block_all();
	limit(RLIMIT_SIGPENDING, 0);
	observe("queue", queue_value(SIGRTMIN, 1));
	observe("queue-standard", queue_value(SIGUSR1, 1));
	observe("kill", kill(getpid(), SIGRTMIN));
	observe("kill-standard", kill(getpid(), SIGUSR2));
	observe_next("standard", SIGUSR1);
	observe_next("killed", SIGRTMIN);
	observe_next("killed-standard", SIGUSR2);
}

static long make_timer(int number, timer_t *timer)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = number };
	return timer_create(CLOCK_MONOTONIC, &event, timer);
}

CASE(timers_to_the_limit)
{
	timer_t timers[100];
	int count = 0;
	block_all();
	limit(RLIMIT_SIGPENDING, 20);
	while (count < 100 && make_timer(SIGRTMIN + 1, &timers[count]) == 0)
		count++;
	observe("timers", count);
	observe("full", make_timer(SIGRTMIN + 1, &timers[99]));
	observe("no-signal",
	        timer_create(CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_NONE },
	                     &timers[99]));
	observe("queue", queue_value(SIGRTMIN, 1));
	struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
	observe("settime", timer_settime(timers[7], 0, &soon, NULL));
	sigset_t set;
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	observe("arrives", sigtimedwait(&set, &info, &(struct timespec){ 5, 0 }) == SIGRTMIN + 1);
	observe("code", info.si_code);
	observe("delete", timer_delete(timers[3]));
	observe("again", make_timer(SIGRTMIN + 1, &timers[3]));
	observe("full", make_timer(SIGRTMIN + 1, &timers[99]));
	for (int i = 0; i < 5; i++)
		must("delete", timer_delete(timers[i]));
	for (count = 0; count < 100 && queue_value(SIGRTMIN, 1) == 0; count++)
		;
	observe("queued", count);
	observe("full", make_timer(SIGRTMIN + 1, &timers[99]));
}

/* What a process held counts no more when it has ended. */
CASE(signals_limit_after_an_end)
{
	timer_t timer;
	for (int i = 0; i < 3; i++) {
		pid_t pid = (pid_t)must("fork", fork());
		if (pid == 0) {
			block_all();
			limit(RLIMIT_SIGPENDING, 10);
			for (int n = 0; n < 5; n++)
				must("timer", make_timer(SIGUSR1, &timer));
			int count = 0;
			while (count < 100 && queue_value(SIGRTMIN, 1) == 0)
				count++;
			observe("queued", count);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
}

/* ---- robust lists ---- */

#define ROBUST_LIMIT 2048

struct robust_entry {
	struct robust_entry *next;
	uint32_t word, unused;
};

struct robust_space {
	struct robust_entry head; /* word and unused are the offset */
	struct robust_entry *pending;
	struct robust_entry entry[ROBUST_LIMIT + 10];
};

/* In a child that dies with `count` locks; the last one's successor is `last`. */
static struct robust_space *robust_death(int count, int loops, int pending)
{
	struct robust_space *s =
	        mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		long offset = offsetof(struct robust_entry, word);
		memcpy((char *)s + 8, &offset, sizeof(offset));
		for (int i = 0; i < ROBUST_LIMIT + 10; i++) {
			s->entry[i].word = (uint32_t)gettid();
			s->entry[i].next = i + 1 < count ? &s->entry[i + 1]
			                   : loops       ? &s->entry[0]
			                                 : (struct robust_entry *)s;
		}
		s->head.next = &s->entry[0];
		s->pending = pending ? &s->entry[ROBUST_LIMIT + 9] : NULL;
		syscall(SYS_set_robust_list, s, 24);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return s;
}

static void observe_dead(const struct robust_space *s)
{
	int dead = 0;
	for (int i = 0; i < ROBUST_LIMIT + 9; i++)
		dead += s->entry[i].word == 0x40000000u;
	observe("dead", dead);
	observe("pending", s->entry[ROBUST_LIMIT + 9].word == 0x40000000u);
}

CASE(robust_list_limit)
{
	observe_dead(robust_death(5, 0, 0));
	observe_dead(robust_death(ROBUST_LIMIT, 0, 0));
	observe_dead(robust_death(ROBUST_LIMIT + 5, 0, 1));
	observe_dead(robust_death(3, 1, 1));
}

/* ---- execve ---- */

/* execve of `path` in a child: 0, or its error. */
static void observe_exec(const char *label, char *path)
{
	char *const arguments[] = { path, NULL };
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		execv(path, arguments);
		_exit(errno);
	}
	int status;
	waitpid(pid, &status, 0);
	errno = WEXITSTATUS(status);
	observe(label, errno ? -1 : 0);
}

static void write_file(const char *path, const void *bytes, size_t length)
{
	int fd = (int)must("open", open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755));
	must("write", write(fd, bytes, length));
	close(fd);
}

/* The smallest program: exit(0). */
static void write_program(const char *path)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr segment;
		uint32_t code[3];
	} file = {
		.header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		            .e_type = ET_EXEC,
		            .e_machine = EM_RISCV,
		            .e_version = EV_CURRENT,
		            .e_entry = 0x10000 + sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr),
		            .e_phoff = sizeof(Elf64_Ehdr),
		            .e_ehsize = sizeof(Elf64_Ehdr),
		            .e_phentsize = sizeof(Elf64_Phdr),
		            .e_phnum = 1 },
		.segment = { .p_type = PT_LOAD,
		             .p_flags = PF_R | PF_X,
		             .p_vaddr = 0x10000,
		             .p_filesz = sizeof(file),
		             .p_memsz = sizeof(file),
		             .p_align = 4096 },
		.code = { 0x00000513, 0x05d00893, 0x00000073 }
	}; /* li a0, 0; li a7, 93; ecall */
	write_file(path, &file, sizeof(file));
}

CASE(script_depth)
{
	char path[] = "./s0", text[] = "#!./s0\n";
	write_program("end");
	write_file("s0", "#!./end\n", 8);
	for (char i = '1'; i < '8'; i++) {
		text[5] = (char)(i - 1);
		path[3] = i;
		write_file(path, text, sizeof(text) - 1);
	}
	for (char i = '0'; i < '8'; i++) {
		path[3] = i;
		observe_exec("depth", path);
	}
	write_file("s0", "#!./s0\n", 7);
	path[3] = '0';
	observe_exec("loop", path);
	write_file("s0", "#!./none\n", 9);
	for (char i = '3'; i < '7'; i++) {
		path[3] = i;
		observe_exec("missing", path);
	}
}

#define PATH_BYTES 4096

/* A program that names an interpreter of so many bytes, the NUL included, which does not exist. */
static void program_with_interpreter(unsigned bytes)
{
	static char file[16384];
	memset(file, '/', sizeof(file));
	Elf64_Ehdr header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB,
		                           EV_CURRENT },
		              .e_type = ET_DYN,
		              .e_machine = EM_RISCV,
		              .e_version = EV_CURRENT,
		              .e_entry = sizeof(header) + 2 * sizeof(Elf64_Phdr),
		              .e_phoff = sizeof(header),
		              .e_ehsize = sizeof(header),
		              .e_phentsize = sizeof(Elf64_Phdr),
		              .e_phnum = 2 };
	Elf64_Phdr segments[2] = { { .p_type = PT_INTERP,
		                     .p_flags = PF_R,
		                     .p_offset = 4096,
		                     .p_filesz = bytes,
		                     .p_memsz = bytes,
		                     .p_align = 1 },
		                   { .p_type = PT_LOAD,
		                     .p_flags = PF_R | PF_X,
		                     .p_filesz = 4096,
		                     .p_memsz = 4096,
		                     .p_align = 4096 } };
	memcpy(file, &header, sizeof(header));
	memcpy(file + sizeof(header), segments, sizeof(segments));
	if (bytes)
		memcpy(file + 4096 + bytes - 5, "none", 5);
	write_file("program", file, sizeof(file));
}

CASE(interpreter_path)
{
	static const unsigned lengths[] = { 6, 256, 257, 2000, PATH_BYTES, PATH_BYTES + 1, 10000 };
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		program_with_interpreter(lengths[i]);
		observe_exec("bytes", "./program");
	}
}
