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

enum { DRAIN_IDLE_US = 100000, DRAIN_MAX_US = 3000000, REFILL_US = 1000, TAKEN_STEP = 64 << 10 };
enum source { FROM_OUT, FROM_ERR, TO_IN, FROM_REAPER };

struct child {
  struct child *next;
  uint32_t id;
  pid_t reaper; /* 0 once it is gone, and with it whatever descends from the exec. */
  int fds[4]; /* By enum source; -1 when closed. */
  int paused, exited, status, close_in, ended, interactive;
  int64_t exited_at, quiet_since; /* Microseconds, as every time here. */
  /* Bytes that its stdin didn't take yet, from `input_at` on: hands never sends more than its limit before it is told what was taken. */
  char *input;
  size_t input_at, input_size;
  size_t taken; /* Bytes that hands is to be told of. */
};

static struct child *children;
static int poller;
static int64_t refill_at = -1;

static void signal_tree(const struct child *c, int number) {
  if (c->reaper == 0) return;
  kill(c->reaper, SIGCONT); /* Its own processes may have stopped it, and it has to tell of the end. */
  tree_signal(c->reaper, number);
}

void shut_down(void) {
  for (struct child *c = children; c != NULL; c = c->next) signal_tree(c, SIGKILL);
  _exit(0);
}

/* ---- children ---- */

static void watch(struct child *c, enum source source, int operation) {
  /* Allocations are aligned to 16 bytes: the low bits of the pointer are free for the source. */
  struct epoll_event e = {.events = source == TO_IN ? EPOLLOUT : EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)c | (uint64_t)source};
  if (c->fds[source] >= 0) epoll_ctl(poller, operation, c->fds[source], &e);
}

static void close_source(struct child *c, enum source source) {
  if (c->fds[source] >= 0) close(c->fds[source]);
  c->fds[source] = -1;
}

/* Let go of what has ended; only between two rounds, because a round's events point to children. What an exec left running in the
 * background can still be signalled, until the last of it is gone. */
static void sweep(void) {
  for (struct child **at = &children; *at != NULL;) {
    struct child *c = *at;
    if (c->ended) {
      for (int s = 0; s <= TO_IN; s++) close_source(c, (enum source)s);
      free(c->input);
      c->input = NULL;
    }
    if (!c->ended || c->reaper != 0) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    event_empty(EV_GONE, c->id);
    close_source(c, FROM_REAPER);
    free(c);
  }
}

static struct child *find_child(uint32_t id) {
  struct child *c = children;
  while (c != NULL && c->id != id) c = c->next;
  return c;
}

static int is_known(pid_t pid) {
  struct child *c = children;
  while (c != NULL && c->reaper != pid) c = c->next;
  return c != NULL || pool_has(pid);
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
    close_source(c, source);
    return 0;
  }
  c->quiet_since = now;
  event_done(source == FROM_OUT ? EV_STDOUT : EV_STDERR, c->id, (size_t)n);
  if (c->interactive) events_hurry();
  return 1;
}

/* Tell hands how much input went away, once it is worth telling. */
static void input_taken(struct child *c, size_t bytes) {
  c->taken += bytes;
  if (c->taken < TAKEN_STEP) return;
  event_u32(EV_INPUT_TAKEN, c->id, (uint32_t)c->taken);
  c->taken = 0;
}

static void flush_input(struct child *c) {
  while (c->input_size > 0 && c->fds[TO_IN] >= 0) {
    ssize_t n = write(c->fds[TO_IN], c->input + c->input_at, c->input_size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) c->close_in = 1, n = (ssize_t)c->input_size; /* It reads no more. */
    c->input_at += (size_t)n, c->input_size -= (size_t)n;
    input_taken(c, (size_t)n);
  }
  free(c->input);
  c->input = NULL, c->input_at = 0;
  epoll_ctl(poller, EPOLL_CTL_DEL, c->fds[TO_IN], NULL);
  if (c->close_in) close_source(c, TO_IN);
}

static void exited(struct child *c, int status, int64_t now) {
  c->exited = 1, c->status = status, c->exited_at = c->quiet_since = now;
  if (c->paused) return;
  while (read_output(c, FROM_OUT, now)) continue;
  while (read_output(c, FROM_ERR, now)) continue;
  end_if_drained(c, now);
}

/* Its reaper tells how the exec's own process ended. */
static void read_reaper(struct child *c, int64_t now) {
  int32_t status;
  if (c->fds[FROM_REAPER] < 0) return;
  ssize_t n = read(c->fds[FROM_REAPER], &status, sizeof status);
  if (n < 0) return;
  if (n == (ssize_t)sizeof status && !c->exited) exited(c, status, now);
  else close_source(c, FROM_REAPER);
}

