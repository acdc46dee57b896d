import { relative, resolve } from "node:path/posix";
import { type AgentHarnessTool, type Context, createReadTool, getOrThrow, ok } from "@earendil-works/pi-agent-core";
import type { HandsExecutionEnv } from "../env/hands-env.ts";
import { notText } from "./not-text.ts";
import { showPicture } from "./pictures.ts";
import type { ToolContext } from "./tool.ts";

type PiReadTool = ReturnType<typeof createReadTool<ToolContext>>;

/**
 * Pi's read tool, with paths as they are given: a name may begin with an @ and hold any kind of blank. A path that names nothing is tried as
 * models misspell them, and the answer says which file it is of. Of what is neither text nor a picture it says what it is.
 */
export function createSandboxReadTool(): AgentHarnessTool<ToolContext, PiReadTool["parameters"], unknown> {
  const pi = createReadTool<ToolContext>({ imageProcessor: showPicture });
  return {
    ...pi,
    async execute(toolCallId, params, onUpdate, { env }, invocation, context) {
      const path = await findToRead(env, params.path, context);
      const exact = {
        absolutePath: async () => ok(path),
        exists: async () => ok(true),
        readBinaryFile: async (...given: Parameters<HandsExecutionEnv["readBinaryFile"]>) => {
          const file = await env.readBinaryFile(...given);
          const problem = file.ok ? notText(file.value, params.path) : undefined;
          return problem === undefined ? file : ok(Buffer.from(problem));
        },
      } as unknown as ToolContext["env"];
      const wanted = getOrThrow(await env.absolutePath(params.path));
      if (path === wanted) return pi.execute(toolCallId, params, onUpdate, { env: exact }, invocation, context);
      const shown = relative(env.cwd, path);
      const result = await pi.execute(toolCallId, { ...params, path: shown }, onUpdate, { env: exact }, invocation, context);
      const note = { type: "text" as const, text: `[There is no ${params.path}. This is ${shown}]` };
      return { ...result, content: [note, ...result.content] };
    },
  };
}

/** The absolute path of what `path` names, or if that is not there, of what it may have meant. */
async function findToRead(env: HandsExecutionEnv, path: string, context: Context): Promise<string> {
  const exact = getOrThrow(await env.absolutePath(path));
  if (getOrThrow(await env.exists(exact, context))) return exact;
  for (const variant of variantsOf(path)) {
    const candidate = resolve(env.cwd, variant);
    if (getOrThrow(await env.exists(candidate, context))) return candidate;
  }
  return exact;
}

/** How models and people write a path that has another spelling: a mention's @, plain blanks and quotes for those of screenshots' names, composed letters. */
function variantsOf(path: string): string[] {
  const plain = path.replace(/^@/, "").replace(/[\u00A0\u2000-\u200A\u202F\u205F\u3000]/g, " ");
  const spellings = [plain, plain.replace(/ (AM|PM)\./gi, "\u202F$1."), plain.replaceAll("'", "\u2019")];
  return [...new Set(spellings.flatMap((each) => [each, each.normalize("NFD"), each.normalize("NFC")]))].filter((each) => each !== path);
}
