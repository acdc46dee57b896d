import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { runCommandLine } from "../command-line.ts";
import { describeMachine } from "../config.ts";
import { formatChart } from "./chart.ts";
import { formatRows, formatSoakMarkdown, verdict } from "./report.ts";
import { STORES, type StoreName, soak } from "./soak.ts";

const RESULTS = fileURLToPath(new URL("../results/", import.meta.url));
const USAGE = `usage: npm run soak -- [--minutes M] [--store ${STORES.join("|")}] [--no-jail] [--json FILE] [--keep]

  --minutes M   how long, 1 to 1440; decimals are fine (default: 60)
  --store S     where leaves and sessions are kept; redis starts a server of its own (default: sqlite)
  --no-jail     run the sandbox's daemon and its commands without a jail
  --json FILE   write report and samples as JSON; - is stdout, and then nothing else is printed there
  --keep        write the report, the samples and a plot to bench/results/
`;
process.exitCode = await runCommandLine({ usage: USAGE, parse, work });

/** Returns the exit code: 0 if all is flat, 1 if something grows. */
async function work(options: NonNullable<ReturnType<typeof parse>>): Promise<number> {
  const machine = describeMachine();
  const found = await soak({ ...options, progress: (line) => void process.stderr.write(`${line}\n`) });
  const json = `${JSON.stringify(found)}\n`;
  if (options.json === "-") process.stdout.write(json);
  else {
    process.stdout.write(`${formatRows(found)}\n${verdict(found)}\n`);
    if (options.json !== undefined) await writeFile(options.json, json);
  }
  if (options.keep) {
    await mkdir(RESULTS, { recursive: true });
    const base = join(RESULTS, `soak-${found.name}`);
    const about = `Measured by \`npm run soak -- --minutes ${found.minutes} --store ${found.name} --keep\` on ${machine}.`;
    await Promise.all([
      writeFile(`${base}.json`, json),
      writeFile(`${base}.md`, formatSoakMarkdown(found, about)),
      writeFile(`${base}.svg`, formatChart(found)),
    ]);
  }
  return found.rows.some(({ grows }) => grows) ? 1 : 0;
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      minutes: { type: "string", default: "60" },
      store: { type: "string", default: "sqlite" },
      jail: { type: "boolean", default: true },
      json: { type: "string" },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= 1440)) throw new RangeError(`--minutes is ${values.minutes}: it must be more than 0, at most 1440`);
  if (!isStore(values.store)) throw new RangeError(`--store is ${values.store}: it must be ${STORES.join(" or ")}`);
  return { ...values, minutes, store: values.store };
}

function isStore(name: string): name is StoreName {
  return (STORES as readonly string[]).includes(name);
}
