/* Runs one service of a stack, and starts it again when it dies. `leaf up` ends when everything works; this small process stays.
 *
 *   watcher NAME RUN LISTEN BASE_MS MAX_MS STEADY_MS DEATHS PROGRAM [ARGUMENT ...]
 *
 * RUN/NAME.address exists as soon as the service has worked, and holds its address. A service that ends before that is not
 * started again, as the caller is still there to see it. A later start gets the address in the variable LISTEN, whatever
 * port the service had chosen. After a death it waits BASE_MS, then twice as long each time, at most MAX_MS. It gives up
 * after DEATHS deaths in a row with less than STEADY_MS of life each. A service that ends with 0 was asked to end, and one
 * that ends with 64 can't use its settings: both stay ended.
 *
 * It reports in RUN/NAME.watch, a line of JSON, and in lines of the service's log, which is its stdout.
 * SIGTERM, SIGINT, SIGHUP: end the service, and then itself. SIGUSR1: don't start it again. SIGUSR2: don't wait any longer. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BAD_SETTINGS = 64, TEXT_SIZE = 512, PATH_SIZE = 4200, BY_SIGNAL = 128 };

static const char *name, *run;
static sigset_t wanted;
static pid_t service;
static char ticks[32], last_end[TEXT_SIZE];
static int64_t last_end_ms;
static unsigned restarts, lost;

static int64_t clock_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A line of the service's log. A line that can't be written is counted, and the next one reports it. */
static void __attribute__((format(printf, 2, 3))) say(int level, const char *format, ...) {
  char text[TEXT_SIZE], line[TEXT_SIZE * 2];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  int length = snprintf(line, sizeof line, "{\"level\":%d,\"time\":%lld,\"name\":\"watcher\",\"lost\":%u,\"msg\":\"%s\"}\n", level,
                        (long long)clock_ms(CLOCK_REALTIME), lost, text);
  lost = write(STDOUT_FILENO, line, (size_t)length) == length ? 0 : lost + 1;
}

static void path_of(char *path, const char *kind) { snprintf(path, PATH_SIZE, "%s/%s.%s", run, name, kind); }

/* For people who ask for the stack's state. A full disk does not keep a service from being started again. */
static void note(const char *state) {
  char path[PATH_SIZE], draft[PATH_SIZE], text[TEXT_SIZE * 2];
  path_of(path, "watch"), path_of(draft, "watch.new");
  int length = snprintf(text, sizeof text,
                        "{\"state\":\"%s\",\"pid\":%d,\"startTicks\":\"%s\",\"restarts\":%u,\"lastEnd\":\"%s\",\"lastEndMs\":%lld}\n", state,
                        service, ticks, restarts, last_end, (long long)last_end_ms);
  int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  int whole = write(fd, text, (size_t)length) == length;
  close(fd);
  if (!whole || rename(draft, path) != 0) unlink(draft);
}

/* The address of a service that has worked. Returns 0 if it has not. */
static int read_address(char *address, size_t size) {
  char path[PATH_SIZE];
  path_of(path, "address");
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, address, size - 1);
  close(fd);
  address[n < 0 ? 0 : n] = '\0';
  address[strcspn(address, "\n")] = '\0';
  return 1;
}

/* When the service started: together with the pid it names the process uniquely. */
static void read_ticks(void) {
  char path[64], stat[1024];
  ticks[0] = '\0';
  snprintf(path, sizeof path, "/proc/%d/stat", service);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
  if (fd >= 0) close(fd);
  if (n <= 0) return;
  stat[n] = '\0';
  char *rest, *field = strrchr(stat, ')');
  field = field == NULL ? NULL : strtok_r(field + 1, " ", &rest);
  for (int i = 0; field != NULL && i < 19; i++) field = strtok_r(NULL, " ", &rest);
  if (field != NULL) snprintf(ticks, sizeof ticks, "%s", field);
}

