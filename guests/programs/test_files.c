/* Files and names: what Linux's manual pages promise. The same program passes on Linux (run it in
 * an empty directory as root). */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "test_check.h"

static char buffer[65536];

static int make(const char *path, const char *text)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	EQ(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static void test_data(void)
{
	int fd = make("data", "0123456789");
	EQ(ready(fd, POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
	EQ(lseek(fd, 3, SEEK_SET), 3);
	EQ(read(fd, buffer, 4), 4);
	EQ(memcmp(buffer, "3456", 4), 0);
	EQ(lseek(fd, 0, SEEK_CUR), 7);
	EQ(pread(fd, buffer, 100, 8), 2);
	EQ(pread(fd, buffer, 100, 10), 0);
	EQ(lseek(fd, 0, SEEK_CUR), 7);
	EQ(pwrite(fd, "X", 1, 20), 1);
	struct stat status;
	EQ(fstat(fd, &status), 0);
	EQ(status.st_size, 21);
	EQ(S_ISREG(status.st_mode), 1);
	EQ(status.st_nlink, 1);
	EQ(pread(fd, buffer, 100, 0), 21);
	EQ(memcmp(buffer + 10, "\0\0\0\0\0\0\0\0\0\0X", 11), 0);
	struct iovec vector[3] = { { "ab", 2 }, { "", 0 }, { "cde", 3 } };
	EQ(pwritev(fd, vector, 3, 100), 5);
	EQ(lseek(fd, 0, SEEK_END), 105);
	EQ(ftruncate(fd, 102), 0);
	EQ(ftruncate(fd, 110), 0);
	EQ(pread(fd, buffer, 100, 100), 10);
	EQ(memcmp(buffer, "ab\0\0\0\0\0\0\0\0", 10), 0);
	FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
	FAILS(lseek(fd, 0, 77), EINVAL);
	FAILS(pread(fd, buffer, 1, -1), EINVAL);
	FAILS(read(fd, bad_pointer, 10), EFAULT);
	FAILS(write(fd, bad_pointer, 10), EFAULT);
	FAILS(read(999, buffer, 1), EBADF);
	FAILS(ftruncate(fd, -1), EINVAL);
	EQ(close(fd), 0);
	fd = open("data", O_WRONLY | O_APPEND);
	EQ(write(fd, "end", 3), 3);
	EQ(lseek(fd, 0, SEEK_CUR), 113);
	FAILS(read(fd, buffer, 1), EBADF);
	close(fd);
	fd = open("data", O_RDONLY);
	FAILS(write(fd, "x", 1), EBADF);
	FAILS(ftruncate(fd, 0), EINVAL);
	close(fd);
	EQ(truncate("data", 5), 0);
	EQ(stat("data", &status) || status.st_size != 5, 0);
	EQ(unlink("data"), 0);
}

static void test_sparse(void)
{
	int fd = make("sparse", "");
	EQ(pwrite(fd, "x", 1, 1L << 40), 1);
	EQ(lseek(fd, 0, SEEK_DATA) > 0, 1);
	EQ(lseek(fd, 0, SEEK_HOLE), 0);
	FAILS(lseek(fd, (1L << 40) + 1, SEEK_DATA), ENXIO);
	EQ(pread(fd, buffer, sizeof(buffer), 4096 * 5 + 7), sizeof(buffer));
	int sum = 0;
	for (unsigned i = 0; i < sizeof(buffer); i++)
		sum += buffer[i];
	EQ(sum, 0);
	struct stat status;
	fstat(fd, &status);
	EQ(status.st_blocks <= 16, 1);
	EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1L << 41), 0);
	EQ(pread(fd, buffer, 1, 1L << 40), 1);
	EQ(buffer[0], 0);
	close(fd);
	unlink("sparse");
}

static void test_mapping(void)
{
	int fd = make("mapped", "hello");
	char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	EQ(shared[0], 'h');
	EQ(shared[5], 0);
	EQ(pwrite(fd, "J", 1, 0), 1);
	EQ(shared[0], 'J');
	shared[1] = 'E';
	EQ(pread(fd, buffer, 5, 0), 5);
	EQ(memcmp(buffer, "JEllo", 5), 0);
	private[0] = 'p';
	EQ(shared[0], 'J');
	shared[100] = 'z'; /* behind the end: must not show when the file grows */
	EQ(ftruncate(fd, 200), 0);
	EQ(pread(fd, buffer, 1, 100), 1);
	EQ(buffer[0], 0);
	EQ(munmap(shared, 4096), 0);
	EQ(munmap(private, 4096), 0);
	close(fd);
	unlink("mapped");
}

static void test_open_flags(void)
{
	FAILS(open("none", O_RDONLY), ENOENT);
	FAILS(open("none/x", O_RDWR | O_CREAT, 0600), ENOENT);
	FAILS(open("", O_RDONLY), ENOENT);
	int fd = open("excl", O_CREAT | O_EXCL | O_RDWR, 0600);
	EQ(fd >= 0, 1);
	FAILS(open("excl", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	FAILS(open("excl", O_DIRECTORY | O_RDONLY), ENOTDIR);
	FAILS(open("excl/", O_RDONLY), ENOTDIR);
	FAILS(open("excl/x", O_RDONLY), ENOTDIR);
	FAILS(open(".", O_WRONLY), EISDIR);
	FAILS(open("newdir/", O_CREAT | O_RDWR, 0600), EISDIR);
	FAILS(open((char *)bad_pointer, O_RDONLY), EFAULT);
	close(fd);
	char name[300];
	memset(name, 'n', sizeof(name));
	name[256] = 0;
	FAILS(open(name, O_CREAT | O_RDWR, 0600), ENAMETOOLONG);
	name[255] = 0;
	fd = open(name, O_CREAT | O_RDWR, 0600);
	EQ(fd >= 0, 1);
	close(fd);
	EQ(unlink(name), 0);
	memset(buffer, '/', 5000);
	buffer[5000] = 0;
	FAILS(open(buffer, O_RDONLY), ENAMETOOLONG);
	fd = open("excl", O_PATH);
	FAILS(read(fd, buffer, 1), EBADF);
	struct stat status;
	EQ(fstat(fd, &status), 0);
	close(fd);
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	EQ(fd >= 0, 1);
	EQ(write(fd, "x", 1), 1);
	EQ(fstat(fd, &status), 0);
	EQ(status.st_nlink, 0);
	close(fd);
	fd = open("excl", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR);
	EQ(fcntl(fd, F_SETFL, O_APPEND), 0);
	EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
	close(fd);
	unlink("excl");
}

static void test_descriptors(void)
{
	int fd = make("dup", "abc");
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	EQ(high, 100);
	EQ(fcntl(high, F_GETFD), FD_CLOEXEC);
	int copy = dup(fd);
	EQ(copy, fd + 1);
	EQ(lseek(fd, 1, SEEK_SET), 1);
	EQ(lseek(copy, 0, SEEK_CUR), 1); /* one open file description */
	EQ(dup2(fd, 50), 50);
	EQ(dup2(fd, fd), fd);
	FAILS(dup3(fd, fd, 0), EINVAL);
	FAILS(dup3(fd, 51, 1), EINVAL);
	FAILS(dup2(fd, 1 << 30), EBADF);
	FAILS(dup(77), EBADF);
	EQ(syscall(SYS_close_range, 50, 200, 0), 0);
	FAILS(fcntl(100, F_GETFD), EBADF);
	FAILS(fcntl(fd, F_DUPFD, 1 << 30), EINVAL);
	close(copy);
	int lowest = open("dup", O_RDONLY);
	EQ(lowest, copy);
	close(lowest);
	close(fd);
	unlink("dup");
}

static void test_directories(void)
{
	struct stat status;
	EQ(mkdir("d", 0755), 0);
	FAILS(mkdir("d", 0755), EEXIST);
	EQ(mkdir("d/sub/", 0755), 0);
	EQ(stat("d", &status), 0);
	EQ(S_ISDIR(status.st_mode), 1);
	EQ(status.st_nlink, 3);
	FAILS(rmdir("d"), ENOTEMPTY);
	FAILS(unlink("d"), EISDIR);
	FAILS(rmdir("d/."), EINVAL);
	FAILS(rmdir("d/sub/.."), ENOTEMPTY);
	for (int i = 0; i < 500; i++) {
		char name[32];
		snprintf(name, sizeof(name), "d/file%d", i);
		close(open(name, O_CREAT | O_WRONLY, 0600));
	}
	DIR *directory = opendir("d");
	int count = 0, dots = 0, types = 0;
	struct dirent *entry;
	while ((entry = readdir(directory))) {
		dots += entry->d_name[0] == '.';
		types += entry->d_type == DT_REG;
		count++;
		if (entry->d_type == DT_REG)
			EQ(unlinkat(dirfd(directory), entry->d_name, 0), 0);
	}
	EQ(count, 503);
	EQ(dots, 2);
	EQ(types, 500);
	rewinddir(directory);
	count = 0;
	while (readdir(directory))
		count++;
	EQ(count, 3);
	closedir(directory);
	char *was = getcwd(NULL, 0);
	EQ(chdir("d/sub"), 0);
	char *now = getcwd(NULL, 0);
	EQ(strcmp(now + strlen(was), "/d/sub"), 0);
	FAILS(syscall(SYS_getcwd, buffer, 3), ERANGE);
	EQ(chdir("../.."), 0);
	free(was);
	free(now);
	int fd = open("d", O_RDONLY | O_DIRECTORY);
	FAILS(read(fd, buffer, 10), EISDIR);
	EQ(fchdir(fd), 0);
	EQ(rmdir("sub"), 0);
	EQ(chdir(".."), 0);
	EQ(rmdir("d"), 0);
	EQ(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)) <= 0, 1);
	FAILS(openat(fd, "x", O_CREAT | O_RDWR, 0600), ENOENT);
	close(fd);
}

static void test_links(void)
{
	struct stat status;
	close(make("one", "1"));
	EQ(link("one", "two"), 0);
	EQ(stat("two", &status), 0);
	EQ(status.st_nlink, 2);
	FAILS(link("one", "two"), EEXIST);
	FAILS(link(".", "dirlink"), EPERM);
	EQ(unlink("one"), 0);
	EQ(stat("two", &status), 0);
	EQ(status.st_nlink, 1);
	EQ(symlink("two", "sym"), 0);
	EQ(lstat("sym", &status), 0);
	EQ(S_ISLNK(status.st_mode), 1);
	EQ(status.st_size, 3);
	EQ(readlink("sym", buffer, 100), 3);
	EQ(readlink("sym", buffer, 2), 2);
	FAILS(readlink("two", buffer, 100), EINVAL);
	FAILS(open("sym", O_RDONLY | O_NOFOLLOW), ELOOP);
	int fd = open("sym", O_RDONLY);
	EQ(read(fd, buffer, 10), 1);
	close(fd);
	EQ(symlink("loop2", "loop1"), 0);
	EQ(symlink("loop1", "loop2"), 0);
	FAILS(open("loop1", O_RDONLY), ELOOP);
	EQ(symlink("made", "dangling"), 0);
	FAILS(open("dangling", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	fd = open("dangling", O_CREAT | O_RDWR, 0600);
	EQ(fd >= 0, 1);
	close(fd);
	EQ(stat("made", &status), 0);
	FAILS(symlink("", "empty"), ENOENT);
	unlink("made");
	unlink("dangling");
	unlink("loop1");
	unlink("loop2");
	unlink("sym");
	unlink("two");
}

static void test_rename(void)
{
	struct stat status;
	close(make("a", "a"));
	close(make("b", "bb"));
	EQ(rename("a", "b"), 0);
	EQ(stat("b", &status), 0);
	EQ(status.st_size, 1);
	FAILS(rename("a", "c"), ENOENT);
	EQ(mkdir("dir", 0755), 0);
	EQ(mkdir("dir/in", 0755), 0);
	FAILS(rename("dir", "dir/in/x"), EINVAL);
	FAILS(rename("b", "dir"), EISDIR);
	FAILS(rename("dir", "b"), ENOTDIR);
	EQ(mkdir("full", 0755), 0);
	close(make("full/x", ""));
	FAILS(rename("dir", "full"), ENOTEMPTY);
	EQ(renameat2(AT_FDCWD, "full", AT_FDCWD, "dir", RENAME_EXCHANGE), 0);
	EQ(stat("dir/x", &status), 0);
	EQ(stat("full/in", &status), 0);
	FAILS(renameat2(AT_FDCWD, "b", AT_FDCWD, "dir/x", RENAME_NOREPLACE), EEXIST);
	EQ(renameat2(AT_FDCWD, "b", AT_FDCWD, "dir/y", RENAME_NOREPLACE), 0);
	EQ(rename("full", "dir/moved"), 0);
	EQ(stat("dir", &status), 0);
	EQ(status.st_nlink, 3);
	EQ(stat("dir/moved/in/../../y", &status), 0);
	EQ(link("dir/y", "dir/z"), 0);
	EQ(rename("dir/y", "dir/z"), 0); /* the same file: nothing happens */
	EQ(stat("dir/y", &status), 0);
	unlink("dir/x");
	unlink("dir/y");
	unlink("dir/z");
	EQ(rmdir("dir/moved/in"), 0);
	EQ(rmdir("dir/moved"), 0);
	EQ(rmdir("dir"), 0);
}

static void test_attributes(void)
{
	struct stat status;
	int fd = make("attr", "x");
	EQ(fchmod(fd, 04751), 0);
	EQ(fstat(fd, &status), 0);
	EQ(status.st_mode & 07777, 04751);
	EQ(chown("attr", 12, 34), 0);
	EQ(stat("attr", &status), 0);
	EQ(status.st_uid, 12);
	EQ(status.st_gid, 34);
	EQ(status.st_mode & 07777, 0751);
	struct timespec times[2] = { { 1000, 5 }, { 2000, 6 } };
	EQ(futimens(fd, times), 0);
	EQ(fstat(fd, &status), 0);
	EQ(status.st_mtim.tv_sec, 2000);
	EQ(status.st_mtim.tv_nsec, 6);
	times[0].tv_nsec = UTIME_OMIT;
	times[1].tv_nsec = UTIME_NOW;
	EQ(utimensat(AT_FDCWD, "attr", times, 0), 0);
	EQ(fstat(fd, &status), 0);
	EQ(status.st_atim.tv_sec, 1000);
	EQ(status.st_mtim.tv_sec > 2000, 1);
	times[1].tv_nsec = -7;
	FAILS(futimens(fd, times), EINVAL);
	EQ(access("attr", R_OK | W_OK), 0);
	FAILS(access("nothing", F_OK), ENOENT);
	mode_t old = umask(027);
	EQ(umask(027), 027);
	close(open("masked", O_CREAT | O_RDWR, 0666));
	EQ(stat("masked", &status), 0);
	EQ(status.st_mode & 0777, 0640);
	umask(old);
	struct statx extended;
	EQ(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &extended), 0);
	EQ(extended.stx_size, 1);
	struct statfs file_system;
	EQ(statfs(".", &file_system), 0);
	EQ(file_system.f_bsize > 0, 1);
	EQ(fsync(fd), 0);
	EQ(fdatasync(fd), 0);
	EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	close(fd);
	unlink("attr");
	unlink("masked");
}

/* As nobody: files of others are out of reach. */
static void test_permissions(void)
{
	close(make("secret", "s"));
	chmod("secret", 0600);
	mkdir("locked", 0700);
	close(make("locked/in", ""));
	chmod(".", 0755);
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		failures = checks = 0;
		EQ(setgid(1000), 0);
		EQ(setuid(1000), 0);
		FAILS(open("secret", O_RDONLY), EACCES);
		FAILS(open("locked/in", O_RDONLY), EACCES);
		FAILS(open("new", O_CREAT | O_RDWR, 0600), EACCES);
		FAILS(unlink("secret"), EACCES);
		FAILS(chmod("secret", 0777), EPERM);
		FAILS(chown("secret", 1000, 1000), EPERM);
		FAILS(access("secret", R_OK), EACCES);
		FAILS(mknod("node", S_IFCHR, 0x103), EACCES);
		FAILS(mknod("/tmp/node", S_IFCHR, 0x103), EPERM);
		fflush(stdout);
		_exit(failures != 0);
	}
	int status;
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 0);
	unlink("secret");
	unlink("locked/in");
	rmdir("locked");
}

