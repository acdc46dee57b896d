import { BACKGROUND_CONTEXT as CONTEXT, type Session, value } from "@earendil-works/pi-agent-core";
import type { BatchOutcome, WorkspaceClient } from "@serverless-harness/hands/client";
import { isFatal } from "../env/errors.ts";

/** The instructions that an operation began with. */
interface StoredInstructions {
  readonly operationId: string;
  readonly text: string;
}

/** One per session, of its newest operation that had any. */
const STORED = value<StoredInstructions>("harness.instructions", "main");

/**
 * The workspace's instructions for an operation: those that were there when it began, whoever works on it and whatever the agent makes of the files
 * meanwhile. So each request begins as the one before, which providers cache, and nothing that a command writes changes the rules in the middle.
 */
export class Instructions {
  readonly #session: Session;
  readonly #read: () => Promise<string>;
  #early: Promise<string> | undefined;
  #text = "";

  /** `early`: what `read` brings, asked before anything else. */
  constructor(session: Session, read: () => Promise<string>, early: Promise<string>) {
    this.#session = session;
    this.#read = read;
    this.#early = early;
    early.catch(() => undefined);
  }

  /** What the model is told now. */
  get text(): string {
    return this.#text;
  }

  /** The workspace's files are others by now. */
  changed(): void {
    this.#early = undefined;
  }

  /** An operation is about to begin. */
  async begin(operationId: string): Promise<void> {
    this.#text = await (this.#early ?? this.#read());
    if (this.#text !== "") await this.#session.setValue(STORED, { operationId, text: this.#text }, CONTEXT);
  }

  /** An operation that had begun goes on. */
  async takeUp(operationId: string): Promise<void> {
    const stored = (await this.#session.getValue(STORED, CONTEXT))?.value;
    this.#text = stored?.operationId === operationId ? stored.text : "";
  }
}

/** A workspace's own instructions: the first of these that it has, at its root. The others are those of other agents. */
const FILES = ["AGENTS.md", "CLAUDE.md"] as const;
/** Where a workspace keeps its skills. */
const SKILL_DIRECTORIES = [".agents/skills", ".pi/skills"] as const;
/** What is read of the instructions, in bytes: they go with every request. */
const MAX_BYTES = 64 * 1024;

/**
 * What a workspace asks of its agents, as text for the model; empty if it asks for nothing, which costs one round trip. What can't be read (a
 * link that leads out, a pipe, a directory) counts as not there. Throws if the sandbox can't be used.
 */
export async function readInstructions(workspace: WorkspaceClient, cwd: string): Promise<string> {
  const steps = [
    ...FILES.map((path) => ({ kind: "read", path, length: MAX_BYTES + 1 }) as const),
    ...SKILL_DIRECTORIES.map((path) => ({ kind: "stat", path, follow: true }) as const),
  ];
  const outcomes = await workspace.batch(steps);
  for (const { case: kind, value } of outcomes) if (kind === "error" && isFatal(value)) throw value;
  const file = FILES.map((name, index) => fileText(name, outcomes[index])).find((text) => text !== "") ?? "";
  const directories = SKILL_DIRECTORIES.filter((_path, index) => outcomes[FILES.length + index]?.case === "stat");
  if (directories.length === 0) return file;
  // They bring parsers along that most workspaces have no need of.
  const { readSkills } = await import("./skills.ts");
  return [file, await readSkills(workspace, cwd, directories)].filter((text) => text !== "").join("\n\n");
}

function fileText(name: string, outcome: BatchOutcome | undefined): string {
  if (outcome?.case !== "read") return "";
  const { data } = outcome.value;
  const text = new TextDecoder().decode(data.subarray(0, MAX_BYTES), { stream: true }).trim();
  if (text === "") return "";
  const cut =
    data.length > MAX_BYTES
      ? `\n[${name} goes on: only its first ${MAX_BYTES / 1024} KiB are shown. Read the rest where you need it.]`
      : "";
  return `The workspace has instructions of its own. Follow them, as far as nothing above says otherwise:\n\n<${name}>\n${text}${cut}\n</${name}>`;
}
