/* The fork server of hands: README.md in this folder has the protocol and the reasons. */
#ifndef KEEPER_H
#define KEEPER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Requests, on the keeper's stdin: u32 length of what follows, u8 type, u32 id, payload. Little-endian. */
enum request { REQ_START = 1, REQ_STDIN = 2, REQ_CLOSE_STDIN = 3, REQ_SIGNAL = 4, REQ_PAUSE = 5, REQ_RESUME = 6, REQ_PING = 7 };

/* Events, on its stdout, in the same frame. EV_READY comes first, before any request is read. EV_GONE: nothing that descends from an exec is
 * left; it comes after the exec's end, which background processes may outlive. EV_PONG answers REQ_PING. */
enum event {
  EV_STARTED = 1,
  EV_STDOUT = 2,
  EV_STDERR = 3,
  EV_ENDED = 4,
  EV_FAILED = 5,
  EV_INPUT_TAKEN = 6,
  EV_READY = 7,
  EV_GONE = 8,
  EV_PONG = 9
};

/* READ_SIZE: most that is read of a pipe at once, so that one flood doesn't starve the others. */
enum { READ_SIZE = 64 << 10, FRAME_HEADER = 9, START_STDIN = 1, START_SHELL = 2, MAX_REQUEST = 16 << 20 };

/* Where a zygote gets its request; a high number, so that it is in nobody's way. */
enum { ZYGOTE_FD = 250 };

/* What to start; everything points into one request's payload. */
struct spec {
  int is_shell, wants_stdin;
  char *cwd, **argv, **envp;
};

/* A process, its reaper, and the keeper's ends of its pipes: -1 if there is none. What its reaper tells comes on `control`. */
struct started {
  pid_t pid, reaper;
  int control, in, out, err;
};

/* keeper.c: kill every descendant of every exec, and exit. */
void shut_down(void) __attribute__((noreturn));

/* events.c: microseconds of a clock that only goes on. */
int64_t now_us(void);
/* Reserve room for an event of up to `length` bytes of payload, READ_SIZE at the most; returns where the payload goes. */
char *event_room(size_t length);
/* The payload of the event is written. */
void event_done(enum event type, uint32_t id, size_t length);
void event_empty(enum event type, uint32_t id);
void event_u32(enum event type, uint32_t id, uint32_t value);
/* When what waits is to be sent, by `now_us`; -1 if nothing waits. */
int64_t events_due(void);
/* Send it in this round. */
void events_hurry(void);
void events_flush(void);

/* spec.c: read the payload of REQ_START in place. Returns 0, or -1 where it is malformed. `free` argv and envp afterwards. */
int spec_parse(char *payload, size_t length, struct spec *spec);

/* reaper.c: start a process under a reaper of its own. `begin` does so, in the reaper, and returns the pid or a negative errno value.
 * Returns 0 or an errno value. On `control` an int comes once the process has ended, its status as of waitpid. */
typedef pid_t begin_function(const void *what);
int reaper_start(begin_function *begin, const void *what, struct started *started);

/* start.c: start a process from nothing. Returns 0 or an errno value. */
int start_fresh(const struct spec *spec, struct started *started);

/* user.c: what `number` says is the user that everything is started as; NULL: the keeper's own. */
void user_init(const char *number);
/* In a new child, once its descriptors are in place: become that user. Returns 0 or an errno value. */
int user_become(void);

/* In a new child: the signal state of a fresh process; the keeper's own is inherited over exec. */
void reset_signals(void);

/* pool.c: shells that wait for their command. */
void pool_init(const char *preload);
/* Hand the command to a waiting shell. Returns 0, or -1 where none is ready. */
int pool_take(const char *payload, size_t length, struct started *started);
/* Start shells until enough wait; forgets one that died. */
void pool_fill(void);
int pool_wants_fill(void);
/* Tells whether `pid` is the reaper of a waiting shell. */
int pool_has(pid_t pid);
/* The reaper `pid` is gone. Tells whether it was one of a waiting shell, which is forgotten. */
int pool_forget(pid_t pid);

/* tree.c: signal every process below `top`, which is a subreaper; returns how many there were. SIGKILL goes on until none is left. */
int tree_signal(pid_t top, int signal_number);
/* Kill every child of this process that is not known, and all below it: they were a reaper's that is gone. */
void tree_end_strangers(int (*is_known)(pid_t pid));

#endif
