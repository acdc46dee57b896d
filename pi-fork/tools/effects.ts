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
export function effectOf(tool: string): Effect | undefined {
  return Object.hasOwn(EFFECTS, tool) ? EFFECTS[tool] : undefined;
}

/** What a call of `tool` does. Its arguments are those that the tool's schema let pass. */
export function describeCall(tool: string, args: unknown): CallEffect {
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
