import type { Context } from "../context.ts";
import { ExitCode } from "../exit-codes.ts";
import { processLabel, stackProcesses } from "../stack/processes.ts";
import { checkLayout } from "../stack/state-directory.ts";
import { duration, firstLine, megabytes } from "../view/format.ts";
import { table } from "../view/table.ts";

/** Does `leaf ps`. */
export async function runPs({ out, paths }: Context): Promise<ExitCode> {
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
  const rows = processes.map((process) => [
    `${"  ".repeat(process.ancestors.length)}${processLabel(process)}`,
    String(process.pid),
    megabytes(process.memoryBytes),
    duration(process.uptimeMs),
    firstLine(process.args.join(" "), 60),
  ]);
  for (const line of table(["NAME", "PID", "MEMORY", "UP", "COMMAND"], rows, out.color)) out.line(line);
  return ExitCode.ok;
}
