/* The fork server of hands: README.md in this folder has the protocol and the reasons. */
#ifndef KEEPER_H
#define KEEPER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Requests, on the keeper's stdin: u32 length of what follows, u8 type, u32 id, payload. Little-endian. */
enum request { REQ_START = 1, REQ_STDIN = 2, REQ_CLOSE_STDIN = 3, REQ_SIGNAL = 4, REQ_PAUSE = 5, REQ_RESUME = 6 };

/* Events, on its stdout, in the same frame. */
enum event { EV_STARTED = 1, EV_STDOUT = 2, EV_STDERR = 3, EV_ENDED = 4, EV_FAILED = 5, EV_INPUT_TAKEN = 6 };

/* READ_SIZE: most that is read of a pipe at once, so that one flood doesn't starve the others. */
enum { READ_SIZE = 64 << 10, FRAME_HEADER = 9, START_STDIN = 1, START_SHELL = 2, MAX_REQUEST = 16 << 20 };

/* Where a zygote gets its request; a high number, so that it is in nobody's way. */
enum { ZYGOTE_FD = 250 };

/* What to start; everything points into one request's payload. */
struct spec {
  int is_shell, wants_stdin;
  char *cwd, **argv, **envp;
};

/* A process, and the keeper's ends of its pipes: -1 where there is none. */
struct started {
  pid_t pid;
  int in, out, err;
};

/* keeper.c: kill every descendant of every exec, and exit. */
void shut_down(void) __attribute__((noreturn));

/* events.c: microseconds of a clock that only goes on. */
int64_t now_us(void);
/* Reserve room for an event of up to `length` bytes of payload, READ_SIZE at the most; returns where the payload goes. */
char *event_room(size_t length);
/* The payload of the event is written. */
void event_done(enum event type, uint32_t id, size_t length);
void event_u32(enum event type, uint32_t id, uint32_t value);
/* When what waits is to be sent, by `now_us`; -1 where nothing waits. */
int64_t events_due(void);
/* Send it in this round. */
void events_hurry(void);
void events_flush(void);

/* spec.c: read the payload of REQ_START in place. Returns 0, or -1 where it is malformed. `free` argv and envp afterwards. */
int spec_parse(char *payload, size_t length, struct spec *spec);

/* start.c: start a process from nothing. `mark` (see tree.c) is set before it runs. Returns 0 or an errno value. */
int start_fresh(const struct spec *spec, uint64_t mark, struct started *started);

/* In a new child: the signal state of a fresh process; the keeper's own is inherited over exec. */
void reset_signals(void);

/* pool.c: shells that wait for their command. */
void pool_init(const char *preload);
/* Hand the command to a waiting shell. Returns 0, or -1 where none is ready. */
int pool_take(const char *payload, size_t length, uint64_t mark, struct started *started);
/* Start shells until enough wait; forgets one that died. */
void pool_fill(void);
int pool_wants_fill(void);
/* Tells whether `pid` was a waiting shell; if so it is forgotten. */
int pool_forget(pid_t pid);

/* tree.c: every process that descends from an exec carries its mark, whatever it does to its parents, group or session. */
uint64_t mark_next(void);
int mark_set(pid_t pid, uint64_t mark);
/* Signal every process with this mark; returns how many there were. SIGKILL goes on until none is left. */
int mark_signal(uint64_t mark, int signal_number);

#endif