static void start(char **command) {
  service = fork();
  if (service == 0) {
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(command[0], command);
    fprintf(stderr, "%s can't be run: %s\n", command[0], strerror(errno));
    _exit(127);
  }
  if (service > 0) read_ticks();
}

/* The exit code for a status as of waitpid, and how the service ended in words. */
static int ended(int status) {
  last_end_ms = clock_ms(CLOCK_REALTIME);
  int by_signal = WIFSIGNALED(status), number = by_signal ? WTERMSIG(status) : WEXITSTATUS(status);
  if (by_signal) snprintf(last_end, sizeof last_end, "killed by signal %d, %s", number, strsignal(number));
  else snprintf(last_end, sizeof last_end, "ended with exit code %d", number);
  return by_signal ? BY_SIGNAL + number : number;
}

/* Wait until the service has ended, and return its exit code. Sets `asked` if it was asked to end. */
static int wait_for_end(int *asked) {
  for (;;) {
    int status, number = sigwaitinfo(&wanted, NULL);
    if (number == SIGUSR1) *asked = 1;
    if (number == SIGTERM || number == SIGINT || number == SIGHUP) *asked = 1, kill(service, SIGTERM);
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
      if (pid == service) return ended(status);
  }
}

/* Returns 1 if the service is to be started after the pause, 0 if it is not to be started again. */
static int pause_for(int64_t pause_ms) {
  for (int64_t until = clock_ms(CLOCK_MONOTONIC) + pause_ms, left; (left = until - clock_ms(CLOCK_MONOTONIC)) > 0;) {
    struct timespec time = {left / 1000, left % 1000 * 1000000};
    int number = sigtimedwait(&wanted, NULL, &time);
    if (number == SIGUSR2) return 1;
    if (number > 0 && number != SIGCHLD) return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 9) return fprintf(stderr, "usage: watcher NAME RUN LISTEN BASE_MS MAX_MS STEADY_MS DEATHS PROGRAM [ARGUMENT ...]\n"), BAD_SETTINGS;
  name = argv[1], run = argv[2];
  const char *listen_variable = argv[3];
  int64_t base_ms = atoll(argv[4]), max_ms = atoll(argv[5]), steady_ms = atoll(argv[6]), deaths_allowed = atoll(argv[7]);
  sigemptyset(&wanted);
  for (const int *at = (const int[]){SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, 0}; *at != 0; at++) sigaddset(&wanted, *at);
  sigprocmask(SIG_BLOCK, &wanted, NULL);
  signal(SIGPIPE, SIG_IGN);

  int64_t deaths = 0, pause_ms = base_ms;
  for (int asked = 0;;) {
    int64_t begun = clock_ms(CLOCK_MONOTONIC);
    int code = 1;
    start(argv + 8);
    if (service > 0) {
      note("running");
      code = wait_for_end(&asked);
    } else {
      snprintf(last_end, sizeof last_end, "not started: %s", strerror(errno));
      last_end_ms = clock_ms(CLOCK_REALTIME);
    }
    service = 0;
    char address[PATH_SIZE];
    if (asked || code == 0 || !read_address(address, sizeof address)) {
      note("ended");
      return asked ? 0 : code;
    }
    if (clock_ms(CLOCK_MONOTONIC) - begun >= steady_ms) deaths = 0, pause_ms = base_ms;
    if (code == BAD_SETTINGS || ++deaths > deaths_allowed) {
      say(60, "%s died (%s) and is not started again: %s", name, last_end,
          code == BAD_SETTINGS ? "it can't use its settings" : "it died too often in a row");
      note("gave-up");
      return code;
    }
    say(50, "%s died (%s) and is started again in %lld ms", name, last_end, (long long)pause_ms);
    note("waiting");
    if (!pause_for(pause_ms)) {
      note("ended");
      return 0;
    }
    pause_ms = pause_ms * 2 < max_ms ? pause_ms * 2 : max_ms;
    setenv(listen_variable, address, 1);
    restarts++;
  }
}
