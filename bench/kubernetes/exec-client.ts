import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Exec, KubeConfig, type V1Status } from "@kubernetes/client-node";
import { childEnvironment } from "../config.ts";

/** One call of exec, as `kubectl exec` makes it: a websocket for each command. */
export class KubernetesExec {
  readonly #server: ChildProcess;
  readonly #exec: Exec;

  private constructor(server: ChildProcess, address: string) {
    const config = new KubeConfig();
    config.loadFromClusterAndUser({ name: "local", server: address, skipTLSVerify: true }, { name: "bench" });
    this.#server = server;
    this.#exec = new Exec(config);
  }

  /** Start the endpoint, in a process of its own. */
  static async start(): Promise<KubernetesExec> {
    const server = spawn(process.execPath, [fileURLToPath(new URL("exec-server.ts", import.meta.url))], {
      stdio: ["pipe", "pipe", "inherit"],
      env: childEnvironment(),
    });
    const [address] = (await once(createInterface(server.stdout), "line")) as [string];
    return new KubernetesExec(server, address);
  }

  /** Run a command to its end; throws where it failed. Resolves with what it printed. */
  async run(command: readonly string[]): Promise<Buffer> {
    const chunks: Buffer[] = [];
    const stdout = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        chunks.push(chunk);
        done();
      },
    });
    const stderr = new Writable({ write: (_chunk, _encoding, done) => done() });
    const status = await new Promise<V1Status>((resolve, reject) => {
      this.#exec.exec("default", "sandbox-0", "sandbox", [...command], stdout, stderr, null, false, resolve).catch(reject);
    });
    if (status.status !== "Success") throw new Error(`exec failed: ${status.message}`);
    return Buffer.concat(chunks);
  }

  async close(): Promise<void> {
    const exited = once(this.#server, "exit");
    this.#server.stdin?.end();
    await exited;
  }
}
