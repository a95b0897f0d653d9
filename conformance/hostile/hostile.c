/* A plugin that attacks whoever loads it, to prove that its sandbox holds.
 *
 * Each attack says "made" only when it got what is forbidden, and uses bare kernel calls where the C library would hide
 * one. It does no harm when it succeeds: it takes back what it made, signals with signal 0, and every bomb is bounded. So it
 * can be run without a sandbox too, which is what gives a refusal inside one its meaning.
 */
#include "nexcage_plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <mqueue.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the attacks by other system call tables are those of x86-64"
#endif

/* Newer than the headers of some systems that build this. */
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
/* Its header and that of the new mount calls do not go together. */
#define MNT_DETACH 2

#define PAGE 4096UL
#define MIB (1UL << 20)
/* No attack that waits does so for longer, so that none stays behind where nobody ends it. */
#define HANG_SECONDS 60
#define SPIN_SECONDS 20

static const nxc_host *host;
static _Atomic uint64_t current_call;
/* Set once the entry function has returned and `init` runs: the sandbox is as strict then as it gets. */
static atomic_int is_running;

/* ---- Helpers. An attack returns 0 when it was made, or the error number of what held it. ---- */

static int outcome(long result) {
    return result < 0 ? errno : 0;
}

/* What a descriptor proves is that there is one. */
static int opened(long fd) {
    if (fd < 0)
        return errno;
    syscall(SYS_close, fd);
    return 0;
}

/* An open file counts when a byte of it was read. */
static int readable(long fd) {
    char byte;
    if (fd < 0)
        return errno;
    long count = syscall(SYS_read, fd, &byte, 1);
    int error = count < 0 ? errno : count == 0 ? ENODATA : 0;
    syscall(SYS_close, fd);
    return error;
}

static long open_at(const char *path, int flags) {
    return syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static int read_path(const char *path) {
    return readable(open_at(path, O_RDONLY));
}

static void nap(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    syscall(SYS_nanosleep, &time, NULL);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A name that no one else has. */
static const char *scratch(const char *suffix) {
    static char path[96];
    snprintf(path, sizeof path, "/tmp/nexcage-hostile-%ld-%s", syscall(SYS_getpid), suffix);
    return path;
}

/* A process that is not this one: where the parent cannot be seen, a number that is not ours. */
static int parent(void) {
    long id = syscall(SYS_getppid);
    return id > 1 ? (int)id : 2;
}

/* The file that this code comes from. */
static const char *own_object(void) {
    Dl_info info;
    return dladdr((void *)(uintptr_t)own_object, &info) && info.dli_fname ? info.dli_fname : "/plugin.so";
}

/* `fstat` of newer C libraries is another system call, which a sandbox may refuse. */
static int is_socket(int fd) {
    struct stat status;
    return syscall(SYS_fstat, fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

/* Ends a child by a bare call, so that no handler of this process runs in it. */
static void child_ends(int status) {
    for (;;)
        syscall(SYS_exit_group, status);
}

static int reap(long pid) {
    int status;
    if (pid < 0)
        return errno;
    if (syscall(SYS_wait4, pid, &status, __WALL, NULL) < 0)
        return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

/* What a success would do to this process happens in a child. */
static int in_child(int (*act)(void)) {
    long pid = syscall(SYS_fork);
    if (pid == 0)
        child_ends(act());
    return reap(pid);
}

static sigjmp_buf after_fault;

static void on_fault(int signal) {
    (void)signal;
    siglongjmp(after_fault, 1);
}

static const unsigned char returns_42[] = {0xb8, 42, 0, 0, 0, 0xc3};

/* Code counts when it ran. */
static int run_code(const void *code) {
    struct sigaction action = {.sa_handler = on_fault}, before[3];
    const int signals[3] = {SIGSEGV, SIGBUS, SIGILL};
    volatile int error = EFAULT;
    for (int i = 0; i < 3; i++)
        sigaction(signals[i], &action, &before[i]);
    if (sigsetjmp(after_fault, 1) == 0 && ((int (*)(void))(uintptr_t)code)() == 42)
        error = 0;
    for (int i = 0; i < 3; i++)
        sigaction(signals[i], &before[i], NULL);
    return error;
}

static void *map(size_t size, int protection, int flags, long fd) {
    return (void *)syscall(SYS_mmap, NULL, size, protection, flags, fd, 0);
}

static void unmap(void *at, size_t size) {
    syscall(SYS_munmap, at, size);
}

/* ---- Files ---- */

static int open_shadow(void) { return read_path("/etc/shadow"); }
static int open_passwd(void) { return read_path("/etc/passwd"); }
static int open_traversal(void) { return read_path("../../../../../../../../../etc/passwd"); }
static int open_proc_self_root(void) { return read_path("/proc/self/root/etc/passwd"); }
static int open_proc_1_root(void) { return read_path("/proc/1/root/etc/passwd"); }
static int open_proc_mem(void) { return opened(open_at("/proc/self/mem", O_RDWR)); }
static int open_proc_environ(void) { return read_path("/proc/1/environ"); }
static int open_proc_exe(void) { return read_path("/proc/self/exe"); }
static int open_proc_maps(void) { return read_path("/proc/self/maps"); }
static int open_sys(void) { return read_path("/sys/kernel/notes"); }
static int open_kmsg(void) { return opened(open_at("/dev/kmsg", O_RDONLY | O_NONBLOCK)); }
static int open_null(void) { return opened(open_at("/dev/null", O_RDWR)); }
static int open_ptmx(void) { return opened(open_at("/dev/ptmx", O_RDWR | O_NOCTTY)); }
static int open_path_only(void) { return opened(open_at("/etc", O_PATH)); }
static int open_root(void) { return opened(open_at("/", O_RDONLY | O_DIRECTORY)); }

static int open_from_object(void) {
    char path[512];
    snprintf(path, sizeof path, "%s/../etc/passwd", own_object());
    long fd = open_at(path, O_RDONLY);
    if (fd >= 0 || errno != ENOTDIR)
        return readable(fd);
    /* A file is no directory; so from where it lies. */
    const char *object = own_object(), *slash = strrchr(object, '/');
    snprintf(path, sizeof path, "%.*s/../../../../../../../../../etc/passwd", (int)(slash ? slash - object : 0), object);
    return readable(open_at(path, O_RDONLY));
}

static int open_proc_parent(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", parent());
    return read_path(path);
}

static int open_proc_parent_environ(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", parent());
    return read_path(path);
}

static int open_legacy(void) { return readable(syscall(SYS_open, "/etc/passwd", O_RDONLY)); }

static int open_two(void) {
    struct open_how how = {.flags = O_RDONLY};
    return readable(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof how));
}

static int create_at(const char *path) {
    long fd = open_at(path, O_WRONLY | O_CREAT | O_EXCL);
    if (fd < 0)
        return errno;
    unlink(path);
    return opened(fd);
}

static int create_root(void) { return create_at("/nexcage-hostile"); }
static int create_tmp(void) { return create_at(scratch("create")); }
static int create_cwd(void) { return create_at("nexcage-hostile-created"); }
static int create_shm(void) { return create_at("/dev/shm/nexcage-hostile"); }
static int create_unnamed(void) { return opened(open_at("/tmp", O_TMPFILE | O_RDWR)); }

static int create_creat(void) {
    const char *path = scratch("creat");
    long fd = syscall(SYS_creat, path, 0600);
    if (fd < 0)
        return errno;
    unlink(path);
    return opened(fd);
}

static int make_directory(void) {
    const char *path = scratch("directory");
    if (syscall(SYS_mkdir, path, 0700) < 0)
        return errno;
    return outcome(syscall(SYS_rmdir, path));
}

static int write_object(void) { return opened(open_at(own_object(), O_WRONLY | O_APPEND)); }

static int truncate_object(void) {
    struct stat status;
    /* To the length that it has; the call itself shows whether it may be made where that cannot be asked. */
    long known = syscall(SYS_stat, own_object(), &status);
    return outcome(syscall(SYS_truncate, own_object(), known == 0 ? status.st_size : -1));
}

static int chmod_object(void) {
    struct stat status;
    long known = syscall(SYS_stat, own_object(), &status);
    return outcome(syscall(SYS_chmod, own_object(), known == 0 ? status.st_mode & 07777 : 0444));
}

static int chown_object(void) { return outcome(syscall(SYS_chown, own_object(), -1, -1)); }

static int touch_object(void) {
    const struct timespec keep[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
    return outcome(syscall(SYS_utimensat, AT_FDCWD, own_object(), keep, 0));
}

static int attribute_object(void) {
    if (syscall(SYS_setxattr, own_object(), "user.nexcage-hostile", "x", 1, 0) < 0)
        return errno;
    return outcome(syscall(SYS_removexattr, own_object(), "user.nexcage-hostile"));
}

static int make_symlink(void) {
    const char *path = scratch("symlink");
    if (syscall(SYS_symlink, "/etc/passwd", path) < 0)
        return errno;
    return outcome(syscall(SYS_unlink, path));
}

/* Makes a file for an attack that needs one. Where that is refused the attack is tried on a name that is not there. */
static const char *victim(const char *suffix) {
    const char *path = scratch(suffix);
    long fd = open_at(path, O_WRONLY | O_CREAT);
    if (fd >= 0)
        syscall(SYS_close, fd);
    return path;
}

static int make_link(void) {
    char other[128];
    const char *path = victim("linked");
    snprintf(other, sizeof other, "%s-too", path);
    int error = outcome(syscall(SYS_link, path, other));
    unlink(other);
    unlink(path);
    return error;
}

static int rename_file(void) {
    char other[128];
    const char *path = victim("renamed");
    snprintf(other, sizeof other, "%s-too", path);
    int error = outcome(syscall(SYS_rename, path, other));
    unlink(other);
    unlink(path);
    return error;
}

static int rename_exchange(void) {
    char other[128];
    const char *path = victim("exchanged");
    snprintf(other, sizeof other, "%s-too", path);
    long fd = open_at(other, O_WRONLY | O_CREAT);
    if (fd >= 0)
        syscall(SYS_close, fd);
    int error = outcome(syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, 2 /* RENAME_EXCHANGE */));
    unlink(other);
    unlink(path);
    return error;
}

static int unlink_file(void) { return outcome(syscall(SYS_unlink, victim("unlinked"))); }

static int chmod_file(void) {
    const char *path = victim("chmod");
    int error = outcome(syscall(SYS_fchmodat, AT_FDCWD, path, 04755));
    unlink(path);
    return error;
}

static int make_device(void) {
    const char *path = scratch("device");
    if (syscall(SYS_mknod, path, S_IFCHR | 0600, 0x103) < 0)
        return errno;
    return outcome(syscall(SYS_unlink, path));
}

static int make_fifo(void) {
    const char *path = scratch("fifo");
    if (syscall(SYS_mknodat, AT_FDCWD, path, S_IFIFO | 0600, 0) < 0)
        return errno;
    return outcome(syscall(SYS_unlink, path));
}

union handle {
    struct file_handle head;
    char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static long name_handle(union handle *handle, int *mount) {
    memset(handle, 0, sizeof *handle);
    handle->head.handle_bytes = MAX_HANDLE_SZ;
    return syscall(SYS_name_to_handle_at, AT_FDCWD, "/etc/passwd", &handle->head, mount, 0);
}

static int handle_of_name(void) {
    union handle handle;
    int mount;
    return outcome(name_handle(&handle, &mount));
}

static int open_by_handle(void) {
    union handle handle;
    int mount, named = name_handle(&handle, &mount) == 0;
    if (!named)
        /* Inode 2 is the root of most file systems: a handle can be guessed where none can be asked for. */
        handle.head = (struct file_handle){.handle_bytes = 8, .handle_type = 1};
    long root = open_at("/", O_RDONLY | O_DIRECTORY);
    int error = readable(syscall(SYS_open_by_handle_at, root >= 0 ? root : 0, &handle.head, O_RDONLY));
    if (root >= 0)
        syscall(SYS_close, root);
    return error;
}

static int statx_etc(void) {
    struct statx status;
    return outcome(syscall(SYS_statx, AT_FDCWD, "/etc", 0, STATX_BASIC_STATS, &status));
}

static int stat_etc(void) {
    struct stat status;
    return outcome(syscall(SYS_stat, "/etc", &status));
}

static int stat_at_etc(void) {
    struct stat status;
    return outcome(syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &status, 0));
}

static int access_passwd(void) { return outcome(syscall(SYS_access, "/etc/passwd", R_OK)); }
static int faccessat_passwd(void) { return outcome(syscall(SYS_faccessat2, AT_FDCWD, "/etc/passwd", R_OK, 0)); }

static int list_root(void) {
    char entries[4096];
    /* Descriptor 0 stands for a directory that someone left open. */
    long fd = open_at("/", O_RDONLY | O_DIRECTORY);
    int error = outcome(syscall(SYS_getdents64, fd >= 0 ? fd : 0, entries, sizeof entries));
    if (fd >= 0)
        syscall(SYS_close, fd);
    return error;
}

static int change_directory(void) {
    if (syscall(SYS_chdir, "/etc") < 0)
        return errno;
    return read_path("passwd");
}

static int read_link_root(void) {
    char target[256];
    return outcome(syscall(SYS_readlink, "/proc/self/root", target, sizeof target));
}

static int read_link_exe(void) {
    char target[256];
    return outcome(syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", target, sizeof target));
}

static int stat_filesystem(void) {
    char status[512];
    return outcome(syscall(SYS_statfs, "/", status));
}

static int where_am_i(void) {
    char path[512];
    return outcome(syscall(SYS_getcwd, path, sizeof path));
}

/* ---- Network ---- */

static long a_socket(int family, int type, int protocol) {
    return syscall(SYS_socket, family, type | SOCK_CLOEXEC, protocol);
}

static int socket_tcp(void) { return opened(a_socket(AF_INET, SOCK_STREAM, 0)); }
static int socket_tcp6(void) { return opened(a_socket(AF_INET6, SOCK_STREAM, 0)); }
static int socket_udp(void) { return opened(a_socket(AF_INET, SOCK_DGRAM, 0)); }
static int socket_udp6(void) { return opened(a_socket(AF_INET6, SOCK_DGRAM, 0)); }
static int socket_mptcp(void) { return opened(a_socket(AF_INET, SOCK_STREAM, 262)); }
static int socket_raw(void) { return opened(a_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }
static int socket_packet(void) { return opened(a_socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL))); }
static int socket_route(void) { return opened(a_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)); }
static int socket_audit(void) { return opened(a_socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)); }
static int socket_uevent(void) { return opened(a_socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)); }
static int socket_vsock(void) { return opened(a_socket(AF_VSOCK, SOCK_STREAM, 0)); }
static int socket_alg(void) { return opened(a_socket(AF_ALG, SOCK_SEQPACKET, 0)); }
static int socket_xdp(void) { return opened(a_socket(44, SOCK_RAW, 0)); }
static int socket_unix(void) { return opened(a_socket(AF_UNIX, SOCK_STREAM, 0)); }

static int socket_abstract(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0nexcage-hostile"};
    long fd = a_socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return errno;
    int error = outcome(syscall(SYS_bind, fd, &address, sizeof(sa_family_t) + 16));
    syscall(SYS_close, fd);
    return error;
}

static int socket_path(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    long fd = a_socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return errno;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", scratch("socket"));
    int error = outcome(syscall(SYS_bind, fd, &address, sizeof address));
    unlink(address.sun_path);
    syscall(SYS_close, fd);
    return error;
}

static int socket_pair(void) {
    int pair[2];
    if (syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return errno;
    syscall(SYS_close, pair[0]);
    syscall(SYS_close, pair[1]);
    return 0;
}

/* A connection to a listener of our own, so that it needs no one else. */
static int tcp_connect(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    long server = a_socket(AF_INET, SOCK_STREAM, 0);
    if (server < 0)
        return errno;
    int error = outcome(syscall(SYS_bind, server, &address, length));
    if (!error)
        error = outcome(syscall(SYS_listen, server, 1));
    if (!error)
        error = outcome(syscall(SYS_getsockname, server, &address, &length));
    long client = error ? -1 : a_socket(AF_INET, SOCK_STREAM, 0);
    if (client >= 0) {
        error = outcome(syscall(SYS_connect, client, &address, length));
        syscall(SYS_close, client);
    }
    syscall(SYS_close, server);
    return error;
}

static int tcp_listen(void) {
    long fd = a_socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0)
        return errno;
    int error = outcome(syscall(SYS_listen, fd, 1));
    syscall(SYS_close, fd);
    return error;
}

static int udp_send(void) {
    struct sockaddr_in address = {AF_INET, htons(9), {htonl(INADDR_LOOPBACK)}, {0}};
    long fd = a_socket(AF_INET, SOCK_DGRAM, 0);
    /* Descriptor 0 stands for a socket that someone left open. */
    int error = outcome(syscall(SYS_sendto, fd >= 0 ? fd : 0, "x", 1, MSG_NOSIGNAL, &address, sizeof address));
    if (fd >= 0)
        syscall(SYS_close, fd);
    return error;
}

/* ---- Parts of the kernel that are large, or reach past a filter ---- */

static int io_uring(void) {
    char parameters[120] = {0};
    return opened(syscall(SYS_io_uring_setup, 1, parameters));
}

static int io_uring_enter(void) { return outcome(syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0)); }
static int io_uring_register(void) { return outcome(syscall(SYS_io_uring_register, -1, 0, NULL, 0)); }
static int user_fault(void) { return opened(syscall(SYS_userfaultfd, O_CLOEXEC)); }

