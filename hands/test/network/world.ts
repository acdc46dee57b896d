import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { onTestFinished } from "vitest";

const SERVE = fileURLToPath(new URL("./serve-world.ts", import.meta.url));

export const PUBLIC = "203.0.113.1";
export const PRIVATE = "10.77.0.1";
export const METADATA = "169.254.169.254";
/** The machine's own addresses: one in its local network, one that is public. */
export const OWN = ["192.168.77.2", "203.0.113.2"];
const NAME_SERVER = "10.77.0.53";

/** A machine and a world around it, in network namespaces of the test's own. Whatever listens says its address. */
export interface World {
  /** A program and its arguments that runs a program on the machine. */
  readonly machine: readonly string[];
  /** Its files are served at the public address. */
  readonly files: string;
}

/**
 * Make them: the world has public, private and metadata addresses, and a name server that answers every name with the public one; the machine
 * listens on its loopback and on its own addresses. Port 80 everywhere.
 */
export async function makeWorld(): Promise<World> {
  const files = await temporaryDirectory();
  const settings = await temporaryDirectory();
  writeFileSync(join(settings, "resolv.conf"), `nameserver ${NAME_SERVER}\n`);
  const world = await namespace();
  const machine = await namespace();
  const inside = (holder: ChildProcess): string[] => ["nsenter", "-t", String(holder.pid), "--net"];
  const configure = (holder: ChildProcess, commands: readonly string[]): void => {
    const [program = "", ...args] = inside(holder);
    execFileSync(program, [...args, "ip", "-batch", "-"], { input: commands.join("\n") });
  };
  configure(world, [`link add name toward type veth peer name eth0 netns ${machine.pid}`, "link set lo up", "link set toward up"]);
  configure(
    world,
    [PUBLIC, PRIVATE, METADATA, NAME_SERVER].map((address) => `addr add ${address}/32 dev toward`),
  );
  configure(
    world,
    OWN.map((address) => `route add ${address}/32 dev toward`),
  );
  configure(machine, ["link set lo up", "link set eth0 up", ...OWN.map((address) => `addr add ${address}/32 dev eth0`)]);
  configure(machine, [`route add ${PUBLIC}/32 dev eth0 src ${OWN[1]}`, `route add default via ${PUBLIC} dev eth0 src ${OWN[1]}`]);
  await serve([
    ...inside(world),
    ...node(
      files,
      [PUBLIC, PRIVATE, METADATA].map((address) => `${address}:80`),
    ),
    `dns=${NAME_SERVER}:${PUBLIC}`,
  ]);
  await serve([...inside(machine), ...node(files, ["127.0.0.1:80", ...OWN.map((address) => `${address}:80`)])]);
  // Node is root there as here: only the network and what names are asked of are the test's own.
  const resolver = 'mount --bind "$0" /etc/resolv.conf && exec "$@"';
  return { machine: [...inside(machine), "unshare", "--mount", "sh", "-c", resolver, join(settings, "resolv.conf")], files };
}

/** A repository with one commit at `http://203.0.113.1/<name>.git`, served as files. */
export function addRepository({ files }: World, name: string): void {
  const source = join(files, name);
  mkdirSync(source);
  const git = (...args: string[]): void =>
    void execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: source });
  git("init", "--quiet", "--initial-branch=main");
  writeFileSync(join(source, "file"), "of the repository\n");
  git("add", ".");
  git("commit", "--quiet", "-m", "first");
  git("clone", "--quiet", "--bare", ".", `../${name}.git`);
  execFileSync("git", ["update-server-info"], { cwd: join(files, `${name}.git`) });
}

function node(files: string, places: readonly string[]): string[] {
  return [process.execPath, SERVE, files, ...places];
}

/** A process in a network namespace that was made for it. */
async function namespace(): Promise<ChildProcess> {
  return serve(["unshare", "--net", "sh", "-c", "echo made; exec sleep infinity"]);
}

/** A process that has said its first word, until the test ends. */
async function serve([program = "", ...args]: readonly string[]): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  await Promise.race([
    once(child.stdout, "data"),
    once(child, "exit").then(() =>
      Promise.reject(new Error(`${program} ${args.join(" ")} ended: this test needs root, iproute2 and util-linux`)),
    ),
  ]);
  return child;
}
