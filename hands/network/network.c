/* The network of a workspace: a namespace that a user-mode network (slirp4netns) connects, so that what its commands send leaves the machine from
 * the sockets of a process that may do nothing else.
 *
 *   network make SLIRP NFT RULES [option of slirp4netns]...
 *     Makes one with these rules of nftables, and writes an empty line when it can be used. Each line on stdin is the id of a process that wants to
 *     enter it, and comes back on stdout. It ends with the last of these processes, or with stdin. Its namespaces are open as USER_FD and
 *     NETWORK_FD.
 *   network enter SOCKET NAME program argument...
 *     Asks for the network of a name on a Unix socket, by the name and its own id, and runs a program in it. The answer is the id of the process that
 *     made it, or `!` and what is wrong.
 *
 * Who makes it is root of the machine with CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID, or anybody. For root, the namespace belongs to a user whom
 * nobody else is: whoever is the user that made a namespace may change its rules. For others, who enters it goes into its user namespace as
 * well and must leave that for one below, as the jail does. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY_ELSE = 65533, USER_FD = 5, NETWORK_FD = 6, LIFE_FD = 7, READY_FD = 8, MAX_OPTIONS = 16, MAX_MEMBERS = 1024, FAILED = 125 };

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...) {
  int error = errno;
  va_list arguments;
  va_start(arguments, format);
  fputs("network: ", stderr);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, ": %s\n", strerror(error));
  exit(FAILED);
}

static int is_root(void) { return geteuid() == 0; }

/* Let a descriptor be inherited, under a number. */
static void put(int fd, int number) {
  if (fd == number ? fcntl(fd, F_SETFD, 0) != 0 : dup2(fd, number) < 0) give_up("a descriptor can't be passed on");
}

/* What is run by execve has these powers in the user namespace, though its user is not root. */
static void pass_on(const int *powers, int count) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  if (syscall(SYS_capget, &header, sets) != 0) give_up("capget");
  for (int i = 0; i < count; i++) sets[0].inheritable |= 1u << powers[i];
  if (syscall(SYS_capset, &header, sets) != 0) give_up("capset");
  for (int i = 0; i < count; i++)
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, powers[i], 0, 0) != 0) give_up("a power can't be passed on");
}

/* ---- making one ---- */

static void send_fd(int to, int fd) {
  char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(to, &message, MSG_NOSIGNAL) != 1) give_up("a descriptor can't be sent");
}

/* Exits if the other side has: it has said why. */
static int receive_fd(int from) {
  int fd;
  char byte, control[CMSG_SPACE(sizeof fd)];
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header == NULL || header->cmsg_type != SCM_RIGHTS) exit(FAILED);
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

static void write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) give_up("%s can't be written", path);
  close(fd);
}

/* A user namespace in which everybody is who they were, and a network without a way out that is filtered already. */
static void __attribute__((noreturn)) build(int channel, const char *nft, const char *rules) {
  char map[64];
  if (is_root() && (setgroups(0, NULL) != 0 || setresgid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE) != 0 ||
                    setresuid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE) != 0))
    give_up("can't become user %d", NOBODY_ELSE);
  /* Its files in /proc are its own again. */
  if (prctl(PR_SET_DUMPABLE, 1) != 0) give_up("prctl");
  uid_t uid = geteuid();
  gid_t gid = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) give_up("namespaces for users and network can't be made");
  snprintf(map, sizeof map, "%u %u 1\n", uid, uid);
  write_text("/proc/self/uid_map", map);
  write_text("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "%u %u 1\n", gid, gid);
  write_text("/proc/self/gid_map", map);
  int user = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC), network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (user < 0 || network < 0) give_up("/proc/self/ns can't be opened");
  send_fd(channel, user);
  send_fd(channel, network);
  pass_on((const int[]){CAP_NET_ADMIN}, 1);
  execl(nft, nft, rules, NULL);
  give_up("%s can't be run", nft);
}