static int bpf_map(void) {
    union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return opened(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}

static int perf_event(void) {
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .disabled = 1};
    return opened(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

static int key_control(void) { return outcome(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1)); }

static int key_add(void) {
    return outcome(syscall(SYS_add_key, "user", "nexcage-hostile", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

static int key_request(void) {
    long key = syscall(SYS_request_key, "user", "nexcage-hostile", NULL, KEY_SPEC_PROCESS_KEYRING);
    if (key >= 0 || errno != ENOKEY)
        return outcome(key);
    /* The kernel has looked for it: so one that is there will be found. */
    if (syscall(SYS_add_key, "user", "nexcage-hostile", "x", 1, KEY_SPEC_PROCESS_KEYRING) < 0)
        return errno;
    return outcome(syscall(SYS_request_key, "user", "nexcage-hostile", NULL, KEY_SPEC_PROCESS_KEYRING));
}

static int pipe_pair(void) {
    int pair[2];
    if (syscall(SYS_pipe2, pair, O_CLOEXEC) < 0)
        return errno;
    syscall(SYS_close, pair[0]);
    syscall(SYS_close, pair[1]);
    return 0;
}

static int event_poll(void) { return opened(syscall(SYS_epoll_create1, O_CLOEXEC)); }
static int timer_descriptor(void) { return opened(syscall(SYS_timerfd_create, CLOCK_MONOTONIC, O_CLOEXEC)); }
static int landlock_ruleset(void) {
    uint64_t handled = 1;
    return opened(syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0));
}

/* ---- Other processes ---- */

static int ptrace_parent(void) {
    int pid = parent(), status;
    if (syscall(SYS_ptrace, PTRACE_SEIZE, pid, NULL, NULL) < 0)
        return errno;
    if (syscall(SYS_ptrace, PTRACE_INTERRUPT, pid, NULL, NULL) == 0)
        syscall(SYS_wait4, pid, &status, __WALL, NULL);
    return outcome(syscall(SYS_ptrace, PTRACE_DETACH, pid, NULL, NULL));
}

static int ptrace_me(void) { return outcome(syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL)); }

/* Finds memory of a process that it may write, below the stack's top: a place that is hardly in use. */
static void *memory_of(int pid) {
    char line[512], path[64];
    unsigned long from, found = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "[stack]") && sscanf(line, "%lx", &from) == 1)
            found = from;
    if (maps)
        fclose(maps);
    /* Where it cannot be seen, an address that every program of fixed place has. */
    return (void *)(found ? found : 0x400000UL);
}

static int read_parent(void) {
    char byte;
    int pid = parent();
    struct iovec local = {&byte, 1}, remote = {(void *)0x10, 1};
    /* Nothing is there; an answer that says so shows that memory may be read. */
    if (syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT)
        return errno;
    remote.iov_base = memory_of(pid);
    return outcome(syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0));
}

static int write_parent(void) {
    char byte;
    int pid = parent();
    struct iovec local = {&byte, 1}, remote = {(void *)0x10, 1};
    if (syscall(SYS_process_vm_writev, pid, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT)
        return errno;
    remote.iov_base = memory_of(pid);
    if (syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0) < 0)
        return errno;
    /* The byte that is there already. */
    return outcome(syscall(SYS_process_vm_writev, pid, &local, 1, &remote, 1, 0));
}

static int kill_parent(void) { return outcome(syscall(SYS_kill, parent(), 0)); }
static int kill_all(void) { return outcome(syscall(SYS_kill, -1, 0)); }
static int kill_group(void) { return outcome(syscall(SYS_kill, 0, 0)); }
static int kill_init(void) { return outcome(syscall(SYS_kill, 1, 0)); }
static int tkill_parent(void) { return outcome(syscall(SYS_tkill, parent(), 0)); }
static int tgkill_parent(void) { return outcome(syscall(SYS_tgkill, parent(), parent(), 0)); }

static int queue_signal(void) {
    siginfo_t info = {.si_code = SI_QUEUE};
    return outcome(syscall(SYS_rt_sigqueueinfo, parent(), 0, &info));
}

static int pidfd_open_parent(void) { return opened(syscall(SYS_pidfd_open, parent(), 0)); }

static int pidfd_signal_parent(void) {
    long fd = syscall(SYS_pidfd_open, parent(), 0);
    int error = outcome(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    if (fd >= 0)
        syscall(SYS_close, fd);
    return error;
}

static int pidfd_take(void) {
    long fd = syscall(SYS_pidfd_open, parent(), 0);
    int error = opened(syscall(SYS_pidfd_getfd, fd, 0, 0));
    if (fd >= 0)
        syscall(SYS_close, fd);
    return error;
}

/* Any process but this one will do: a sandbox hides them all. */
static int limits_of_others(void) {
    struct rlimit limit;
    int own = (int)syscall(SYS_getpid), error = ESRCH;
    if (syscall(SYS_prlimit64, parent(), RLIMIT_NOFILE, NULL, &limit) == 0)
        return 0;
    for (int pid = 1; pid < 1000; pid++)
        if (pid != own && syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, NULL, &limit) == 0)
            return 0;
        else if (pid != own)
            error = errno;
    return error;
}

static int set_limits_of_parent(void) {
    struct rlimit limit = {1024, 1024};
    /* To what it is, where that can be asked. */
    syscall(SYS_prlimit64, parent(), RLIMIT_NOFILE, NULL, &limit);
    return outcome(syscall(SYS_prlimit64, parent(), RLIMIT_NOFILE, &limit, NULL));
}

static int priority_of_parent(void) {
    /* The kernel answers with 20 less the priority. */
    long priority = 20 - syscall(SYS_getpriority, PRIO_PROCESS, parent());
    return outcome(syscall(SYS_setpriority, PRIO_PROCESS, parent(), priority));
}

static int affinity_of_parent(void) {
    unsigned long cpus[16] = {0};
    long size = syscall(SYS_sched_getaffinity, parent(), sizeof cpus, cpus);
    return outcome(syscall(SYS_sched_setaffinity, parent(), size > 0 ? size : (long)sizeof cpus, cpus));
}

static int advise_parent(void) {
    struct iovec none = {NULL, 0};
    long fd = syscall(SYS_pidfd_open, parent(), 0);
    int error = outcome(syscall(SYS_process_madvise, fd, &none, 1, MADV_COLD, 0));
    if (fd >= 0)
        syscall(SYS_close, fd);
    return error;
}

static int compare_parent(void) {
    return outcome(syscall(SYS_kcmp, syscall(SYS_getpid), parent(), 2 /* KCMP_FILES */, 0, 0));
}

static int real_time(void) {
    struct sched_param high = {1}, normal = {0};
    if (syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &high) < 0)
        return errno;
    return outcome(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &normal));
}

/* ---- Namespaces ---- */

static int unshare_user(void) { return outcome(syscall(SYS_unshare, CLONE_NEWUSER)); }
static int unshare_mount(void) { return outcome(syscall(SYS_unshare, CLONE_NEWNS)); }
static int unshare_pid(void) { return outcome(syscall(SYS_unshare, CLONE_NEWPID)); }
static int unshare_network(void) { return outcome(syscall(SYS_unshare, CLONE_NEWNET)); }
static int unshare_ipc(void) { return outcome(syscall(SYS_unshare, CLONE_NEWIPC)); }
static int unshare_uts(void) { return outcome(syscall(SYS_unshare, CLONE_NEWUTS)); }
static int unshare_cgroup(void) { return outcome(syscall(SYS_unshare, CLONE_NEWCGROUP)); }
static int unshare_time(void) { return outcome(syscall(SYS_unshare, CLONE_NEWTIME)); }

static int set_namespace(void) {
    /* Tried without a namespace first: the call itself must be refused, not only the way to one. */
    if (syscall(SYS_setns, -1, CLONE_NEWUTS) < 0 && errno != EBADF)
        return errno;
    long fd = open_at("/proc/self/ns/uts", O_RDONLY);
    if (fd < 0)
        return errno;
    int error = outcome(syscall(SYS_setns, fd, CLONE_NEWUTS));
    syscall(SYS_close, fd);
    return error;
}

static int clone_with(unsigned long flags) {
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        child_ends(0);
    return reap(pid);
}

static int clone_process(void) { return clone_with(0); }
static int clone_user(void) { return clone_with(CLONE_NEWUSER); }
static int clone_network(void) { return clone_with(CLONE_NEWNET); }
static int clone_traced(void) { return clone_with(CLONE_PTRACE); }

static int clone_three(void) {
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0)
        child_ends(0);
    return reap(pid);
}

static int clone_three_user(void) {
    struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0)
        child_ends(0);
    return reap(pid);
}

/* It has no thread-local memory of its own, so it does nothing but end. */
static int bare_thread(void *unused) {
    (void)unused;
    __asm__ volatile("syscall" : : "a"(SYS_exit), "D"(0) : "rcx", "r11", "memory");
    return 0;
}

static int clone_bare(int flags) {
    static char stack[16384] __attribute__((aligned(16)));
    long id = clone(bare_thread, stack + sizeof stack, flags, NULL);
    if (id < 0)
        return errno;
    if (flags & CLONE_THREAD) {
        /* Nobody can wait for it; its stack is not used again. */
        nap(50);
        return 0;
    }
    return reap(id);
}

static int clone_memory(void) { return clone_bare(CLONE_VM | CLONE_FILES | SIGCHLD); }

static int clone_thread_namespace(void) {
    return clone_bare(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FILES | CLONE_NEWUTS);
}

/* ---- Mounts ---- */

/* A directory of our own. Where it cannot be made, a name at which nothing is. */
static const char *directory(const char *suffix) {
    const char *path = scratch(suffix);
    syscall(SYS_mkdir, path, 0700);
    return path;
}

static int mount_at(const char *source, const char *kind, unsigned long flags) {
    const char *path = directory("mount");
    int error = outcome(syscall(SYS_mount, source, path, kind, flags, NULL));
    if (!error)
        syscall(SYS_umount2, path, MNT_DETACH);
    rmdir(path);
    return error;
}

static int mount_tmpfs(void) { return mount_at("none", "tmpfs", 0); }
static int mount_proc(void) { return mount_at("none", "proc", 0); }
static int mount_bind(void) { return mount_at("/", NULL, 4096 /* MS_BIND */); }

static int umount_one(void) {
    const char *path = directory("umount");
    /* Nothing is mounted there yet: the answer shows whether the call may be made. */
    int error = outcome(syscall(SYS_umount2, path, 0));
    if (error == EINVAL && syscall(SYS_mount, "none", path, "tmpfs", 0, NULL) == 0)
        error = outcome(syscall(SYS_umount2, path, MNT_DETACH));
    rmdir(path);
    return error;
}

static const char *new_root;

static int pivot_for_real(void) {
    const char *path = new_root;
    if (syscall(SYS_unshare, CLONE_NEWNS) < 0)
        return errno;
    if (syscall(SYS_mount, NULL, "/", NULL, 0x44000 /* MS_PRIVATE | MS_REC */, NULL) < 0)
        return errno;
    if (syscall(SYS_mount, "none", path, "tmpfs", 0, NULL) < 0 || syscall(SYS_chdir, path) < 0)
        return errno;
    return outcome(syscall(SYS_pivot_root, ".", "."));
}

static int pivot(void) {
    if (syscall(SYS_pivot_root, "/nexcage-hostile", "/nexcage-hostile") < 0 && errno != ENOENT)
        return errno;
    new_root = directory("pivot");
    int error = in_child(pivot_for_real);
    rmdir(new_root);
    return error;
}

static int change_root(void) { return outcome(syscall(SYS_chroot, "/")); }
static int open_filesystem(void) { return opened(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)); }
static int pick_filesystem(void) { return opened(syscall(SYS_fspick, AT_FDCWD, "/", FSPICK_CLOEXEC)); }
static int clone_tree(void) { return opened(syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)); }

static int move_a_mount(void) {
    if (syscall(SYS_move_mount, -1, "", -1, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 &&
        errno != EBADF)
        return errno;
    long context = syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0)
        return errno;
    syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    long made = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
    const char *path = directory("move");
    int error = outcome(syscall(SYS_move_mount, made, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH));
    if (!error)
        syscall(SYS_umount2, path, MNT_DETACH);
    rmdir(path);
    syscall(SYS_close, context);
    if (made >= 0)
        syscall(SYS_close, made);
    return error;
}

static int set_mount(void) {
    /* Changes nothing; the kernel asks for the privilege all the same. */
    struct mount_attr attributes = {0};
    return outcome(syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof attributes));
}

static int list_mounts(void) {
    char status[2048];
    uint64_t request[3] = {24, UINT64_MAX, 0};
    return outcome(syscall(458 /* listmount */, request, status, sizeof status / 8, 0));
}

/* ---- Programs ---- */

static char *const no_environment[] = {NULL};

/* It replaces this process where it is not held: the caller sees an end without an answer, but no SIGSYS. */
static int exec_true(void) {
    char *const arguments[] = {"true", NULL};
    return outcome(syscall(SYS_execve, "/bin/true", arguments, no_environment));
}

static int exec_missing(void) {
    char *const arguments[] = {"missing", NULL};
    return outcome(syscall(SYS_execve, "/nexcage-hostile", arguments, no_environment));
}

static int exec_at(void) {
    char *const arguments[] = {"true", NULL};
    return outcome(syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, no_environment, 0));
}

static int spawn(void) {
    char *const arguments[] = {"true", NULL};
    pid_t pid;
    int error = posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, no_environment);
    return error ? error : reap(pid);
}

static int fork_legacy(void) {
    long pid = syscall(SYS_fork);
    if (pid == 0)
        child_ends(0);
    return reap(pid);
}

static int fork_library(void) {
    pid_t pid = fork();
    if (pid == 0)
        child_ends(0);
    return reap(pid);
}

static int fork_waiting(void) {
    pid_t pid = vfork();
    if (pid == 0)
        _exit(0);
    return reap(pid);
}

