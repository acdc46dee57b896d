import type { Command } from "commander";
import { define } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { processLabel, type StackProcess, stackProcesses } from "../stack/processes.ts";
import { checkLayout } from "../stack/state-directory.ts";
import { duration, firstLine, megabytes, showTable } from "../view/format.ts";

interface PsOptions extends CommonOptions {
  readonly all?: boolean;
}

/** `leaf ps`: the services of the stack, or every process of it. */
export function add(command: Command): void {
  define<PsOptions>(command, {
    description:
      "Read from the operating system, not from what the stack believes. Memory is resident memory; shared pages count for each process. " +
      "With --json it is always every process.",
    options: (given) => given.option("-a, --all", "every process: jails, warm shells, commands"),
    run: async ({ out, paths }, _args, { all = false }) => {
      checkLayout(paths);
      const processes = stackProcesses(paths);
      if (out.json) return out.document({ processes: processes.map(processJson) });
      if (processes.length === 0) out.note("nothing is running");
      const rows = (all ? processes : processes.filter(({ main }) => main)).map((process) => [
        `${"  ".repeat(all ? process.ancestors.length : 0)}${processLabel(process)}`,
        String(process.pid),
        megabytes(process.memoryBytes),
        duration(process.uptimeMs),
        all ? firstLine(process.args.join(" "), 60) : below(process, processes),
      ]);
      showTable(out, ["NAME", "PID", "MEMORY", "UP", all ? "COMMAND" : "BELOW IT"], rows);
    },
  });
}

function processJson(process: StackProcess): object {
  const { part, pid, ancestors: parents, memoryBytes, uptimeMs, args: command } = process;
  return { name: processLabel(process), part, pid, parents, memoryBytes, uptimeMs, command };
}

/** What belongs to a service and is none itself: its jail, warm shells, and commands. */
function below({ pid, part }: StackProcess, processes: readonly StackProcess[]): string {
  const others = processes.filter((other) => !other.main && other.part === part && other.ancestors.includes(pid));
  if (others.length === 0) return "";
  const memory = others.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  return `${others.length === 1 ? "1 process" : `${others.length} processes`}, ${megabytes(memory)}`;
}
