/** What the baselines are asked to do; travels between two processes as JSON. */
export type Job =
  /** `spawn("/bin/bash", ["-c", "echo hi"])`, one after the other: milliseconds each. */
  | { readonly kind: "spawn"; readonly count: number; readonly gapMs: number }
  /** The same command in a subshell of one warm bash: milliseconds each. */
  | { readonly kind: "shell"; readonly count: number; readonly gapMs: number }
  /** That many spawned at once: milliseconds until the last has ended. */
  | { readonly kind: "burst"; readonly count: number }
  /** That many bytes through a pipe: milliseconds. The process is larger afterwards. */
  | { readonly kind: "pipe"; readonly bytes: number }
  /** Any program, to its end, one after the other: milliseconds each. */
  | { readonly kind: "run"; readonly count: number; readonly argv: readonly string[] }
  /** Keys typed into a program on a PTY of node-pty, which echoes them: milliseconds from key to echo. The process is larger afterwards. */
  | { readonly kind: "keys"; readonly count: number; readonly gapMs: number }
  /** Resident memory of the process, in bytes. */
  | { readonly kind: "memory" };

/** The answer. */
export type JobResult = { readonly samples: readonly number[] } | { readonly error: string };
