/* Random file calls with sound, odd and wild arguments: the kernel must survive them and free
 * everything. Children do the calls, so that every one of them is also cut off somewhere: by its
 * alarm, while it waits. Usage: fuzz_files [rounds [seed]]. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS 3000

static uint64_t state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static const short numbers[] = {
	SYS_getcwd,
	SYS_eventfd2,
	SYS_epoll_create1,
	SYS_epoll_ctl,
	SYS_epoll_ctl,
	SYS_epoll_ctl,
	SYS_epoll_pwait,
	SYS_dup,
	SYS_dup3,
	SYS_fcntl,
	SYS_fcntl,
	SYS_ioctl,
	SYS_flock,
	SYS_mknodat,
	SYS_mkdirat,
	SYS_unlinkat,
	SYS_symlinkat,
	SYS_linkat,
	SYS_statfs,
	SYS_fstatfs,
	SYS_truncate,
	SYS_ftruncate,
	SYS_fallocate,
	SYS_faccessat,
	SYS_chdir,
	SYS_fchdir,
	SYS_fchmod,
	SYS_fchmodat,
	SYS_fchownat,
	SYS_fchown,
	SYS_openat,
	SYS_openat,
	SYS_openat,
	SYS_openat,
	SYS_close,
	SYS_pipe2,
	SYS_getdents64,
	SYS_lseek,
	SYS_read,
	SYS_read,
	SYS_write,
	SYS_write,
	SYS_readv,
	SYS_writev,
	SYS_pread64,
	SYS_pwrite64,
	SYS_preadv,
	SYS_pwritev,
	SYS_sendfile,
	SYS_sendfile,
	SYS_pselect6,
	SYS_ppoll,
	SYS_signalfd4,
	SYS_splice,
	SYS_splice,
	SYS_readlinkat,
	SYS_newfstatat,
	SYS_fstat,
	SYS_fsync,
	SYS_timerfd_create,
	SYS_timerfd_settime,
	SYS_timerfd_gettime,
	SYS_utimensat,
	SYS_fadvise64,
	SYS_renameat2,
	SYS_renameat2,
	SYS_memfd_create,
	SYS_copy_file_range,
	SYS_preadv2,
	SYS_statx,
	SYS_close_range,
	SYS_openat2,
	SYS_faccessat2,
	SYS_getxattr,
	SYS_readahead,
	SYS_mmap,
	SYS_munmap,
};

static const char *const paths[] = {
	"a",
	"b",
	"d",
	"d/e",
	"d/e/f",
	"l",
	"fifo",
	".",
	"..",
	"/",
	"",
	"a/",
	"d/",
	"l/x",
	"d/../a",
	"./././a",
	"/proc/self/fd/3",
	"/proc/self/fd",
	"/proc/self/maps",
	"/proc/self/exe",
	"/proc/self/cwd/a",
	"/proc/self/stat",
	"/proc",
	"/sys/devices/system/cpu/online",
	"null",
	"zero",
	"full",
	"urandom",
	"/proc/self/comm",
	"/proc/self/smaps",
};

static char *memory;

static uint64_t pointer(void)
{
	static const uint64_t wild[] = { 0,
		                         1,
		                         16,
		                         0x3fffffffff,
		                         0x4000000000,
		                         0xffffffc080200000,
		                         0xffffffff80000000,
		                         UINT64_MAX,
		                         UINT64_MAX - 7 };
	uint64_t kind = next() % 16;
	if (kind == 0)
		return wild[next() % (sizeof(wild) / sizeof(wild[0]))];
	if (kind == 1)
		return (uint64_t)memory + 16 * 4096 - next() % 64; /* runs into nothing */
	if (kind < 6)
		return (uint64_t)paths[next() % (sizeof(paths) / sizeof(paths[0]))];
	uint64_t *at = (uint64_t *)(memory + next() % (15 * 512) * 8);
	switch (next() % 4) {
	case 0:
		at[0] = (uint64_t)memory + next() % 4096;
		at[1] = next() % 8192;
		break;
	case 1:
		at[0] = next() % 32;
		at[1] = next() % 100000000;
		break;
	case 2:
		at[0] = next();
		at[1] = next();
		break;
	}
	return (uint64_t)at;
}

