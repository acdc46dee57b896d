/* Execs, and shells that wait for one: their pipes, their ends, and what their reapers tell of them. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DRAIN_IDLE_US = 100000, DRAIN_MAX_US = 3000000 };

struct child *children;
static int poller;

void children_init(int epoll) { poller = epoll; }

static int fd_of(const struct child *c, enum source source) { return source == FROM_REAPER ? c->reaper.control : c->fds[source]; }

void child_watch(struct child *c, enum source source, int operation) {
  /* Allocations are aligned to 16 bytes: the low bits of the pointer are free for the source. */
  struct epoll_event e = {.events = source == TO_IN ? EPOLLOUT : EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)c | (uint64_t)source};
  if (fd_of(c, source) >= 0) epoll_ctl(poller, operation, fd_of(c, source), &e);
}

/* A reaper that was just forked may hold it open for a moment: closing alone would not end what the poller tells of it. */
void child_close(struct child *c, enum source source) {
  if (c->fds[source] < 0) return;
  child_watch(c, source, EPOLL_CTL_DEL);
  close(c->fds[source]);
  c->fds[source] = -1;
}

struct child *child_find(uint32_t id) {
  struct child *c = children;
  while (c != NULL && c->id != id) c = c->next;
  return c;
}

void child_fail(uint32_t id, int error) {
  const char *why = strerror(error);
  memcpy(event_room(strlen(why)), why, strlen(why));
  event_done(EV_FAILED, id, strlen(why));
}

/* Once a child has exited and its output is drained: tell how it ended. Background processes may hold its pipes for ever. */
static void end_if_drained(struct child *c, int64_t now) {
  if (!c->exited || c->paused || c->ended) return;
  int open = c->fds[FROM_OUT] >= 0 || c->fds[FROM_ERR] >= 0;
  if (open && now - c->quiet_since < DRAIN_IDLE_US && now - c->exited_at < DRAIN_MAX_US) return;
  char *payload = event_room(5);
  uint32_t value = (uint32_t)(WIFSIGNALED(c->status) ? WTERMSIG(c->status) : WEXITSTATUS(c->status));
  payload[0] = WIFSIGNALED(c->status) ? 1 : 0;
  memcpy(payload + 1, &value, 4);
  event_done(EV_ENDED, c->id, 5);
  c->ended = 1;
}

/* Read once, so that one flood doesn't starve the others. Returns whether there may be more. */
static int read_output(struct child *c, enum source source, int64_t now) {
  if (c->fds[source] < 0) return 0;
  char *room = event_room(READ_SIZE);
  ssize_t n = read(c->fds[source], room, READ_SIZE);
  if (n < 0) return 0;
  if (n == 0) {
    child_close(c, source);
    return 0;
  }
  c->quiet_since = now;
  event_done(source == FROM_OUT ? EV_STDOUT : EV_STDERR, c->id, (size_t)n);
  if (c->interactive) events_hurry();
  return 1;
}

static void exited(struct child *c, int status, int64_t now) {
  c->exited = 1, c->status = status, c->exited_at = c->quiet_since = now;
  if (c->id == 0) {
    pool_forget(c, 1);
    c->ended = 1;
  }
  if (c->paused || c->ended) return;
  while (read_output(c, FROM_OUT, now)) continue;
  while (read_output(c, FROM_ERR, now)) continue;
  end_if_drained(c, now);
}

/* ---- begin ---- */

/* Descriptors of a process to be, ours and its, by enum order_fd; -1 if there is none. */
struct ends {
  int ours[ORDER_FDS], its[ORDER_FDS];
};

static void close_all(const int *fds) {
  for (int i = 0; i < ORDER_FDS; i++)
    if (fds[i] >= 0) close(fds[i]);
}

static int open_ends(struct ends *ends, int count) {
  for (int i = 0; i < ORDER_FDS; i++) ends->ours[i] = ends->its[i] = -1;
  for (int i = 0; i < count; i++) {
    int pair[2];
    if ((i == ORDER_ASKS ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) : pipe2(pair, O_CLOEXEC)) != 0) return -1;
    ends->ours[i] = pair[i == ORDER_IN], ends->its[i] = pair[i != ORDER_IN];
    if (i != ORDER_ASKS) fcntl(ends->ours[i], F_SETFL, O_NONBLOCK);
  }
  return 0;
}

struct child *child_begin(enum order order, int wants_stdin, int *asks) {
  const int count = wants_stdin ? ORDER_FDS : ORDER_IN;
  struct ends ends;
  struct child *c = calloc(1, sizeof *c);
  int error = c == NULL ? ENOMEM : 0;
  if (error == 0 && open_ends(&ends, count) != 0) error = errno;
  if (error == 0) error = reaper_order(order, ends.its, count, &c->reaper);
  if (c != NULL) close_all(ends.its);
  if (error != 0) {
    if (c != NULL) close_all(ends.ours);
    free(c);
    errno = error;
    return NULL;
  }
  *asks = ends.ours[ORDER_ASKS];
  c->fds[FROM_OUT] = ends.ours[ORDER_OUT], c->fds[FROM_ERR] = ends.ours[ORDER_ERR], c->fds[TO_IN] = ends.ours[ORDER_IN];
  c->interactive = wants_stdin, c->next = children;
  children = c;
  child_watch(c, FROM_REAPER, EPOLL_CTL_ADD);
  return c;
}

