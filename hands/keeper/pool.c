/* Shells that were started ahead and wait for their command (zygote.c). Agents call sparsely, so the next shell is ready when it is
 * needed. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POOL_SIZE = 2, PATH_LIMIT = 4096 };

/* A shell that waits for its command on `asks`; none if it has no pid. */
static struct waiting {
  struct started shell;
  int asks;
} pool[POOL_SIZE];

static char preload_variable[PATH_LIMIT];
/* Takes the place of the command in the process's arguments, so that `ps` can show it later. */
static char placeholder[1024];
/* Starts that ended without a command, in a row: where the library can't be loaded into this bash, the pool gives up. */
static int failures;

void pool_init(const char *preload) {
  struct stat info;
  memset(placeholder, ' ', sizeof placeholder - 1);
  if (preload == NULL || stat(preload, &info) != 0) failures = POOL_SIZE * 2;
  else snprintf(preload_variable, sizeof preload_variable, "LD_PRELOAD=%s", preload);
}

static void close_waiting(struct waiting *w) {
  close(w->asks), close(w->shell.control), close(w->shell.out), close(w->shell.err);
  w->shell.pid = 0;
}

int pool_has(pid_t pid) {
  for (int i = 0; i < POOL_SIZE; i++)
    if (pool[i].shell.pid != 0 && pool[i].shell.reaper == pid) return 1;
  return 0;
}

int pool_forget(pid_t pid) {
  for (int i = 0; i < POOL_SIZE; i++) {
    if (pool[i].shell.pid == 0 || pool[i].shell.reaper != pid) continue;
    close_waiting(&pool[i]);
    failures++;
    return 1;
  }
  return 0;
}

/* A shell's ends of its pipes. */
struct ends {
  int asks, out, err;
};

static pid_t __attribute__((noinline)) fork_shell(const void *what) {
  const struct ends *ends = what;
  char *argv[] = {(char *)"bash", (char *)"-c", placeholder, NULL}, *envp[] = {preload_variable, NULL};
  pid_t reaper = getpid(), pid = vfork();
  if (pid == 0) {
    int null = open("/dev/null", O_RDONLY);
    setsid();
    reset_signals();
    if (null >= 0 && dup2(null, 0) == 0 && dup2(ends->out, 1) == 1 && dup2(ends->err, 2) == 2 && dup2(ends->asks, ZYGOTE_FD) >= 0 &&
        user_become() == 0) {
      if (null > 2) close(null);
      prctl(PR_SET_PDEATHSIG, SIGKILL); /* After the change of user, which takes it back. */
      if (getppid() == reaper) execve("/bin/bash", argv, envp);
    }
    _exit(127);
  }
  return pid < 0 ? -errno : pid;
}

static int spawn_waiting(struct waiting *w) {
  int asks[2], out[2], err[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, asks) != 0) return -1;
  if (pipe2(out, O_CLOEXEC) != 0) return close(asks[0]), close(asks[1]), -1;
  if (pipe2(err, O_CLOEXEC) != 0) return close(asks[0]), close(asks[1]), close(out[0]), close(out[1]), -1;
  struct ends ends = {asks[1], out[1], err[1]};
  int error = reaper_start(fork_shell, &ends, &w->shell);
  close(asks[1]), close(out[1]), close(err[1]);
  if (error != 0) return w->shell.pid = 0, close(asks[0]), close(out[0]), close(err[0]), -1;
  fcntl(out[0], F_SETFL, O_NONBLOCK), fcntl(err[0], F_SETFL, O_NONBLOCK);
  w->asks = asks[0], w->shell.in = -1, w->shell.out = out[0], w->shell.err = err[0];
  return 0;
}

int pool_wants_fill(void) {
  for (int i = 0; i < POOL_SIZE && failures < POOL_SIZE * 2; i++)
    if (pool[i].shell.pid == 0) return 1;
  return 0;
}

void pool_fill(void) {
  for (int i = 0; i < POOL_SIZE; i++)
    if (pool[i].shell.pid == 0 && failures < POOL_SIZE * 2 && spawn_waiting(&pool[i]) != 0) return;
}

static int send_all(int fd, const void *data, size_t length) {
  for (const char *at = data; length > 0;) {
    ssize_t n = send(fd, at, length, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    at += n;
    length -= (size_t)n;
  }
  return 0;
}

/* The whole command is in the shell before it runs anything: one that fails here has done nothing. */
static int hand_over(struct waiting *w, const char *payload, size_t length) {
  uint32_t size = (uint32_t)length;
  if (send_all(w->asks, &size, 4) == 0 && send_all(w->asks, payload, length) == 0) return 0;
  kill(w->shell.pid, SIGKILL);
  return -1;
}

int pool_take(const char *payload, size_t length, struct started *started) {
  for (int i = 0; i < POOL_SIZE && failures < POOL_SIZE * 2; i++) {
    struct waiting *w = &pool[i];
    /* None waits, as in a burst: one that starts now takes its command as soon as it can, and costs what a fresh start costs. */
    if (w->shell.pid == 0 && (i + 1 < POOL_SIZE || spawn_waiting(w) != 0)) continue;
    if (hand_over(w, payload, length) != 0) continue;
    *started = w->shell;
    close(w->asks);
    w->shell.pid = 0;
    failures = 0;
    return 0;
  }
  return -1;
}
