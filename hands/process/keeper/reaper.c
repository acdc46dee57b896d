/* One small process between the keeper and each exec. It is the subreaper of all that descends from the exec: whoever loses its
 * parent becomes its child, so a double fork, a new session, an empty environment, another name or other limits lead nobody out of the
 * tree below it. It tells the keeper how the exec's own process ended, and that the last descendant is gone; only then it takes the next order,
 * so two execs never share one. If the keeper dies, it kills all of them. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* FREE_SIZE: how many that are free are kept; forking another one costs more than many an exec. */
enum { CONTROL = 3, KEEPER_DIED = SIGHUP, FREE_SIZE = 2 };

union order_control {
  struct cmsghdr header;
  char room[CMSG_SPACE(sizeof(int) * ORDER_FDS)];
};

/* ---- in the reaper ---- */

static void tell(const struct report *reports, int count) {
  while (send(CONTROL, reports, sizeof *reports * (size_t)count, MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
}

/* Until its last child is gone. */
static void watch_over(pid_t root, pid_t keeper) {
  sigset_t wanted;
  sigemptyset(&wanted), sigaddset(&wanted, SIGCHLD), sigaddset(&wanted, KEEPER_DIED);
  for (int is_gone = 0; !is_gone;) {
    struct report reports[2];
    int status, count = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
      if (pid == root) reports[count++] = (struct report){REPORT_ENDED, status}, root = 0;
    is_gone = pid < 0 && errno == ECHILD;
    if (is_gone) reports[count++] = (struct report){REPORT_GONE, 0};
    if (count > 0) tell(reports, count);
    if (is_gone) return;
    sigwaitinfo(&wanted, NULL);
    /* Anybody may send the signal: only a new parent means that the keeper is gone. */
    if (getppid() != keeper) tree_signal(getpid(), SIGKILL);
  }
}

/* Ends this process if the keeper is gone, or wants it no more. */
static enum order take_order(int *fds) {
  char order;
  union order_control control;
  struct iovec data = {&order, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n;
  while ((n = recvmsg(CONTROL, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) continue;
  struct cmsghdr *header = n == 1 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header == NULL) _exit(0);
  memcpy(fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
  return (enum order)order;
}

static void __attribute__((noreturn)) serve(pid_t keeper) {
  for (;;) {
    int fds[ORDER_FDS] = {-1, -1, -1, -1};
    pid_t root = order_begin(take_order(fds), fds);
    for (int i = 0; i < ORDER_FDS; i++)
      if (fds[i] >= 0) close(fds[i]);
    while (root < 0 && waitpid(-1, NULL, 0) > 0) continue;
    tell(&(struct report){root < 0 ? REPORT_FAILED : REPORT_STARTED, root < 0 ? -root : root}, 1);
    if (root > 0) watch_over(root, keeper);
  }
}

/* What the keeper has open is not for it, nor to be held open by it. */
static void keep_only(int control) {
  int null = open("/dev/null", O_RDWR);
  if (null < 0) _exit(125);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  if (control != CONTROL) dup2(control, CONTROL);
  fcntl(CONTROL, F_SETFD, FD_CLOEXEC);
  close_range(CONTROL + 1, ~0u, 0);
}

/* ---- in the keeper ---- */

static struct reaper free_ones[FREE_SIZE];

static int fork_reaper(struct reaper *reaper) {
  int control[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0) return errno;
  pid_t keeper = getpid(), pid = fork();
  if (pid == 0) {
    sigset_t all;
    sigfillset(&all), sigprocmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, KEEPER_DIED);
    keep_only(control[1]);
    if (getppid() != keeper) _exit(0);
    serve(keeper);
  }
  int error = pid < 0 ? errno : 0;
  close(control[1]);
  if (error != 0) return close(control[0]), error;
  *reaper = (struct reaper){pid, control[0]};
  return 0;
}

static int send_order(int control, enum order order, const int *fds, int count) {
  char byte = (char)order;
  union order_control room;
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = CMSG_SPACE(sizeof *fds * (size_t)count)};
  memset(&room, 0, sizeof room);
  room.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof *fds * (size_t)count)};
  memcpy(CMSG_DATA(&room.header), fds, sizeof *fds * (size_t)count);
  ssize_t n;
  while ((n = sendmsg(control, &message, MSG_NOSIGNAL)) < 0 && errno == EINTR) continue;
  return n < 0 ? errno : 0;
}

int reaper_order(enum order order, const int *fds, int count, struct reaper *reaper) {
  for (int i = 0; i < FREE_SIZE; i++) {
    if (free_ones[i].pid == 0) continue;
    *reaper = free_ones[i], free_ones[i].pid = 0;
    kill(reaper->pid, SIGCONT); /* A command with the same user may have stopped it. */
    if (send_order(reaper->control, order, fds, count) == 0) return 0;
    close(reaper->control); /* It was killed. */
  }
  int error = fork_reaper(reaper);
  if (error != 0) return error;
  error = send_order(reaper->control, order, fds, count);
  if (error != 0) close(reaper->control);
  return error;
}

void reaper_release(struct reaper *reaper) {
  int i = 0;
  while (i < FREE_SIZE && free_ones[i].pid != 0) i++;
  if (i < FREE_SIZE) free_ones[i] = *reaper;
  else close(reaper->control); /* It ends by that. */
  *reaper = (struct reaper){0, -1};
}

int reaper_is_free(pid_t pid) {
  for (int i = 0; i < FREE_SIZE; i++)
    if (free_ones[i].pid == pid) return 1;
  return 0;
}

int reaper_forget(pid_t pid) {
  for (int i = 0; i < FREE_SIZE; i++) {
    if (free_ones[i].pid != pid) continue;
    close(free_ones[i].control);
    free_ones[i].pid = 0;
    return 1;
  }
  return 0;
}
