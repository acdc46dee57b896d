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
enum { READ_SIZE = 64 << 10, FRAME_HEADER = 9, START_STDIN = 1, START_SHELL = 2, START_TERMINAL = 4, MAX_REQUEST = 16 << 20 };

/* Where a zygote gets its request; a high number, so that it is in nobody's way. */
enum { ZYGOTE_FD = 250 };

/* What to start; everything points into one request's payload. */
struct spec {
  int is_shell, wants_stdin, is_terminal;
  char *cwd, **argv, **envp;
};

/* A process that watches over one exec at a time (reaper.c), and the keeper's end of what it is asked and tells by; 0 and -1 if there
 * is none. */
struct reaper {
  pid_t pid;
  int control;
};

/* What a reaper is asked to start: a shell that waits for its command (pool.c), or what the payload of a REQ_START says (start.c). */
enum order { ORDER_SHELL = 1, ORDER_FRESH = 2 };

/* Descriptors that go with an order: where the command comes from, and the process's ends of its pipes. Without the last one its stdin is
 * empty. */
enum order_fd { ORDER_ASKS, ORDER_OUT, ORDER_ERR, ORDER_IN, ORDER_FDS };

/* What a reaper tells: the pid that it started, or the errno value that kept it from it, after which it is free; the status of that
 * process as of waitpid; that nothing which descends from it is left: it is free. */
enum report_kind { REPORT_STARTED = 1, REPORT_FAILED = 2, REPORT_ENDED = 3, REPORT_GONE = 4 };
struct report {
  int32_t kind, value;
};

/* By which descriptor something happens to a child. */
enum source { FROM_OUT, FROM_ERR, TO_IN, FROM_REAPER };

/* An exec, or a shell that waits for one: then its id is 0. */
struct child {
  struct child *next;
  uint32_t id;
  pid_t pid; /* 0 until its reaper told it. */
  struct reaper reaper;
  int fds[3]; /* By enum source; -1 when closed. */
  int paused, exited, status, close_in, ended, interactive;
  int64_t exited_at, quiet_since; /* Microseconds, as every time here. */
  /* Bytes that its stdin didn't take yet, from `input_at` on: hands never sends more than its limit before it is told what was taken. */
  char *input;
  size_t input_at, input_size;
  size_t taken; /* Bytes that hands is to be told of. */
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

/* spec.c: read the payload of REQ_START in place. Returns 0, or -1 if it is malformed. `free` argv and envp afterwards. */
int spec_parse(char *payload, size_t length, struct spec *spec);

/* keeper.c, guard.c: in a reaper, start what an order asks for. Returns the pid or a negative errno value. */
pid_t order_begin(enum order order, const int *fds);

/* reaper.c: give an order to a reaper that is free, or to a new one. The descriptors stay the caller's. Returns 0 or an errno value. */
int reaper_order(enum order order, const int *fds, int count, struct reaper *reaper);
/* It told that it is free. */
void reaper_release(struct reaper *reaper);
/* Tells whether `pid` is a reaper that is free. */
int reaper_is_free(pid_t pid);
/* The process `pid` is gone: if it was a reaper that is free, it is forgotten. Tells whether it was. */
int reaper_forget(pid_t pid);

/* children.c: all children, the newest first. */
extern struct child *children;
void children_init(int poller);
/* The exec with this id; NULL if there is none, or it is gone. */
struct child *child_find(uint32_t id);
/* Have a reaper start a process, and listen to the reaper. `*asks` is where the process, or the reaper itself, takes its command from. Returns NULL
 * with errno if there is none. */
struct child *child_begin(enum order order, int wants_stdin, int *asks);
/* From now on it is this exec. */
void child_name(struct child *c, uint32_t id);
void child_fail(uint32_t id, int error);
/* Listen to one of its descriptors, or no more: `operation` is epoll_ctl's. */
void child_watch(struct child *c, enum source source, int operation);
void child_close(struct child *c, enum source source);
/* Something happened by one of its descriptors. */
void child_ready(struct child *c, enum source source, int64_t now);
void child_pause(struct child *c, int paused);
/* Signal all that descends from it. */
void child_signal(struct child *c, int number);
/* Processes of this one have ended: reapers, and what was left of a reaper that was killed. */
void children_reap(int64_t now);
/* Tell the ends that are due, and let go of what is gone. Only between two rounds, because a round's events point to children. */
void children_sweep(int64_t now);
/* When an end is due that no descriptor tells of; -1 for never. */
int64_t children_due(void);

/* input.c: more to read on its stdin; the end of it; it runs, and can be given what waits; it has room again. */
void input_add(struct child *c, const char *data, size_t length);
void input_end(struct child *c);
void input_begin(struct child *c);
void input_flush(struct child *c);

/* start.c: in a reaper, start what it reads of `fds[ORDER_ASKS]`. Returns the pid or a negative errno value. */
pid_t start_fresh(const int *fds);

/* bytes.c: a length and as many bytes, through a socket as a whole. Returns 0 or -1. */
int send_payload(int fd, const char *payload, size_t length);
/* Returns them in memory of their own, NULL if they don't come. */
char *read_payload(int fd, size_t *length);

/* user.c: what `number` says is the user that everything is started as; NULL: the keeper's own. */
void user_init(const char *number);
/* In a new child, once its descriptors are in place: become that user. Returns 0 or an errno value. */
int user_become(void);

/* In a new child: the signal state of a fresh process; the keeper's own is inherited over exec. */
void reset_signals(void);

/* pool.c: shells that wait for their command. */
void pool_init(const char *preload);
/* Hand the command to a waiting shell, or to one that starts. Returns it, or NULL if there can be none. */
struct child *pool_take(const char *payload, size_t length);
/* Start shells until enough wait. */
void pool_fill(void);
int pool_wants_fill(void);
/* A waiting shell has ended, or could not be started. */
void pool_forget(const struct child *c, int has_run);
/* In a reaper: start a shell that waits. Returns the pid or a negative errno value. */
pid_t pool_begin(const int *fds);

/* tree.c: signal every process below `top`, which is a subreaper; returns how many there were. SIGKILL goes on until none is left. */
int tree_signal(pid_t top, int signal_number);
/* Kill every child of this process that is not known, and all below it: they were a reaper's that is gone. */
void tree_end_strangers(int (*is_known)(pid_t pid));

#endif