static void test_transfers(void)
{
	int in = make("in", ""), out = make("out", "");
	for (unsigned i = 0; i < sizeof(buffer); i++)
		buffer[i] = (char)(i * 7);
	EQ(write(in, buffer, sizeof(buffer)), sizeof(buffer));
	off_t offset = 1000;
	EQ(sendfile(out, in, &offset, 30000), 30000);
	EQ(offset, 31000);
	EQ(lseek(out, 0, SEEK_CUR), 30000);
	static char back[sizeof(buffer)];
	EQ(pread(out, back, 30000, 0), 30000);
	EQ(memcmp(back, buffer + 1000, 30000), 0);
	lseek(in, 0, SEEK_SET);
	EQ(sendfile(out, in, NULL, 1 << 20), sizeof(buffer));
	EQ(sendfile(out, in, NULL, 100), 0);
	off_t from = 10, to = 0;
	EQ(copy_file_range(in, &from, out, &to, 500, 0), 500);
	EQ(pread(out, back, 500, 0), 500);
	EQ(memcmp(back, buffer + 10, 500), 0);
	int pipes_[2];
	EQ(pipe(pipes_), 0);
	from = 0;
	EQ(splice(in, &from, pipes_[1], NULL, 300, 0) > 0, 1);
	EQ(read(pipes_[0], back, 300) > 0, 1);
	EQ(memcmp(back, buffer, 200), 0);
	FAILS(splice(in, &from, out, NULL, 300, 0), EINVAL);
	FAILS(sendfile(out, pipes_[0], NULL, 10), EINVAL);
	close(pipes_[0]);
	close(pipes_[1]);
	close(in);
	close(out);
	unlink("in");
	unlink("out");
}

