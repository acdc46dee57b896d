/* Starts one process from a reaper, which is small: vfork and exec cost what exec costs. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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
  int in = fds[ORDER_IN] >= 0 ? fds[ORDER_IN] : open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (in < 0 || dup2(in, 0) < 0 || dup2(fds[ORDER_OUT], 1) < 0 || dup2(fds[ORDER_ERR], 2) < 0) return errno;
  if (spec->is_terminal && ioctl(0, TIOCSCTTY, 0) != 0) return errno;
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
static pid_t __attribute__((noinline)) fork_and_become(const struct fresh *fresh) {
  volatile int error = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    error = become(fresh->spec, fresh->files, fresh->script, fresh->fds);
    _exit(127);
  }
  if (pid < 0) return -errno;
  return error == 0 ? pid : -error;
}

static pid_t start_spec(const struct spec *spec, const int *fds) {
  size_t argc = 0;
  while (spec->argv[argc] != NULL) argc++;
  char *files = candidates(spec->argv[0], path_of(spec->envp));
  char **script = calloc(argc + 2, sizeof *script);
  pid_t pid = -ENOMEM;
  if (files != NULL && script != NULL) {
    script[0] = (char *)"sh";
    for (size_t i = 1; i < argc; i++) script[i + 1] = spec->argv[i];
    pid = fork_and_become(&(struct fresh){spec, files, script, fds});
  }
  free(files), free(script);
  return pid;
}

pid_t start_fresh(const int *fds) {
  struct spec spec;
  size_t length;
  char *payload = read_payload(fds[ORDER_ASKS], &length);
  if (payload == NULL) return -ENOMEM;
  pid_t pid = -ENOMEM;
  if (spec_parse(payload, length, &spec) == 0) {
    pid = start_spec(&spec, fds);
    free(spec.argv), free(spec.envp);
  }
  free(payload);
  return pid;
}
