import { availableParallelism, cpus, loadavg } from "node:os";

/** The environment of the processes that a benchmark starts: nothing of the caller's but what finds programs. `added` comes on top. */
export function childEnvironment(added: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { PATH = "/usr/local/bin:/usr/bin:/bin" } = process.env;
  return { PATH, LANG: "C.UTF-8", ...added };
}

/** The machine and what it is busy with, in a few words: figures from different ones don't compare, and a busy one's hardly. */
export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  const load = (loadavg()[0] ?? 0).toFixed(1);
  return `${availableParallelism()} cores (${model}), ${process.platform} ${process.arch}, Node ${process.version}, load ${load} before`;
}