static void test_locks(void)
{
	int fd = make("lock", "0123456789"), other = open("lock", O_RDWR);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 4 };
	EQ(fcntl(fd, F_SETLK, &lock), 0);
	EQ(fcntl(other, F_SETLK, &lock), 0); /* the same process: no conflict */
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		failures = 0;
		FAILS(fcntl(fd, F_SETLK, &lock), EAGAIN);
		lock.l_start = 0;
		lock.l_len = 0;
		EQ(fcntl(fd, F_GETLK, &lock), 0);
		EQ(lock.l_type, F_WRLCK);
		EQ(lock.l_start, 2);
		EQ(lock.l_len, 4);
		EQ(lock.l_pid, getppid());
		lock = (struct flock){ .l_type = F_WRLCK, .l_start = 6, .l_len = 2 };
		EQ(fcntl(fd, F_SETLK, &lock), 0);
		fflush(stdout);
		_exit(failures != 0);
	}
	int status;
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 0);
	EQ(flock(fd, LOCK_EX), 0);
	FAILS(flock(other, LOCK_SH | LOCK_NB), EAGAIN);
	EQ(flock(fd, LOCK_UN), 0);
	EQ(flock(other, LOCK_SH | LOCK_NB), 0);
	close(other);
	close(fd);
	unlink("lock");
}

