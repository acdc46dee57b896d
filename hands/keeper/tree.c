/* Finds every descendant of an exec. Parents, process groups, sessions and environments can all be shed (a double fork, setsid,
 * env -i); a resource limit is inherited by all of them. Each exec gets a limit on POSIX message queues of its own, which programs
 * hardly ever touch. It can be lowered on purpose; a pid namespace or a cgroup, where there is one, closes that gap. */
#define _GNU_SOURCE
#include "keeper.h"

#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* The kernel's default limit; marks count down from it, because raising it would need privileges. */
enum { MARK_TOP = 819200, MARK_COUNT = 600000 };

uint64_t mark_next(void) {
  static uint64_t last;
  last = last % MARK_COUNT + 1;
  return MARK_TOP - last;
}

int mark_set(pid_t pid, uint64_t mark) {
  struct rlimit limit = {mark, mark};
  return prlimit(pid, RLIMIT_MSGQUEUE, &limit, NULL);
}

static int signal_once(uint64_t mark, int signal_number) {
  DIR *proc = opendir("/proc");
  struct dirent *entry;
  int found = 0;
  if (proc == NULL) return 0;
  while ((entry = readdir(proc)) != NULL) {
    struct rlimit limit;
    if (!isdigit((unsigned char)entry->d_name[0])) continue;
    pid_t pid = (pid_t)atoi(entry->d_name);
    if (prlimit(pid, RLIMIT_MSGQUEUE, NULL, &limit) != 0 || limit.rlim_max != mark) continue;
    if (kill(pid, signal_number) == 0) found++;
  }
  closedir(proc);
  return found;
}

int mark_signal(uint64_t mark, int signal_number) {
  if (signal_number != SIGKILL) return signal_once(mark, signal_number);
  /* What forks while it is searched for would slip through: stop all of it first, until a pass finds nothing new. */
  int found = 0, before = -1;
  for (int pass = 0; pass < 20 && found != before; pass++) {
    before = found;
    found = signal_once(mark, SIGSTOP);
  }
  return signal_once(mark, SIGKILL);
}
