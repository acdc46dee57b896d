import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { childrenOf, isSameProcess, processStartTicks } from "@serverless-harness/kit/proc";
import { ownGroups, processesIn, removeGroups } from "./cgroups.ts";
import { components, configurations, INSIDE } from "./components.ts";
import { childEnvironment } from "./config.ts";
import type { Holder } from "./holder.ts";
import { writeImage } from "./image.ts";
import { Kubectl } from "./kubectl.ts";
import type { ComponentState } from "./node.ts";
import { assertLoopback, kubeconfig, makeCertificates } from "./pki.ts";
import type { Programs } from "./programs.ts";
import { makeVolumeDirectories, volumeObjects } from "./volumes.ts";

const OBJECTS = join(import.meta.dirname, "objects");
/** A socket's path may be as long, https://man7.org/linux/man-pages/man7/unix.7.html */
const LONGEST_SOCKET_PATH = 107;

/** How the cluster is. */
export interface ClusterState {
  readonly up: boolean;
  /** Present if it is up. */
  readonly kubeconfig?: string;
  readonly startedAt?: string;
  readonly components?: Readonly<Record<string, ComponentState>>;
}

/** The one test cluster of this user, in the directory `state`. */
export class Cluster {
  readonly #state: string;
  readonly #say: (text: string) => void;

  constructor(state: string, say: (text: string) => void) {
    this.#state = state;
    this.#say = say;
  }

  /** Where it keeps all that it writes. */
  get state(): string {
    return this.#state;
  }

