import { createHash } from "node:crypto";
import { Code } from "@connectrpc/connect";
import type { Context } from "@earendil-works/pi-agent-core";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Decision, DecisionKind, type GatePolicy } from "@serverless-harness/proto/leaf";
import { callerChecks } from "./caller-checks.ts";

/** What a human is asked. */
export interface Question {
  /** The tool call that waits: a decision releases this call only. */
  readonly gateId: string;
  readonly tool: string;
  readonly summary: string;
  readonly proposedAction: string;
  /** Of the arguments that are shown. */
  readonly argumentsHash: string;
}

/** Where questions are kept, and what their answers mean beyond the call that asked. */
export interface GateKeeper {
  /** Ask, or look again: the decision, or `undefined` while there is none. */
  ask(question: Question): Promise<Decision | undefined>;
  /** A call waits for its gate from now on. */
  waits(gateId: string): void;
  /** The leaf is to be ended at this gate. */
  aborted(): void;
}

/** A result that may have to wait for a human. */
export interface HeldResult {
  /** The tool that it is handed in with. */
  readonly tool: string;
  /** A human has answered a question of the agent. */
  readonly answered: boolean;
}

/** Tools that an agent has by its leaf: a policy for many leaves may name them, whether or not this one has them. */
const BY_LEAF = ["request_approval", "submit_result", "submit_verdict"];

/** Of a question's texts, in bytes: below the store's own limits, which count the words that say what was cut. */
const MAX_SUMMARY = 1000;
const MAX_ACTION = 60_000;

/** Which calls one line of a policy holds. */
interface Rule {
  readonly tool: string;
  /** A regular expression. Empty: calls with any arguments. */
  readonly pattern: string;
}

/** Asks humans for tool calls, and holds the calls until they answered. */
export class Gates {
  readonly #keeper: GateKeeper;
  readonly #rules: readonly Rule[];
  readonly #held: HeldResult | undefined;

  /** The agent may ask by itself. */
  readonly offered: boolean;

  /** Patterns of the policy have to be regular expressions: who submits a leaf is told. `result`: the one that the policy may hold. */
  constructor(keeper: GateKeeper, policy: GatePolicy | undefined, result?: HeldResult) {
    this.#keeper = keeper;
    this.offered = policy?.requestApproval === true;
    this.#held = policy?.holdResult === true ? result : undefined;
    this.#rules = (policy?.tools ?? []).map(({ tool, arguments: pattern }) => ({ tool, pattern }));
  }

  /** A misspelt name must not let everything pass: INVALID_ARGUMENT `unknown_tool` if the policy has a tool that the agent can't have. */
  checkNames(tools: readonly string[]): void {
    const known = ["*", ...tools, ...BY_LEAF];
    const index = this.#rules.findIndex(({ tool }) => !known.includes(tool));
    if (index === -1) return;
    const text = `spec.gates.tools[${index}].tool: the agent has no tool ${this.#rules[index]?.tool}, only ${tools.join(", ")}; use * for every tool`;
    throw new HarnessError(Code.InvalidArgument, "unknown_tool", text);
  }

  /** This call needs a human's approval by the leaf's policy: a rule names its tool, or one that does the same, or it hands in what is held. */
  async needsApproval(tool: string, args: unknown): Promise<boolean> {
    if (tool === this.#held?.tool && !this.#held.answered) return true;
    const call = describeCall(tool, args);
    for (const rule of this.#rules) if (covers(rule.tool, tool, call) && (await matches(rule.pattern, call))) return true;
    return false;
  }

  /**
   * The decision on a call. While there is none, this stays open until the agent lets go: then it rejects, as every tool does whose agent is
   * closed, and the call asks again in the next agent under the same id.
   */
  async decision(
    gateId: string,
    tool: string,
    args: unknown,
    shown: { readonly summary: string; readonly proposedAction: string },
    context: Context,
  ): Promise<Decision> {
    const decision = await this.#keeper.ask({
      gateId,
      tool,
      summary: cut(shown.summary, MAX_SUMMARY),
      proposedAction: cut(shown.proposedAction, MAX_ACTION),
      argumentsHash: createHash("sha256").update(JSON.stringify(args)).digest("hex"),
    });
    if (decision === undefined) return this.#hold(gateId, context);
    if (decision.kind === DecisionKind.ABORT) {
      this.#keeper.aborted();
      return this.#hold(gateId, context);
    }
    return decision;
  }

  #hold(gateId: string, context: Context): Promise<never> {
    const { promise, reject } = Promise.withResolvers<never>();
    const { abortSignal } = context;
    const letGo = (): void => reject(abortSignal?.reason ?? new Error("aborted"));
    if (abortSignal?.aborted) letGo();
    else abortSignal?.addEventListener("abort", letGo, { once: true });
    this.#keeper.waits(gateId);
    return promise;
  }
}

function covers(named: string, tool: string, { effect }: CallEffect): boolean {
  return named === "*" || named === tool || (effect !== undefined && effectOf(named) === effect);
}

/** A pattern that takes for ever must neither hold up the others nor let a call pass. */
async function matches(pattern: string, { texts, opaque }: CallEffect): Promise<boolean> {
  if (opaque || pattern === "") return true;
  return (await callerChecks.run("matches", pattern, texts))?.value !== false;
}

/** What a human decides on is shown to its end, or it is said what is not shown. */
function cut(text: string, length: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= length) return text;
  let end = length;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.toString("utf8", 0, end)}\n[the last ${bytes.length - end} of ${bytes.length} bytes are not shown]`;
}

/** What calls of different tools do alike. A gate is on what is done: one on a tool holds whatever else does the same. */
type Effect = "command" | "file";

/** What a call does, and what a pattern is looked for in. */
export interface CallEffect {
  /** `undefined`: something that only its own tool does, as looking at a file. */
  readonly effect: Effect | undefined;
  /** The texts of its fields, as a person reads them. */
  readonly texts: readonly string[];
  /** No pattern can judge it: what it does depends on more than its texts. */
  readonly opaque: boolean;
}

const EFFECTS: Readonly<Record<string, Effect>> = { bash: "command", terminal: "command", write: "file", edit: "file" };

/** What gates on a tool are on. */
function effectOf(tool: string): Effect | undefined {
  return Object.hasOwn(EFFECTS, tool) ? EFFECTS[tool] : undefined;
}

/** What a call of `tool` does. Its arguments are those that the tool's schema let pass. */
function describeCall(tool: string, args: unknown): CallEffect {
  const effect = effectOf(tool);
  const { command, action } = (typeof args === "object" && args !== null ? args : {}) as { command?: unknown; action?: unknown };
  if (tool === "bash") return { effect, texts: textsOf(command), opaque: false };
  if (tool !== "terminal") return { effect, texts: textsOf(args), opaque: false };
  // A terminal without a command is a shell.
  if (action === "open") return { effect, texts: textsOf(command ?? "bash"), opaque: false };
  // Keys may be half a command, one out of the shell's history, or anything to the program that reads them.
  if (action === "type") return { effect, texts: textsOf(args), opaque: true };
  return { effect: undefined, texts: textsOf(args), opaque: false };
}

/** The texts, numbers and truth values in a value, whatever their depth. */
function textsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value === "number" || typeof value === "boolean") return [String(value)];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsOf) : [];
}
