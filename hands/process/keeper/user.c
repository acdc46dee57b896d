/* The user that everything is started as, if it is another one than the keeper's: then no process that was started can stop the keeper,
 * look into it or take descriptors of it. */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static uid_t user;

void user_init(const char *number) { user = number == NULL ? 0 : (uid_t)strtoul(number, NULL, 10); }

int user_become(void) {
  struct stat info;
  if (user == 0) return 0;
  for (int fd = 0; fd < 3; fd++) /* Its own pipes, which it may open again by name: /dev/stdout. */
    if (fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode) && fchown(fd, user, user) != 0) return errno;
  /* The calls themselves: in a child that shares memory with the keeper the C library's would change what it knows of the keeper. */
  if (syscall(SYS_setgroups, 0, NULL) != 0 || syscall(SYS_setresgid, user, user, user) != 0) return errno;
  return syscall(SYS_setresuid, user, user, user) == 0 ? 0 : errno;
}