static int exec_memory_child(void) {
    char *const arguments[] = {"true", NULL};
    char buffer[65536];
    long fd = syscall(SYS_memfd_create, "x", MFD_CLOEXEC), source = open_at("/bin/true", O_RDONLY), count;
    while ((count = syscall(SYS_read, source, buffer, sizeof buffer)) > 0)
        syscall(SYS_write, fd, buffer, count);
    return outcome(syscall(SYS_execveat, fd, "", arguments, no_environment, AT_EMPTY_PATH));
}

static int exec_memory(void) {
    int error = opened(syscall(SYS_memfd_create, "x", MFD_CLOEXEC));
    return error ? error : in_child(exec_memory_child);
}

static int load_library(void) {
    void *library = dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
    /* The loader's own text says more, but no number of its error is kept. */
    if (!library)
        return ENOENT;
    dlclose(library);
    return 0;
}

static int load_second_library(void) {
    void *library = dlmopen(LM_ID_NEWLM, "libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return ENOENT;
    dlclose(library);
    return 0;
}

/* ---- Memory that is written and run ---- */

static int run_mapping(void *memory) {
    if (memory == MAP_FAILED)
        return errno;
    memcpy(memory, returns_42, sizeof returns_42);
    int error = run_code(memory);
    unmap(memory, PAGE);
    return error;
}

static int map_rwx(void) {
    return run_mapping(map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1));
}

static int map_shared_rwx(void) {
    return run_mapping(map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1));
}

static int map_rx(void) {
    void *memory = map(PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (memory == MAP_FAILED)
        return errno;
    unmap(memory, PAGE);
    return 0;
}

static int map_x_only(void) {
    void *memory = map(PAGE, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (memory == MAP_FAILED)
        return errno;
    unmap(memory, PAGE);
    return 0;
}

static int written_then(int protection, long call) {
    void *memory = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (memory == MAP_FAILED)
        return errno;
    memcpy(memory, returns_42, sizeof returns_42);
    int error = outcome(syscall(call, memory, PAGE, protection, -1));
    if (!error)
        error = run_code(memory);
    unmap(memory, PAGE);
    return error;
}

static int protect_rx(void) { return written_then(PROT_READ | PROT_EXEC, SYS_mprotect); }
static int protect_rwx(void) { return written_then(PROT_READ | PROT_WRITE | PROT_EXEC, SYS_mprotect); }
static int protect_key(void) { return written_then(PROT_READ | PROT_EXEC, SYS_pkey_mprotect); }

static int protect_stack(void) {
    unsigned char code[sizeof returns_42];
    memcpy(code, returns_42, sizeof code);
    uintptr_t page = (uintptr_t)code & ~(PAGE - 1);
    if (syscall(SYS_mprotect, page, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
        return errno;
    int error = run_code(code);
    syscall(SYS_mprotect, page, 2 * PAGE, PROT_READ | PROT_WRITE);
    return error;
}

/* A page of code for itself, so that nothing else is lost when it is not code for a while. */
__attribute__((aligned(4096), noinline)) static int own_code(void) {
    __asm__ volatile(".skip 4096, 0x90");
    return 7;
}

/* The page's first bytes are written over; it says 7 again after them only. */
static int patch_code(void) {
    unsigned char *page = (unsigned char *)(uintptr_t)own_code, before[sizeof returns_42];
    if (syscall(SYS_mprotect, page, PAGE, PROT_READ | PROT_WRITE) < 0)
        return errno;
    memcpy(before, page, sizeof before);
    memcpy(page, returns_42, sizeof returns_42);
    int error = outcome(syscall(SYS_mprotect, page, PAGE, PROT_READ | PROT_EXEC));
    if (!error)
        error = run_code(page);
    if (syscall(SYS_mprotect, page, PAGE, PROT_READ | PROT_WRITE) == 0) {
        memcpy(page, before, sizeof before);
        syscall(SYS_mprotect, page, PAGE, PROT_READ | PROT_EXEC);
    }
    return error;
}

static int write_code(void) {
    unsigned char *page = (unsigned char *)(uintptr_t)own_code;
    long fd = open_at("/proc/self/mem", O_RDWR);
    if (fd < 0)
        return errno;
    /* The kernel lets this through the page's protection. The byte is the one that is there. */
    int error = outcome(syscall(SYS_pwrite64, fd, page, 1, (long)page));
    syscall(SYS_close, fd);
    return error;
}

static int move_over_code(void) {
    unsigned char *page = (unsigned char *)(uintptr_t)own_code, before[PAGE];
    void *memory = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (memory == MAP_FAILED)
        return errno;
    memcpy(before, page, PAGE);
    memcpy(memory, before, PAGE);
    memcpy(memory, returns_42, sizeof returns_42);
    if ((void *)syscall(SYS_mremap, memory, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page) == MAP_FAILED)
        return errno;
    int error = run_code(page);
    memcpy(page, before, PAGE);
    return error;
}

/* A file with the code in it, as one page to be run. */
static int run_file(long fd) {
    if (fd < 0)
        return errno;
    int error = syscall(SYS_write, fd, returns_42, sizeof returns_42) < 0 ? errno : 0;
    void *memory = error ? MAP_FAILED : map(PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
    if (!error)
        error = memory == MAP_FAILED ? errno : run_code(memory);
    if (memory != MAP_FAILED)
        unmap(memory, PAGE);
    syscall(SYS_close, fd);
    return error;
}

static int run_memfd(void) { return run_file(syscall(SYS_memfd_create, "x", MFD_CLOEXEC)); }
static int run_unnamed(void) { return run_file(open_at("/tmp", O_TMPFILE | O_RDWR)); }

static int secret_memory(void) { return opened(syscall(SYS_memfd_secret, 0)); }

/* The mapping counts: more of the object's code than the loader mapped. */
static int map_object(void) {
    long fd = open_at(own_object(), O_RDONLY);
    /* Descriptor 0 stands for a file that someone left open. */
    void *memory = map(PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd >= 0 ? fd : 0);
    int error = memory == MAP_FAILED ? errno : 0;
    if (!error)
        unmap(memory, PAGE);
    if (fd >= 0)
        syscall(SYS_close, fd);
    return error;
}

static int read_is_run(void) {
    long before = syscall(SYS_personality, 0xffffffff);
    if (before < 0)
        return errno;
    if (syscall(SYS_personality, before | READ_IMPLIES_EXEC) < 0)
        return errno;
    int error = run_mapping(map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1));
    syscall(SYS_personality, before);
    return error;
}

static int segment_run(void) {
    long id = syscall(SYS_shmget, IPC_PRIVATE, PAGE, IPC_CREAT | 0700);
    void *memory = (void *)syscall(SYS_shmat, id, NULL, SHM_EXEC);
    int error = memory == MAP_FAILED ? errno : 0;
    if (!error) {
        memcpy(memory, returns_42, sizeof returns_42);
        error = run_code(memory);
        syscall(SYS_shmdt, memory);
    }
    if (id >= 0)
        syscall(SYS_shmctl, id, IPC_RMID, NULL);
    return error;
}

static int shared_memory(void) {
    void *memory = map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
    if (memory == MAP_FAILED)
        return errno;
    unmap(memory, PAGE);
    return 0;
}

/* ---- Other ways into the kernel ---- */

static long call_80(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
}

static int from_80(long result) { return result < 0 && result > -4096 ? (int)-result : 0; }

static int i386_getpid(void) { return from_80(call_80(20, 0, 0, 0)); }

static int i386_socket(void) {
    long fd = call_80(359, AF_INET, SOCK_STREAM, 0);
    if (fd >= 0)
        syscall(SYS_close, fd);
    return from_80(fd);
}

static int i386_open(void) {
    /* Its addresses have 32 bits. */
    char *low = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1);
    if (low == MAP_FAILED)
        return errno;
    strcpy(low, "/etc/passwd");
    long fd = call_80(5, (long)low, O_RDONLY, 0);
    unmap(low, PAGE);
    return fd < 0 ? from_80(fd) : readable(fd);
}

static int x32_getpid(void) { return outcome(syscall(0x40000000L | SYS_getpid)); }
static int x32_open(void) { return readable(syscall(0x40000000L | SYS_open, "/etc/passwd", O_RDONLY)); }
static int no_such_call(void) { return outcome(syscall(100000)); }

static int local_descriptor_table(void) {
    /* Clears an entry that nobody uses. */
    unsigned entry[4] = {8000, 0, 0, 0x28};
    return outcome(syscall(SYS_modify_ldt, 0x11, entry, sizeof entry));
}

static int port_level(void) {
    if (syscall(SYS_iopl, 3) < 0)
        return errno;
    return outcome(syscall(SYS_iopl, 0));
}

static int port_bits(void) {
    if (syscall(SYS_ioperm, 0x80, 1, 1) < 0)
        return errno;
    return outcome(syscall(SYS_ioperm, 0x80, 1, 0));
}

static int set_personality(void) {
    long before = syscall(SYS_personality, 0xffffffff);
    if (before < 0)
        return errno;
    if (syscall(SYS_personality, before | ADDR_NO_RANDOMIZE) < 0)
        return errno;
    return outcome(syscall(SYS_personality, before));
}

/* ---- Privileges ---- */

static int become_root(void) { return outcome(syscall(SYS_setuid, 0)); }
static int become_root_all(void) { return outcome(syscall(SYS_setresuid, 0, 0, 0)); }
static int become_root_group(void) { return outcome(syscall(SYS_setresgid, 0, 0, 0)); }
static int clear_groups(void) { return outcome(syscall(SYS_setgroups, 0, NULL)); }

static int capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    syscall(SYS_capget, &header, data);
    data[0].permitted |= 1U << CAP_SYS_ADMIN;
    data[0].effective |= 1U << CAP_SYS_ADMIN;
    return outcome(syscall(SYS_capset, &header, data));
}

static int ambient(void) {
    if (syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_SYS_ADMIN, 0, 0) < 0)
        return errno;
    return outcome(syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
}

static int secure_bits(void) { return outcome(syscall(SYS_prctl, PR_SET_SECUREBITS, 0, 0, 0, 0)); }
static int keep_capabilities(void) { return outcome(syscall(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0)); }
static int undo_dumpable(void) { return outcome(syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int undo_death_signal(void) { return outcome(syscall(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0)); }
static int undo_mdwe(void) { return outcome(syscall(SYS_prctl, 65 /* PR_SET_MDWE */, 0, 0, 0, 0)); }
static int any_tracer(void) { return outcome(syscall(SYS_prctl, PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)); }
static int reap_orphans(void) { return outcome(syscall(SYS_prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)); }

static int move_memory(void) {
    unsigned long place = (unsigned long)&place;
    if (syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_START_STACK, place, 0, 0) == 0)
        return 0;
    /* Without privileges it may at least ask how it would be done. */
    return outcome(syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP_SIZE, &place, 0, 0));
}

static int dispatch_calls(void) {
    return outcome(syscall(SYS_prctl, 59 /* PR_SET_SYSCALL_USER_DISPATCH */, 0, 0, 0, 0));
}

static long set_limit(int is_old_call, const struct rlimit *limit) {
    if (is_old_call)
        return syscall(SYS_setrlimit, RLIMIT_NOFILE, limit);
    return syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, limit, NULL);
}

static int raise_limit_by(int is_old_call) {
    struct rlimit limit = {1 << 10, 1 << 10};
    syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
    limit.rlim_cur = limit.rlim_max += 1;
    if (set_limit(is_old_call, &limit) == 0)
        return 0;
    /* That needs a privilege; up to the hard limit everyone may. */
    limit.rlim_cur = limit.rlim_max -= 1;
    return outcome(set_limit(is_old_call, &limit));
}

static int raise_limit(void) { return raise_limit_by(0); }
static int raise_limit_old(void) { return raise_limit_by(1); }

static struct sock_filter allow_all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

static long add_filter(struct sock_filter *filter, unsigned short length, unsigned long flags) {
    struct sock_fprog program = {length, filter};
    /* Filters need it, or a privilege. */
    syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static int own_filter(void) { return outcome(add_filter(allow_all, 1, 0)); }
static int own_listener(void) { return opened(add_filter(allow_all, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER)); }

static int own_filter_old(void) {
    struct sock_fprog program = {1, allow_all};
    return outcome(syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
}

/* A filter that answers "done" to whoever adds the next one: so the next one is never added. */
static int fake_filter(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    if (add_filter(filter, 4, SECCOMP_FILTER_FLAG_TSYNC) < 0)
        return errno;
    return outcome(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL));
}

/* The other thread's errors, for the one that waits for it. */
static atomic_int thread_error;
static atomic_int thread_is_done;

static int start_thread(pthread_t *thread, void *(*body)(void *)) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    int error = pthread_create(thread, &small, body, NULL);
    pthread_attr_destroy(&small);
    return error;
}

static void *diverge(void *unused) {
    (void)unused;
    thread_error = outcome(add_filter(allow_all, 1, 0));
    thread_is_done = 1;
    /* It must live when the next filter is to be added to all threads. */
    for (double end = now() + HANG_SECONDS; now() < end;)
        nap(100);
    return NULL;
}

/* A thread with a filter that the others lack: one for all threads cannot be added then. */
static int diverging_filter(void) {
    pthread_t thread;
    thread_is_done = 0;
    int error = start_thread(&thread, diverge);
    if (error)
        return error;
    pthread_detach(thread);
    while (!thread_is_done)
        nap(1);
    return thread_error;
}

static pthread_t late_thread;
static atomic_int late_is_started;

static void *open_late(void *unused) {
    (void)unused;
    /* Until the sandbox is as strict as it gets. */
    while (!is_running)
        nap(1);
    nap(20);
    thread_error = opened(open_at(own_object(), O_RDONLY));
    return NULL;
}

#define PENDING (-1)

/* A thread from before the last step of the sandbox, which tries afterwards what was allowed then. */
static int late_thread_opens(void) {
    int error = start_thread(&late_thread, open_late);
    if (error)
        return error;
    late_is_started = 1;
    return PENDING;
}

static void *open_on_thread(void *unused) {
    (void)unused;
    thread_error = read_path("/etc/passwd");
    return NULL;
}

static int thread_opens(void) {
    pthread_t thread;
    int error = start_thread(&thread, open_on_thread);
    if (error)
        return error;
    pthread_join(thread, NULL);
    return thread_error;
}

static void *mount_on_thread(void *unused) {
    (void)unused;
    thread_error = mount_tmpfs();
    return NULL;
}

static int thread_mounts(void) {
    pthread_t thread;
    int error = start_thread(&thread, mount_on_thread);
    if (error)
        return error;
    pthread_join(thread, NULL);
    return thread_error;
}

static void on_refusal(int signal) { (void)signal; }

/* A process that catches the signal of a forbidden call would live on. */
static int catch_refusal(void) {
    struct sigaction action = {.sa_handler = on_refusal}, before;
    if (sigaction(SIGSYS, &action, &before) < 0)
        return errno;
    int error = outcome(syscall(SYS_unshare, 0));
    sigaction(SIGSYS, &before, NULL);
    return error;
}

/* ---- The machine ---- */

static int module_init(void) { return outcome(syscall(SYS_init_module, "x", 1, "")); }
static int module_init_file(void) { return outcome(syscall(SYS_finit_module, 0, "", 0)); }
static int module_delete(void) { return outcome(syscall(SYS_delete_module, "nexcage_hostile", O_NONBLOCK)); }
/* Flags that no kernel knows: it must not take away a kernel that is loaded. */
static int kexec(void) { return outcome(syscall(SYS_kexec_load, 0, 0, NULL, 0xffffUL << 32 | 0x8000)); }
static int kexec_file(void) { return outcome(syscall(SYS_kexec_file_load, -1, -1, 0, NULL, 0x8000)); }
static int reboot_machine(void) { return outcome(syscall(SYS_reboot, 0, 0, 0, NULL)); }
static int swap_on(void) { return outcome(syscall(SYS_swapon, "/nexcage-hostile", 0)); }
static int swap_off(void) { return outcome(syscall(SYS_swapoff, "/nexcage-hostile")); }
static int account(void) { return outcome(syscall(SYS_acct, "/nexcage-hostile")); }

static int read_kernel_log(void) {
    char text[256];
    return outcome(syscall(SYS_syslog, 3, text, sizeof text));
}

static int set_name(void) {
    struct utsname name;
    memset(&name, 0, sizeof name);
    syscall(SYS_uname, &name);
    return outcome(syscall(SYS_sethostname, name.nodename, strlen(name.nodename)));
}

static int set_domain(void) {
    struct utsname name;
    memset(&name, 0, sizeof name);
    syscall(SYS_uname, &name);
    return outcome(syscall(SYS_setdomainname, name.domainname, strlen(name.domainname)));
}

static int read_name(void) {
    struct utsname name;
    return outcome(syscall(SYS_uname, &name));
}

static int read_system(void) {
    char info[256];
    return outcome(syscall(SYS_sysinfo, info));
}

static int set_zone(void) {
    struct timezone zone = {0};
    syscall(SYS_gettimeofday, NULL, &zone);
    return outcome(syscall(SYS_settimeofday, NULL, &zone));
}

static int set_clock(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return outcome(syscall(SYS_clock_settime, CLOCK_REALTIME, &time));
}

static int adjust_clock(void) {
    struct timex state = {0};
    if (syscall(SYS_adjtimex, &state) < 0)
        return errno;
    state.modes = ADJ_TICK;
    return outcome(syscall(SYS_adjtimex, &state));
}

static int quota(void) { return outcome(syscall(SYS_quotactl, QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL)); }
static int watch_all(void) { return opened(syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY)); }

