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

static struct waiting {
  pid_t pid;
  int control, out, err;
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
  close(w->control), close(w->out), close(w->err);
  w->pid = 0;
}

int pool_forget(pid_t pid) {
  for (int i = 0; i < POOL_SIZE; i++) {
    if (pool[i].pid != pid) continue;
    close_waiting(&pool[i]);
    failures++;
    return 1;
  }
  return 0;
}

static int spawn_waiting(struct waiting *w) {
  int control[2], out[2], err[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) != 0) return -1;
  if (pipe2(out, O_CLOEXEC) != 0) return close(control[0]), close(control[1]), -1;
  if (pipe2(err, O_CLOEXEC) != 0) return close(control[0]), close(control[1]), close(out[0]), close(out[1]), -1;
  char *argv[] = {(char *)"bash", (char *)"-c", placeholder, NULL}, *envp[] = {preload_variable, NULL};
  pid_t keeper = getpid(), pid = vfork();
  if (pid == 0) {
    int null = open("/dev/null", O_RDONLY);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    reset_signals();
    if (null >= 0 && dup2(null, 0) == 0 && dup2(out[1], 1) == 1 && dup2(err[1], 2) == 2 && dup2(control[1], ZYGOTE_FD) >= 0) {
      if (null > 2) close(null);
      if (getppid() == keeper) execve("/bin/bash", argv, envp);
    }
    _exit(127);
  }
  close(control[1]), close(out[1]), close(err[1]);
  if (pid < 0) return close(control[0]), close(out[0]), close(err[0]), -1;
  fcntl(out[0], F_SETFL, O_NONBLOCK), fcntl(err[0], F_SETFL, O_NONBLOCK);
  *w = (struct waiting){pid, control[0], out[0], err[0]};
  return 0;
}

int pool_wants_fill(void) {
  for (int i = 0; i < POOL_SIZE && failures < POOL_SIZE * 2; i++)
    if (pool[i].pid == 0) return 1;
  return 0;
}

void pool_fill(void) {
  for (int i = 0; i < POOL_SIZE; i++)
    if (pool[i].pid == 0 && failures < POOL_SIZE * 2 && spawn_waiting(&pool[i]) != 0) return;
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
static int hand_over(struct waiting *w, const char *payload, size_t length, uint64_t mark) {
  uint32_t size = (uint32_t)length;
  if (mark_set(w->pid, mark) == 0 && send_all(w->control, &size, 4) == 0 && send_all(w->control, payload, length) == 0) return 0;
  kill(w->pid, SIGKILL);
  return -1;
}

int pool_take(const char *payload, size_t length, uint64_t mark, struct started *started) {
  for (int i = 0; i < POOL_SIZE && failures < POOL_SIZE * 2; i++) {
    struct waiting *w = &pool[i];
    /* None waits, as in a burst: one that starts now takes its command as soon as it can, and costs what a fresh start costs. */
    if (w->pid == 0 && (i + 1 < POOL_SIZE || spawn_waiting(w) != 0)) continue;
    if (hand_over(w, payload, length, mark) != 0) continue;
    *started = (struct started){w->pid, -1, w->out, w->err};
    close(w->control);
    w->pid = 0;
    failures = 0;
    return 0;
  }
  return -1;
}
