/* The calls: sockets, readiness, files, memory, time, signals. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "guests/programs/fuzz/fuzz.h"

#define FLAGS(...) ((const uint64_t[]){ __VA_ARGS__, 0 })
#define CALL(name, kinds, flags, weight)                                                           \
	{                                                                                          \
#name, SYS_##name, kinds, flags, weight                                            \
	}

#define SEND_FLAGS FLAGS(MSG_DONTWAIT, MSG_NOSIGNAL, MSG_MORE, MSG_OOB, MSG_CONFIRM, MSG_EOR)
#define RECEIVE_FLAGS                                                                              \
	FLAGS(MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_OOB, MSG_ERRQUEUE,               \
	      MSG_CMSG_CLOEXEC)

const struct fuzz_call fuzz_calls[] = {
	CALL(socket, "dy0", NULL, 12),
	CALL(socketpair, "dy0b", NULL, 6),
	CALL(bind, "fan", NULL, 10),
	CALL(listen, "fc", NULL, 16),
	CALL(accept, "faz", NULL, 12),
	CALL(accept4, "fazx", FLAGS(SOCK_NONBLOCK, SOCK_CLOEXEC), 12),
	CALL(connect, "fan", NULL, 16),
	CALL(getsockname, "fbz", NULL, 2),
	CALL(getpeername, "fbz", NULL, 2),
	CALL(sendto, "fblxan", SEND_FLAGS, 12),
	CALL(recvfrom, "fblxbz", RECEIVE_FLAGS, 12),
	CALL(sendmsg, "fmx", SEND_FLAGS, 10),
	CALL(recvmsg, "fmx", RECEIVE_FLAGS, 10),
	CALL(sendmmsg, "fMcx", SEND_FLAGS, 5),
	CALL(recvmmsg, "fMcxt", FLAGS(MSG_DONTWAIT, MSG_WAITFORONE, MSG_PEEK), 5),
	CALL(setsockopt, "fLobl", NULL, 12),
	CALL(getsockopt, "fLobz", NULL, 8),
	CALL(shutdown, "fc", NULL, 3),
	CALL(close, "f", NULL, 6),
	CALL(close_range, "ffx", FLAGS(CLOSE_RANGE_CLOEXEC), 1),
	CALL(dup, "f", NULL, 3),
	CALL(dup3, "ffx", FLAGS(O_CLOEXEC), 3),
	CALL(fcntl, "fcl", NULL, 4),
	CALL(ioctl, "fib", NULL, 6),
	CALL(read, "fbl", NULL, 10),
	CALL(write, "fbl", NULL, 10),
	CALL(readv, "fvc", NULL, 5),
	CALL(writev, "fvc", NULL, 5),
	CALL(pread64, "fblO", NULL, 3),
	CALL(pwrite64, "fblO", NULL, 3),
	CALL(preadv2, "fvcO0x", FLAGS(RWF_HIPRI, RWF_NOWAIT), 2),
	CALL(pwritev2, "fvcO0x", FLAGS(RWF_DSYNC, RWF_APPEND), 2),
	CALL(sendfile, "ffbl", NULL, 4),
	CALL(splice, "fbfblx", FLAGS(SPLICE_F_NONBLOCK, SPLICE_F_MOVE), 4),
	CALL(copy_file_range, "fbfbl0", NULL, 1),
	CALL(lseek, "fOc", NULL, 2),
	CALL(ftruncate, "fO", NULL, 2),
	CALL(fallocate, "fxOO",
	     FLAGS(FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE), 2),
	CALL(openat, "Dpx0",
	     FLAGS(O_RDWR, O_CREAT | O_RDWR, O_TRUNC, O_APPEND, O_NONBLOCK, O_DIRECTORY, O_PATH),
	     8),
	CALL(mkdirat, "Dpl", NULL, 1),
	CALL(unlinkat, "Dpx", FLAGS(AT_REMOVEDIR), 2),
	CALL(renameat2, "DpDpx", FLAGS(1, 2), 2),
	CALL(linkat, "DpDpx", FLAGS(AT_SYMLINK_FOLLOW, AT_EMPTY_PATH), 1),
	CALL(symlinkat, "pDp", NULL, 1),
	CALL(readlinkat, "Dpbl", NULL, 1),
	CALL(newfstatat, "Dpbx", FLAGS(AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW), 2),
	CALL(statx, "Dpxcb", FLAGS(AT_EMPTY_PATH), 1),
	CALL(fstat, "fb", NULL, 1),
	CALL(getdents64, "fbl", NULL, 2),
	CALL(faccessat2, "Dpcx", FLAGS(AT_EACCESS, AT_EMPTY_PATH), 1),
	CALL(utimensat, "Dpbx", FLAGS(AT_SYMLINK_NOFOLLOW), 1),
	CALL(flock, "fc", NULL, 1),
	CALL(memfd_create, "px", FLAGS(1, 2), 1),
	CALL(pipe2, "bx", FLAGS(O_NONBLOCK, O_CLOEXEC, O_DIRECT), 5),
	CALL(eventfd2, "cx", FLAGS(EFD_NONBLOCK, EFD_SEMAPHORE), 4),
	CALL(timerfd_create, "cx", FLAGS(TFD_NONBLOCK, TFD_CLOEXEC), 3),
	CALL(timerfd_settime, "fxTb", FLAGS(TFD_TIMER_ABSTIME), 3),
	CALL(timerfd_gettime, "fb", NULL, 1),
	CALL(signalfd4, "fb8x", FLAGS(O_NONBLOCK), 1),
	CALL(epoll_create1, "x", FLAGS(EPOLL_CLOEXEC), 5),
	CALL(epoll_ctl, "fcfe", NULL, 20),
	CALL(epoll_pwait, "fbcw00", NULL, 8),
	CALL(epoll_pwait2, "fbct00", NULL, 4),
	CALL(ppoll, "Pct00", NULL, 6),
	CALL(pselect6, "obbbt0", NULL, 3),
	CALL(mmap, "rRxx0O",
	     FLAGS(PROT_READ, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS,
	           MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS),
	     2),
	CALL(munmap, "rR", NULL, 2),
	CALL(mprotect, "rRc", NULL, 2),
	CALL(mremap, "rRRx0", FLAGS(MREMAP_MAYMOVE), 1),
	CALL(madvise, "rRo", NULL, 3),
	CALL(msync, "rRc", NULL, 1),
	CALL(mincore, "rRb", NULL, 1),
	CALL(mlock, "rR", NULL, 1),
	CALL(futex, "bxctbc",
	     FLAGS(FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_WAIT_BITSET, FUTEX_WAKE_OP, FUTEX_PRIVATE_FLAG),
	     4),
	CALL(nanosleep, "tb", NULL, 1),
	CALL(clock_gettime, "cb", NULL, 1),
	CALL(clock_nanosleep, "c0tb", NULL, 1),
	CALL(timer_create, "c0b", NULL, 1),
	CALL(timer_settime, "cxTb", FLAGS(TIMER_ABSTIME), 1),
	CALL(timer_delete, "c", NULL, 1),
	CALL(rt_sigprocmask, "00b8", NULL, 1),
	CALL(rt_sigpending, "b8", NULL, 1),
	CALL(sigaltstack, "0b", NULL, 1),
	CALL(getrandom, "blx", FLAGS(1, 2), 1),
	CALL(getcwd, "bl", NULL, 1),
	CALL(sched_yield, "", NULL, 2),
	CALL(prlimit64, "0o0b", NULL, 1),
	CALL(getrusage, "cb", NULL, 1),
	CALL(sysinfo, "b", NULL, 1),
	CALL(wait4, "cbxb", FLAGS(WNOHANG), 1),
};

const unsigned fuzz_call_count = sizeof(fuzz_calls) / sizeof(fuzz_calls[0]);
