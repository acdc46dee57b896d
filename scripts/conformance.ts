/**
 * Runs the public Connect conformance suite against kit: its server by Connect, gRPC and gRPC-web, then its client. No test may fail. Arguments
 * go to the suite's runner, as `--run PATTERN` or `--trace`. The first run builds the runner with Go, which takes some minutes, and keeps it in
 * `~/.cache/leaf`. Exit code 1 if a test failed or a part is missing.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory } from "./cache.ts";
import { ROOT, run } from "./run.ts";

const MODULE = "connectrpc.com/conformance";
const VERSION = "v1.0.7";

const cache = join(cacheDirectory(), `conformance-${VERSION}`);
const runner = join(cache, "connectconformance");
/** The suite's messages: `buf build` of the protos that the module brings. */
const image = join(cache, "messages.binpb");

await prepare();
for (const side of ["server", "client"]) {
  const programs = join(ROOT, "kit/test/conformance");
  console.log(`conformance of kit's ${side}:`);
  const suite = ["--mode", side, "--conf", join(programs, `${side}.yaml`), "--max-servers", "2", ...process.argv.slice(2)];
  const { code } = await run(runner, [...suite, "--", process.execPath, join(programs, `${side}.ts`), image], { show: true });
  if (code !== 0) process.exitCode = 1;
}

async function prepare(): Promise<void> {
  if (existsSync(runner) && existsSync(image)) return;
  if ((await run("go", ["version"])).code !== 0) {
    fail("the suite's runner is built with Go, which is missing: install Go 1.24 or newer (https://go.dev/doc/install), then try again");
  }
  mkdirSync(cache, { recursive: true });
  console.log(`building ${MODULE} ${VERSION}, once`);
  await step("env", [`GOBIN=${cache}`, "go", "install", `${MODULE}/cmd/connectconformance@${VERSION}`]);
  const downloaded = JSON.parse(await step("go", ["mod", "download", "-json", `${MODULE}@${VERSION}`])) as { readonly Dir: string };
  await step("buf", ["build", join(downloaded.Dir, "proto"), "--output", image]);
}

async function step(command: string, args: readonly string[]): Promise<string> {
  const { code, output } = await run(command, args);
  if (code !== 0) fail(`${command} ${args.join(" ")} failed:\n${output}`);
  return output;
}

function fail(message: string): never {
  process.stderr.write(`conformance: ${message}\n`);
  process.exit(1);
}
