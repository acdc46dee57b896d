import { DecisionKind, type LeafEvent, type ToolEnded } from "@serverless-harness/proto/leaf";

/** Tells why tool calls ended without a result: that somebody wanted so is no failure of the tool. */
export class ToolEndings {
  readonly #rejected = new Set<string>();
  #stopped = "";

  /** Every event of the leaf, in order. */
  take({ event }: LeafEvent): void {
    if (event.case === "cancelRequested") this.#stopped = "cancelled";
    if (event.case !== "gateDecided") return;
    const { gateId, decision } = event.value;
    if (decision?.kind === DecisionKind.ABORT) this.#stopped = "aborted";
    else if (decision?.kind === DecisionKind.REJECT) this.#rejected.add(gateId);
  }

  isFailure(ended: ToolEnded): boolean {
    return ended.isError && this.#stopped === "" && !this.#rejected.has(ended.invocationId);
  }

  /** `bash ended`, `bash failed`, `bash was not approved`, `bash was aborted`. */
  text(ended: ToolEnded): string {
    if (!ended.isError) return `${ended.tool} ended`;
    if (this.#rejected.has(ended.invocationId)) return `${ended.tool} was not approved`;
    return this.#stopped === "" ? `${ended.tool} failed` : `${ended.tool} was ${this.#stopped}`;
  }
}
