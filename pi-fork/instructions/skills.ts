import { relative } from "node:path/posix";
import {
  BACKGROUND_CONTEXT as CONTEXT,
  type Context,
  FileError,
  type FileInfo,
  formatSkillsForSystemPrompt,
  loadSkills,
  ok,
  type Skill,
} from "@earendil-works/pi-agent-core";
import type { WorkspaceClient } from "@serverless-harness/hands/client";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { HandsExecutionEnv } from "../env/hands-env.ts";

/** All of it, in milliseconds: a leaf begins without the skills that were not found by then. */
const MAX_MS = 3000;
/** Round trips. A directory takes five, a skill one more. */
const MAX_CALLS = 500;
/** Of a file of a skill, in bytes. Its description stands at its begin; the model reads the rest itself. */
const MAX_FILE_BYTES = 64 * 1024;
/** Entries of a directory. */
const MAX_ENTRIES = 256;
/** Directories in each other, below the workspace: a link to a directory above would have no end. */
const MAX_DEPTH = 5;
const MAX_DESCRIPTION_CHARS = 1024;
const MAX_TEXT_CHARS = 32 * 1024;

type Outcome<T> = Promise<{ ok: true; value: T } | { ok: false; error: FileError }>;

/** What a workspace's skills are, and where, as text for the model. Throws if the sandbox can't be used. */
export async function readSkills(workspace: WorkspaceClient, cwd: string, directories: readonly string[]): Promise<string> {
  let lost: HarnessError | undefined;
  const onLost = (error: HarnessError): void => {
    lost = error;
  };
  const env = new BoundedEnv({ workspace, cwd, onLost });
  const { skills } = await loadSkills(env, [...directories], CONTEXT);
  if (lost !== undefined) throw lost;
  const named = new Map(skills.map((skill) => [skill.name, skill]));
  return textOf([...named.values()].filter((skill) => !skill.disableModelInvocation));
}

function textOf(skills: readonly Skill[]): string {
  const shown = skills.map((skill) => ({ ...skill, description: skill.description.slice(0, MAX_DESCRIPTION_CHARS) }));
  while (formatSkillsForSystemPrompt(shown).length > MAX_TEXT_CHARS) shown.pop();
  const left = skills.length - shown.length;
  const more = left === 0 ? "" : `\n[${left} more skills are not listed: there are too many.]`;
  return formatSkillsForSystemPrompt(shown) + more;
}

/** The workspace, as far as Pi looks for skills in it: what is too much, or comes too late, is not found. */
class BoundedEnv extends HandsExecutionEnv {
  readonly #untilMs = performance.now() + MAX_MS;
  #calls = 0;

  override fileInfo(path: string, context: Context): Outcome<FileInfo> {
    return this.#bounded(path, () => super.fileInfo(path, context));
  }

  override canonicalPath(path: string, context: Context): Outcome<string> {
    return this.#bounded(path, () => super.canonicalPath(path, context));
  }

  override async listDir(path: string, context: Context): Outcome<FileInfo[]> {
    if (relative(this.cwd, path).split("/").length > MAX_DEPTH) return tooMuch(path);
    const listed = await this.#bounded(path, () => super.listDir(path, context));
    return listed.ok ? ok(listed.value.slice(0, MAX_ENTRIES)) : listed;
  }

  override readTextFile(path: string, context: Context): Outcome<string> {
    const read = () => this.call(path, context, (hands, absolute) => hands.read(absolute, { length: MAX_FILE_BYTES }));
    return this.#bounded(path, async () => {
      const file = await read();
      return file.ok ? ok(Buffer.from(file.value).toString("utf8")) : file;
    });
  }

  async #bounded<T>(path: string, call: () => Outcome<T>): Outcome<T> {
    const left = this.#untilMs - performance.now();
    if (left <= 0 || ++this.#calls > MAX_CALLS) return tooMuch(path);
    const late = Promise.withResolvers<ReturnType<typeof tooMuch>>();
    const timer = setTimeout(() => late.resolve(tooMuch(path)), left);
    return Promise.race([call(), late.promise]).finally(() => clearTimeout(timer));
  }
}

function tooMuch(path: string): { ok: false; error: FileError } {
  return { ok: false, error: new FileError("aborted", "looked for skills for long enough", path) };
}
