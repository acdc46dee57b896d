import type { PsOptions } from "../commands/ps.ts";
import type { Context } from "../context.ts";
import { ExitCode } from "../exit-codes.ts";
import { processLabel, type StackProcess, stackProcesses } from "../stack/processes.ts";
import { checkLayout } from "../stack/state-directory.ts";
import { duration, firstLine, megabytes } from "../view/format.ts";
import { table } from "../view/table.ts";

/** Does `leaf ps`. */
export async function runPs({ out, paths }: Context, { all = false }: PsOptions): Promise<ExitCode> {
  checkLayout(paths);
  const processes = stackProcesses(paths);
  if (out.json) {
    const list = processes.map((process) => ({
      name: processLabel(process),
      part: process.part,
      pid: process.pid,
      parents: process.ancestors,
      memoryBytes: process.memoryBytes,
      uptimeMs: process.uptimeMs,
      command: process.args,
    }));
    out.document({ processes: list });
    return ExitCode.ok;
  }
  if (processes.length === 0) out.note("nothing is running");
  const rows = (all ? processes : processes.filter(({ main }) => main)).map((process) => [
    `${"  ".repeat(all ? process.ancestors.length : 0)}${processLabel(process)}`,
    String(process.pid),
    megabytes(process.memoryBytes),
    duration(process.uptimeMs),
    all ? firstLine(process.args.join(" "), 60) : below(process, processes),
  ]);
  for (const line of table(["NAME", "PID", "MEMORY", "UP", all ? "COMMAND" : "BELOW IT"], rows, out.color)) out.line(line);
  return ExitCode.ok;
}

/** What belongs to a service and is none itself, as its jail, shells that are kept warm, and commands. */
function below({ pid, part }: StackProcess, processes: readonly StackProcess[]): string {
  const others = processes.filter((other) => !other.main && other.part === part && other.ancestors.includes(pid));
  if (others.length === 0) return "";
  return `${others.length === 1 ? "1 process" : `${others.length} processes`}, ${megabytes(others.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0))}`;
}
