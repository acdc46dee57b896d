/* Reads the list of system calls (syscalls.list) on stdin and writes, as $1 asks, the filter that bubblewrap loads (`filter`), or the
 * profile that container runtimes load (`profile`). */
#include <errno.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 1024, ABSENT = ENOSYS };

/* One call of a line, with what an argument must be: its bits below `mask` are `value`. */
struct rule {
  int is_allowed, has_condition;
  char name[64];
  unsigned argument;
  unsigned long long mask, value;
};

static int line_number;

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "syscalls.list, line %d: ", line_number);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  exit(1);
}

static struct rule parse(const char *word, int is_allowed) {
  struct rule rule = {.is_allowed = is_allowed, .has_condition = 1, .mask = ~0ull};
  int end = 0;
  const int length = (int)strlen(word);
  if (sscanf(word, "%63[a-z0-9_](%u&%lli=%lli)%n", rule.name, &rule.argument, (long long *)&rule.mask, (long long *)&rule.value, &end) == 4 &&
      end == length)
    return rule;
  rule.mask = ~0ull;
  if (sscanf(word, "%63[a-z0-9_](%u=%lli)%n", rule.name, &rule.argument, (long long *)&rule.value, &end) == 3 && end == length) return rule;
  rule.has_condition = 0;
  if (sscanf(word, "%63[a-z0-9_]%n", rule.name, &end) != 1 || end != length) give_up("%s is no call", word);
  return rule;
}

/* ---- the filter ---- */

static scmp_filter_ctx filter;

/* Programs of 32 bits run on many machines of 64; those of another kind than these get ENOSYS for whatever they call. */
static void filter_open(void) {
  filter = seccomp_init(SCMP_ACT_ERRNO(ABSENT));
  if (filter == NULL) give_up("out of memory");
  seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ABSENT));
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (seccomp_arch_native() == SCMP_ARCH_X86_64) seccomp_arch_add(filter, SCMP_ARCH_X86);
  if (seccomp_arch_native() == SCMP_ARCH_AARCH64) seccomp_arch_add(filter, SCMP_ARCH_ARM);
}

static void filter_add(const struct rule *rule) {
  int number = seccomp_syscall_resolve_name(rule->name);
  /* Newer than the library, or of another architecture: the default holds for it. */
  if (number == __NR_SCMP_ERROR) return;
  struct scmp_arg_cmp condition = SCMP_CMP(rule->argument, SCMP_CMP_MASKED_EQ, rule->mask, rule->value);
  /* An argument is a number of 32 bits for all calls that have a condition; what is above is not looked at by the kernel. */
  condition.datum_a &= 0xffffffffu;
  unsigned action = rule->is_allowed ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM);
  int error = seccomp_rule_add_array(filter, action, number, rule->has_condition, rule->has_condition ? &condition : NULL);
  if (error != 0 && error != -EEXIST) give_up("%s: %s", rule->name, strerror(-error));
}

static void filter_close(void) {
  fflush(stdout);
  int error = seccomp_export_bpf(filter, fileno(stdout));
  if (error != 0) give_up("the filter can't be written: %s", strerror(-error));
}

/* ---- the profile ---- */

static const char *between = "";

static void profile_open(void) {
  printf("{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  \"defaultErrnoRet\": %d,\n", ABSENT);
  printf("  \"architectures\": [\"SCMP_ARCH_X86_64\", \"SCMP_ARCH_X86\", \"SCMP_ARCH_AARCH64\", \"SCMP_ARCH_ARM\"],\n  \"syscalls\": [");
}

static void profile_add(const struct rule *rule) {
  printf("%s\n    { \"names\": [\"%s\"], \"action\": \"%s\"", between, rule->name, rule->is_allowed ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO");
  if (!rule->is_allowed) printf(", \"errnoRet\": %d", EPERM);
  if (rule->has_condition)
    printf(", \"args\": [{ \"index\": %u, \"value\": %llu, \"valueTwo\": %llu, \"op\": \"SCMP_CMP_MASKED_EQ\" }]", rule->argument,
           rule->mask & 0xffffffffu, rule->value);
  printf(" }");
  between = ",";
}

static void profile_close(void) { printf("\n  ]\n}\n"); }

int main(int argc, char **argv) {
  const int makes_filter = argc == 2 && strcmp(argv[1], "filter") == 0;
  char line[LINE];
  if (!makes_filter && (argc != 2 || strcmp(argv[1], "profile") != 0)) return fputs("usage: compile filter|profile <syscalls.list\n", stderr), 2;
  (makes_filter ? filter_open : profile_open)();
  for (line_number = 1; fgets(line, sizeof line, stdin) != NULL; line_number++) {
    char *reason = strchr(line, '#'), *rest;
    if (strchr(line, '\n') == NULL) give_up("it is longer than %d bytes, or has no end", LINE - 2);
    if (reason != NULL) *reason = '\0';
    char *verdict = strtok_r(line, " \n", &rest);
    if (verdict == NULL) continue;
    if (reason == NULL || reason[1] != ' ') give_up("it gives no reason: end it with `# why`");
    const int is_allowed = strcmp(verdict, "allow") == 0;
    if (!is_allowed && strcmp(verdict, "refuse") != 0) give_up("it begins with neither `allow` nor `refuse`");
    for (char *word; (word = strtok_r(NULL, " \n", &rest)) != NULL;) {
      struct rule rule = parse(word, is_allowed);
      (makes_filter ? filter_add : profile_add)(&rule);
    }
  }
  (makes_filter ? filter_close : profile_close)();
  return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