static void make_namespaces(const char *nft, const char *rules) {
  int ends[2], status;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) give_up("no socket");
  pid_t pid = fork();
  if (pid < 0) give_up("no process");
  if (pid == 0) build(ends[1], nft, rules);
  close(ends[1]);
  int user = receive_fd(ends[0]), network = receive_fd(ends[0]);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) exit(FAILED); /* nft has said why. */
  close(ends[0]);
  /* Above the numbers that they get, so that none overwrites another. */
  int high_user = fcntl(user, F_DUPFD_CLOEXEC, 16), high_network = fcntl(network, F_DUPFD_CLOEXEC, 16);
  close(user);
  close(network);
  if (high_user < 0 || high_network < 0) give_up("no descriptor");
  put(high_user, USER_FD);
  put(high_network, NETWORK_FD);
  close(high_user);
  close(high_network);
}

/* Whatever the daemon's jail has beside programs and their settings. */
static const char *const HIDDEN[] = {"/run", "/workspaces", "/home", "/root", "/tmp"};

/* Runs slirp4netns. It opens the device as the machine's user that this is, and has no power but over the namespaces. As it takes in what commands send,
 * it sees no file of hands' and may make only those system calls that it needs. */
static void __attribute__((noreturn)) run_slirp(char **argv, int count) {
  char network[32], ready[8], life[8];
  char *arguments[MAX_OPTIONS + 16] = {argv[0], "--configure", "--mtu=65520", "--enable-seccomp"};
  int at = 4;
  snprintf(network, sizeof network, "/proc/self/fd/%d", NETWORK_FD);
  snprintf(ready, sizeof ready, "-r%d", READY_FD);
  snprintf(life, sizeof life, "-e%d", LIFE_FD);
  if (setns(USER_FD, CLONE_NEWUSER) != 0) give_up("the user namespace can't be entered");
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) give_up("no mounts of its own");
  for (size_t i = 0; i < sizeof HIDDEN / sizeof HIDDEN[0]; i++)
    if (mount("tmpfs", HIDDEN[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") != 0 && errno != ENOENT) give_up("%s can't be hidden", HIDDEN[i]);
  pass_on((const int[]){CAP_NET_ADMIN, CAP_SYS_ADMIN}, 2);
  arguments[at++] = ready;
  arguments[at++] = life;
  for (int i = 1; i < count && i <= MAX_OPTIONS; i++) arguments[at++] = argv[i];
  arguments[at++] = "--netns-type=path";
  arguments[at++] = network;
  arguments[at++] = "tap0";
  execv(argv[0], arguments);
  give_up("%s can't be run", argv[0]);
}

/* Connects the network. Returns a descriptor that ends with slirp4netns, and with which that ends. */
static int connect_network(char **argv, int count) {
  int life[2], ready[2];
  char byte;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) != 0 || pipe2(ready, O_CLOEXEC) != 0) give_up("no socket");
  pid_t pid = fork();
  if (pid < 0) give_up("no process");
  if (pid == 0) {
    int from = fcntl(life[1], F_DUPFD_CLOEXEC, 16), to = fcntl(ready[1], F_DUPFD_CLOEXEC, 16);
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (from < 0 || to < 0 || nowhere < 0) give_up("no descriptor");
    put(from, LIFE_FD);
    put(to, READY_FD);
    put(nowhere, STDIN_FILENO);
    put(nowhere, STDOUT_FILENO);
    run_slirp(argv, count);
  }
  close(life[1]);
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) exit(FAILED); /* It has said why. */
  close(ready[0]);
  return life[0];
}

/* Who is in it: pidfds, after stdin and slirp4netns. */
static struct pollfd watched[2 + MAX_MEMBERS];
static nfds_t watching = 2;