static uint64_t argument(void)
{
	switch (next() % 8) {
	case 0:
	case 1:
		return next() % 24;
	case 2:
		return (uint64_t)AT_FDCWD;
	case 3:
		return 1ull << next() % 64;
	case 4:
		return next() % 20000;
	case 5:
		return next() >> next() % 64;
	default:
		return pointer();
	}
}

static void child(void)
{
	memory = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Devices of their own: the children are root and replace what they find. */
	mknod("null", S_IFCHR | 0666, makedev(1, 3));
	mknod("zero", S_IFCHR | 0666, makedev(1, 5));
	mknod("full", S_IFCHR | 0666, makedev(1, 7));
	mknod("urandom", S_IFCHR | 0666, makedev(1, 9));
	int null = open("null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	alarm(2);
	for (int i = 0; i < CALLS; i++) {
		long number = numbers[next() % (sizeof(numbers) / sizeof(numbers[0]))];
		uint64_t first = next() % 3 ? next() % 24 : argument();
		if (number == SYS_mmap)
			syscall(number, 0, next() % 65536, next() % 8, 1 + next() % 2, next() % 24,
			        next() % 8 * 4096);
		else if (number == SYS_munmap)
			continue;
		else
			syscall(number, first, pointer(), argument(), argument(), argument(),
			        argument());
	}
	_exit(0);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status, (void)type;
	if (place->level)
		remove(path);
	return 0;
}

static char known[64][256]; /* what the root held at the start */
static int known_count;

static int is_known(const char *name)
{
	for (int i = 0; i < known_count; i++)
		if (strcmp(known[i], name) == 0)
			return 1;
	return 0;
}

static void learn(void)
{
	struct dirent *entry;
	DIR *root = opendir("/");
	while ((entry = readdir(root)) && known_count < 64)
		strcpy(known[known_count++], entry->d_name);
	closedir(root);
}

/* What the children left in /tmp, and in the root when they got there. */
static void remove_all(void)
{
	struct dirent *entry;
	if (chdir("/"))
		return;
	nftw("tmp", remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	DIR *root = opendir("/");
	while ((entry = readdir(root))) {
		if (is_known(entry->d_name))
			continue;
		nftw(entry->d_name, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
		remove(entry->d_name);
	}
	closedir(root);
}

static unsigned long free_kib(void)
{
	struct sysinfo information;
	sysinfo(&information);
	return information.freeram * information.mem_unit / 1024;
}

/* Its alarm may be blocked by the mask of a call that waits: then it is killed. */
static int wait_for(pid_t pid)
{
	int status;
	for (int tries = 0; tries < 300; tries++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return status;
}

int main(int count, char **arguments)
{
	int rounds = count > 1 ? atoi(arguments[1]) : 20, cut = 0;
	uint64_t seed = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
	unsigned long before = 0;
	learn();
	for (int round = 0; round < rounds; round++) {
		char home[64];
		snprintf(home, sizeof(home), "/tmp/fuzz%d", round);
		if (mkdir(home, 0755) || chdir(home))
			return 2;
		state = (seed + (uint64_t)round) * 0x9e3779b97f4a7c15ull | 1;
		pid_t pid = fork();
		if (!pid)
			child();
		int status = wait_for(pid);
		cut += status != 0;
		remove_all();
		if (round == 0)
			before = free_kib();
	}
	long lost = (long)before - (long)free_kib();
	printf("fuzz_files: %d rounds from seed %lu, %d cut off, %ld KiB lost\n", rounds,
	       (unsigned long)seed, cut, lost);
	return lost > 1024;
}