static int watch_files(void) {
    long fd = syscall(SYS_inotify_init1, O_CLOEXEC);
    /* Descriptor 0 stands for one that someone left open. */
    int error = outcome(syscall(SYS_inotify_add_watch, fd >= 0 ? fd : 0, "/etc", 0x100 /* IN_CREATE */));
    if (fd >= 0)
        syscall(SYS_close, fd);
    return error;
}

static int sync_disks(void) { return outcome(syscall(SYS_sync)); }
static int lock_memory(void) {
    if (syscall(SYS_mlockall, MCL_CURRENT) < 0)
        return errno;
    return outcome(syscall(SYS_munlockall));
}
static int io_priority(void) { return outcome(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 4)); }

/* ---- Things that processes share ---- */

static int message_queue_posix(void) {
    int error = opened(syscall(SYS_mq_open, "nexcage-hostile", O_RDWR | O_CREAT, 0600, NULL));
    if (!error)
        syscall(SYS_mq_unlink, "nexcage-hostile");
    return error;
}

static int shared_segment(void) {
    long id = syscall(SYS_shmget, IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
    return id < 0 ? errno : outcome(syscall(SYS_shmctl, id, IPC_RMID, NULL));
}

static int semaphore(void) {
    long id = syscall(SYS_semget, IPC_PRIVATE, 1, IPC_CREAT | 0600);
    return id < 0 ? errno : outcome(syscall(SYS_semctl, id, 0, IPC_RMID));
}

static int message_queue(void) {
    long id = syscall(SYS_msgget, IPC_PRIVATE, IPC_CREAT | 0600);
    return id < 0 ? errno : outcome(syscall(SYS_msgctl, id, IPC_RMID, NULL));
}

static int process_timer(void) {
    struct itimerval hour = {.it_value = {3600, 0}}, none = {0};
    if (syscall(SYS_setitimer, ITIMER_REAL, &hour, NULL) < 0)
        return errno;
    return outcome(syscall(SYS_setitimer, ITIMER_REAL, &none, NULL));
}

/* ---- Descriptors that are there already ---- */

/* Made when it works on one of them. */
static int on_descriptors(int last, long (*act)(int)) {
    int error = EBADF;
    for (int fd = 0; fd <= last; fd++) {
        if (act(fd) >= 0)
            return 0;
        if (errno != EBADF)
            error = errno;
    }
    return error;
}

/* Made when it works on a socket. Without one the call is still made, on nothing. */
static int on_sockets(long (*act)(int)) {
    int error = 0, found = 0;
    for (int fd = 0; fd < 64; fd++)
        if (is_socket(fd)) {
            found = 1;
            if (act(fd) >= 0)
                return 0;
            error = errno;
        }
    return found ? error : outcome(act(-1));
}

static long inject(int fd) { return syscall(SYS_ioctl, fd, TIOCSTI, " "); }
static long count_bytes(int fd) {
    int count;
    return syscall(SYS_ioctl, fd, FIONREAD, &count);
}
static long close_at_exec(int fd) { return syscall(SYS_ioctl, fd, FIOCLEX); }
static long read_flags(int fd) { return syscall(SYS_fcntl, fd, F_GETFL); }
static long duplicate(int fd) {
    long copy = syscall(SYS_dup, fd);
    if (copy >= 0)
        syscall(SYS_close, copy);
    return copy;
}

/* Afterwards the kernel would signal the parent for every byte that comes. */
static long signal_owner(int fd) {
    if (syscall(SYS_fcntl, fd, F_SETOWN, parent()) < 0)
        return -1;
    return syscall(SYS_fcntl, fd, F_SETOWN, 0);
}

static long filter_socket(int fd) {
    struct sock_fprog program = {1, allow_all};
    if (syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0)
        return -1;
    return syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_DETACH_FILTER, &program, sizeof program);
}

static long widen_socket(int fd) {
    int size = 1 << 30;
    return syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static long peer_of_socket(int fd) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    return syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
}

static long shut_socket(int fd) { return syscall(SYS_shutdown, fd, SHUT_RDWR); }

static long reconnect_socket(int fd) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/docker.sock"};
    return syscall(SYS_connect, fd, &address, sizeof address);
}

static int terminal_input(void) { return on_descriptors(2, inject); }
static int ioctl_count(void) { return on_descriptors(63, count_bytes); }
static int ioctl_flags(void) { return on_descriptors(63, close_at_exec); }
static int fcntl_flags(void) { return on_descriptors(63, read_flags); }
static int fcntl_owner(void) { return on_descriptors(63, signal_owner); }
static int dup_any(void) { return on_descriptors(63, duplicate); }
static int socket_filter(void) { return on_sockets(filter_socket); }
static int socket_buffer(void) { return on_sockets(widen_socket); }
static int socket_peer(void) { return on_sockets(peer_of_socket); }
static int socket_shutdown(void) { return on_sockets(shut_socket); }
static int socket_reconnect(void) { return on_sockets(reconnect_socket); }

static int close_everything(void) {
    for (int fd = 0; fd < 64; fd++)
        syscall(SYS_close, fd);
    return 0;
}

/* ---- Bombs. "made" means that the bound was reached, which is far above what a plugin may use. ---- */

#define BOMB_THREADS 2000
#define BOMB_BYTES (1UL << 30)
#define BOMB_DESCRIPTORS 4096
#define BOMB_CHILDREN 64

static atomic_int bomb_gate;

static void *wait_at_gate(void *unused) {
    (void)unused;
    while (!bomb_gate)
        nap(20);
    return NULL;
}

static int bomb_threads(void) {
    static pthread_t threads[BOMB_THREADS];
    int count = 0, error = 0;
    bomb_gate = 0;
    while (count < BOMB_THREADS && (error = start_thread(&threads[count], wait_at_gate)) == 0)
        count++;
    bomb_gate = 1;
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return error;
}

static void touch(void *at, size_t size) {
    for (size_t i = 0; i < size; i += PAGE)
        ((volatile char *)at)[i] = 1;
}

#define BOMB_PART (16 * MIB)
#define BOMB_PARTS (BOMB_BYTES / BOMB_PART)

/* Memory in parts, so that a limit of any size shows. */
static int bomb_mapped(int protection, int flags) {
    void *parts[BOMB_PARTS];
    size_t count = 0;
    int error = 0;
    while (count < BOMB_PARTS) {
        void *part = map(BOMB_PART, protection, flags | MAP_ANONYMOUS, -1);
        if (part == MAP_FAILED) {
            error = errno;
            break;
        }
        parts[count++] = part;
        if (!(protection & PROT_WRITE) && syscall(SYS_mprotect, part, BOMB_PART, PROT_READ | PROT_WRITE) < 0) {
            error = errno;
            break;
        }
        touch(part, BOMB_PART);
    }
    while (count)
        unmap(parts[--count], BOMB_PART);
    return error;
}

static int bomb_memory(void) { return bomb_mapped(PROT_READ | PROT_WRITE, MAP_PRIVATE); }
static int bomb_memory_shared(void) { return bomb_mapped(PROT_READ | PROT_WRITE, MAP_SHARED); }
static int bomb_memory_stack(void) { return bomb_mapped(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN); }
static int bomb_memory_late(void) { return bomb_mapped(PROT_NONE, MAP_PRIVATE | MAP_NORESERVE); }

static int bomb_memory_grown(void) {
    size_t size = BOMB_PART;
    void *memory = map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (memory == MAP_FAILED)
        return errno;
    while (size < BOMB_BYTES) {
        void *moved = (void *)syscall(SYS_mremap, memory, size, size * 2, MREMAP_MAYMOVE);
        if (moved == MAP_FAILED) {
            int error = errno;
            unmap(memory, size);
            return error;
        }
        memory = moved, size *= 2;
    }
    touch(memory, size);
    unmap(memory, size);
    return 0;
}

static int bomb_memory_brk(void) {
    char *start = sbrk(0);
    if (sbrk((intptr_t)BOMB_BYTES) == (void *)-1)
        return errno;
    touch(start, BOMB_BYTES);
    if (sbrk(0) == start + BOMB_BYTES)
        brk(start);
    return 0;
}

/* Only read, so that no page of it is its own: but the kernel needs a table for each 2 MiB, 128 MiB of them. */
static int bomb_page_tables(void) {
    const size_t step = 2 * MIB, size = 32768 * step;
    char *memory = map(size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (memory == MAP_FAILED)
        return errno;
    for (size_t i = 0; i < size; i += step)
        (void)*(volatile char *)(memory + i);
    unmap(memory, size);
    return 0;
}

static int bomb_huge(void) {
    const size_t size = 1UL << 44;
    void *memory = map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (memory == MAP_FAILED)
        return errno;
    unmap(memory, size);
    return 0;
}

static int bomb_descriptors_by(long (*another)(void)) {
    static int fds[BOMB_DESCRIPTORS];
    struct rlimit limit = {BOMB_DESCRIPTORS + 64, BOMB_DESCRIPTORS + 64}, before;
    int count = 0, error = 0;
    /* A limit that a process may raise by itself is none. */
    if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &before) == 0) {
        limit.rlim_max = before.rlim_max;
        syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL);
    }
    while (count < BOMB_DESCRIPTORS) {
        long fd = another();
        if (fd < 0) {
            error = errno;
            break;
        }
        fds[count++] = (int)fd;
    }
    while (count)
        syscall(SYS_close, fds[--count]);
    return error;
}

static long another_dup(void) { return syscall(SYS_dup, 0); }
static long another_file(void) { return open_at(own_object(), O_RDONLY); }
static int bomb_descriptors(void) { return bomb_descriptors_by(another_dup); }
static int bomb_files(void) { return bomb_descriptors_by(another_file); }

static int bomb_children(void) {
    long children[BOMB_CHILDREN];
    int count = 0, error = 0;
    while (count < BOMB_CHILDREN) {
        long pid = syscall(SYS_fork);
        if (pid == 0)
            child_ends(0);
        if (pid < 0) {
            error = errno;
            break;
        }
        children[count++] = pid;
    }
    while (count)
        reap(children[--count]);
    return error;
}

static int spin(void) {
    for (double end = now() + SPIN_SECONDS; now() < end;)
        for (volatile int i = 0; i < 1000000; i++)
            ;
    return 0;
}

static void *spin_on_thread(void *unused) {
    (void)unused;
    spin();
    return NULL;
}

static int spin_threads(void) {
    pthread_t threads[4];
    int count = 0;
    while (count < 4 && start_thread(&threads[count], spin_on_thread) == 0)
        count++;
    spin();
    while (count)
        pthread_join(threads[--count], NULL);
    return 0;
}

/* ---- Ends and silences ---- */

static int hang_sleep(void) {
    for (double end = now() + HANG_SECONDS; now() < end;)
        nap(1000);
    return 0;
}

static int hang_futex(void) {
    static uint32_t word;
    struct timespec time = {HANG_SECONDS, 0};
    syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &time, NULL, 0);
    return 0;
}

static int hang_poll(void) {
    syscall(SYS_poll, NULL, 0, HANG_SECONDS * 1000);
    return 0;
}

static int hang_deaf(void) {
    sigset_t all;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (int number = 1; number < 65; number++)
        sigaction(number, &ignore, NULL);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    return hang_sleep();
}

static double fault_loop_end;

/* Returns to the instruction that failed, until it is long enough. */
static void on_fault_again(int signal) {
    if (now() > fault_loop_end)
        on_fault(signal);
}

static int loop_of_faults(void) {
    struct sigaction action = {.sa_handler = on_fault_again}, before;
    volatile char *volatile nowhere = (char *)16;
    fault_loop_end = now() + SPIN_SECONDS;
    if (sigaction(SIGSEGV, &action, &before) < 0)
        return errno;
    if (sigsetjmp(after_fault, 1) == 0)
        *nowhere = 1;
    sigaction(SIGSEGV, &before, NULL);
    return 0;
}

/* Not by a null pointer: the compiler knows that one. */
static int crash_write(void) {
    volatile char *volatile nowhere = (char *)16;
    *nowhere = 1;
    return 0;
}

static int crash_jump(void) {
    void (*volatile nowhere)(void) = (void (*)(void))(uintptr_t)16;
    nowhere();
    return 0;
}

static int crash_divide(void) {
    /* Not one by zero: the compiler answers that by a comparison. */
    volatile int zero = 0, result = 7 / zero;
    return result;
}

static int crash_abort(void) { abort(); }
static int crash_breakpoint(void) {
    __asm__ volatile("int3");
    return 0;
}
static int crash_instruction(void) {
    __asm__ volatile("ud2");
    return 0;
}
static int crash_privileged(void) {
    __asm__ volatile("hlt");
    return 0;
}

__attribute__((noinline)) static int deeper(int left) {
    volatile char room[1024] = {(char)left};
    /* Reads its own frame afterwards, so that the compiler cannot do without one. */
    return left == 0 ? 0 : room[deeper(left - 1) & 1023];
}

/* Deep enough for any stack: the bound is there so that the compiler sees an end. */
static int crash_stack(void) { return deeper(1 << 30); }
static int end_exit(void) { exit(0); }
static int end_exit_now(void) { _exit(0); }

static int end_thread(void) {
    return outcome(syscall(SYS_exit, 0));
}

static void hang_at_end(void) { hang_sleep(); }

static int end_exit_hang(void) {
    atexit(hang_at_end);
    exit(0);
}

static int end_handler(void) {
    /* Over the frames of whoever called, which are not C. */
    pthread_exit(NULL);
}

/* ---- The interface: floods, and replies that are none ---- */

static nxc_str lend(const char *text) {
    return (nxc_str){text, strlen(text)};
}

/* Error numbers stand for the interface's statuses, so that one column holds both. */
static int from_status(int32_t status) {
    switch (status) {
    case NXC_OK:
        return 0;
    case NXC_INVALID_ARGUMENT:
        return EINVAL;
    case NXC_UNSUPPORTED:
        return EOPNOTSUPP;
    case NXC_PERMISSION_DENIED:
        return EACCES;
    case NXC_NOT_FOUND:
        return ENOENT;
    case NXC_TIMEOUT:
        return ETIMEDOUT;
    case NXC_RESOURCE_LIMIT:
        return ENOBUFS;
    default:
        return EIO;
    }
}

