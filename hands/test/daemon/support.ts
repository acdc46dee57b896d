import { spawn } from "node:child_process";
import { mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Address, formatAddress, parseAddress } from "@serverless-harness/kit/address";
import type { Identity } from "@serverless-harness/kit/testing";
import type { Daemon } from "../fixtures/daemon.ts";

const LOCAL_PROGRAMS = fileURLToPath(new URL("../../../node_modules/.bin", import.meta.url));

/** The value of `address` in the log line that has this message, once it is there. */
export async function addressIn(daemon: Daemon, message = "hands is up"): Promise<{ origin: string; address: Address & { kind: "tcp" } }> {
  const find = () =>
    /"address":"([^"]+)"/.exec(
      daemon
        .log()
        .split("\n")
        .find((line) => line.includes(`"msg":"${message}"`)) ?? "",
    )?.[1];
  let found = find();
  while (found === undefined) {
    if (daemon.process.exitCode !== null) throw new Error(`it ended: ${daemon.log()}`);
    await new Promise((resolve) => daemon.process.stdout?.once("data", resolve) && daemon.process.once("exit", resolve));
    found = find();
  }
  const address = parseAddress(found);
  if (address?.kind !== "tcp") throw new Error(`a port is expected, not ${found}`);
  return { origin: formatAddress(address), address };
}

/** What a program printed. `install` says how to get it. */
export interface Printed {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run a program that an interop test needs; where it is missing the test fails, and says what to install. */
export function run(program: string, install: string, args: readonly string[], input = ""): Promise<Printed> {
  const path = `${LOCAL_PROGRAMS}${delimiter}${process.env["PATH"]}`;
  const child = spawn(program, args, { env: { ...process.env, PATH: path }, stdio: ["pipe", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data) => (stdout += data));
  child.stderr.on("data", (data) => (stderr += data));
  child.stdin.on("error", () => undefined).end(input);
  return new Promise((resolve, reject) => {
    child.on("error", (error) => reject(new Error(`${program} can't be run (${error.message}): ${install}`)));
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

let version = 0;

/** Write an identity the way Kubernetes mounts a secret: links by way of `..data`, which is replaced as a whole. */
export async function mountSecret(directory: string, { key, cert }: Identity): Promise<{ cert: string; key: string }> {
  const current = `..version-${++version}`;
  await mkdir(join(directory, current), { recursive: true });
  await writeFile(join(directory, current, "tls.crt"), cert);
  await writeFile(join(directory, current, "tls.key"), key, { mode: 0o600 });
  await symlink(current, join(directory, "..data.new"));
  await rename(join(directory, "..data.new"), join(directory, "..data"));
  for (const name of ["tls.crt", "tls.key"]) await symlink(join("..data", name), join(directory, name)).catch(() => undefined);
  return { cert: join(directory, "tls.crt"), key: join(directory, "tls.key") };
}
