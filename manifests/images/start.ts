import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ImageConfig } from "./archive.ts";
import { BuildError } from "./buildah.ts";
import type { Image } from "./images.ts";
import { tryTools } from "./try-tools.ts";

/** How long a service may take until it answers, in milliseconds, on a machine that has other things to do. */
const PATIENCE_MS = 30_000;
const USER = 65532;

/** An image that has only the folder to start hands from: it does, in a root that has nothing else. */
const FOLDER = "hands-folder";
const HANDS = ["/opt/leaf/bin/node", "/opt/leaf/dist/hands/main.mjs"];

/** Settings with which an image's service starts alone and listens at `/tmp/service.sock`; all that it writes is below `/tmp`. */
const SETTINGS: Readonly<Record<NonNullable<Image["service"]>, Readonly<Record<string, string>>>> = {
  dispatcher: { DISPATCHER_LISTEN: "unix:/tmp/service.sock", DISPATCHER_WAKER: "none", LEAF_STORE: "sqlite:/tmp/leaf.db" },
  brain: { BRAIN_LISTEN: "unix:/tmp/service.sock", HANDS_URL: "unix:/tmp/hands.sock", LEAF_STORE: "sqlite:/tmp/leaf.db" },
  hands: {
    HANDS_LISTEN: "unix:/tmp/service.sock",
    HANDS_SANDBOX: "process",
    HANDS_WORKSPACES: "/tmp/workspaces",
    HANDS_STATE: "/tmp/state",
  },
  model: { MODEL_LISTEN: "http://127.0.0.1:0" },
};

/**
 * Start an image's service from its files, as user 65532 with a read-only root, wait until it answers, have an agent's tools tell their versions if it
 * is hands, and stop it in order. Throws a {@link BuildError} with what the service wrote if any of it fails.
 */
export async function tryStart(
  { name, service }: Image & Required<Pick<Image, "service">>,
  root: string,
  config: ImageConfig,
): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "leaf-image-"));
  const temporary = join(scratch, "tmp");
  mkdirSync(temporary);
  chownSync(temporary, USER, USER);
  const settings = { ...Object.fromEntries((config.Env ?? []).map((pair) => pair.split(/=(.*)/s, 2))), ...SETTINGS[service] };
  const start = [join(import.meta.dirname, "start.sh"), root, temporary, ...(name === FOLDER ? HANDS : (config.Entrypoint ?? []))];
  const child = spawn("unshare", ["--mount", "--pid", "--fork", "sh", ...start], {
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const ended = once(child, "close");
  try {
    const socket = join(temporary, "service.sock");
    await answers(child, () => (service === "model" ? /"url": ?"([^"]+)"/.exec(output)?.[1] : socket));
    if (service === "hands" && name !== FOLDER) await tryTools(socket);
    signalService(child, config.StopSignal ?? "SIGTERM");
    await ended;
    if (child.exitCode !== 0) throw new BuildError(`it ended with exit code ${child.exitCode} when it was asked to stop`);
  } catch (error) {
    throw new BuildError(`${name} does not run from its image: ${error instanceof Error ? error.message : error}\n${output.trimEnd()}`);
  } finally {
    if (child.exitCode === null) signalService(child, "SIGKILL");
    await ended;
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The service is the first process of its namespace, and all in there ends with it. It is the only child of `unshare`, which ends after it. */
function signalService(unshare: ChildProcess, signal: string): void {
  const [service] = readFileSync(`/proc/${unshare.pid}/task/${unshare.pid}/children`, "utf8").split(" ");
  if (service !== undefined && service !== "") process.kill(Number(service), signal);
}

/** Wait until a service answers at the socket or URL that `where` has by then. */
async function answers(child: ChildProcess, where: () => string | undefined): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (child.exitCode === null) {
    const address = where();
    if (address !== undefined && (await isUp(address))) return;
    if (performance.now() > end) throw new Error(`it did not answer for ${PATIENCE_MS / 1000} s`);
    await pause(50);
  }
  throw new Error(`it ended with exit code ${child.exitCode} before it answered`);
}

/** Which of a brain's and the stand-in model's answers tell that they listen: they have no `/livez`, a brain's probe is `grpc.health.v1`. */
const ANSWERS: readonly (number | undefined)[] = [200, 404];

/** Whether something answers a request for `/livez`. */
function isUp(address: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const options = address.startsWith("http") ? new URL("/livez", address) : { socketPath: address, path: "/livez" };
  request(options, (response) => {
    response.resume();
    resolve(ANSWERS.includes(response.statusCode));
  })
    .on("error", () => resolve(false))
    .end();
  return promise;
}
