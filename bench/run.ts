import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BENCHMARKS } from "./benchmark.ts";
import { describeMachine } from "./config.ts";
import { formatPlot } from "./report/plot.ts";
import type { Report } from "./report/report.ts";
import { formatMarkdown, formatTable } from "./report/table.ts";

const RESULTS = fileURLToPath(new URL("results/", import.meta.url));
const USAGE = `usage: npm run bench -- NAME [--quick] [--jail] [--json FILE]

  NAME         ${Object.keys(BENCHMARKS).join(", ")}
  --quick      fewer measurements, under a minute; bench/results/ stays as it is
  --jail       run the sandbox's daemon in its jail
  --json FILE  write the report as JSON; - is stdout, and then nothing else is printed there
`;

/** Exit code for a command line that can't be used (sysexits EX_USAGE). */
const EX_USAGE = 64;

process.exitCode = await main(process.argv.slice(2));

/** Returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  let options: ReturnType<typeof parse>;
  try {
    options = parse(args);
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
  const { name, quick, jail, json } = options;
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const load = Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined;
  if (load === undefined) return refuse(name === "" ? "which benchmark?" : `there is no benchmark ${JSON.stringify(name)}`);
  const machine = describeMachine();
  const started = performance.now();
  const progress = (line: string): void => void process.stderr.write(`${line}\n`);
  const report = await (await load())({ quick, jail, progress });
  progress(`${Math.round((performance.now() - started) / 1000)} s on ${machine}`);
  if (json !== "-") process.stdout.write(formatTable(report));
  await write(report, { machine, file: json, keep: !quick, variant: jail ? "-jail" : "" });
  return 0;
}

function parse(args: readonly string[]): { name: string; quick: boolean; jail: boolean; help: boolean; json: string | undefined } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: "string" },
      quick: { type: "boolean", default: false },
      jail: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (positionals.length > 1) throw new RangeError(`one benchmark at a time, not ${positionals.length}`);
  return { ...values, name: positionals[0] ?? "", json: values.json };
}

function refuse(message: string): number {
  process.stderr.write(`${message}\n\n${USAGE}`);
  return EX_USAGE;
}

async function write(report: Report, to: { machine: string; file: string | undefined; keep: boolean; variant: string }): Promise<void> {
  const json = `${JSON.stringify(report, undefined, 2)}\n`;
  if (to.file === "-") process.stdout.write(json);
  else if (to.file !== undefined) await writeFile(to.file, json);
  if (!to.keep) return;
  await mkdir(RESULTS, { recursive: true });
  const base = join(RESULTS, `${report.name}${to.variant}`);
  const about = `Measured by \`npm run bench -- ${report.name}${to.variant === "" ? "" : " --jail"}\` on ${to.machine}.`;
  await writeFile(`${base}.json`, json);
  await writeFile(`${base}.md`, formatMarkdown(report, about));
  await writeFile(`${base}.svg`, formatPlot(report));
}
