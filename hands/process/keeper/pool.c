/* Shells that were started ahead and wait for their command (zygote.c). Agents call sparsely, so the next shell is ready when it is
 * needed. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POOL_SIZE = 2, PATH_LIMIT = 4096 };

/* A shell that waits for its command, and where it waits for it; NULL: none. */
static struct waiting {
  struct child *shell;
  int asks;
} pool[POOL_SIZE];

static char preload_variable[PATH_LIMIT];
/* Takes the place of the command in the process's arguments, so that `ps` can show it later. */
static char placeholder[1024];
/* Starts that ended without a command, in a row: if the library can't be loaded into this bash, the pool gives up. */
static int failures;

void pool_init(const char *preload) {
  struct stat info;
  memset(placeholder, ' ', sizeof placeholder - 1);
  if (preload == NULL || stat(preload, &info) != 0) failures = POOL_SIZE * 2;
  else snprintf(preload_variable, sizeof preload_variable, "LD_PRELOAD=%s", preload);
}

void pool_forget(const struct child *c, int has_run) {
  for (int i = 0; i < POOL_SIZE; i++) {
    if (pool[i].shell != c) continue;
    close(pool[i].asks);
    pool[i].shell = NULL;
    failures += has_run;
  }
}

pid_t __attribute__((noinline)) pool_begin(const int *fds) {
  char *argv[] = {(char *)"bash", (char *)"-c", placeholder, NULL}, *envp[] = {preload_variable, NULL};
  pid_t reaper = getpid(), pid = vfork();
  if (pid == 0) {
    int null = open("/dev/null", O_RDONLY);
    setsid();
    reset_signals();
    if (null >= 0 && dup2(null, 0) == 0 && dup2(fds[ORDER_OUT], 1) == 1 && dup2(fds[ORDER_ERR], 2) == 2 &&
        dup2(fds[ORDER_ASKS], ZYGOTE_FD) >= 0 && user_become() == 0) {
      if (null > 2) close(null);
      prctl(PR_SET_PDEATHSIG, SIGKILL); /* After the change of user, which takes it back. */
      if (getppid() == reaper) execve("/bin/bash", argv, envp);
    }
    _exit(127);
  }
  return pid < 0 ? -errno : pid;
}

static int begin_waiting(struct waiting *w) {
  w->shell = child_begin(ORDER_SHELL, 0, &w->asks);
  return w->shell == NULL ? -1 : 0;
}

int pool_wants_fill(void) {
  for (int i = 0; i < POOL_SIZE && failures < POOL_SIZE * 2; i++)
    if (pool[i].shell == NULL) return 1;
  return 0;
}

void pool_fill(void) {
  for (int i = 0; i < POOL_SIZE; i++)
    if (pool[i].shell == NULL && failures < POOL_SIZE * 2 && begin_waiting(&pool[i]) != 0) return;
}

struct child *pool_take(const char *payload, size_t length) {
  for (int i = 0; i < POOL_SIZE && failures < POOL_SIZE * 2; i++) {
    struct waiting *w = &pool[i];
    /* None waits, as in a burst: one that starts now takes its command as soon as it can, and costs what a fresh start costs. */
    if (w->shell == NULL && (i + 1 < POOL_SIZE || begin_waiting(w) != 0)) continue;
    /* The whole command is in the shell before it runs anything: one that fails here has done nothing. */
    if (send_payload(w->asks, payload, length) != 0) {
      if (w->shell->pid != 0) kill(w->shell->pid, SIGKILL);
      continue;
    }
    struct child *shell = w->shell;
    close(w->asks);
    w->shell = NULL;
    failures = 0;
    return shell;
  }
  return NULL;
}
