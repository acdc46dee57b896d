/* One small process between the keeper and each exec. It is the subreaper of all that descends from the exec: whoever loses its
 * parent becomes its child, so a double fork, a new session, an empty environment, another name or other limits lead nobody out of the
 * tree below it. It tells the keeper how the exec's own process ended, and ends with the last of its descendants; if the keeper dies
 * first, it kills all of them. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONTROL = 3, KEEPER_DIED = SIGHUP };

static int send_word(int32_t word) {
  ssize_t n;
  do n = write(CONTROL, &word, sizeof word);
  while (n < 0 && errno == EINTR);
  return n == (ssize_t)sizeof word ? 0 : -1;
}

/* Collect what has ended, and tell the keeper of `root`. Ends this process with its last child. */
static void collect(pid_t root) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
    if (pid == root) send_word(status);
  if (pid < 0 && errno == ECHILD) _exit(0);
}

static void __attribute__((noreturn)) watch_over(pid_t root, pid_t keeper) {
  sigset_t wanted;
  sigemptyset(&wanted), sigaddset(&wanted, SIGCHLD), sigaddset(&wanted, KEEPER_DIED);
  for (;;) {
    collect(root);
    sigwaitinfo(&wanted, NULL);
    /* Anybody may send the signal: only a new parent means that the keeper is gone. */
    if (getppid() != keeper) tree_signal(getpid(), SIGKILL);
  }
}

/* What the keeper has open is not for it, nor to be held open by it. */
static void keep_only(int control, int null) {
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  if (control != CONTROL) dup2(control, CONTROL);
  close_range(CONTROL + 1, ~0u, 0);
}

int reaper_start(begin_function *begin, const void *what, struct started *started) {
  static int null = -1;
  int control[2];
  if (null < 0) null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || pipe2(control, O_CLOEXEC) != 0) return errno;
  pid_t keeper = getpid(), pid = fork();
  if (pid == 0) {
    sigset_t all;
    sigfillset(&all), sigprocmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, KEEPER_DIED);
    pid_t root = getppid() == keeper ? begin(what) : -ECHILD;
    keep_only(control[1], null);
    if (send_word(root) != 0 || root < 0) _exit(0);
    watch_over(root, keeper);
  }
  int error = pid < 0 ? errno : 0;
  close(control[1]);
  int32_t root = 0;
  ssize_t n = -1;
  while (error == 0 && (n = read(control[0], &root, sizeof root)) < 0 && errno == EINTR) continue;
  if (error == 0 && (n != (ssize_t)sizeof root || root <= 0)) error = root < 0 ? -root : ECHILD;
  if (error != 0) return close(control[0]), error;
  fcntl(control[0], F_SETFL, O_NONBLOCK);
  started->pid = root, started->reaper = pid, started->control = control[0];
  return 0;
}