/* Reapers that are gone. One that was killed left its processes to the keeper: nobody could end them later, so they end with it. */
static void reap(int64_t now) {
  int status, killed = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    killed |= WIFSIGNALED(status);
    if (pool_forget(pid)) continue;
    struct child *c = children;
    while (c != NULL && c->reaper != pid) c = c->next;
    if (c == NULL) continue;
    read_reaper(c, now);
    c->reaper = 0;
    if (!c->exited) exited(c, SIGKILL, now); /* The status of a process that was killed. */
  }
  if (killed) tree_end_strangers(is_known);
}

/* ---- requests ---- */

static void start(uint32_t id, char *payload, size_t length) {
  struct spec spec;
  struct started started;
  struct child *c = calloc(1, sizeof *c);
  int error = c == NULL ? ENOMEM : EINVAL;
  if (c != NULL && find_child(id) == NULL && spec_parse(payload, length, &spec) == 0) {
    int warm = spec.is_shell && !spec.wants_stdin && pool_take(payload, length, &started) == 0;
    error = warm ? 0 : start_fresh(&spec, &started);
    free(spec.argv), free(spec.envp);
  }
  if (error != 0) {
    const char *why = strerror(error);
    free(c);
    memcpy(event_room(strlen(why)), why, strlen(why));
    event_done(EV_FAILED, id, strlen(why));
    return;
  }
  *c = (struct child){.next = children, .id = id, .reaper = started.reaper, .fds = {started.out, started.err, started.in, started.control}};
  c->interactive = started.in >= 0;
  children = c;
  watch(c, FROM_OUT, EPOLL_CTL_ADD), watch(c, FROM_ERR, EPOLL_CTL_ADD), watch(c, FROM_REAPER, EPOLL_CTL_ADD);
  event_u32(EV_STARTED, id, (uint32_t)started.pid);
  if (c->interactive) events_hurry(); /* It is given input, maybe by somebody who waits for each answer. */
  refill_at = now_us() + REFILL_US;
}

static void add_input(struct child *c, const char *data, size_t length) {
  if (c->fds[TO_IN] < 0 || c->close_in || length == 0) return input_taken(c, length);
  if (c->input_at > 0) memmove(c->input, c->input + c->input_at, c->input_size), c->input_at = 0;
  char *grown = realloc(c->input, c->input_size + length);
  if (grown == NULL) shut_down(); /* A command must not miss a part in the middle. */
  if (c->input_size == 0) watch(c, TO_IN, EPOLL_CTL_ADD);
  memcpy(grown + c->input_size, data, length);
  c->input = grown, c->input_size += length;
}

static void set_paused(struct child *c, int paused) {
  if (c->paused == paused) return;
  c->paused = paused, c->quiet_since = now_us();
  watch(c, FROM_OUT, paused ? EPOLL_CTL_DEL : EPOLL_CTL_ADD);
  watch(c, FROM_ERR, paused ? EPOLL_CTL_DEL : EPOLL_CTL_ADD);
}

static void handle(enum request type, uint32_t id, char *payload, size_t length) {
  uint32_t number = 0;
  if (type == REQ_START) return start(id, payload, length);
  if (type == REQ_PING) return event_empty(EV_PONG, id), events_hurry();
  struct child *c = find_child(id);
  if (c == NULL || (c->ended && type != REQ_SIGNAL)) return;
  switch (type) {
    case REQ_STDIN: return add_input(c, payload, length);
    case REQ_CLOSE_STDIN:
      c->close_in = 1;
      if (c->input_size == 0) close_source(c, TO_IN);
      return;
    case REQ_SIGNAL:
      if (length == 4) memcpy(&number, payload, 4);
      if (number > 0) signal_tree(c, (int)number);
      return;
    case REQ_PAUSE: return set_paused(c, 1);
    case REQ_RESUME: return set_paused(c, 0);
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
  int64_t at = sooner(events_due(), pool_wants_fill() ? refill_at : -1);
  for (struct child *c = children; c != NULL; c = c->next) {
    if (!c->exited || c->paused || c->ended) continue;
    at = sooner(at, sooner(c->quiet_since + DRAIN_IDLE_US, c->exited_at + DRAIN_MAX_US));
  }
  return at;
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

static void handle_ready(struct child *c, enum source source, int64_t now) {
  if (c->ended && source != FROM_REAPER) return;
  if (source == TO_IN) return flush_input(c);
  if (source == FROM_REAPER) return read_reaper(c, now);
  read_output(c, source, now);
  end_if_drained(c, now);
}

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
      else handle_ready((struct child *)(uintptr_t)(data & ~(uint64_t)3), (enum source)(data & 3), now);
    }
    if (ended) {
      struct signalfd_siginfo info[16];
      while (read(ends, info, sizeof info) > 0) continue;
      reap(now);
    }
    for (struct child *c = children; c != NULL; c = c->next) end_if_drained(c, now);
    if (events_due() >= 0 && now >= events_due()) events_flush();
    sweep();
    if (refill_at >= 0 && now >= refill_at && pool_wants_fill()) pool_fill();
  }
}
