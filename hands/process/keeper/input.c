/* What a process is given to read on its stdin: it waits here until the process takes it. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { TAKEN_STEP = 64 << 10 };

/* Tell hands how much input went away, once it is worth telling, and hands knows that the process runs. */
static void input_taken(struct child *c, size_t bytes) {
  c->taken += bytes;
  if (c->taken < TAKEN_STEP || c->pid == 0) return;
  event_u32(EV_INPUT_TAKEN, c->id, (uint32_t)c->taken);
  c->taken = 0;
}

void input_flush(struct child *c) {
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
  child_watch(c, TO_IN, EPOLL_CTL_DEL);
  if (c->close_in) child_close(c, TO_IN);
}

void input_add(struct child *c, const char *data, size_t length) {
  if (c->fds[TO_IN] < 0 || c->close_in || length == 0) return input_taken(c, length);
  if (c->input_at > 0) memmove(c->input, c->input + c->input_at, c->input_size), c->input_at = 0;
  char *grown = realloc(c->input, c->input_size + length);
  if (grown == NULL) shut_down(); /* A command must not miss a part in the middle. */
  if (c->input_size == 0 && c->pid != 0) child_watch(c, TO_IN, EPOLL_CTL_ADD);
  memcpy(grown + c->input_size, data, length);
  c->input = grown, c->input_size += length;
}

void input_end(struct child *c) {
  c->close_in = 1;
  if (c->input_size == 0) child_close(c, TO_IN);
}

void input_begin(struct child *c) {
  input_taken(c, 0);
  if (c->input_size > 0) child_watch(c, TO_IN, EPOLL_CTL_ADD);
}
