import type { ListSandboxesResponse } from "@serverless-harness/proto/leaf";
import type { Output } from "../output.ts";
import { tableLines } from "./format.ts";
import { poolJson, SANDBOX_HEADS, sandboxRow } from "./sandbox-text.ts";

/** Shows the pool again and again: on a terminal in one place, elsewhere whenever something has changed. */
export class SandboxTable {
  readonly #out: Output;
  #last = "";

  constructor(out: Output) {
    this.#out = out;
  }

  show(pool: ListSandboxesResponse): void {
    const { sandboxes, nowMs } = pool;
    const out = this.#out;
    const rows = sandboxes.map((sandbox) => sandboxRow(sandbox, nowMs, out.color));
    const lines = sandboxes.length === 0 ? [out.color.dim("no sandboxes")] : tableLines(SANDBOX_HEADS, rows, out.color);
    const text = lines.join("\n");
    if (text === this.#last) return;
    if (out.json) out.document(poolJson(pool), true);
    else if (out.live) out.replace(lines);
    else out.line(this.#last === "" ? text : `\n${text}`);
    this.#last = text;
  }
}