/* What needs a host cannot be done by a constructor: there is none yet. */
#define NEED_HOST()                                                                                                    \
    do {                                                                                                               \
        if (!host)                                                                                                     \
            return ENOTCONN;                                                                                           \
    } while (0)

static int reply_to(uint64_t call, nxc_str bytes) {
    return from_status(host->reply_write(host->ctx, call, bytes));
}

static int dribble_reply(void) {
    NEED_HOST();
    for (double end = now() + HANG_SECONDS; now() < end; nap(100)) {
        int error = reply_to(current_call, lend(" "));
        if (error)
            return error;
    }
    return 0;
}

static int flood_log(void) {
    NEED_HOST();
    for (int i = 0; i < 50000; i++)
        host->log(host->ctx, NXC_LOG_ERROR, lend("hostile"), lend("flood"));
    return 0;
}

static int flood_metric(void) {
    NEED_HOST();
    for (int i = 0; i < 50000; i++)
        host->metric(host->ctx, lend("flood_total"), i, lend("{\"a\":\"b\"}"));
    return 0;
}

static void *flood_on_thread(void *unused) {
    flood_log();
    return unused;
}

static int flood_log_threads(void) {
    pthread_t threads[4];
    NEED_HOST();
    int count = 0;
    while (count < 4 && start_thread(&threads[count], flood_on_thread) == 0)
        count++;
    while (count)
        pthread_join(threads[--count], NULL);
    return 0;
}

static const char *much(size_t size) {
    static char *bytes;
    bytes = realloc(bytes, size);
    if (bytes)
        memset(bytes, 'a', size);
    return bytes;
}

static int log_long(void) {
    NEED_HOST();
    const char *text = much(MIB * 3 / 2);
    if (!text)
        return ENOMEM;
    host->log(host->ctx, NXC_LOG_ERROR, lend("hostile"), (nxc_str){text, MIB * 3 / 2});
    return 0;
}

static int log_escapes(void) {
    NEED_HOST();
    host->log(host->ctx, NXC_LOG_ERROR, lend("a\nb"), lend("\033]0;owned\007\033[2J\n{\"level\":\"error\"}\r\xff\xfe%s%n"));
    return 0;
}

static int metric_names(void) {
    NEED_HOST();
    host->metric(host->ctx, lend("a b\n# HELP x"), 1, lend("not json"));
    host->metric(host->ctx, lend(""), -0.0, lend("{\"a\\nb\":\"\\\"} 1\\nforged 2\"}"));
    return 0;
}

static int metric_no_number(void) {
    volatile double zero = 0;
    NEED_HOST();
    host->metric(host->ctx, lend("nan"), zero / zero, lend(""));
    host->metric(host->ctx, lend("infinite"), 1 / zero, lend(""));
    return 0;
}

static int metric_deep(void) {
    static char labels[200000];
    NEED_HOST();
    memset(labels, '[', sizeof labels);
    host->metric(host->ctx, lend("deep"), 1, (nxc_str){labels, sizeof labels});
    return 0;
}

static int reply_long(void) {
    NEED_HOST();
    const char *part = much(65536);
    int error = part ? 0 : ENOMEM;
    for (int i = 0; i < 32 && !error; i++)
        error = reply_to(current_call, (nxc_str){part, 65536});
    return error;
}

static int reply_length(void) {
    NEED_HOST();
    return reply_to(current_call, (nxc_str){"x", SIZE_MAX});
}

static int reply_garbage(void) {
    NEED_HOST();
    return reply_to(current_call, lend("{\"exit_code\": 0, \"stdout\": \"\xff\xfe\", not json"));
}

static int reply_nested(void) {
    NEED_HOST();
    for (int i = 0; i < 100000; i++) {
        int error = reply_to(current_call, lend("["));
        if (error)
            return error;
    }
    return 0;
}

static int reply_to_other(void) {
    NEED_HOST();
    return reply_to(current_call + 1, lend("{}"));
}

static int reply_to_many(void) {
    int error = EINVAL;
    NEED_HOST();
    for (uint64_t call = 0; call < 65536; call++)
        if (call != current_call && reply_to(call, lend("{}")) == 0)
            error = 0;
    return error;
}

static int bad_reply_pointer(void) {
    NEED_HOST();
    return reply_to(current_call, (nxc_str){(const char *)16, 4096});
}

static int bad_log_pointer(void) {
    NEED_HOST();
    host->log(host->ctx, NXC_LOG_ERROR, lend("hostile"), (nxc_str){(const char *)16, 4096});
    return 0;
}

static int bad_context(void) {
    NEED_HOST();
    return from_status(host->reply_write((void *)16, current_call, lend("x")));
}

static int overwrite_table(void) {
    NEED_HOST();
    /* The host's own memory: it must lose no more than itself. */
    memset((void *)(uintptr_t)host->ctx, 0x41, 256);
    return reply_to(current_call, lend("x"));
}

static int recurse_health(void);

/* ---- Frames written past the host ---- */

enum {
    HELLO = 1,
    READY = 2,
    CALL = 3,
    REPLY = 4,
    CANCEL = 5,
    LOG = 6,
    METRIC = 7,
    BROKER_CALL = 8,
    BROKER_REPLY = 9,
    PING = 10,
    GOODBYE = 11,
    ERROR = 12,
};

#define HEADER 24

static void put(unsigned char *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

struct frame {
    size_t len;
    unsigned char bytes[512];
};

static struct frame frame(int kind, uint64_t id, uint32_t method, uint32_t status, const char *body) {
    struct frame made = {.len = HEADER + strlen(body)};
    put(made.bytes, strlen(body), 4);
    put(made.bytes + 4, (uint64_t)kind, 2);
    put(made.bytes + 8, id, 4);
    put(made.bytes + 12, method, 4);
    put(made.bytes + 16, status, 4);
    memcpy(made.bytes + HEADER, body, strlen(body));
    return made;
}

static const void *raw_bytes;
static size_t raw_len;

static long write_raw(int fd) {
    const char *rest = raw_bytes;
    for (size_t left = raw_len; left;) {
        long count = syscall(SYS_write, fd, rest, left);
        if (count < 0)
            return -1;
        rest += count, left -= (size_t)count;
    }
    return 0;
}

/* To each socket that there is, though one is enough to say that it was made. */
static int send_raw(const void *bytes, size_t len) {
    int error = ENOTSOCK;
    raw_bytes = bytes, raw_len = len;
    for (int fd = 0; fd < 64; fd++)
        if (is_socket(fd))
            error = write_raw(fd) < 0 && error ? errno : 0;
    return error;
}

static int send_frame(struct frame made) { return send_raw(made.bytes, made.len); }

#define ANSWER "{\"exit_code\":0,\"stdout\":\"forged\",\"stderr\":\"\"}"
#define EXECUTE 203
#define FILE_OPEN 6

static int forge_reply_other(void) { return send_frame(frame(REPLY, current_call + 1000, EXECUTE, 0, ANSWER)); }
static int forge_reply_zero(void) { return send_frame(frame(REPLY, 0, EXECUTE, 0, ANSWER)); }

static int forge_reply_twice(void) {
    int error = send_frame(frame(REPLY, current_call, EXECUTE, 0, ANSWER));
    return error ? error : send_frame(frame(REPLY, current_call, EXECUTE, 0, ANSWER));
}

static int forge_reply_status(void) { return send_frame(frame(REPLY, current_call, EXECUTE, UINT32_MAX, "{}")); }
static int forge_broker_reply(void) { return send_frame(frame(BROKER_REPLY, current_call, FILE_OPEN, 0, "{}")); }

static int forge_ready(void) {
    return send_frame(frame(READY, 0, 0, 0, "{\"protocol\":1,\"api\":65536,\"extensions\":[]}"));
}

static int forge_hello(void) {
    return send_frame(frame(HELLO, 0, 0, 0,
                            "{\"protocol\":[1,1],\"nexcage\":\"0\",\"plugin\":\"x\",\"config\":null,"
                            "\"log_level\":\"error\"}"));
}

static int forge_call(void) { return send_frame(frame(CALL, 1, EXECUTE, 0, "{}")); }
static int forge_cancel(void) { return send_frame(frame(CANCEL, current_call, 0, 0, "")); }
static int forge_ping(void) { return send_frame(frame(PING, 0, 0, 0, "")); }
static int forge_goodbye(void) { return send_frame(frame(GOODBYE, 0, 0, 0, "")); }
static int forge_error(void) { return send_frame(frame(ERROR, 0, 0, 0, "{\"message\":\"\\u001b[2Jforged\"}")); }
static int forge_error_bad(void) { return send_frame(frame(ERROR, 0, 0, 0, "not json")); }
static int forge_kind(void) { return send_frame(frame(99, current_call, 0, 0, "")); }
static int forge_kind_zero(void) { return send_frame(frame(0, current_call, 0, 0, "")); }
static int forge_log_bad(void) { return send_frame(frame(LOG, current_call, 0, 0, "{}")); }

static int forge_log_field(void) {
    return send_frame(frame(LOG, current_call, 0, 0, "{\"level\":\"error\",\"message\":\"m\",\"x\":1}"));
}

static int forge_log_call(void) {
    return send_frame(frame(LOG, current_call + 7, 0, 0, "{\"level\":\"error\",\"message\":\"m\"}"));
}

static int forge_broker_call(void) {
    return send_frame(frame(BROKER_CALL, current_call, FILE_OPEN, 0, "{\"path\":\"/etc/shadow\",\"access\":\"read\"}"));
}

static int forge_broker_number(void) { return send_frame(frame(BROKER_CALL, current_call, 9999, 0, "{}")); }
static int forge_broker_id(void) { return send_frame(frame(BROKER_CALL, current_call + 1, FILE_OPEN, 0, "{}")); }

static int forge_flags(void) {
    struct frame made = frame(LOG, current_call, 0, 0, "{\"level\":\"error\",\"message\":\"m\"}");
    put(made.bytes + 6, 0x8000, 2);
    return send_frame(made);
}

static int forge_length(void) {
    struct frame made = frame(REPLY, current_call, EXECUTE, 0, "");
    put(made.bytes, 2 * MIB, 4);
    return send_frame(made);
}

static int forge_length_most(void) {
    struct frame made = frame(REPLY, current_call, EXECUTE, 0, "");
    put(made.bytes, UINT32_MAX, 4);
    return send_frame(made);
}

/* The host's own answer then is a part of this body. */
static int forge_length_more(void) {
    struct frame made = frame(LOG, current_call, 0, 0, "{\"level\":\"error\",");
    put(made.bytes, 4096, 4);
    return send_frame(made);
}

static int forge_half(void) {
    static const unsigned char zeros[7];
    return send_raw(zeros, sizeof zeros);
}

/* Under id zero, so that no call pays for them. */
static int forge_flood(void) {
    struct frame made = frame(LOG, 0, 0, 0, "{\"level\":\"error\",\"message\":\"flood\"}");
    int error = 0;
    for (int i = 0; i < 50000 && !error; i++)
        error = send_frame(made);
    return error;
}

static int forge_ping_flood(void) {
    int error = 0;
    for (int i = 0; i < 50000 && !error; i++)
        error = send_frame(frame(PING, 0, 0, 0, ""));
    return error;
}

static int dribble_frame(void) {
    struct frame made = frame(LOG, current_call, 0, 0, "{\"level\":\"error\",\"message\":\"as slow as a snail, or a worm\"}");
    int error = 0;
    for (size_t i = 0; i < made.len && !error; i++) {
        error = send_raw(made.bytes + i, 1);
        nap(HANG_SECONDS * 1000 / (long)made.len);
    }
    return error;
}

static int flood_garbage(int filler) {
    static unsigned char bytes[4096];
    uint32_t state = 0x9e3779b9;
    int error = EBADF;
    for (size_t i = 0; i < sizeof bytes; i++) {
        state ^= state << 13, state ^= state >> 17, state ^= state << 5;
        bytes[i] = filler < 0 ? (unsigned char)state : (unsigned char)filler;
    }
    for (int fd = 0; fd < 64; fd++)
        if (syscall(SYS_write, fd, bytes, sizeof bytes) > 0)
            error = 0;
    return error;
}

static int garbage_random(void) { return flood_garbage(-1); }
static int garbage_ones(void) { return flood_garbage(0xff); }
static int garbage_zeros(void) { return flood_garbage(0); }

/* ---- Messages with more than bytes ---- */

static int send_control(int fd, struct frame *with, int level_type, const void *data, size_t size) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(253 * sizeof(int))];
    } control = {.room = {0}};
    struct iovec part = {with->bytes, with->len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(size)};
    control.head = (struct cmsghdr){CMSG_LEN(size), SOL_SOCKET, level_type};
    memcpy(CMSG_DATA(&control.head), data, size);
    return outcome(syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL));
}

/* A frame that is in order, so that only what comes with it matters. */
static struct frame good_frame(void) {
    return frame(LOG, current_call, 0, 0, "{\"level\":\"error\",\"target\":\"hostile\",\"message\":\"with more\"}");
}

static int send_control_to_all(int type, const void *data, size_t size) {
    struct frame made = good_frame();
    int error = ENOTSOCK;
    for (int fd = 0; fd < 64; fd++)
        if (is_socket(fd)) {
            int result = send_control(fd, &made, type, data, size);
            error = error == 0 ? 0 : result;
        }
    return error;
}

static int pass_descriptor(void) {
    int fd = 0;
    return send_control_to_all(SCM_RIGHTS, &fd, sizeof fd);
}

static int pass_descriptors(void) {
    int fds[253] = {0};
    return send_control_to_all(SCM_RIGHTS, fds, sizeof fds);
}

/* Descriptors that stay under way count for their sender; a receiver that keeps them runs out of its own. */
static int pass_flood(void) {
    int fds[253] = {0}, error = 0;
    for (int i = 0; i < 64 && !error; i++)
        error = send_control_to_all(SCM_RIGHTS, fds, sizeof fds);
    return error;
}

static int pass_itself(void) {
    struct frame made = good_frame();
    for (int fd = 0; fd < 64; fd++)
        if (is_socket(fd))
            return send_control(fd, &made, SCM_RIGHTS, &fd, sizeof fd);
    return ENOTSOCK;
}

static int forge_credentials(void) {
    struct ucred root = {1, 0, 0};
    return send_control_to_all(SCM_CREDENTIALS, &root, sizeof root);
}

