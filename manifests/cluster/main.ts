/** `npm run cluster -- COMMAND`: a real Kubernetes for tests, on this machine and apart from it. README.md says how and why. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../../scripts/run.ts";
import { INSTALLED_IMAGES } from "./claims/product.ts";
import { Cluster, requireImages } from "./cluster.ts";
import { run } from "./command.ts";
import { childEnvironment, readSettings } from "./config.ts";
import { assertLoopback, assertNoOtherServer } from "./pki.ts";
import { buildPrograms, type Programs } from "./programs.ts";
import { refusal } from "./refusal.ts";
import { testOther, testOwn } from "./test.ts";

const USAGE = `usage: npm run cluster -- up [--images DIR]   build what is missing, start the cluster, import image archives
       npm run cluster -- down                take it down, with all that it left
       npm run cluster -- status [--json]     how it is
       npm run cluster -- kubectl ARGS...     kubectl on it, and on no other
       npm run cluster -- test [--images DIR] check claims on it (or on the cluster of KUBECONFIG), then take it down;
                                              the images of npm run images are looked for in dist/images
`;
const startedAtMs = performance.now();
const settings = readSettings();
const cluster = new Cluster(join(settings.cache, "node"), say);
const [command = "", ...args] = process.argv.slice(2);

try {
  process.exitCode = await work();
} catch (error) {
  process.stderr.write(`cluster: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

async function work(): Promise<number> {
  switch (command) {
    case "up": {
      const { images } = parseArgs({ args, options: { images: { type: "string" } } }).values;
      await up();
      if (images !== undefined) await cluster.importImages(images);
      return 0;
    }
    case "down":
      parseArgs({ args, options: {} });
      await cluster.down();
      say("it is down, and nothing of it is left");
      return 0;
    case "status":
      return status(parseArgs({ args, options: { json: { type: "boolean", default: false } } }).values.json);
    case "kubectl":
      return await kubectl();
    case "test": {
      const images = { type: "string", default: join(ROOT, "dist", "images") } as const;
      const directory = parseArgs({ args, options: { images } }).values.images;
      if (settings.kubeconfig !== undefined) return await testOther(settings.kubeconfig);
      requireImages(directory, INSTALLED_IMAGES);
      return await testOwn(
        cluster,
        async () => {
          const programs = await up();
          await cluster.importImages(directory, INSTALLED_IMAGES);
          return join(programs.kubernetes, "kubectl");
        },
        up,
      );
    }
    default:
      process.stderr.write(USAGE);
      return 2;
  }
}

async function up(): Promise<Programs> {
  const refused = refusal(settings.kubeconfig);
  if (refused !== undefined) throw new Error(refused);
  await run("sh", [join(import.meta.dirname, "packages.sh")]);
  const programs = await buildPrograms(settings.cache, say);
  await cluster.up(programs);
  return programs;
}

function status(json: boolean): number {
  const state = cluster.look();
  if (json) process.stdout.write(`${JSON.stringify(state, null, 2)}\n`);
  else if (!state.up) process.stdout.write("the cluster is down; start it with: npm run cluster -- up\n");
  else {
    process.stdout.write(`the cluster is up since ${state.startedAt}, kubeconfig ${state.kubeconfig}\n`);
    for (const [name, { pid, restarts, lastEnd }] of Object.entries(state.components ?? {})) {
      const past = restarts === 0 ? "" : `, started again ${restarts} times (${lastEnd})`;
      process.stdout.write(`  ${name}: ${pid === undefined ? "not running" : "runs"}${past}\n`);
    }
  }
  return state.up ? 0 : 1;
}

async function kubectl(): Promise<number> {
  assertNoOtherServer(args);
  if (!cluster.look().up) throw new Error("the cluster is down; start it with: npm run cluster -- up");
  assertLoopback(readFileSync(cluster.kubeconfig, "utf8"));
  const programs = await buildPrograms(settings.cache, say);
  const child = spawn(join(programs.kubernetes, "kubectl"), ["--kubeconfig", cluster.kubeconfig, ...args], {
    stdio: "inherit",
    env: childEnvironment(),
  });
  return await new Promise((resolve, reject) => child.on("error", reject).on("close", (code) => resolve(code ?? 128)));
}

/** Tell a step, with the time since the start. */
function say(text: string): void {
  process.stderr.write(`cluster: ${((performance.now() - startedAtMs) / 1000).toFixed(1)} s: ${text}\n`);
}
