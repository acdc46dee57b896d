import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BENCHMARKS } from "./benchmark.ts";
import { runCommandLine } from "./command-line.ts";
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

process.exitCode = await runCommandLine({ usage: USAGE, parse, work });

async function work({ load, quick, jail, json }: NonNullable<ReturnType<typeof parse>>): Promise<number> {
  const machine = describeMachine();
  const started = performance.now();
  const progress = (line: string): void => void process.stderr.write(`${line}\n`);
  const report = await (await load())({ quick, jail, progress });
  progress(`${Math.round((performance.now() - started) / 1000)} s on ${machine}`);
  if (json !== "-") process.stdout.write(formatTable(report));
  await write(report, { machine, file: json, keep: !quick, variant: jail ? "-jail" : "" });
  return 0;
}

function parse(args: readonly string[]) {
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
  if (values.help) return undefined;
  if (positionals.length > 1) throw new RangeError(`one benchmark at a time, not ${positionals.length}`);
  return { ...values, json: values.json, load: benchmarkOf(positionals[0]) };
}

function benchmarkOf(name: string | undefined) {
  if (name === undefined) throw new RangeError("which benchmark?");
  const load = Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined;
  if (load === undefined) throw new RangeError(`there is no benchmark ${JSON.stringify(name)}`);
  return load;
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