  /** For clients on this machine; it names a forwarded port of 127.0.0.1. */
  get kubeconfig(): string {
    return join(this.#state, "kubeconfig");
  }

  /** How it is. Never throws because it is down. */
  look(): ClusterState {
    const holder = this.#holder();
    if (holder === undefined) return { up: false };
    const states = join(this.#state, "states.json");
    const known = existsSync(states) ? (JSON.parse(readFileSync(states, "utf8")) as Record<string, ComponentState>) : {};
    return { up: true, kubeconfig: this.kubeconfig, startedAt: holder.startedAt, components: known };
  }

  /** Start it, until its node is ready and its DNS answers. Takes it down again if a step fails. */
  async up(programs: Programs): Promise<void> {
    if (this.#holder() !== undefined) return this.#say(`it is up already (${this.kubeconfig})`);
    await this.down();
    if (Buffer.byteLength(join(this.#state, "api.sock")) > LONGEST_SOCKET_PATH) {
      throw new Error(`${this.#state} is too long for a socket in it: set XDG_CACHE_HOME to a shorter path`);
    }
    mkdirSync(this.#state, { recursive: true, mode: 0o700 });
    try {
      await this.#start(programs);
    } catch (error) {
      this.#say(`it did not come up; the ends of its logs:\n${this.logs()}`);
      await this.down();
      throw error;
    }
  }

  async #start(programs: Programs): Promise<void> {
    const images = join(this.#state, "images");
    mkdirSync(images);
    await Promise.all([
      makeCertificates(join(this.#state, "pki"), `${INSIDE}/pki`),
      writeImage({ name: "localhost/pause:cluster", program: join(programs.probe, "probe"), args: ["pause"] }, join(images, "pause.tar")),
      writeImage({ name: "localhost/probe:cluster", program: join(programs.probe, "probe") }, join(images, "probe.tar")),
      writeImage({ name: "localhost/coredns:cluster", program: join(programs.coredns, "coredns") }, join(images, "coredns.tar")),
    ]);
    makeVolumeDirectories(this.#state);
    this.#write("components.json", JSON.stringify(components(programs)));
    this.#write("resolv.conf", "");
    for (const [name, text] of Object.entries(configurations())) this.#write(name, text);
    this.#write("groups.json", JSON.stringify(ownGroups(`leaf-cluster-${process.pid}`)));
    this.#say("certificates and images are made");

    const log = openSync(join(this.#state, "holder.log"), "a", 0o600);
    const holder = spawn(process.execPath, [join(import.meta.dirname, "holder.ts"), this.#state], {
      detached: true,
      stdio: ["ignore", log, log],
      env: childEnvironment(),
    });
    holder.unref();
    const { port } = await until("the cluster's first process", 20, () => Promise.resolve(this.#holder()));
    const config = kubeconfig(port, join(this.#state, "pki"), "admin");
    assertLoopback(config);
    this.#write("kubeconfig", config);

    await until("containerd", 30, async () => ((await this.#inside(["ctr", "version"])).code === 0 ? true : undefined));
    await this.importImages(images);
    const kubectl = new Kubectl(join(programs.kubernetes, "kubectl"), this.kubeconfig);
    const comes = async (what: string, ...args: readonly string[]): Promise<unknown> =>
      await until(what, 120, async () => ((await kubectl.succeeds(...args)) ? true : undefined));
    await comes("the API server", "get", "--raw=/readyz");
    this.#say("the API server answers");
    await kubectl.run("apply", "-f", OBJECTS);
    await kubectl.applied(...volumeObjects());
    await comes("the node", "wait", "--for=condition=Ready", "node", "--all");
    this.#say("the node is ready");
    // A pod without it is refused, and only a controller's is tried again.
    await comes("service accounts", "get", "serviceaccount", "default");
    await kubectl.run("rollout", "status", "--namespace=kube-system", "deployment/coredns", "--timeout=120s");
    this.#say(`DNS answers; the cluster is up (${this.kubeconfig})`);
  }

  /** Import image archives of a directory, OCI's or Docker's: those of these names, by default all. */
  async importImages(directory: string, names?: readonly string[]): Promise<void> {
    requireImages(directory, names ?? []);
    const archives = names?.map((name) => `${name}.tar`) ?? readdirSync(directory).filter((name) => name.endsWith(".tar"));
    if (archives.length === 0)
      throw new Error(`${directory} has no *.tar: --images names a directory of image archives; run: npm run images`);
    for (const archive of archives) {
      // The archive is read by us: a directory of ours may be hidden inside.
      const { code, stderr } = await this.#inside(["ctr", "--namespace=k8s.io", "images", "import", "-"], join(directory, archive));
      if (code !== 0) throw new Error(`${join(directory, archive)} can't be imported: ${stderr.trim()}`);
    }
    this.#say(`imported ${archives.join(", ")}`);
  }

  /** Stop every process and remove what it left: groups, then the state. Nothing happens if there is none. */
  async down(): Promise<void> {
    const holder = this.#holder();
    if (holder !== undefined) {
      process.kill(holder.pid, "SIGTERM");
      await until("the cluster's end", 60, () => Promise.resolve(isSameProcess(holder.pid, holder.startTicks) ? undefined : true));
    }
    const groups = this.#groups();
    // After a holder that was killed the kernel may still be ending the rest.
    await until("the cluster's processes to end", 60, () => Promise.resolve(processesIn(groups).length === 0 ? true : undefined));
    removeGroups(groups);
    rmSync(this.#state, { recursive: true, force: true });
  }

  /** The holder's process, then all that runs inside, as this machine sees them. */
  processes(): { readonly pid: number; readonly startTicks: string }[] {
    const holder = this.#holder();
    const pids = [...(holder === undefined ? [] : [holder.pid]), ...processesIn(this.#groups())];
    return pids.map((pid) => ({ pid, startTicks: processStartTicks(pid) ?? "" }));
  }

  /** The groups of its processes that exist, in each hierarchy. */
  groups(): string[] {
    return this.#groups().filter((group) => existsSync(group));
  }

  /** Kill a component, as a crash would; the supervisor inside starts it again. */
  async kill(name: string): Promise<void> {
    const pid = this.look().components?.[name]?.pid;
    if (pid === undefined) throw new Error(`${name} does not run`);
    const { code, stderr } = await this.#inside(["kill", "-KILL", String(pid)]);
    if (code !== 0) throw new Error(`${name} can't be killed: ${stderr.trim()}`);
  }

  /** The last lines of each log. */
  logs(): string {
    const directory = join(this.#state, "logs");
    const files = [
      join(this.#state, "holder.log"),
      ...(existsSync(directory) ? readdirSync(directory) : []).map((name) => join(directory, name)),
    ];
    return files
      .filter((file) => existsSync(file) && file.endsWith(".log"))
      .map((file) => `${file}:\n${readFileSync(file, "utf8").trimEnd().split("\n").slice(-5).join("\n")}`)
      .join("\n");
  }

  /** Run a program inside; `file` is what it reads. */
  async #inside(command: readonly string[], file?: string): Promise<{ readonly code: number; readonly stderr: string }> {
    const holder = this.#holder();
    if (holder === undefined) throw new Error("the cluster's first process has ended");
    const [first] = childrenOf(holder.unsharer);
    if (first === undefined) return { code: 128, stderr: "the namespaces are not made yet" };
    const input = file === undefined ? "ignore" : openSync(file, "r");
    const child = spawn("nsenter", ["--target", String(first), "--all", "--", ...command], {
      stdio: [input, "ignore", "pipe"],
      env: childEnvironment(),
    });
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    return await new Promise((resolve, reject) => child.on("error", reject).on("close", (code) => resolve({ code: code ?? 128, stderr })));
  }

  #holder(): Holder | undefined {
    const file = join(this.#state, "holder.json");
    if (!existsSync(file)) return undefined;
    const holder = JSON.parse(readFileSync(file, "utf8")) as Holder;
    return isSameProcess(holder.pid, holder.startTicks) ? holder : undefined;
  }

  #groups(): string[] {
    const file = join(this.#state, "groups.json");
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as string[]) : [];
  }

  #write(name: string, text: string): void {
    const file = join(this.#state, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text, { mode: 0o600 });
  }
}

/** Look until something is there; throws after so many seconds. */
export async function until<T>(what: string, seconds: number, look: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}`);
    await setTimeout(100);
  }
}

/** Throws unless a directory has the archives of these images. */
export function requireImages(directory: string, names: readonly string[]): void {
  if (!existsSync(directory))
    throw new Error(`${directory} is not there: --images names a directory of image archives; run: npm run images`);
  const missing = names.filter((name) => !existsSync(join(directory, `${name}.tar`)));
  if (missing.length > 0) throw new Error(`${directory} lacks ${missing.join(", ")}: run: npm run images -- ${missing.join(" ")}`);
}
