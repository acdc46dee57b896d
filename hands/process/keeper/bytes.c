/* What goes through a socket as a whole: the keeper sends a command to whoever runs it. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int send_all(int fd, const void *data, size_t length) {
  for (const char *at = data; length > 0;) {
    ssize_t n = send(fd, at, length, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    at += n;
    length -= (size_t)n;
  }
  return 0;
}

static int read_all(int fd, void *data, size_t length) {
  for (char *at = data; length > 0;) {
    ssize_t n = read(fd, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    at += n;
    length -= (size_t)n;
  }
  return 0;
}

int send_payload(int fd, const char *payload, size_t length) {
  uint32_t size = (uint32_t)length;
  return send_all(fd, &size, sizeof size) == 0 ? send_all(fd, payload, length) : -1;
}

char *read_payload(int fd, size_t *length) {
  uint32_t size;
  if (read_all(fd, &size, sizeof size) != 0) return NULL;
  char *payload = malloc(size);
  if (payload == NULL || read_all(fd, payload, size) != 0) {
    free(payload);
    return NULL;
  }
  *length = size;
  return payload;
}
