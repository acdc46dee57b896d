/* Finds and signals every process below another one. Whoever it is asked for is a subreaper (reaper.c), so nobody leaves the tree by
 * losing its parent. */
#define _GNU_SOURCE
#include "keeper.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 1000, PATH_SIZE = 64 };

struct pids {
  pid_t *at;
  size_t count, room;
};

static void add(struct pids *list, pid_t pid) {
  if (list->count == list->room) {
    size_t room = list->room * 2 + 64;
    pid_t *grown = realloc(list->at, room * sizeof *grown);
    if (grown == NULL) return; /* The next round finds it, with fewer left. */
    list->at = grown, list->room = room;
  }
  list->at[list->count++] = pid;
}

/* Each thread has the processes that it has started. */
static void add_children_of_thread(struct pids *list, pid_t pid, const char *thread) {
  char path[PATH_SIZE], text[4096];
  pid_t number = 0;
  ssize_t n;
  snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", pid, thread);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  while ((n = read(fd, text, sizeof text)) > 0) {
    for (ssize_t i = 0; i < n; i++) {
      if (isdigit((unsigned char)text[i])) number = number * 10 + (text[i] - '0');
      else if (number > 0) add(list, number), number = 0;
    }
  }
  if (number > 0) add(list, number);
  close(fd);
}

/* Calls `visit` with each thread of a process, until one returns other than 0; returns that. */
static int each_thread(pid_t pid, int (*visit)(pid_t pid, const char *thread, void *context), void *context) {
  char path[PATH_SIZE];
  int result = 0;
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *threads = opendir(path);
  if (threads == NULL) return 0;
  for (struct dirent *entry; result == 0 && (entry = readdir(threads)) != NULL;)
    if (isdigit((unsigned char)entry->d_name[0])) result = visit(pid, entry->d_name, context);
  closedir(threads);
  return result;
}

static int visit_children(pid_t pid, const char *thread, void *list) {
  add_children_of_thread(list, pid, thread);
  return 0;
}

static int visit_state(pid_t pid, const char *thread, void *unused) {
  char path[PATH_SIZE], stat[512];
  (void)unused;
  snprintf(path, sizeof path, "/proc/%d/task/%.20s/stat", pid, thread);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
  if (fd >= 0) close(fd);
  if (n <= 0) return 0;
  stat[n] = '\0';
  /* The state is behind the name, which is in parentheses and may hold any character. */
  const char *name_end = strrchr(stat, ')');
  return name_end != NULL && name_end[1] != '\0' && name_end[2] != 'Z' && name_end[2] != 'X';
}

/* A process that has ended and waits for its parent counts for nothing. One whose first thread alone has ended looks the same, but
 * lives. */
static int is_alive(pid_t pid) { return each_thread(pid, visit_state, NULL); }

static int signal_below(pid_t top, int signal_number) {
  struct pids list = {NULL, 0, 0};
  int found = 0;
  each_thread(top, visit_children, &list);
  for (size_t i = 0; i < list.count; i++) each_thread(list.at[i], visit_children, &list);
  for (size_t i = 0; i < list.count; i++)
    if (is_alive(list.at[i]) && kill(list.at[i], signal_number) == 0) found++;
  free(list.at);
  return found;
}

int tree_signal(pid_t top, int signal_number) {
  if (signal_number != SIGKILL) return signal_below(top, signal_number);
  /* What forks while it is searched for would slip through, so all of it is stopped first, until a pass finds no more than the one
   * before. A process that was missed even so can go on to fork: kill until nobody is left. The bound is for what can't be killed, as
   * a process that waits for a dead disk. */
  int killed = 0;
  for (int round = 0; round < ROUNDS; round++) {
    for (int before = -1, found = 0; found != before;) {
      before = found;
      found = signal_below(top, SIGSTOP);
    }
    int found = signal_below(top, SIGKILL);
    if (found == 0) break;
    killed += found;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return killed;
}

void tree_end_strangers(int (*is_known)(pid_t pid)) {
  for (int round = 0, found = 1; round < ROUNDS && found > 0; round++) {
    struct pids list = {NULL, 0, 0};
    found = 0;
    each_thread(getpid(), visit_children, &list);
    for (size_t i = 0; i < list.count; i++) {
      if (is_known(list.at[i]) || !is_alive(list.at[i])) continue;
      found++;
      kill(list.at[i], SIGSTOP);
      tree_signal(list.at[i], SIGKILL);
      kill(list.at[i], SIGKILL);
    }
    free(list.at);
  }
}
