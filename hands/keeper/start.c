/* Starts one process from the keeper, which is small: vfork and exec cost what exec costs. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *path_of(char **envp) {
  for (; *envp != NULL; envp++)
    if (strncmp(*envp, "PATH=", 5) == 0) return *envp + 5;
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* Every file that the program's name may mean, in order, as one allocation; the list ends with an empty text. */
static char *candidates(const char *name, const char *path) {
  size_t size = strlen(path) + 2 + (strlen(name) + 3) * (strlen(path) + 2);
  char *const list = calloc(1, size);
  char *at = list;
  if (list == NULL) return NULL;
  if (strchr(name, '/') != NULL) {
    strcpy(at, name);
    return list;
  }
  for (;;) {
    const char *end = strchrnul(path, ':');
    at += sprintf(at, "%.*s%s%s", (int)(end - path), path, end == path ? "./" : "/", name) + 1;
    if (*end == '\0') return list;
    path = end + 1;
  }
}

static void close_all(int *fds, int count) {
  for (int i = 0; i < count; i++)
    if (fds[i] >= 0) close(fds[i]);
}

void reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child of a vfork: only system calls, memory is the parent's. */
static int __attribute__((noinline)) become(const struct spec *spec, const char *files, char **script, const int *fds) {
  int error = ENOENT, not_allowed;
  setsid();
  if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 || dup2(fds[2], 2) < 0) return errno;
  if ((not_allowed = user_become()) != 0) return not_allowed;
  if (chdir(spec->cwd) != 0) return errno;
  reset_signals();
  if (spec->is_shell) {
    char *shell[] = {(char *)"bash", (char *)"-c", spec->argv[0], NULL};
    execve("/bin/bash", shell, spec->envp);
    return errno;
  }
  for (; *files != '\0'; files += strlen(files) + 1) {
    execve(files, spec->argv, spec->envp);
    if (errno == ENOEXEC) { /* A script without an interpreter line, which execvp runs by sh as well. */
      script[1] = (char *)(uintptr_t)files;
      execve("/bin/sh", script, spec->envp);
    }
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
  }
  return error;
}

/* What is started, and its ends of the pipes. */
struct fresh {
  const struct spec *spec;
  const char *files;
  char **script;
  const int *fds;
};

/* On its own, because what a vfork's child does to local variables its parent sees. */
static pid_t __attribute__((noinline)) fork_and_become(const void *what) {
  const struct fresh *fresh = what;
  volatile int error = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    error = become(fresh->spec, fresh->files, fresh->script, fresh->fds);
    _exit(127);
  }
  if (pid < 0) return -errno;
  return error == 0 ? pid : -error;
}

int start_fresh(const struct spec *spec, struct started *started) {
  /* Child's ends first, then the keeper's: stdin, stdout, stderr. */
  int fds[6] = {-1, -1, -1, -1, -1, -1}, pipe_fds[2];
  for (int i = 0; i < 3; i++) {
    if (i == 0 && !spec->wants_stdin) {
      fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
      continue;
    }
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
      int error = errno;
      close_all(fds, 6);
      return error;
    }
    fds[i] = pipe_fds[i == 0 ? 0 : 1];
    fds[3 + i] = pipe_fds[i == 0 ? 1 : 0];
    fcntl(fds[3 + i], F_SETFL, O_NONBLOCK);
  }
  size_t argc = 0;
  while (spec->argv[argc] != NULL) argc++;
  char *files = candidates(spec->argv[0], path_of(spec->envp));
  char **script = calloc(argc + 2, sizeof *script);
  if (files == NULL || script == NULL) {
    close_all(fds, 6);
    free(files), free(script);
    return ENOMEM;
  }
  script[0] = (char *)"sh";
  for (size_t i = 1; i < argc; i++) script[i + 1] = spec->argv[i];

  struct fresh fresh = {spec, files, script, fds};
  int error = reaper_start(fork_and_become, &fresh, started);
  free(files), free(script);
  close_all(fds, 3);
  if (error != 0) {
    close_all(fds + 3, 3);
    return error;
  }
  started->in = fds[3], started->out = fds[4], started->err = fds[5];
  return 0;
}
