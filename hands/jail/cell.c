/* Prepares what bubblewrap can't, and runs it. Everything is inherited over exec; no process is left between.
 *
 *   cell --filter FILE [--user ID --as NUMBER] [--bind PATH NAME]... -- program argument...
 *
 * `--filter`: the program has this file of system calls open as FILTER_FD.
 * `--user`: it is root of a user namespace of its own, whose users are nobody outside. That root is user ID of the machine, and user
 * NUMBER in it is ID + 1; groups alike. Needs CAP_SETUID and CAP_SETGID.
 * `--bind`: a directory or a file is mounted at STAGE/NAME, and a whole /proc at STAGE/proc. With `--user` the mount exchanges users: what belongs
 * to the caller's own user on the disk belongs to NUMBER there, and the other way round. So commands own the workspace's files, and on
 * the disk they stay the daemon's. Needs CAP_SYS_ADMIN, and STAGE as an empty directory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STAGE "/run/cell"
enum { FILTER_FD = 9, MAX_BINDS = 16 };

struct bind {
  const char *path, *name;
  int tree;
};

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...) {
  int error = errno;
  va_list arguments;
  va_start(arguments, format);
  fputs("cell: ", stderr);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, ": %s\n", strerror(error));
  exit(125);
}

static void write_file(pid_t pid, const char *name, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) give_up("%s can't be written", path);
  close(fd);
}

/* Users and groups of a process's namespace: a line for each, as in uid_map. */
static void map_users(pid_t pid, const char *map) {
  write_file(pid, "uid_map", map);
  write_file(pid, "gid_map", map);
}

/* A child that goes on once a byte comes on `*go`, which is the caller's end of a pipe. */
static pid_t fork_waiting(int *go) {
  int ends[2];
  char byte;
  if (pipe2(ends, O_CLOEXEC) != 0) give_up("no pipe");
  pid_t pid = fork();
  if (pid < 0) give_up("no process");
  *go = ends[pid == 0 ? 0 : 1];
  close(ends[pid == 0 ? 1 : 0]);
  if (pid == 0 && read(*go, &byte, 1) != 1) _exit(125);
  return pid;
}

static void wait_for(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) exit(125); /* It has said why. */
}

/* A user namespace that nobody is in: what a mount is told its users by. */
static int namespace_with(const char *map) {
  char path[64];
  int ready[2];
  char byte = 0;
  if (pipe2(ready, O_CLOEXEC) != 0) give_up("no pipe");
  pid_t pid = fork();
  if (pid < 0) give_up("no process");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWUSER) != 0) give_up("no user namespace");
    if (write(ready[1], &byte, 1) == 1) pause();
    _exit(0);
  }
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) exit(125);
  close(ready[0]);
  map_users(pid, map);
  snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) give_up("%s can't be opened", path);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  return fd;
}

static void stage(struct bind *binds, int count, int users) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
  char path[256];
  struct stat info;
  if (users >= 0) attributes.attr_set |= MOUNT_ATTR_IDMAP, attributes.userns_fd = (uint64_t)users;
  if (unshare(CLONE_NEWNS) != 0) give_up("no mount namespace");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) give_up("mounts can't be made private");
  for (int i = 0; i < count; i++) {
    binds[i].tree = (int)syscall(SYS_open_tree, AT_FDCWD, binds[i].path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (binds[i].tree < 0) give_up("%s can't be mounted", binds[i].path);
    if (syscall(SYS_mount_setattr, binds[i].tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
      give_up("the file system of %s can't exchange users", binds[i].path);
  }
  if (mount("tmpfs", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") != 0) give_up("%s can't be mounted", STAGE);
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/%s", STAGE, binds[i].name);
    if (fstat(binds[i].tree, &info) != 0) give_up("%s can't be looked at", binds[i].path);
    int made = S_ISDIR(info.st_mode) ? mkdir(path, 0755) : mknod(path, S_IFREG | 0644, 0);
    if (made != 0 || syscall(SYS_move_mount, binds[i].tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) != 0)
      give_up("%s can't be shown", path);
    close(binds[i].tree);
  }
  /* In a user namespace one may mount /proc only if it was there to be seen as a whole: here it is, and only until the jail covers it. */
  if (mkdir(STAGE "/proc", 0555) != 0 || mount("proc", STAGE "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
    give_up("%s/proc can't be mounted", STAGE);
}

/* Go into a namespace of these users, as its root. Only who stays outside may say who they are. */
static void become_root_of(const char *map) {
  const pid_t self = getpid();
  int go;
  pid_t outside = fork_waiting(&go);
  if (outside == 0) {
    map_users(self, map);
    _exit(0);
  }
  if (unshare(CLONE_NEWUSER) != 0) give_up("no user namespace");
  if (write(go, "", 1) != 1) give_up("nobody maps users");
  close(go);
  wait_for(outside);
  if (setgroups(0, NULL) != 0 || setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0) give_up("can't become another user");
}

static unsigned long number(const char *text) {
  char *end;
  errno = EINVAL;
  unsigned long value = strtoul(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || value >= UINT32_MAX) give_up("%s is no user", text);
  return value;
}

int main(int argc, char **argv) {
  struct bind binds[MAX_BINDS];
  const char *filter = NULL;
  unsigned long user = 0, as = 0;
  int count = 0, at = 1;
  for (; at + 1 < argc && strcmp(argv[at], "--") != 0; at += 2) {
    if (strcmp(argv[at], "--filter") == 0) filter = argv[at + 1];
    else if (strcmp(argv[at], "--user") == 0) user = number(argv[at + 1]);
    else if (strcmp(argv[at], "--as") == 0) as = number(argv[at + 1]);
    else if (strcmp(argv[at], "--bind") == 0 && at + 2 < argc && count < MAX_BINDS)
      binds[count++] = (struct bind){argv[at + 1], argv[at + 2], -1}, at++;
    else at = argc;
  }
  if (at + 1 >= argc || filter == NULL || (user != 0) != (as != 0)) {
    fputs("usage: cell --filter FILE [--user ID --as NUMBER] [--bind PATH NAME]... -- program argument...\n", stderr);
    return 2;
  }
  int fd = open(filter, O_RDONLY);
  if (fd < 0 || dup2(fd, FILTER_FD) < 0) give_up("%s can't be opened", filter);
  if (fd != FILTER_FD) close(fd);
  char disk[64], users[96];
  snprintf(disk, sizeof disk, "%u %lu 1\n", getuid(), user + 1);
  snprintf(users, sizeof users, "0 %lu 1\n%lu %lu 1\n", user, as, user + 1);
  if (count > 0) stage(binds, count, user == 0 ? -1 : namespace_with(disk));
  if (user != 0) {
    /* The terminal that this is on, if any: its program may open it again. */
    if (isatty(0) && fchown(0, (uid_t)user + 1, (gid_t)user + 1) != 0) give_up("the terminal can't be handed over");
    become_root_of(users);
  }
  execv(argv[at + 1], argv + at + 1);
  give_up("%s can't be run", argv[at + 1]);
}