/* A byte beside the stream. */
static int send_urgent(void) {
    struct iovec part = {"!", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int error = ENOTSOCK;
    for (int fd = 0; fd < 64; fd++)
        if (is_socket(fd) && error)
            error = outcome(syscall(SYS_sendmsg, fd, &message, MSG_OOB | MSG_NOSIGNAL));
    return error;
}

/* Takes what the runtime sends next. Nothing waits there while a call runs. */
static int steal_frames(void) {
    char bytes[256];
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int error = ENOTSOCK;
    for (int fd = 0; fd < 64; fd++)
        if (is_socket(fd) && error)
            error = outcome(syscall(SYS_recvmsg, fd, &message, MSG_DONTWAIT));
    return error;
}

/* ---- Broker calls ---- */

static int nested_broker_calls;

static int32_t take_bytes(void *ctx, nxc_str bytes) {
    (void)ctx, (void)bytes;
    return NXC_OK;
}

static int32_t take_descriptor(void *ctx, int32_t fd) {
    (void)ctx;
    syscall(SYS_close, fd);
    return NXC_OK;
}

static const nxc_sink sink = {sizeof(nxc_sink), NXC_API_VERSION, NULL, take_bytes, take_descriptor};

static int ask_with(uint64_t call, const char *method, nxc_str input, const nxc_sink *to) {
    NEED_HOST();
    return from_status(host->broker_call(host->ctx, call, lend(method), input, to));
}

static int ask(const char *method, const char *input) { return ask_with(current_call, method, lend(input), &sink); }

static int ask_shadow(void) { return ask("file.open", "{\"path\":\"/etc/shadow\",\"access\":\"read\"}"); }
static int ask_write(void) { return ask("file.open", "{\"path\":\"/etc/nexcage-hostile\",\"access\":\"write\"}"); }
static int ask_traversal(void) { return ask("file.open", "{\"path\":\"/tmp/../etc/shadow\",\"access\":\"read\"}"); }
static int ask_proc(void) { return ask("file.open", "{\"path\":\"/proc/self/mem\",\"access\":\"write\"}"); }
static int ask_nul(void) { return ask("file.open", "{\"path\":\"/etc/passwd\\u0000x\",\"access\":\"read\"}"); }
static int ask_dial(void) { return ask("network.dial", "{\"endpoint\":\"127.0.0.1:22\"}"); }
static int ask_dial_metadata(void) { return ask("network.dial", "{\"endpoint\":\"169.254.169.254:80\"}"); }
static int ask_listen(void) { return ask("network.listen", "{\"endpoint\":\"127.0.0.1:0\"}"); }
static int ask_config(void) { return ask("config.read", "{\"pointer\":\"\"}"); }
static int ask_config_write(void) { return ask("config.write", "{\"pointer\":\"\",\"value\":{}}"); }
static int ask_command(void) { return ask("command.execute", "{\"command\":\"sh\",\"args\":[\"-c\",\"id\"]}"); }
static int ask_device(void) { return ask("device.open", "{\"path\":\"/dev/mem\"}"); }
static int ask_container(void) { return ask("container.exec", "{\"id\":\"x\",\"args\":[\"sh\"]}"); }
static int ask_system(void) { return ask("system.info", "{}"); }
static int ask_metrics(void) { return ask("system.metrics", "{}"); }
static int ask_unknown(void) { return ask("host.reboot", "{}"); }
static int ask_twice(void) {
    return ask("file.open", "{\"path\":\"/etc/passwd\",\"path\":\"/etc/shadow\",\"access\":\"read\"}");
}
static int ask_no_json(void) { return ask("config.read", "\xff\xfe{"); }

static int ask_deep(void) {
    static char nested[100001];
    memset(nested, '[', sizeof nested - 1);
    return ask("config.read", nested);
}

static int ask_long(void) {
    const char *input = much(2 * MIB);
    return input ? ask_with(current_call, "config.read", (nxc_str){input, 2 * MIB}, &sink) : ENOMEM;
}

static int ask_for_other(void) { return ask_with(current_call + 1, "system.info", lend("{}"), &sink); }
static int ask_no_sink(void) { return ask_with(current_call, "system.info", lend("{}"), NULL); }

static int ask_short_sink(void) {
    const nxc_sink short_sink = {8, NXC_API_VERSION, NULL, take_bytes, take_descriptor};
    return ask_with(current_call, "system.info", lend("{}"), &short_sink);
}

static int ask_flood(void) {
    int error = 0;
    for (int i = 0; i < 5000; i++) {
        int result = ask("file.open", "{\"path\":\"/etc/shadow\",\"access\":\"read\"}");
        error = result ? result : error;
    }
    return error;
}

static int32_t ask_again(void *ctx, nxc_str bytes) {
    static const nxc_sink again = {sizeof(nxc_sink), NXC_API_VERSION, NULL, ask_again, take_descriptor};
    (void)ctx, (void)bytes;
    host->log(host->ctx, NXC_LOG_ERROR, lend("hostile"), lend("from within"));
    if (nested_broker_calls++ < 64)
        ask_with(current_call, "system.info", lend("{}"), &again);
    return NXC_OK;
}

static int ask_within(void) {
    const nxc_sink again = {sizeof(nxc_sink), NXC_API_VERSION, NULL, ask_again, take_descriptor};
    nested_broker_calls = 0;
    return ask_with(current_call, "system.info", lend("{}"), &again);
}

static void *ask_on_thread(void *unused) {
    (void)unused;
    for (int i = 0; i < 20; i++)
        thread_error = ask_shadow();
    return NULL;
}

static int ask_threads(void) {
    pthread_t threads[4];
    NEED_HOST();
    thread_error = EIO;
    int count = 0;
    while (count < 4 && start_thread(&threads[count], ask_on_thread) == 0)
        count++;
    if (!count)
        ask_on_thread(NULL);
    while (count)
        pthread_join(threads[--count], NULL);
    return thread_error;
}

/* ---- The table ---- */

struct attack {
    const char *name, *class;
    /* What may become of it in a call or in `init`, and in a constructor or the entry function; null where that is the
     * same, "-" where it needs a call. */
    const char *expected, *while_loading;
    int (*run)(void);
    const char *about;
};

static const struct attack attacks[] = {
    {"open-etc-shadow", "files", "refused", NULL, open_shadow, "reads /etc/shadow"},
    {"open-etc-passwd", "files", "refused", NULL, open_passwd, "reads /etc/passwd"},
    {"open-traversal", "files", "refused", NULL, open_traversal, "reads /etc/passwd by a path of many .."},
    {"open-from-object", "files", "refused", NULL, open_from_object, "reads /etc/passwd by .. from its own object"},
    {"open-legacy", "files", "refused", NULL, open_legacy, "reads /etc/passwd by open(2)"},
    {"open-openat2", "files", "refused", NULL, open_two, "reads /etc/passwd by openat2(2)"},
    {"open-proc-self-root", "files", "refused", NULL, open_proc_self_root, "reads /etc/passwd through /proc/self/root"},
    {"open-proc-1-root", "files", "refused", NULL, open_proc_1_root, "reads /etc/passwd through /proc/1/root"},
    {"open-proc-self-mem", "files", "refused", NULL, open_proc_mem, "opens its own memory to write"},
    {"open-proc-1-environ", "files", "refused", NULL, open_proc_environ, "reads the environment of process 1"},
    {"open-proc-self-exe", "files", "refused", NULL, open_proc_exe, "reads the host's program"},
    {"open-proc-self-maps", "files", "refused", NULL, open_proc_maps, "reads its own memory map"},
    {"open-proc-parent-maps", "files", "refused", NULL, open_proc_parent, "reads the parent's memory map"},
    {"open-proc-parent-environ", "files", "refused", NULL, open_proc_parent_environ, "reads the parent's environment"},
    {"open-sys", "files", "refused", NULL, open_sys, "reads a file below /sys"},
    {"open-dev-kmsg", "files", "refused", NULL, open_kmsg, "opens the kernel's log"},
    {"open-dev-null", "files", "refused", NULL, open_null, "opens a device"},
    {"open-dev-ptmx", "files", "refused", NULL, open_ptmx, "opens a new terminal"},
    {"open-path-only", "files", "refused", NULL, open_path_only, "opens /etc by O_PATH"},
    {"open-root", "files", "refused", NULL, open_root, "opens the root directory"},
    {"open-by-handle", "files", "killed", NULL, open_by_handle, "opens a file by its handle"},
    {"name-to-handle", "files", "refused", NULL, handle_of_name, "asks for a file's handle"},
    {"create-in-root", "files", "refused", NULL, create_root, "creates a file in /"},
    {"create-in-tmp", "files", "refused", NULL, create_tmp, "creates a file in /tmp"},
    {"create-in-cwd", "files", "refused", NULL, create_cwd, "creates a file where it is"},
    {"create-in-dev-shm", "files", "refused", NULL, create_shm, "creates a file in /dev/shm"},
    {"create-unnamed", "files", "refused", NULL, create_unnamed, "creates a file without a name"},
    {"create-legacy", "files", "refused", NULL, create_creat, "creates a file by creat(2)"},
    {"mkdir", "files", "refused", NULL, make_directory, "makes a directory"},
    {"write-own-object", "files", "refused", NULL, write_object, "opens its own object to write"},
    {"truncate-own-object", "files", "refused", NULL, truncate_object, "truncates its own object"},
    {"chmod-own-object", "files", "refused", NULL, chmod_object, "changes the mode of its own object"},
    {"chown-own-object", "files", "refused", NULL, chown_object, "changes the owner of its own object"},
    {"touch-own-object", "files", "refused", NULL, touch_object, "changes the times of its own object"},
    {"setxattr-own-object", "files", "refused", NULL, attribute_object, "gives its own object an attribute"},
    {"symlink", "files", "refused", NULL, make_symlink, "makes a symbolic link to /etc/passwd"},
    {"hardlink", "files", "refused", NULL, make_link, "makes a hard link"},
    {"rename", "files", "refused", NULL, rename_file, "renames a file"},
    {"rename-exchange", "files", "refused", NULL, rename_exchange, "exchanges two files"},
    {"unlink", "files", "refused", NULL, unlink_file, "removes a file"},
    {"chmod-setuid", "files", "refused", NULL, chmod_file, "makes a file set-user-id"},
    {"mknod-device", "files", "refused", NULL, make_device, "makes a device"},
    {"mknod-fifo", "files", "refused", NULL, make_fifo, "makes a named pipe"},
    {"statx", "files", "refused", NULL, statx_etc, "asks what /etc is by statx(2)"},
    {"stat", "files", "refused", NULL, stat_etc, "asks what /etc is by stat(2)"},
    {"newfstatat", "files", "refused", NULL, stat_at_etc, "asks what /etc/passwd is by newfstatat(2)"},
    {"access", "files", "refused", NULL, access_passwd, "asks whether /etc/passwd is there by access(2)"},
    {"faccessat2", "files", "refused", NULL, faccessat_passwd, "asks whether /etc/passwd is there by faccessat2(2)"},
    {"list-root", "files", "refused", NULL, list_root, "lists the root directory"},
    {"chdir", "files", "refused", NULL, change_directory, "reads passwd from within /etc"},
    {"readlink-root", "files", "refused", NULL, read_link_root, "asks where its root is"},
    {"readlink-exe", "files", "refused", NULL, read_link_exe, "asks where the host's program is"},
    {"statfs", "files", "refused", NULL, stat_filesystem, "asks for the file system of /"},
    {"getcwd", "files", "refused", NULL, where_am_i, "asks where it is"},

    {"socket-tcp", "network", "refused", NULL, socket_tcp, "makes a TCP socket"},
    {"socket-tcp6", "network", "refused", NULL, socket_tcp6, "makes a TCP socket of IPv6"},
    {"socket-udp", "network", "refused", NULL, socket_udp, "makes a UDP socket"},
    {"socket-udp6", "network", "refused", NULL, socket_udp6, "makes a UDP socket of IPv6"},
    {"socket-mptcp", "network", "refused", NULL, socket_mptcp, "makes a multipath TCP socket"},
    {"socket-raw", "network", "refused", NULL, socket_raw, "makes a raw socket"},
    {"socket-packet", "network", "refused", NULL, socket_packet, "makes a packet socket"},
    {"socket-route", "network", "refused", NULL, socket_route, "makes a netlink socket for routes"},
    {"socket-audit", "network", "refused", NULL, socket_audit, "makes a netlink socket for audit"},
    {"socket-uevent", "network", "refused", NULL, socket_uevent, "makes a netlink socket for devices"},
    {"socket-vsock", "network", "refused", NULL, socket_vsock, "makes a socket to the hypervisor"},
    {"socket-alg", "network", "refused", NULL, socket_alg, "makes a socket to the kernel's ciphers"},
    {"socket-xdp", "network", "refused", NULL, socket_xdp, "makes an XDP socket"},
    {"socket-unix", "network", "refused", NULL, socket_unix, "makes a unix socket"},
    {"socket-unix-abstract", "network", "refused", NULL, socket_abstract, "binds an abstract unix socket"},
    {"socket-unix-path", "network", "refused", NULL, socket_path, "binds a unix socket to a path"},
    {"socketpair", "network", "refused", NULL, socket_pair, "makes a pair of sockets"},
    {"tcp-connect", "network", "refused", NULL, tcp_connect, "connects to a listener of its own"},
    {"tcp-listen", "network", "refused", NULL, tcp_listen, "listens on every address"},
    {"udp-send", "network", "refused", NULL, udp_send, "sends a datagram"},

    {"io-uring-setup", "kernel", "killed", NULL, io_uring, "makes an io_uring"},
    {"io-uring-enter", "kernel", "killed", NULL, io_uring_enter, "enters an io_uring that is not there"},
    {"io-uring-register", "kernel", "killed", NULL, io_uring_register, "registers with an io_uring that is not there"},
    {"userfaultfd", "kernel", "killed", NULL, user_fault, "makes a userfaultfd"},
    {"bpf", "kernel", "killed", NULL, bpf_map, "makes a BPF map"},
    {"perf-event-open", "kernel", "killed", NULL, perf_event, "opens a counter"},
    {"keyctl", "kernel", "killed", NULL, key_control, "makes a keyring"},
    {"add-key", "kernel", "killed", NULL, key_add, "adds a key"},
    {"request-key", "kernel", "killed", NULL, key_request, "asks for a key"},
    {"pipe", "kernel", "refused", NULL, pipe_pair, "makes a pipe"},
    {"epoll-create", "kernel", "refused", NULL, event_poll, "makes an epoll descriptor"},
    {"timerfd-create", "kernel", "refused", NULL, timer_descriptor, "makes a timer descriptor"},
    {"landlock-ruleset", "kernel", "refused", NULL, landlock_ruleset, "makes a Landlock ruleset of its own"},
    {"memfd-secret", "kernel", "refused", NULL, secret_memory, "makes memory that the kernel cannot see"},

    {"ptrace-parent", "processes", "killed", NULL, ptrace_parent, "takes over the parent"},
    {"ptrace-traceme", "processes", "killed", NULL, ptrace_me, "asks the parent to trace it"},
    {"process-vm-readv", "processes", "killed", NULL, read_parent, "reads memory of the parent"},
    {"process-vm-writev", "processes", "killed", NULL, write_parent, "writes memory of the parent"},
    {"kill-parent", "processes", "refused", NULL, kill_parent, "signals the parent"},
    {"kill-all", "processes", "refused", NULL, kill_all, "signals every process"},
    {"kill-group", "processes", "refused", NULL, kill_group, "signals its process group"},
    {"kill-init", "processes", "refused", NULL, kill_init, "signals process 1"},
    {"tkill-parent", "processes", "refused", NULL, tkill_parent, "signals the parent by tkill(2)"},
    {"tgkill-parent", "processes", "refused", NULL, tgkill_parent, "signals the parent by tgkill(2)"},
    {"sigqueue-parent", "processes", "refused", NULL, queue_signal, "queues a signal for the parent"},
    {"pidfd-open", "processes", "refused", NULL, pidfd_open_parent, "opens the parent"},
    {"pidfd-send-signal", "processes", "refused", NULL, pidfd_signal_parent, "signals the parent by a pidfd"},
    {"pidfd-getfd", "processes", "killed", NULL, pidfd_take, "takes a descriptor of the parent"},
    {"prlimit-read-others", "processes", "refused", NULL, limits_of_others, "reads limits of another process"},
    {"prlimit-set-parent", "processes", "refused", NULL, set_limits_of_parent, "sets limits of the parent"},
    {"setpriority-parent", "processes", "refused", NULL, priority_of_parent, "sets the priority of the parent"},
    {"sched-setaffinity-parent", "processes", "refused", NULL, affinity_of_parent, "sets the processors of the parent"},
    {"process-madvise", "processes", "refused", NULL, advise_parent, "advises on memory of the parent"},
    {"kcmp", "processes", "refused", NULL, compare_parent, "compares its descriptors with the parent's"},
    {"sched-real-time", "processes", "refused", NULL, real_time, "becomes a real-time process"},
    {"io-priority", "processes", "refused", NULL, io_priority, "sets its I/O priority"},
    {"alarm", "processes", "refused", NULL, process_timer, "sets a timer that sends it a signal"},

    {"unshare-user", "namespaces", "killed", NULL, unshare_user, "makes a user namespace"},
    {"unshare-mount", "namespaces", "killed", NULL, unshare_mount, "makes a mount namespace"},
    {"unshare-pid", "namespaces", "killed", NULL, unshare_pid, "makes a pid namespace"},
    {"unshare-network", "namespaces", "killed", NULL, unshare_network, "makes a network namespace"},
    {"unshare-ipc", "namespaces", "killed", NULL, unshare_ipc, "makes an IPC namespace"},
    {"unshare-uts", "namespaces", "killed", NULL, unshare_uts, "makes a UTS namespace"},
    {"unshare-cgroup", "namespaces", "killed", NULL, unshare_cgroup, "makes a cgroup namespace"},
    {"unshare-time", "namespaces", "killed", NULL, unshare_time, "makes a time namespace"},
    {"setns", "namespaces", "killed", NULL, set_namespace, "joins a namespace"},
    {"clone-process", "namespaces", "refused", NULL, clone_process, "makes a process by clone(2)"},
    {"clone-user", "namespaces", "refused", NULL, clone_user, "makes a process in a user namespace"},
    {"clone-network", "namespaces", "refused", NULL, clone_network, "makes a process in a network namespace"},
    {"clone-traced", "namespaces", "refused", NULL, clone_traced, "makes a process with CLONE_PTRACE"},
    {"clone-memory", "namespaces", "refused", NULL, clone_memory, "makes a process that shares its memory"},
    {"clone-thread-namespace", "namespaces", "refused", NULL, clone_thread_namespace, "makes a thread in a namespace"},
    {"clone3", "namespaces", "refused", NULL, clone_three, "makes a process by clone3(2)"},
    {"clone3-user", "namespaces", "refused", NULL, clone_three_user, "makes a process in a user namespace by clone3(2)"},

    {"mount-tmpfs", "mounts", "killed", NULL, mount_tmpfs, "mounts a tmpfs"},
    {"mount-proc", "mounts", "killed", NULL, mount_proc, "mounts /proc"},
    {"mount-bind", "mounts", "killed", NULL, mount_bind, "mounts / elsewhere"},
    {"umount", "mounts", "killed", NULL, umount_one, "unmounts"},
    {"pivot-root", "mounts", "killed", NULL, pivot, "exchanges the root"},
    {"chroot", "mounts", "killed", NULL, change_root, "changes the root"},
    {"fsopen", "mounts", "killed", NULL, open_filesystem, "opens a new file system"},
    {"fspick", "mounts", "refused", NULL, pick_filesystem, "opens the file system of / to change it"},
    {"open-tree", "mounts", "killed", NULL, clone_tree, "clones the mount of /"},
    {"move-mount", "mounts", "killed", NULL, move_a_mount, "moves a mount"},
    {"mount-setattr", "mounts", "refused", NULL, set_mount, "changes the mount of /"},
    {"listmount", "mounts", "refused", NULL, list_mounts, "lists the mounts"},

    {"execve", "programs", "killed", NULL, exec_true, "becomes another program"},
    {"execve-missing", "programs", "killed", NULL, exec_missing, "becomes a program that is not there"},
    {"execveat", "programs", "killed", NULL, exec_at, "becomes another program by execveat(2)"},
    {"posix-spawn", "programs", "refused", NULL, spawn, "starts a program"},
    {"fork", "programs", "refused", NULL, fork_legacy, "makes a process by fork(2)"},
    {"fork-library", "programs", "refused", NULL, fork_library, "makes a process by the C library"},
    {"vfork", "programs", "refused", NULL, fork_waiting, "makes a process by vfork(2)"},
    {"memfd-create", "programs", "killed", NULL, exec_memory, "runs a program from memory"},
    {"dlopen", "programs", "refused", NULL, load_library, "loads another object"},
    {"dlmopen", "programs", "refused", NULL, load_second_library, "loads another object beside a C library of its own"},

    {"mmap-rwx", "memory", "killed", NULL, map_rwx, "runs code from memory that is written and run"},
    {"mmap-shared-rwx", "memory", "killed", NULL, map_shared_rwx, "the same in shared memory"},
    {"mmap-rx", "memory", "killed", NULL, map_rx, "maps memory without a file as code"},
    {"mmap-x", "memory", "killed", NULL, map_x_only, "maps memory without a file to run only"},
    {"mmap-object", "memory", "killed", "made", map_object, "maps its own object as code again"},
    {"mprotect-rx", "memory", "killed", NULL, protect_rx, "makes what it wrote code"},
    {"mprotect-rwx", "memory", "killed", NULL, protect_rwx, "makes what it wrote code that can be written"},
    {"mprotect-stack", "memory", "killed", NULL, protect_stack, "runs code on the stack"},
    {"pkey-mprotect", "memory", "refused", NULL, protect_key, "makes what it wrote code by pkey_mprotect(2)"},
    {"patch-own-code", "memory", "killed", NULL, patch_code, "writes over its own code and runs that"},
    {"write-own-code", "memory", "refused", NULL, write_code, "writes its own code through /proc/self/mem"},
    {"mremap-over-code", "memory", "refused", NULL, move_over_code, "moves what it wrote to where code was"},
    {"mmap-memfd", "memory", "killed", NULL, run_memfd, "runs code from a file in memory"},
    {"mmap-unnamed-file", "memory", "refused", NULL, run_unnamed, "runs code from a file without a name"},
    {"personality-read-is-run", "memory", "refused", NULL, read_is_run, "makes all memory that can be read code"},
    {"shmat-exec", "memory", "refused", NULL, segment_run, "runs code from a shared segment"},
    {"mmap-shared", "memory", "refused", NULL, shared_memory, "maps shared memory"},

    {"int80-getpid", "abi", "killed", NULL, i386_getpid, "makes a call of the i386 table"},
    {"int80-socket", "abi", "killed", NULL, i386_socket, "makes a socket by the i386 table"},
    {"int80-open", "abi", "killed", NULL, i386_open, "reads /etc/passwd by the i386 table"},
    {"x32-getpid", "abi", "killed", NULL, x32_getpid, "makes a call of the x32 table"},
    {"x32-open", "abi", "killed", NULL, x32_open, "reads /etc/passwd by the x32 table"},
    {"unknown-call", "abi", "refused", NULL, no_such_call, "makes a call that no kernel has"},
    {"modify-ldt", "abi", "refused", NULL, local_descriptor_table, "changes its descriptor table"},
    {"iopl", "abi", "refused", NULL, port_level, "gets all I/O ports"},
    {"ioperm", "abi", "refused", NULL, port_bits, "gets one I/O port"},
    {"personality", "abi", "refused", NULL, set_personality, "ends the randomisation of addresses"},

    {"setuid", "privileges", "refused", NULL, become_root, "becomes root"},
    {"setresuid", "privileges", "refused", NULL, become_root_all, "becomes root by setresuid(2)"},
    {"setresgid", "privileges", "refused", NULL, become_root_group, "becomes root's group"},
    {"setgroups", "privileges", "refused", NULL, clear_groups, "gives up its groups"},
    {"capset", "privileges", "refused", NULL, capabilities, "gives itself CAP_SYS_ADMIN"},
    {"prctl-ambient", "privileges", "refused", NULL, ambient, "changes its ambient set"},
    {"prctl-securebits", "privileges", "refused", NULL, secure_bits, "clears its secure bits"},
    {"prctl-keepcaps", "privileges", "refused", NULL, keep_capabilities, "keeps capabilities"},
    {"prctl-dumpable", "privileges", "refused", NULL, undo_dumpable, "makes itself dumpable"},
    {"prctl-pdeathsig", "privileges", "refused", NULL, undo_death_signal, "outlives the parent"},
    {"prctl-mdwe", "privileges", "refused", NULL, undo_mdwe, "ends the refusal of written code"},
    {"prctl-ptracer", "privileges", "refused", NULL, any_tracer, "lets anyone trace it"},
    {"prctl-subreaper", "privileges", "refused", NULL, reap_orphans, "changes who gets orphans"},
    {"prctl-mm", "privileges", "refused", NULL, move_memory, "says that its stack is elsewhere"},
    {"prctl-dispatch", "privileges", "refused", NULL, dispatch_calls, "changes the dispatch of system calls"},
    {"prlimit-raise", "privileges", "refused", NULL, raise_limit, "raises a limit"},
    {"setrlimit-raise", "privileges", "refused", NULL, raise_limit_old, "raises a limit by setrlimit(2)"},
    {"seccomp-filter", "privileges", "refused", "made", own_filter, "adds a filter of its own"},
    {"seccomp-filter-prctl", "privileges", "refused", NULL, own_filter_old, "adds a filter of its own by prctl(2)"},
    {"seccomp-listener", "privileges", "refused", NULL, own_listener, "adds a filter that it answers for"},
    {"seccomp-fake", "privileges", "refused", "made|protocol|crash", fake_filter, "adds a filter that fakes the next one"},
    {"seccomp-diverge", "privileges", "refused", "protocol", diverging_filter, "gives one thread a filter of its own"},
    {"catch-sigsys", "privileges", "killed", NULL, catch_refusal, "survives a forbidden call by a handler"},
    {"thread-open", "privileges", "refused", NULL, thread_opens, "reads /etc/passwd on another thread"},
    {"thread-mount", "privileges", "killed", NULL, thread_mounts, "mounts on another thread"},
    {"thread-late-open", "privileges", "refused", NULL, late_thread_opens, "opens a file later on a thread from before"},

    {"init-module", "machine", "killed", NULL, module_init, "loads a kernel module"},
    {"finit-module", "machine", "killed", NULL, module_init_file, "loads a kernel module from a file"},
    {"delete-module", "machine", "refused", NULL, module_delete, "removes a kernel module"},
    {"kexec-load", "machine", "killed", NULL, kexec, "loads another kernel"},
    {"kexec-file-load", "machine", "refused", NULL, kexec_file, "loads another kernel from a file"},
    {"reboot", "machine", "refused", NULL, reboot_machine, "restarts the machine, with bad magic numbers"},
    {"swapon", "machine", "refused", NULL, swap_on, "adds swap that is not there"},
    {"swapoff", "machine", "refused", NULL, swap_off, "removes swap that is not there"},
    {"acct", "machine", "refused", NULL, account, "starts accounting in a file that is not there"},
    {"syslog", "machine", "refused", NULL, read_kernel_log, "reads the kernel's log"},
    {"sethostname", "machine", "refused", NULL, set_name, "sets the host name"},
    {"setdomainname", "machine", "refused", NULL, set_domain, "sets the domain name"},
    {"uname", "machine", "refused", NULL, read_name, "asks for the kernel's version"},
    {"sysinfo", "machine", "refused", NULL, read_system, "asks for load and memory of the machine"},
    {"settimeofday", "machine", "refused", NULL, set_zone, "sets the kernel's time zone"},
    {"clock-settime", "machine", "refused", NULL, set_clock, "sets the clock"},
    {"adjtimex", "machine", "refused", NULL, adjust_clock, "sets the clock's rate"},
    {"quotactl", "machine", "refused", NULL, quota, "writes quotas"},
    {"fanotify-init", "machine", "refused", NULL, watch_all, "watches all file accesses"},
    {"inotify", "machine", "refused", NULL, watch_files, "watches /etc"},
    {"sync", "machine", "refused", NULL, sync_disks, "writes all disks"},
    {"mlockall", "machine", "refused", NULL, lock_memory, "locks its memory"},

    {"mq-open", "ipc", "refused", NULL, message_queue_posix, "makes a POSIX message queue"},
    {"shmget", "ipc", "refused", NULL, shared_segment, "makes a shared segment"},
    {"semget", "ipc", "refused", NULL, semaphore, "makes a semaphore"},
    {"msgget", "ipc", "refused", NULL, message_queue, "makes a message queue"},

    {"ioctl-tiocsti", "descriptors", "refused", NULL, terminal_input, "types into the caller's terminal"},
    {"ioctl-fionread", "descriptors", "refused", NULL, ioctl_count, "asks any descriptor by ioctl(2)"},
    {"ioctl-fioclex", "descriptors", "refused", NULL, ioctl_flags, "changes any descriptor by ioctl(2)"},
    {"fcntl-getfl", "descriptors", "refused", NULL, fcntl_flags, "asks any descriptor by fcntl(2)"},
    {"fcntl-setown", "descriptors", "refused", NULL, fcntl_owner, "makes the kernel signal the parent"},
    {"dup", "descriptors", "refused", NULL, dup_any, "duplicates any descriptor"},
    {"socket-filter", "descriptors", "refused", NULL, socket_filter, "filters the host's socket"},
    {"socket-buffer", "descriptors", "refused", NULL, socket_buffer, "widens the buffer of the host's socket"},
    {"socket-peer", "descriptors", "refused", NULL, socket_peer, "asks who is at the other end of the host's socket"},
    {"socket-shutdown", "descriptors", "refused", NULL, socket_shutdown, "shuts the host's socket"},
    {"socket-reconnect", "descriptors", "refused", NULL, socket_reconnect, "connects the host's socket elsewhere"},
    {"close-all", "descriptors", "crash", NULL, close_everything, "closes every descriptor"},

    {"bomb-threads", "bombs", "refused", NULL, bomb_threads, "makes 2000 threads"},
    {"bomb-memory", "bombs", "refused", NULL, bomb_memory, "uses 1 GiB of memory"},
    {"bomb-memory-late", "bombs", "refused", NULL, bomb_memory_late, "the same, made writable after it was mapped"},
    {"bomb-memory-grown", "bombs", "refused", NULL, bomb_memory_grown, "the same, grown by mremap(2)"},
    {"bomb-memory-brk", "bombs", "refused", NULL, bomb_memory_brk, "the same by brk(2)"},
    {"bomb-memory-shared", "bombs", "refused", NULL, bomb_memory_shared, "the same in shared memory"},
    {"bomb-memory-stack", "bombs", "refused", NULL, bomb_memory_stack, "the same in what the kernel takes for a stack"},
    {"bomb-page-tables", "bombs", "refused|crash", NULL, bomb_page_tables, "uses 128 MiB of page tables"},
    {"bomb-huge", "bombs", "refused", NULL, bomb_huge, "maps 16 TiB"},
    {"bomb-descriptors", "bombs", "refused", NULL, bomb_descriptors, "makes 4096 descriptors by dup(2)"},
    {"bomb-files", "bombs", "refused", NULL, bomb_files, "opens its own object 4096 times"},
    {"bomb-children", "bombs", "refused", NULL, bomb_children, "makes 64 processes"},
    {"spin", "bombs", "deadline", NULL, spin, "uses a processor for 20 seconds"},
    {"spin-threads", "bombs", "deadline", NULL, spin_threads, "uses five processors for 20 seconds"},

    {"hang-sleep", "silence", "deadline", NULL, hang_sleep, "sleeps for a minute"},
    {"hang-futex", "silence", "deadline", NULL, hang_futex, "waits for a lock for a minute"},
    {"hang-poll", "silence", "deadline", NULL, hang_poll, "waits for nothing for a minute"},
    {"hang-deaf", "silence", "deadline", NULL, hang_deaf, "ignores and blocks all signals and sleeps for a minute"},
    {"hang-faults", "silence", "deadline", NULL, loop_of_faults, "repeats a fault for 20 seconds"},
    {"hang-at-exit", "silence", "deadline", NULL, end_exit_hang, "ends, and sleeps in a handler of its end"},
    {"dribble-reply", "silence", "deadline", "-", dribble_reply, "replies a byte at a time for a minute"},
    {"dribble-frame", "silence", "deadline", NULL, dribble_frame, "writes a frame a byte at a time for a minute"},

    {"crash-write", "crashes", "crash", NULL, crash_write, "writes where nothing is"},
    {"crash-jump", "crashes", "crash", NULL, crash_jump, "jumps to where nothing is"},
    {"crash-divide", "crashes", "crash", NULL, crash_divide, "divides by zero"},
    {"crash-abort", "crashes", "crash", NULL, crash_abort, "aborts"},
    {"crash-breakpoint", "crashes", "crash", NULL, crash_breakpoint, "hits a breakpoint"},
    {"crash-instruction", "crashes", "crash", NULL, crash_instruction, "runs an instruction that is none"},
    {"crash-privileged", "crashes", "crash", NULL, crash_privileged, "runs an instruction of the kernel's"},
    {"crash-stack", "crashes", "crash", NULL, crash_stack, "overflows the stack"},
    {"exit", "crashes", "crash", NULL, end_exit, "ends with success"},
    {"exit-now", "crashes", "crash", NULL, end_exit_now, "ends with success at once"},
    {"exit-thread", "crashes", "crash", NULL, end_thread, "ends the thread that it was called on"},
    {"pthread-exit", "crashes", "crash", NULL, end_handler, "unwinds through the host"},

    {"flood-log", "interface", "protocol", "-", flood_log, "logs 50000 lines"},
    {"flood-log-threads", "interface", "protocol", "-", flood_log_threads, "logs 200000 lines on four threads"},
    {"flood-metric", "interface", "protocol", "-", flood_metric, "reports 50000 values"},
    {"log-long", "interface", "made", "-", log_long, "logs a line of 1.5 MiB"},
    {"log-escapes", "interface", "made", "-", log_escapes, "logs terminal sequences and forged lines"},
    {"metric-names", "interface", "made|protocol", "-", metric_names, "reports values whose names are none"},
    {"metric-no-number", "interface", "made|protocol", "-", metric_no_number, "reports values that are no numbers"},
    {"metric-deep", "interface", "made", "-", metric_deep, "reports labels that are nested deeply"},
    {"reply-long", "interface", "limited", "-", reply_long, "replies 2 MiB"},
    {"reply-length", "interface", "limited|crash", "-", reply_length, "says that its reply has all bytes that there are"},
    {"reply-garbage", "interface", "protocol", "-", reply_garbage, "replies what is no JSON"},
    {"reply-nested", "interface", "protocol", "-", reply_nested, "replies JSON that is nested deeply"},
    {"reply-to-other", "interface", "refused", "-", reply_to_other, "replies to another call"},
    {"reply-to-many", "interface", "refused", "-", reply_to_many, "replies to every other call"},
    {"reply-bad-pointer", "interface", "crash", "-", bad_reply_pointer, "replies bytes that are not there"},
    {"log-bad-pointer", "interface", "crash", "-", bad_log_pointer, "logs bytes that are not there"},
    {"bad-context", "interface", "crash", "-", bad_context, "hands back another context than the host's"},
    {"overwrite-host", "interface", "crash|deadline|protocol|error", "-", overwrite_table, "writes over the host's memory"},
    {"health-recursion", "interface", "limited", "-", recurse_health, "asks itself for its health without end"},

    {"forge-reply-other", "frames", "protocol", NULL, forge_reply_other, "answers a call that is not open"},
    {"forge-reply-zero", "frames", "protocol", NULL, forge_reply_zero, "answers its own start"},
    {"forge-reply-twice", "frames", "forged|made|protocol", "protocol", forge_reply_twice, "answers thrice; the next call pays"},
    {"forge-reply-status", "frames", "error|protocol", "protocol", forge_reply_status, "answers with a status that is none"},
    {"forge-broker-reply", "frames", "protocol", NULL, forge_broker_reply, "says what only the runtime may say"},
    {"forge-ready", "frames", "protocol", "protocol|made", forge_ready, "says that it has loaded"},
    {"forge-hello", "frames", "protocol", NULL, forge_hello, "greets the runtime"},
    {"forge-call", "frames", "protocol", NULL, forge_call, "calls the runtime"},
    {"forge-cancel", "frames", "protocol", NULL, forge_cancel, "cancels its own call"},
    {"forge-ping", "frames", "protocol", NULL, forge_ping, "answers a ping that nobody sent"},
    {"forge-ping-flood", "frames", "protocol", NULL, forge_ping_flood, "answers 50000 of them"},
    {"forge-goodbye", "frames", "protocol", NULL, forge_goodbye, "says that it has ended"},
    {"forge-error", "frames", "protocol", NULL, forge_error, "ends the conversation with a forged text"},
    {"forge-error-bad", "frames", "protocol", NULL, forge_error_bad, "ends the conversation with no text"},
    {"forge-kind", "frames", "protocol", NULL, forge_kind, "writes a frame of an unknown kind"},
    {"forge-kind-zero", "frames", "protocol", NULL, forge_kind_zero, "writes a frame of kind zero"},
    {"forge-flags", "frames", "protocol", NULL, forge_flags, "writes a frame with a flag"},
    {"forge-length", "frames", "protocol", NULL, forge_length, "writes a frame of 2 MiB"},
    {"forge-length-most", "frames", "protocol", NULL, forge_length_most, "writes a frame of 4 GiB"},
    {"forge-length-more", "frames", "deadline|protocol", NULL, forge_length_more, "writes less than the frame's length"},
    {"forge-half", "frames", "protocol|deadline", NULL, forge_half, "writes a part of a header"},
    {"forge-log-bad", "frames", "protocol", NULL, forge_log_bad, "logs a line that lacks its text"},
    {"forge-log-field", "frames", "protocol", NULL, forge_log_field, "logs a line with a field too much"},
    {"forge-log-call", "frames", "protocol", NULL, forge_log_call, "logs for a call that is not open"},
    {"forge-log-flood", "frames", "protocol", NULL, forge_flood, "logs 50000 lines for no call"},
    {"forge-broker-call", "frames", "made|protocol|crash", "protocol", forge_broker_call, "asks for /etc/shadow past the host; the runtime denies it"},
    {"forge-broker-number", "frames", "made|protocol|crash", "protocol", forge_broker_number, "asks past the host for an effect that is none"},
    {"forge-broker-id", "frames", "protocol", NULL, forge_broker_id, "asks for an effect for another call"},
    {"garbage-random", "frames", "protocol", NULL, garbage_random, "writes random bytes to every descriptor"},
    {"garbage-ones", "frames", "protocol", NULL, garbage_ones, "writes ones to every descriptor"},
    {"garbage-zeros", "frames", "protocol", NULL, garbage_zeros, "writes zeros to every descriptor"},

    {"pass-descriptor", "messages", "made", NULL, pass_descriptor, "sends a descriptor with a good frame"},
    {"pass-descriptors", "messages", "made", NULL, pass_descriptors, "sends 253 descriptors with a good frame"},
    {"pass-descriptors-flood", "messages", "made|refused", NULL, pass_flood, "sends 16192 descriptors"},
    {"pass-itself", "messages", "made", NULL, pass_itself, "sends the host's socket through itself"},
    {"forge-credentials", "messages", "refused", NULL, forge_credentials, "says that it is root's process 1"},
    {"send-urgent", "messages", "made|protocol|crash", NULL, send_urgent, "sends a byte beside the stream"},
    {"steal-frames", "messages", "refused", NULL, steal_frames, "takes frames from the host"},

    {"broker-shadow", "broker", "refused", "-", ask_shadow, "asks to read /etc/shadow"},
    {"broker-write", "broker", "refused", "-", ask_write, "asks to write in /etc"},
    {"broker-traversal", "broker", "refused", "-", ask_traversal, "asks to read /etc/shadow by .."},
    {"broker-proc-mem", "broker", "refused", "-", ask_proc, "asks to write the runtime's memory"},
    {"broker-nul", "broker", "refused", "-", ask_nul, "asks for a path with a zero in it"},
    {"broker-dial", "broker", "refused", "-", ask_dial, "asks to connect to the node"},
    {"broker-dial-metadata", "broker", "refused", "-", ask_dial_metadata, "asks to connect to a cloud's metadata"},
    {"broker-listen", "broker", "refused", "-", ask_listen, "asks to listen"},
    {"broker-config", "broker", "refused", "-", ask_config, "asks for the whole configuration"},
    {"broker-config-write", "broker", "refused", "-", ask_config_write, "asks to replace the configuration"},
    {"broker-command", "broker", "refused", "-", ask_command, "asks to run a shell"},
    {"broker-device", "broker", "refused", "-", ask_device, "asks for a device"},
    {"broker-container", "broker", "refused", "-", ask_container, "asks to run a shell in a container"},
    {"broker-system-info", "broker", "refused", "-", ask_system, "asks for the kernel's version"},
    {"broker-system-metrics", "broker", "refused", "-", ask_metrics, "asks for the load of the node"},
    {"broker-unknown", "broker", "refused", "-", ask_unknown, "asks for an effect that is none"},
    {"broker-twice", "broker", "refused", "-", ask_twice, "asks for two paths at once"},
    {"broker-no-json", "broker", "refused", "-", ask_no_json, "asks with what is no JSON"},
    {"broker-deep", "broker", "refused", "-", ask_deep, "asks with JSON that is nested deeply"},
    {"broker-long", "broker", "refused", "-", ask_long, "asks with 2 MiB"},
    {"broker-other-call", "broker", "refused", "-", ask_for_other, "asks for another call"},
    {"broker-no-sink", "broker", "refused", "-", ask_no_sink, "asks without a place for the answer"},
    {"broker-short-sink", "broker", "refused", "-", ask_short_sink, "asks with too small a place for the answer"},
    {"broker-flood", "broker", "protocol", "-", ask_flood, "asks 5000 times"},
    {"broker-within", "broker", "refused", "-", ask_within, "asks again while it takes the answer"},
    {"broker-threads", "broker", "refused", "-", ask_threads, "asks on four threads at once"},
};

#define ATTACKS (sizeof attacks / sizeof *attacks)

/* ---- Making one, and what is kept of it ---- */

static const struct attack *last;
static int last_error;

static const struct attack *find(const char *name, size_t len) {
    for (size_t i = 0; i < ATTACKS; i++)
        if (strlen(attacks[i].name) == len && memcmp(attacks[i].name, name, len) == 0)
            return &attacks[i];
    return NULL;
}

static void make(const struct attack *attack) {
    last = attack;
    last_error = attack->run();
}

/* A thread that is to try later has done so when it ends. */
static void settle(void) {
    if (last && last_error == PENDING && late_is_started) {
        pthread_join(late_thread, NULL);
        last_error = thread_error;
    }
}

static void make_named(const char *name) {
    const struct attack *attack = find(name, strlen(name));
    if (attack)
        make(attack);
}

/* The attacks of the constructor and of the entry function. A test writes their names into the built object, so that it
 * need not be built once an attack. */
static volatile char in_constructor[64] = "in-constructor:";
static volatile char in_entry[64] = "in-entry:";

static void make_marked(const volatile char *marked) {
    char name[64] = {0};
    for (size_t i = 0; i < sizeof name - 1; i++)
        name[i] = marked[i];
    make_named(strchr(name, ':') + 1);
}

__attribute__((constructor)) static void constructor(void) { make_marked(in_constructor); }

/* ---- The plugin ---- */

static int32_t say(uint64_t call, const char *text) { return host->reply_write(host->ctx, call, lend(text)); }

static int32_t nothing(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)call, (void)input;
    return NXC_OK;
}