/* It runs, and it is known who it is: from now on what it writes is wanted, and what it is given can be told to be taken. */
static void announce(struct child *c) {
  event_u32(EV_STARTED, c->id, (uint32_t)c->pid);
  if (c->interactive) events_hurry(); /* It is given input, maybe by somebody who waits for each answer. */
  input_begin(c);
  if (c->paused) return;
  child_watch(c, FROM_OUT, EPOLL_CTL_ADD), child_watch(c, FROM_ERR, EPOLL_CTL_ADD);
}

void child_name(struct child *c, uint32_t id) {
  c->id = id;
  if (c->pid != 0) announce(c);
}

/* ---- what reapers tell ---- */

static void let_go_of_reaper(struct child *c) {
  child_watch(c, FROM_REAPER, EPOLL_CTL_DEL);
  reaper_release(&c->reaper);
}

/* It never ran. */
static void failed(struct child *c, int error) {
  if (c->id == 0) pool_forget(c, 0);
  else child_fail(c->id, error);
  c->id = 0, c->ended = 1;
  let_go_of_reaper(c);
}

static void take_report(struct child *c, const struct report *report, int64_t now) {
  switch ((enum report_kind)report->kind) {
    case REPORT_STARTED:
      c->pid = report->value;
      if (c->id != 0) announce(c);
      return;
    case REPORT_FAILED: return failed(c, report->value);
    case REPORT_ENDED: return exited(c, report->value, now);
    case REPORT_GONE: return let_go_of_reaper(c);
  }
}

/* One packet of what its reaper tells, which may be waited for. Returns whether there was one. */
static int read_reaper(struct child *c, int64_t now, int flags) {
  struct report reports[2];
  if (c->reaper.control < 0) return 0;
  ssize_t n = recv(c->reaper.control, reports, sizeof reports, flags);
  if (n < 0) return 0;
  for (size_t i = 0; (i + 1) * sizeof *reports <= (size_t)n; i++) take_report(c, &reports[i], now);
  if (n > 0) return 1;
  child_watch(c, FROM_REAPER, EPOLL_CTL_DEL); /* It is gone; children_reap is told by the kernel. */
  return 0;
}

static int is_known(pid_t pid) {
  struct child *c = children;
  while (c != NULL && c->reaper.pid != pid) c = c->next;
  return c != NULL || reaper_is_free(pid);
}

/* A reaper that was killed left its processes to the keeper: nobody could end them later, so they end with it. */
void children_reap(int64_t now) {
  int status, killed = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    killed |= WIFSIGNALED(status);
    if (reaper_forget(pid)) continue;
    struct child *c = children;
    while (c != NULL && c->reaper.pid != pid) c = c->next;
    if (c == NULL) continue;
    while (read_reaper(c, now, MSG_DONTWAIT)) continue;
    if (c->reaper.pid != pid) { /* The last that it told is that it was free. */
      reaper_forget(pid);
      continue;
    }
    close(c->reaper.control);
    c->reaper = (struct reaper){0, -1};
    if (c->pid == 0) failed(c, ECHILD);
    else if (!c->exited) exited(c, SIGKILL, now); /* The status of a process that was killed. */
  }
  if (killed) tree_end_strangers(is_known);
}

void child_signal(struct child *c, int number) {
  if (c->reaper.pid == 0) return;
  kill(c->reaper.pid, SIGCONT); /* Its own processes may have stopped it, and it has to tell of the end. */
  /* What has not started yet would miss the signal. */
  while (c->pid == 0 && read_reaper(c, now_us(), 0)) continue;
  if (c->reaper.pid != 0) tree_signal(c->reaper.pid, number);
}

/* ---- rounds ---- */

void child_pause(struct child *c, int paused) {
  if (c->paused == paused) return;
  c->paused = paused, c->quiet_since = now_us();
  if (c->pid == 0) return;
  child_watch(c, FROM_OUT, paused ? EPOLL_CTL_DEL : EPOLL_CTL_ADD);
  child_watch(c, FROM_ERR, paused ? EPOLL_CTL_DEL : EPOLL_CTL_ADD);
}

void child_ready(struct child *c, enum source source, int64_t now) {
  if (source == FROM_REAPER) {
    read_reaper(c, now, MSG_DONTWAIT);
    return;
  }
  if (c->ended) return;
  if (source == TO_IN) return input_flush(c);
  read_output(c, source, now);
  end_if_drained(c, now);
}

/* What an exec left running in the background can still be signalled, until the last of it is gone. */
void children_sweep(int64_t now) {
  for (struct child **at = &children; *at != NULL;) {
    struct child *c = *at;
    end_if_drained(c, now);
    if (c->ended) {
      for (int s = 0; s <= TO_IN; s++) child_close(c, (enum source)s);
      free(c->input);
      c->input = NULL;
    }
    if (!c->ended || c->reaper.pid != 0) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    if (c->id != 0) event_empty(EV_GONE, c->id);
    free(c);
  }
}

int64_t children_due(void) {
  int64_t at = -1;
  for (struct child *c = children; c != NULL; c = c->next) {
    if (!c->exited || c->paused || c->ended) continue;
    const int64_t idle = c->quiet_since + DRAIN_IDLE_US, most = c->exited_at + DRAIN_MAX_US, due = idle < most ? idle : most;
    if (at < 0 || due < at) at = due;
  }
  return at;
}
