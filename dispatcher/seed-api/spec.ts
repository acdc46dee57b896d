import { create } from "@bufbuild/protobuf";
import { LeafKind, type LeafSpec, LeafSpecSchema } from "@serverless-harness/proto/leaf";
import type { ReviewItem, RunEnvelope } from "./envelope.ts";
import type { SeedApiSettings } from "./settings.ts";

const COMPAT_MAX_TURNS = 40;
/** Answers that an agent whose tool calls are refused may still give, to come to its end. */
const LAST_WORDS = 10;

/** A run as a leaf on the session `name`. */
export function runSpec(envelope: RunEnvelope, name: string, settings: SeedApiSettings): LeafSpec {
  const { work, repoUrl, ref } = envelope;
  if (work.kind === "file") throw new Error("the item has to be read before");
  const repository = repoUrl !== "" && ref !== "" ? { repository: { url: repoUrl, ref } } : {};
  const shared = { sessionId: name, model: modelOf(envelope, settings), limits: limitsOf(envelope, settings), ...repository };
  if (work.kind === "solve") {
    const systemPrompt = work.envKey === "" ? "" : environmentWords(work.envKey);
    return create(LeafSpecSchema, { ...shared, kind: LeafKind.SOLVE, prompt: work.problem, systemPrompt });
  }
  const workspace = repoUrl !== "" && ref !== "" ? "" : envelope.workspaceRef;
  const gates = { requestApproval: true, holdResult: work.item.requireApproval };
  return create(LeafSpecSchema, { ...shared, kind: LeafKind.TASK, prompt: reviewPrompt(work.item, workspace), gates });
}

/** Why a run can't be worked on, for its record; empty: it can. */
export function unusable({ work, repoUrl, ref }: RunEnvelope): string {
  if (work.kind !== "solve") return "";
  const missing = Object.entries({ problemStatement: work.problem.trim(), repoUrl, ref }).filter(([, text]) => text === "");
  return missing.map(([name]) => `${name} must not be empty`).join("; ");
}

/** Stands for a run that can't be worked on. */
export function unusableSpec(name: string): LeafSpec {
  return create(LeafSpecSchema, { sessionId: name, kind: LeafKind.TASK, prompt: "What this run was to work on could not be read." });
}

function reviewPrompt({ itemId, file, pattern, requireApproval }: ReviewItem, workspace: string): string {
  const path = workspace === "" ? file : `${workspace.replace(/\/+$/, "")}/${file}`;
  const words = [
    "Judge one file by one pattern.",
    `Item: ${itemId}\nFile: ${path}\nPattern: ${pattern}`,
    "Look into the file. The verdict is FLAGGED if the pattern occurs in it, and CLEAR if it does not. Hand it in with the item's id, and say in a sentence what you saw.",
    ...(requireApproval
      ? ["A human has to agree before: ask with request_approval, say what you found and which verdict you propose, and follow the answer."]
      : []),
  ];
  return words.join("\n\n");
}

function environmentWords(envKey: string): string {
  const environment = `/opt/miniconda3/envs/${envKey.replace(/:latest$/, "")}`;
  return `The Python packages that the repository needs are in ${environment}. Make a virtual environment outside of the repository with ${environment}/bin/python -m venv --system-site-packages, install the repository into it (pip install --no-build-isolation -e . or, where that fails, without the first option), and use its interpreter throughout.`;
}

function modelOf({ model, provider }: RunEnvelope, settings: SeedApiSettings): string {
  if (model === "" && provider === "") return "";
  return `${provider || settings.provider}/${model || settings.model}`;
}

/** In the seed's way, an agent that has used up its turns may say its last words, and its run has no verdict; in ours the leaf fails at once. */
function limitsOf({ maxTurns }: RunEnvelope, { compat }: SeedApiSettings): { maxToolTurns?: number; maxModelCalls?: number } {
  if (!compat) return maxTurns === 0 ? {} : { maxModelCalls: maxTurns };
  const turns = maxTurns || COMPAT_MAX_TURNS;
  return { maxToolTurns: turns, maxModelCalls: turns + LAST_WORDS };
}