static int32_t init(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx;
    is_running = 1;
    current_call = call;
    if (input.len > 2 && input.ptr[0] == '"') {
        const struct attack *attack = find(input.ptr + 1, input.len - 2);
        if (attack)
            make(attack);
    }
    return NXC_OK;
}

static int32_t health(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return say(call, "{\"healthy\": true, \"message\": \"\"}");
}

static int recurse_health(void) {
    NEED_HOST();
    for (;;) {
        int error = from_status(health(NULL, current_call, lend("")));
        if (error)
            return error;
    }
}

/* The text after a key: this plugin is called by tests, which write JSON without escapes. */
static nxc_str text_after(nxc_str input, const char *key) {
    const char *end = input.ptr + input.len, *at = input.len ? memmem(input.ptr, input.len, key, strlen(key)) : NULL;
    if (!at)
        return lend("");
    at = memchr(at + strlen(key), '"', (size_t)(end - at) - strlen(key));
    const char *close = at ? memchr(at + 1, '"', (size_t)(end - at - 1)) : NULL;
    return close ? (nxc_str){at + 1, (size_t)(close - at - 1)} : lend("");
}

static int is(nxc_str text, const char *wanted) {
    return text.len == strlen(wanted) && memcmp(text.ptr, wanted, text.len) == 0;
}

