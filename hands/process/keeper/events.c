/* What the keeper tells: frames on its stdout, held for a moment so that what belongs together travels together. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { HOLD_US = 1000, HOLD_GONE_US = 100000, HOLD_SIZE = 16 << 10 };

static char buffer[FRAME_HEADER * 64 + READ_SIZE * 4];
static size_t size;
/* When the events that wait have waited enough. A short command's start, output and end travel together that way: the daemon, and after
 * it the client, wake once for all of them instead of three times while the command still runs. */
static int64_t hold_until = -1;

int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void events_hurry(void) { hold_until = 0; }

int64_t events_due(void) { return hold_until; }

void events_flush(void) {
  for (size_t at = 0; at < size;) {
    ssize_t n = write(1, buffer + at, size - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) shut_down(); /* The daemon is gone. */
    at += (size_t)n;
  }
  size = 0;
  hold_until = -1;
}

char *event_room(size_t length) {
  if (size + FRAME_HEADER + length > sizeof buffer) events_flush();
  return buffer + size + FRAME_HEADER;
}

/* Nobody waits for the news that an exec left nothing running: it travels with whatever comes next. */
static void hold(int64_t us) {
  int64_t until = now_us() + us;
  if (hold_until < 0 || until < hold_until) hold_until = until;
}

void event_done(enum event type, uint32_t id, size_t length) {
  char *frame = buffer + size;
  uint32_t rest = (uint32_t)length + FRAME_HEADER - 4;
  memcpy(frame, &rest, 4);
  frame[4] = (char)type;
  memcpy(frame + 5, &id, 4);
  size += FRAME_HEADER + length;
  if (type == EV_ENDED || type == EV_FAILED || size > HOLD_SIZE) events_hurry();
  else hold(type == EV_GONE ? HOLD_GONE_US : HOLD_US);
}

void event_empty(enum event type, uint32_t id) {
  event_room(0);
  event_done(type, id, 0);
}

void event_u32(enum event type, uint32_t id, uint32_t value) {
  memcpy(event_room(4), &value, 4);
  event_done(type, id, 4);
}
