import { attempt, type CommandResult, run } from "./command.ts";

/** kubectl with one kubeconfig, and so one cluster. */
export class Kubectl {
  readonly #program: string;
  readonly #kubeconfig: string;

  constructor(program: string, kubeconfig: string) {
    this.#program = program;
    this.#kubeconfig = kubeconfig;
  }

  /** A call that has to succeed; what it wrote. */
  async run(...args: readonly string[]): Promise<string> {
    return await run(this.#program, ["--kubeconfig", this.#kubeconfig, ...args]);
  }

  /** A call that may fail. */
  async attempt(...args: readonly string[]): Promise<CommandResult> {
    return await attempt(this.#program, ["--kubeconfig", this.#kubeconfig, ...args]);
  }

  /** Whether a call succeeds. */
  async succeeds(...args: readonly string[]): Promise<boolean> {
    return (await this.attempt(...args)).code === 0;
  }

  /** Create or change objects; unknown fields are an error. Not judged: the caller looks at the result. */
  async apply(...objects: readonly object[]): Promise<CommandResult> {
    const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
    return await attempt(this.#program, ["--kubeconfig", this.#kubeconfig, "apply", "--validate=strict", "-f", "-"], { input });
  }

  /** Create or change objects, all of which have to be accepted. */
  async applied(...objects: readonly object[]): Promise<void> {
    const { code, stderr } = await this.apply(...objects);
    if (code !== 0) throw new Error(`not accepted: ${stderr.trim()}`);
  }
}
