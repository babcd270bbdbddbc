/* SPDX-License-Identifier: Apache-2.0 */
/* LD_PRELOAD: the N-th operation on a file below one of the folders in FILEFAULTS_UNDER (colons between them) fails with
 * errno FILEFAULTS_ERRNO; N is FILEFAULTS_AT, counted in this process. FILEFAULTS_MARK gets the operation and its path when
 * it does. Opening for reading is no operation: an error there says nothing about losing data. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int passed;

static int is_under(const char *path)
{
    const char *folders = getenv("FILEFAULTS_UNDER");
    while (folders && *folders) {
        size_t length = strcspn(folders, ":");
        if (strncmp(path, folders, length) == 0)
            return 1;
        folders += length + (folders[length] == ':');
    }
    return 0;
}

/* What the kernel itself would never answer there is no test of anything. */
static int can_give(const char *what, int error)
{
    if (error == EMFILE)
        return strcmp(what, "open") == 0;
    return error != EROFS || (strcmp(what, "write") != 0 && strcmp(what, "fsync") != 0);
}

static int fails(const char *what, const char *path)
{
    const char *at = getenv("FILEFAULTS_AT"), *number = getenv("FILEFAULTS_ERRNO"), *mark = getenv("FILEFAULTS_MARK");
    if (!at || !number || !is_under(path) || !can_give(what, atoi(number)) || atomic_fetch_add(&passed, 1) + 1 != atoi(at))
        return 0;
    if (mark) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%s %s\n", what, path);
        int file = syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        syscall(SYS_write, file, line, length);
        syscall(SYS_close, file);
    }
    errno = atoi(number);
    return 1;
}

static void path_of(int file, char *path)
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
}

static int fails_on(const char *what, int file)
{
    char path[PATH_MAX];
    path_of(file, path);
    return fails(what, path);
}

static int fails_at(const char *what, int folder, const char *name)
{
    char path[2 * PATH_MAX] = "";
    if (name[0] != '/' && folder != AT_FDCWD) {
        path_of(folder, path);
        strcat(path, "/");
    }
    strncat(path, name, PATH_MAX - 1);
    return fails(what, path);
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }
#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & O_CREAT))

int open(const char *path, int flags, ...)
{
    MODE(flags)
    return WRITES(flags) && fails_at("open", AT_FDCWD, path) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...)
{
    MODE(flags)
    return WRITES(flags) && fails_at("open", AT_FDCWD, path) ? -1 : REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...)
{
    MODE(flags)
    return WRITES(flags) && fails_at("open", folder, path) ? -1 : REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...)
{
    MODE(flags)
    return WRITES(flags) && fails_at("open", folder, path) ? -1 : REAL(openat64)(folder, path, flags, mode);
}
ssize_t write(int file, const void *bytes, size_t count)
{
    return fails_on("write", file) ? -1 : REAL(write)(file, bytes, count);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t at)
{
    return fails_on("write", file) ? -1 : REAL(pwrite)(file, bytes, count, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at)
{
    return fails_on("write", file) ? -1 : REAL(pwrite64)(file, bytes, count, at);
}
int fsync(int file) { return fails_on("fsync", file) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return fails_on("fsync", file) ? -1 : REAL(fdatasync)(file); }
int ftruncate(int file, off_t length) { return fails_on("ftruncate", file) ? -1 : REAL(ftruncate)(file, length); }
int ftruncate64(int file, off64_t length) { return fails_on("ftruncate", file) ? -1 : REAL(ftruncate64)(file, length); }
int rename(const char *from, const char *to)
{
    return fails_at("rename", AT_FDCWD, to) ? -1 : REAL(rename)(from, to);
}
int renameat(int folder, const char *from, int other, const char *to)
{
    return fails_at("rename", other, to) ? -1 : REAL(renameat)(folder, from, other, to);
}
int unlink(const char *path) { return fails_at("unlink", AT_FDCWD, path) ? -1 : REAL(unlink)(path); }
int unlinkat(int folder, const char *path, int flags)
{
    return fails_at("unlink", folder, path) ? -1 : REAL(unlinkat)(folder, path, flags);
}
int mkdir(const char *path, mode_t mode) { return fails_at("mkdir", AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int folder, const char *path, mode_t mode)
{
    return fails_at("mkdir", folder, path) ? -1 : REAL(mkdirat)(folder, path, mode);
}