/* Takes in the process of a line. Whoever is gone already is no member. */
static void take_in(const char *line) {
  int fd = watching == 2 + MAX_MEMBERS ? -1 : (int)syscall(SYS_pidfd_open, (pid_t)strtol(line, NULL, 10), 0);
  if (fd < 0) return;
  watched[watching++] = (struct pollfd){fd, POLLIN, 0};
  if (dprintf(STDOUT_FILENO, "%s\n", line) < 0) exit(0);
}

/* What stdin holds. Returns 0 at its end. */
static int read_members(void) {
  static char text[4096];
  static size_t length;
  ssize_t got = read(STDIN_FILENO, text + length, sizeof text - length);
  if (got <= 0) return 0;
  length += (size_t)got;
  for (char *end; (end = memchr(text, '\n', length)) != NULL;) {
    size_t taken = (size_t)(end - text) + 1;
    *end = '\0';
    take_in(text);
    length -= taken;
    memmove(text, text + taken, length);
  }
  return length < sizeof text;
}

static int make(char **argv, int count) {
  const char *nft = argv[1], *rules = argv[2];
  argv[2] = argv[0];
  make_namespaces(nft, rules);
  watched[0] = (struct pollfd){STDIN_FILENO, POLLIN, 0};
  watched[1] = (struct pollfd){connect_network(argv + 2, count - 2), POLLIN, 0};
  if (write(STDOUT_FILENO, "\n", 1) != 1) return 0;
  for (;;) {
    if (poll(watched, watching, -1) < 0) continue;
    if (watched[0].revents != 0 && !read_members()) return 0;
    if (watched[1].revents != 0) {
      fputs("network: slirp4netns ended, it is started again\n", stderr);
      close(watched[1].fd);
      while (waitpid(-1, NULL, WNOHANG) > 0) continue;
      sleep(1);
      watched[1].fd = connect_network(argv + 2, count - 2);
    }
    for (nfds_t i = 2; i < watching; i++)
      if (watched[i].revents != 0) {
        close(watched[i].fd);
        watched[i--] = watched[--watching];
        if (watching == 2) return 0;
      }
  }
}

/* ---- entering one ---- */

static pid_t ask(const char *path, const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char answer[512];
  size_t length = 0;
  if (strlen(path) >= sizeof address.sun_path) errno = ENAMETOOLONG, give_up("%s", path);
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) give_up("hands does not answer");
  if (dprintf(fd, "%s %d\n", name, getpid()) < 0) give_up("hands can't be asked");
  for (ssize_t got; length < sizeof answer - 1 && (got = read(fd, answer + length, sizeof answer - 1 - length)) > 0;) length += (size_t)got;
  answer[length] = '\0';
  close(fd);
  if (answer[0] < '1' || answer[0] > '9') {
    fprintf(stderr, "network: %s\n", answer[0] == '!' ? answer + 1 : "hands gave no answer");
    exit(FAILED);
  }
  return (pid_t)strtol(answer, NULL, 10);
}

static int open_of(pid_t pid, int number) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, number);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) give_up("%s can't be opened", path);
  return fd;
}

static int enter(char **argv) {
  pid_t pid = ask(argv[0], argv[1]);
  /* In the user namespace one may not look at a process outside of it. */
  int user = open_of(pid, USER_FD), network = open_of(pid, NETWORK_FD);
  if (!is_root() && setns(user, CLONE_NEWUSER) != 0) give_up("the workspace's user namespace can't be entered");
  if (setns(network, CLONE_NEWNET) != 0) give_up("the workspace's network can't be entered");
  execv(argv[2], argv + 2);
  give_up("%s can't be run", argv[2]);
}

int main(int argc, char **argv) {
  if (argc >= 5 && strcmp(argv[1], "make") == 0) return make(argv + 2, argc - 2);
  if (argc >= 5 && strcmp(argv[1], "enter") == 0) return enter(argv + 2);
  fputs("usage: network make SLIRP NFT RULES [option]...\n       network enter SOCKET NAME program argument...\n", stderr);
  return 2;
}