static void test_special(void)
{
	int fd = open("/dev/null", O_RDWR);
	EQ(read(fd, buffer, 10), 0);
	EQ(write(fd, buffer, 10), 10);
	close(fd);
	fd = open("/dev/zero", O_RDWR);
	buffer[0] = 1;
	EQ(read(fd, buffer, 10), 10);
	EQ(buffer[0], 0);
	close(fd);
	fd = open("/dev/full", O_RDWR);
	FAILS(write(fd, buffer, 10), ENOSPC);
	close(fd);
	fd = open("/dev/urandom", O_RDONLY);
	EQ(read(fd, buffer, 1000), 1000);
	close(fd);
	EQ(mknod("fifo", S_IFIFO | 0600, 0), 0);
	FAILS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		int writer = open("fifo", O_WRONLY); /* waits for the reader */
		pause_ms(20);
		_exit(write(writer, "through", 7) != 7);
	}
	fd = open("fifo", O_RDONLY);
	EQ(read(fd, buffer, 100), 7);
	EQ(read(fd, buffer, 100), 0);
	int status;
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 0);
	close(fd);
	unlink("fifo");
	fd = memfd_create("m", MFD_ALLOW_SEALING);
	EQ(ftruncate(fd, 4096), 0);
	EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	FAILS(ftruncate(fd, 0), EPERM);
	FAILS(ftruncate(fd, 8192), EPERM);
	EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
	close(fd);
}

