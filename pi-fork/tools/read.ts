import { relative, resolve } from "node:path/posix";
import { type AgentHarnessTool, type Context, createReadTool, getOrThrow, ok, type ReadToolOptions } from "@earendil-works/pi-agent-core";
import { imageProblem } from "@serverless-harness/kit/image-header";
import { IMAGE_TYPES, imageType } from "@serverless-harness/kit/image-type";
import type { HandsExecutionEnv } from "../env/hands-env.ts";
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

/** Largest picture that the model is shown, in bytes: it goes with every request from then on. */
const MAX_BYTES = 2 * 1024 * 1024;

/** Pictures that are read go to the model as they are; of others it is told why it can't see them. */
const showPicture: NonNullable<ReadToolOptions["imageProcessor"]> = async (bytes, mimeType) => {
  if (!IMAGE_TYPES.includes(mimeType)) return { ok: false, message: `[Not shown: convert it to one of ${IMAGE_TYPES.join(", ")} first]` };
  if (bytes.length > MAX_BYTES)
    return { ok: false, message: `[Not shown: it has ${bytes.length} bytes, at most ${MAX_BYTES} are shown. Make it smaller first]` };
  const problem = imageProblem(bytes);
  if (problem !== undefined) return { ok: false, message: `[Not shown: it ${problem}]` };
  return { ok: true, data: Buffer.from(bytes).toString("base64"), mimeType, hints: [] };
};

/** Bytes that are looked at. */
const SAMPLE_BYTES = 8 * 1024;
/** A text in an old encoding has fewer characters than this that are no UTF-8, and is readable without them. */
const MOST_INVALID = 0.1;

/** What a file is that is neither text nor a picture, and how to look into it; `undefined` if it is one of these. `name`: as the model names it. */
function notText(file: Uint8Array, name: string): string | undefined {
  if (imageType(file) !== undefined) return undefined;
  const sample = Buffer.from(file.buffer, file.byteOffset, Math.min(file.length, SAMPLE_BYTES));
  const utf16 = utf16Of(sample);
  if (utf16 !== undefined) return `${describe(name, file)}text in ${utf16}: read it with bash: iconv -f ${utf16} -t UTF-8]`;
  if (!sample.includes(0) && invalidShare(sample) < MOST_INVALID) return undefined;
  return `${describe(name, file)}a binary file: look into it with bash, as by file, xxd or strings]`;
}

function describe(name: string, { length }: Uint8Array): string {
  return `[${name} has ${length} bytes and is not shown. It is `;
}

/** By its mark, or as text in mostly Latin letters shows: every other byte is zero. */
function utf16Of(sample: Buffer): string | undefined {
  // UTF-32 begins alike, and has zeros in any case.
  if (sample.length >= 4 && sample.readUInt32LE(0) === 0xfeff) return "UTF-32LE";
  if (sample[0] === 0xff && sample[1] === 0xfe) return "UTF-16LE";
  if (sample[0] === 0xfe && sample[1] === 0xff) return "UTF-16BE";
  const zeros = [0, 0];
  for (const [index, byte] of sample.entries()) if (byte === 0) zeros[index % 2] = (zeros[index % 2] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  if (odd * 2 > sample.length * 0.7 && even === 0) return "UTF-16LE";
  return even * 2 > sample.length * 0.7 && odd === 0 ? "UTF-16BE" : undefined;
}

/** How much of it is no UTF-8; a character that the sample cuts counts little. */
function invalidShare(sample: Buffer): number {
  if (sample.length === 0) return 0;
  return (sample.toString("utf8").match(/\ufffd/g)?.length ?? 0) / sample.length;
}
