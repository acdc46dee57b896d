/* Loaded into a bash that was started ahead of its command: it holds bash at the entry of main, with all of exec and dynamic
 * linking behind it, until the command comes; then main runs for the first and only time, with the arguments, environment and
 * directory of the command. So the command sees a shell that is fresh in every respect, and doesn't pay for its start.
 *
 * It works by taking the place of the C library's __libc_start_main, which every dynamically linked program enters first. */
#define _GNU_SOURCE
#include "keeper.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef int main_function(int, char **, char **);
typedef int start_function(main_function *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);

static main_function *real_main;

static void fail(const char *what, const char *about) {
  const char *why = strerror(errno);
  const char *parts[] = {"bash: ", what, about, ": ", why, "\n"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (write(2, parts[i], strlen(parts[i])) < 0) break;
  _exit(126);
}

/* Show the command where `ps` looks for it, as far as the placeholder that bash was started with has room. */
static void show_command(char *placeholder, const char *command) {
  size_t room = strlen(placeholder), length = strlen(command);
  if (length > room) length = room;
  memset(placeholder, 0, room);
  memcpy(placeholder, command, length);
  /* Cuts the rest off; if the kernel does not allow it, NULs trail, which `ps` does not show. */
  prctl(PR_SET_MM, PR_SET_MM_ARG_END, placeholder + length + 1, 0, 0);
}

/* Have in memory what main is about to touch, while nobody waits: its pages, and the files of the locale that commands get by default.
 * The locale itself stays that of a fresh process. */
static void warm_up(void) {
  char line[512], access[5];
  unsigned long from, to;
  newlocale(LC_ALL_MASK, "C.UTF-8", NULL);
  FILE *maps = fopen("/proc/self/maps", "re");
  if (maps == NULL) return;
  while (fgets(line, sizeof line, maps) != NULL) {
    if (sscanf(line, "%lx-%lx %4s", &from, &to, access) != 3 || access[0] != 'r' || strchr(line, '[') != NULL) continue;
    madvise((void *)from, to - from, access[1] == 'w' ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
  }
  fclose(maps);
}

static int is_asked(void) {
  struct pollfd control = {.fd = ZYGOTE_FD, .events = POLLIN};
  return poll(&control, 1, 0) != 0;
}

static int wait_then_main(int argc, char **argv, char **envp) {
  size_t length;
  struct spec spec;
  (void)envp;
  fcntl(ZYGOTE_FD, F_SETFD, FD_CLOEXEC);
  prctl(PR_SET_DUMPABLE, 0); /* Until it is somebody's, it is no other command's to look into. */
  if (!is_asked()) warm_up();
  char *payload = read_payload(ZYGOTE_FD, &length);
  if (payload == NULL) _exit(0); /* The keeper is gone, or wants this one no more. */
  if (spec_parse(payload, length, &spec) != 0) _exit(125);
  close(ZYGOTE_FD);
  prctl(PR_SET_PDEATHSIG, 0);
  prctl(PR_SET_DUMPABLE, 1);
  if (argc == 3) show_command(argv[2], spec.argv[0]);
  if (chdir(spec.cwd) != 0) fail("can't enter the working directory ", spec.cwd);
  char *shell[] = {(char *)"bash", (char *)"-c", spec.argv[0], NULL};
  environ = spec.envp;
  return real_main(3, shell, spec.envp);
}

int __libc_start_main(main_function *entry, int argc, char **argv, void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
                      void *stack_end) {
  start_function *next = (start_function *)(uintptr_t)dlsym(RTLD_NEXT, "__libc_start_main");
  real_main = entry;
  return next(wait_then_main, argc, argv, init, fini, rtld_fini, stack_end);
}
