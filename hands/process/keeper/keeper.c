/* The fork server: a loop over its requests, its children's pipes and their ends. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* How soon after a start shells are started for the next ones: a command that comes at once should find one, and this one goes first. */
enum { REFILL_US = 300 };

static int poller;
static int64_t refill_at = -1;

void shut_down(void) {
  for (struct child *c = children; c != NULL; c = c->next) child_signal(c, SIGKILL);
  _exit(0);
}

/* ---- requests ---- */

/* By a reaper, which reads it from `asks`. */
static struct child *begin_fresh(const struct spec *spec, const char *payload, size_t length) {
  int asks;
  struct child *c = child_begin(ORDER_FRESH, spec->wants_stdin, &asks);
  if (c == NULL) return NULL;
  send_payload(asks, payload, length); /* A reaper that can't take it tells so, or is gone. */
  close(asks);
  return c;
}

static void start(uint32_t id, char *payload, size_t length) {
  struct spec spec;
  struct child *c = NULL;
  errno = EINVAL;
  if (id != 0 && child_find(id) == NULL && spec_parse(payload, length, &spec) == 0) {
    if (spec.is_shell && !spec.wants_stdin) c = pool_take(payload, length);
    if (c == NULL) c = begin_fresh(&spec, payload, length);
    const int error = errno;
    free(spec.argv), free(spec.envp);
    errno = error;
  }
  if (c == NULL) return child_fail(id, errno);
  child_name(c, id);
  if (refill_at < 0) refill_at = now_us() + REFILL_US;
}

static void handle(enum request type, uint32_t id, char *payload, size_t length) {
  uint32_t number = 0;
  if (type == REQ_START) return start(id, payload, length);
  if (type == REQ_PING) return event_empty(EV_PONG, id), events_hurry();
  struct child *c = id == 0 ? NULL : child_find(id);
  if (c == NULL || (c->ended && type != REQ_SIGNAL)) return;
  switch (type) {
    case REQ_STDIN: return input_add(c, payload, length);
    case REQ_CLOSE_STDIN: return input_end(c);
    case REQ_SIGNAL:
      if (length == 4) memcpy(&number, payload, 4);
      if (number > 0) child_signal(c, (int)number);
      return;
    case REQ_PAUSE: return child_pause(c, 1);
    case REQ_RESUME: return child_pause(c, 0);
    default: return;
  }
}

static void read_requests(void) {
  static char *buffer;
  static size_t size, capacity;
  if (capacity - size < READ_SIZE && (buffer = realloc(buffer, capacity = capacity * 2 + READ_SIZE)) == NULL) shut_down();
  ssize_t n = read(0, buffer + size, capacity - size);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) shut_down(); /* The daemon is gone. */
  size += (size_t)n;
  size_t at = 0;
  for (uint32_t length, id; size - at >= FRAME_HEADER; at += 4 + length) {
    memcpy(&length, buffer + at, 4);
    if (length < FRAME_HEADER - 4 || length > MAX_REQUEST) shut_down();
    if (size - at < 4 + (size_t)length) break;
    memcpy(&id, buffer + at + 5, 4);
    handle((enum request)buffer[at + 4], id, buffer + at + FRAME_HEADER, length + 4 - FRAME_HEADER);
  }
  memmove(buffer, buffer + at, size -= at);
}

/* ---- loop ---- */

static int64_t sooner(int64_t at, int64_t other) { return other >= 0 && (at < 0 || other < at) ? other : at; }

/* When something is to be done that no descriptor tells of, -1 for never. */
static int64_t next_time(void) {
  return sooner(children_due(), sooner(events_due(), pool_wants_fill() ? refill_at : -1));
}

/* epoll_wait counts in milliseconds, which is longer than most commands take. A kernel before 5.11 has nothing finer. */
static int wait_ready(struct epoll_event *ready, int room) {
  static int coarse;
  int64_t at = next_time(), left = at < 0 ? -1 : at - now_us();
  if (at >= 0 && left < 0) left = 0;
  if (!coarse && left > 0) {
    struct timespec t = {left / 1000000, left % 1000000 * 1000};
    int count = epoll_pwait2(poller, ready, room, &t, NULL);
    if (count >= 0 || errno != ENOSYS) return count;
    coarse = 1;
  }
  return epoll_wait(poller, ready, room, left < 0 ? -1 : (int)((left + 999) / 1000));
}

static void add_fixed(int fd) {
  /* Fixed sources are told from children by their small number. */
  struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)fd};
  epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
}

pid_t order_begin(enum order order, const int *fds) { return order == ORDER_SHELL ? pool_begin(fds) : start_fresh(fds); }

int main(int argc, char **argv) {
  sigset_t chld;
  close_range(3, ~0u, 0); /* Whatever the daemon's own parents left open. */
  prctl(PR_SET_DUMPABLE, 0); /* Whoever has the same user can't look into it, trace it or take its descriptors. */
  user_init(argc > 2 ? argv[2] : NULL);
  sigemptyset(&chld), sigaddset(&chld, SIGCHLD);
  sigprocmask(SIG_BLOCK, &chld, NULL); /* Children unblock it before they exec. */
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  poller = epoll_create1(EPOLL_CLOEXEC);
  int ends = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
  children_init(poller);
  add_fixed(0), add_fixed(ends);
  event_empty(EV_READY, 0);
  events_flush();
  pool_init(argc > 1 ? argv[1] : NULL);
  pool_fill();
  for (;;) {
    struct epoll_event ready[32];
    int count = wait_ready(ready, 32);
    int64_t now = now_us();
    int ended = 0;
    for (int i = 0; i < count; i++) {
      uint64_t data = ready[i].data.u64;
      if (data == 0) read_requests();
      else if (data == (uint64_t)ends) ended = 1;
      else child_ready((struct child *)(uintptr_t)(data & ~(uint64_t)3), (enum source)(data & 3), now);
    }
    if (ended) {
      struct signalfd_siginfo info[16];
      while (read(ends, info, sizeof info) > 0) continue;
      children_reap(now);
    }
    children_sweep(now);
    if (events_due() >= 0 && now >= events_due()) events_flush();
    if (refill_at >= 0 && now >= refill_at && pool_wants_fill()) {
      refill_at = -1;
      pool_fill();
    }
  }
}
