import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readlinkSync } from "node:fs";
import { connect as dial } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { createServer, type Server } from "node:tls";
import { LEAF, MACHINE } from "./stack.ts";

const PATIENCE_MS = 10_000;
const POLL_MS = 20;
const SAID_CHARACTERS = 2000;
/** Wait for the router before anything is called. */
const WHEN_CONNECTED = 'until grep -q tap0 /proc/net/route; do sleep 0.02; done; exec "$@"';

/**
 * A network namespace that a router with NAT, slirp4netns, connects to this machine: what is in it can dial out, and nobody can connect to it. The
 * dispatcher is there at an https address, as it is from anywhere but its own machine.
 */
export class Enclave {
  readonly url: string;
  readonly #server: Server;
  readonly #children: ChildProcess[] = [];

  private constructor(server: Server) {
    const bound = server.address();
    this.url = `https://${MACHINE}:${typeof bound === "object" ? bound?.port : 0}`;
    this.#server = server;
    // The demo may exit without closing this.
    process.once("exit", () => {
      for (const child of this.#children) child.kill("SIGKILL");
    });
  }

  /** `url`: the dispatcher's; `caFile` becomes the authority of the https address. */
  static async open(url: string, caFile: string): Promise<Enclave> {
    const { hostname, port } = new URL(url);
    const server = createServer({ ...certificate(caFile), ALPNProtocols: ["h2", "http/1.1"] }, (client) => {
      const dispatcher = dial(Number(port), hostname);
      join(client, dispatcher);
      join(dispatcher, client);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Enclave(server);
  }

  /** Run a command of `leaf` in it. Rejects if that ends, or can't begin; nothing else settles it. */
  async leaf(...args: readonly string[]): Promise<never> {
    const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const inside = ["sh", "-c", WHEN_CONNECTED, "sh", process.execPath, LEAF, ...args];
    const { child, ended } = this.#spawn("unshare", "util-linux", "--net", ...user, ...inside);
    await Promise.race([ended, untilApart(child)]);
    const router = this.#spawn("slirp4netns", "slirp4netns", "--configure", String(child.pid), "tap0");
    return await Promise.race([ended, router.ended]);
  }

  async close(): Promise<void> {
    for (const child of this.#children) {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "close");
      child.kill("SIGKILL");
      await ended;
    }
    this.#server.close();
  }

  /** `ended` rejects with what it said last. `from`: the package that it is in. */
  #spawn(program: string, from: string, ...args: readonly string[]): { child: ChildProcess; ended: Promise<never> } {
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#children.push(child);
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = `${said}${text}`.slice(-SAID_CHARACTERS);
    });
    const { promise: ended, reject } = Promise.withResolvers<never>();
    ended.catch(() => undefined);
    child.on("error", ({ message }) => reject(new Error(`${message}: install ${from}, as \`npm run setup\` does`)));
    child.on("close", (code) => reject(new Error(`${program} ended with ${code}: ${said.trim()}${adviceOn(said)}`)));
    return { child, ended };
  }
}

/** What to do about what keeps an ordinary user from a network namespace. */
function adviceOn(said: string): string {
  if (said.includes("/dev/net/tun")) return ": let this user open /dev/net/tun";
  return said.startsWith("unshare:") ? ": allow unprivileged user namespaces" : "";
}

/** Pipe one end of a connection that is handed on to the other. */
function join(from: Duplex, to: Duplex): void {
  from.on("error", () => undefined).on("close", () => to.destroy());
  from.pipe(to);
}

/** A certificate for this machine as the namespace sees it, which is its own authority. */
function certificate(caFile: string): { key: string; cert: string } {
  const keyFile = `${caFile}.key`;
  const names = ["-subj", "/CN=demo", "-addext", `subjectAltName=IP:${MACHINE}`];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", keyFile];
  execFileSync("openssl", ["req", "-x509", ...key, "-days", "1", ...names, "-out", caFile], { stdio: ["ignore", "ignore", "pipe"] });
  return { key: readFileSync(keyFile, "utf8"), cert: readFileSync(caFile, "utf8") };
}

/** Until a process is in a network of its own: before that it is in this machine's, which is not the router's to touch. */
async function untilApart({ pid }: ChildProcess): Promise<void> {
  const own = readlinkSync("/proc/self/ns/net");
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(POLL_MS)) {
    const network = networkOf(pid);
    if (network !== undefined && network !== own) return;
  }
  throw new Error("unshare made no network namespace: allow unprivileged user namespaces");
}

function networkOf(pid: number | undefined): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}