static long read_file(const char *path)
{
	int fd = open(path, O_RDONLY);
	long length = read(fd, buffer, sizeof(buffer) - 1);
	close(fd);
	buffer[length > 0 ? length : 0] = 0;
	return length;
}

static void test_proc(void)
{
	char link[64];
	EQ(read_file("/proc/self/stat") > 0, 1);
	EQ(atoi(buffer), getpid());
	EQ(read_file("/proc/self/maps") > 0, 1);
	EQ(strstr(buffer, "[stack]") != NULL, 1);
	EQ(read_file("/proc/self/cmdline") > 0, 1);
	EQ(read_file("/proc/meminfo") > 0, 1);
	EQ(strstr(buffer, "MemTotal:") != NULL, 1);
	EQ(read_file("/proc/sys/kernel/osrelease") > 0, 1);
	EQ(read_file("/proc/self/limits") > 0, 1);
	EQ(read_file("/sys/devices/system/cpu/online") > 0, 1);
	int fd = open("/dev/null", O_RDONLY);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	EQ(readlink(link, buffer, 100), 9);
	EQ(memcmp(buffer, "/dev/null", 9), 0);
	close(fd);
	FAILS(open(link, O_RDONLY), ENOENT);
	EQ(readlink("/proc/self/exe", buffer, 100) > 0, 1);
	FAILS(open("/proc/self/exe", O_RDWR), ETXTBSY);
	FAILS(open("/proc/999999999", O_RDONLY), ENOENT);
	FAILS(mkdir("/proc/x", 0755), ENOENT);
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	int own = 0;
	while ((entry = readdir(directory)))
		own += atoi(entry->d_name) == getpid();
	EQ(own, 1);
	closedir(directory);
	fd = open("/proc/self/comm", O_WRONLY);
	EQ(write(fd, "renamed", 7), 7);
	close(fd);
	EQ(read_file("/proc/self/comm"), 8);
	int pipe_ends[2];
	EQ(pipe(pipe_ends), 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", pipe_ends[0]);
	EQ(readlink(link, buffer, 100) > 6, 1);
	EQ(memcmp(buffer, "pipe:[", 6), 0);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

/* RLIMIT_FSIZE: a write is cut short at the limit, one behind it fails with a signal, and one of no
 * bytes does nothing. */
static void test_size_limit(void)
{
	struct rlimit unlimited, limit;
	char bytes[64] = "";
	struct iovec vector[2] = { { bytes, 0 }, { bytes, 0 } };
	EQ(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
	limit = (struct rlimit){ 100, unlimited.rlim_max };
	void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
	int fd = open("limited", O_RDWR | O_CREAT | O_TRUNC, 0600);
	EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	EQ(pwrite(fd, bytes, 64, 80), 20);
	FAILS(pwrite(fd, bytes, 64, 100), EFBIG);
	FAILS(pwrite(fd, bytes, 64, 1000), EFBIG);
	EQ(pwrite(fd, bytes, 0, 1000), 0);
	EQ(pwritev(fd, vector, 2, 1000), 0);
	EQ(lseek(fd, 0, SEEK_END), 100);
	EQ(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
	signal(SIGXFSZ, before);
	close(fd);
	unlink("limited");
}

int main(void)
{
	char home[] = "/tmp/filesXXXXXX";
	begin();
	if (!mkdtemp(home) || chdir(home))
		return 2;
	test_data();
	test_size_limit();
	test_sparse();
	test_mapping();
	test_open_flags();
	test_descriptors();
	test_directories();
	test_links();
	test_rename();
	test_attributes();
	test_permissions();
	test_transfers();
	test_locks();
	test_special();
	test_proc();
	EQ(chdir("/"), 0);
	EQ(rmdir(home), 0);
	return end("test_files");
}
