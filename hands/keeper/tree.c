/* Finds every descendant of an exec. Parents, process groups, sessions and environments can all be shed (a double fork, setsid,
 * env -i); a resource limit is inherited by all of them. Each exec gets a limit on POSIX message queues of its own, which programs
 * hardly ever touch. It can be lowered on purpose; a pid namespace or a cgroup, where there is one, closes that gap. */
#define _GNU_SOURCE
#include "keeper.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* The kernel's default limit; marks count down from it, because raising it would need privileges. */
enum { MARK_TOP = 819200, MARK_COUNT = 600000 };

/* The first one is drawn by lot: another keeper on this machine counts in the same range, and neither must end the other's commands. */
uint64_t mark_next(void) {
  static uint64_t last;
  if (last == 0 && getrandom(&last, sizeof last, 0) != sizeof last) last = (uint64_t)getpid() * 977;
  last = last % MARK_COUNT + 1;
  return MARK_TOP - last;
}

int mark_set(pid_t pid, uint64_t mark) {
  struct rlimit limit = {mark, mark};
  return prlimit(pid, RLIMIT_MSGQUEUE, &limit, NULL);
}

/* It has ended and waits for its parent: it counts for nothing, though it can still be signalled. */
static int is_zombie(const char *pid) {
  char path[64], stat[512];
  snprintf(path, sizeof path, "/proc/%s/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
  if (fd >= 0) close(fd);
  if (n <= 0) return 1;
  stat[n] = '\0';
  /* The state is behind the name, which is in parentheses and may hold any character. */
  const char *name_end = strrchr(stat, ')');
  return name_end == NULL || name_end[1] == '\0' || name_end[2] == 'Z' || name_end[2] == 'X';
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
    if (prlimit(pid, RLIMIT_MSGQUEUE, NULL, &limit) != 0 || limit.rlim_max != mark || is_zombie(entry->d_name)) continue;
    if (kill(pid, signal_number) == 0) found++;
  }
  closedir(proc);
  return found;
}

int mark_signal(uint64_t mark, int signal_number) {
  if (signal_number != SIGKILL) return signal_once(mark, signal_number);
  /* What forks while it is searched for would slip through, so all of it is stopped first, until a pass finds no more than the one
   * before. A process that was missed even so can go on to fork: kill until nobody is left. The bound is for what can't be killed, as
   * a process that waits for a dead disk. */
  int killed = 0;
  for (int round = 0; round < 1000; round++) {
    for (int before = -1, found = 0; found != before;) {
      before = found;
      found = signal_once(mark, SIGSTOP);
    }
    int found = signal_once(mark, SIGKILL);
    if (found == 0) break;
    killed += found;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return killed;
}
