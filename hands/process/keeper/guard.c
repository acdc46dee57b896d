/* A terminal's program under a reaper of its own (reaper.c): the fork server starts no terminals.
 *
 *   guard COLUMNS ROWS
 *
 * Descriptor 3 is a stream socket to whoever started the guard. First it brings what to start, a length and the payload of a REQ_START; then numbers
 * of signals, a byte each, for all that descends from the program. What the reaper tells goes back, each a struct report. If the other end closes,
 * all that descends from the program is killed. Descriptor 4 is the master of a new PTY, which becomes the program's descriptors 0 to 2.
 *
 * It ends after the last descendant, once the other end has read that and closed. If its reaper is killed, what that stood over comes to the guard,
 * which kills it: then REPORT_ENDED and REPORT_GONE may be missing. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLER = 3, MASTER = 4 };

static struct reaper reaper;

pid_t order_begin(enum order order, const int *fds) { return order == ORDER_FRESH ? start_fresh(fds) : -ENOSYS; }

static int nobody(pid_t pid) { return pid == 0; }

static void __attribute__((noreturn)) end_all(void) {
  if (reaper.pid > 0) {
    kill(reaper.pid, SIGCONT); /* Its own processes may have stopped it. */
    tree_signal(reaper.pid, SIGKILL);
  }
  tree_end_strangers(nobody);
  /* The caller closes first: if it wrote to a closed end, it would lose the reports that it has not read yet. */
  char rest[64];
  fcntl(CALLER, F_SETFL, O_RDWR);
  shutdown(CALLER, SHUT_WR);
  while (read(CALLER, rest, sizeof rest) > 0) continue;
  _exit(0);
}

static void tell(const struct report *reports, ssize_t size) {
  /* Nobody is there any more: the poll tells that as well. */
  while (send(CALLER, reports, (size_t)size, MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
}

/* Passes on what the reaper tells. Returns 0 once it told that nothing is left, or is gone. */
static int pass_on(int flags) {
  struct report reports[2];
  ssize_t n;
  while ((n = recv(reaper.control, reports, sizeof reports, flags)) < 0 && errno == EINTR) continue;
  if (n <= 0) return n < 0 && errno == EAGAIN;
  tell(reports, n);
  const struct report *last = &reports[(size_t)n / sizeof *reports - 1];
  return last->kind != REPORT_GONE && last->kind != REPORT_FAILED;
}

/* The PTY becomes what the program reads and writes. Returns 0 or an errno value. */
static int open_terminal(const char *columns, const char *rows) {
  struct winsize size = {.ws_col = (unsigned short)atoi(columns), .ws_row = (unsigned short)atoi(rows)};
  int locked = 0;
  if (ioctl(MASTER, TIOCSPTLCK, &locked) != 0 || ioctl(MASTER, TIOCSWINSZ, &size) != 0) return errno;
  int terminal = ioctl(MASTER, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  if (terminal < 0) return errno;
  for (int fd = 0; fd < 3; fd++) dup2(terminal, fd);
  close(terminal);
  return 0;
}

static void obey(void) {
  unsigned char number;
  ssize_t n = read(CALLER, &number, sizeof number);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) end_all();
  kill(reaper.pid, SIGCONT);
  tree_signal(reaper.pid, number);
}

/* Ends with the reaper. */
static void reap(void) {
  int status, is_over = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
    if (pid == reaper.pid) is_over = 1;
  if (!is_over) return;
  reaper.pid = 0;
  while (pass_on(MSG_DONTWAIT)) continue;
  end_all();
}

/* Begins with the program's end of things in 0 to 2. */
static void start(void) {
  int error = reaper_order(ORDER_FRESH, (int[]){[ORDER_ASKS] = CALLER, [ORDER_OUT] = 1, [ORDER_ERR] = 2, [ORDER_IN] = 0}, ORDER_FDS, &reaper);
  if (error != 0) tell(&(struct report){REPORT_FAILED, error}, sizeof(struct report));
  /* The reaper reads what to start; only after that the socket is the guard's own. */
  if (error != 0 || !pass_on(0)) end_all();
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fputs("usage: guard COLUMNS ROWS\n", stderr);
    return 2;
  }
  close_range(MASTER + 1, ~0u, 0); /* Whatever its parents left open. */
  prctl(PR_SET_DUMPABLE, 0); /* Whoever has the same user can't look into it, trace it or take its descriptors. */
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t all, chld;
  sigfillset(&all), sigprocmask(SIG_BLOCK, &all, NULL);
  sigemptyset(&chld), sigaddset(&chld, SIGCHLD);
  int ends = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
  int error = open_terminal(argv[1], argv[2]);
  close(MASTER);
  if (error != 0) {
    tell(&(struct report){REPORT_FAILED, error}, sizeof(struct report));
    end_all();
  }
  start();
  struct pollfd watched[] = {{CALLER, POLLIN, 0}, {reaper.control, POLLIN, 0}, {ends, POLLIN, 0}};
  for (;;) {
    if (poll(watched, 3, -1) < 0) continue;
    if (watched[1].revents != 0 && !pass_on(MSG_DONTWAIT)) end_all();
    if (watched[2].revents != 0) {
      struct signalfd_siginfo info[16];
      while (read(ends, info, sizeof info) > 0) continue;
      reap();
    }
    if (watched[0].revents != 0) obey();
  }
}