static int32_t list(uint64_t call, int while_loading) {
    say(call, "{\"exit_code\": 0, \"stdout\": \"");
    for (size_t i = 0; i < ATTACKS; i++) {
        const struct attack *attack = &attacks[i];
        char line[192];
        const char *expected = while_loading && attack->while_loading ? attack->while_loading : attack->expected;
        if (strcmp(expected, "-") == 0)
            continue;
        snprintf(line, sizeof line, "%s %s %s\\n", attack->name, attack->class, expected);
        say(call, line);
    }
    return say(call, "\", \"stderr\": \"\"}");
}

static int32_t about(uint64_t call) {
    say(call, "{\"exit_code\": 0, \"stdout\": \"");
    for (size_t i = 0; i < ATTACKS; i++) {
        say(call, attacks[i].name);
        say(call, " ");
        say(call, attacks[i].about);
        say(call, "\\n");
    }
    return say(call, "\", \"stderr\": \"\"}");
}

static int32_t answer(uint64_t call, const char *name) {
    char text[192];
    const char *gap = *name ? " " : "";
    if (last_error)
        snprintf(text, sizeof text, "{\"exit_code\": 0, \"stdout\": \"refused%s%s %d\", \"stderr\": \"\"}", gap, name, last_error);
    else
        snprintf(text, sizeof text, "{\"exit_code\": 0, \"stdout\": \"made%s%s\", \"stderr\": \"\"}", gap, name);
    return say(call, text);
}

static int32_t execute(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx;
    current_call = call;
    nxc_str command = text_after(input, "\"command\"");
    if (is(command, "list"))
        return list(call, 0);
    if (is(command, "list-load"))
        return list(call, 1);
    if (is(command, "about"))
        return about(call);
    if (is(command, "last")) {
        settle();
        return last ? answer(call, last->name) : NXC_NOT_FOUND;
    }
    if (!is(command, "attack"))
        return NXC_UNSUPPORTED;
    nxc_str name = text_after(input, "\"args\"");
    const struct attack *attack = find(name.ptr, name.len);
    if (!attack)
        return NXC_NOT_FOUND;
    make(attack);
    settle();
    return answer(call, "");
}

static int32_t list_commands(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return say(call, "[{\"name\": \"attack\", \"about\": \"make one attack\"}, {\"name\": \"list\", \"about\": \"name them all\"},"
                     " {\"name\": \"list-load\", \"about\": \"name those of loading\"},"
                     " {\"name\": \"about\", \"about\": \"describe them\"},"
                     " {\"name\": \"last\", \"about\": \"what became of the last one\"}]");
}

static int32_t help(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return say(call, "\"attack NAME\"");
}

static const nxc_cli_command cli_command = {
    sizeof(nxc_cli_command), NXC_API_VERSION, list_commands, help, nothing, execute, nothing,
};

static const void *extension(void *ctx, nxc_str name) {
    (void)ctx;
    return is(name, "nexcage.cli_command/1") ? &cli_command : NULL;
}

static const nxc_plugin plugin = {
    sizeof(nxc_plugin), NXC_API_VERSION, NULL,   {"hostile", 7}, {"1.0.0", 5},
    init,               nothing,         nothing, health,         extension,
};

int32_t nexcage_plugin_entry(uint32_t host_api, const nxc_host *offered, const nxc_plugin **out) {
    (void)host_api;
    host = offered;
    make_marked(in_entry);
    *out = &plugin;
    return NXC_OK;
}
