/**
 * Tells the story of the system on real processes, each claim with what was measured, and ends with the line
 * `demo: N of N claims hold`; exit code 0 only then. `--json` writes the claims as JSON; other options go to `leaf up`.
 */
import { Claims, messageOf, time } from "./claims.ts";
import { DemoStack, type StackInfo } from "./stack.ts";
import { CLAIMS, tellStory } from "./story.ts";
import { World } from "./world.ts";

const options = process.argv.slice(2);
const json = options.includes("--json");
const claims = new Claims(json);
const stack = new DemoStack();
let removed: Promise<void> | undefined;
const remove = (): Promise<void> => (removed ??= stack.remove());

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    claims.silence();
    process.stderr.write(`demo: interrupted, everything is taken down again\n`);
    void remove().finally(() => process.exit(130));
  });
}

const startedAtMs = Date.now();
let info: StackInfo | undefined;
try {
  info = await stack.up(options.filter((option) => option !== "--json"));
  claims.say(introduction(info, Date.now() - startedAtMs));
  await tell(info);
  if (claims.holding < CLAIMS) process.stderr.write(`\nThe end of the logs:\n${await stack.logs()}\n`);
} catch (error) {
  process.stderr.write(`demo: ${messageOf(error)}\n`);
} finally {
  await remove();
}
const last = `demo: ${claims.holding} of ${CLAIMS} claims hold`;
if (json) console.log(JSON.stringify({ model: info?.model, standIn: info?.standIn, sandbox: info?.sandbox, claims: claims.all }, null, 2));
else claims.say(`took ${time(Date.now() - startedAtMs)}, everything is taken down again`);
(json ? process.stderr : process.stdout).write(`${last}\n`);
process.exitCode = claims.holding === CLAIMS ? 0 : 1;

async function tell(stackInfo: StackInfo): Promise<void> {
  const world = new World(stackInfo);
  try {
    await tellStory(world, claims);
  } finally {
    world.close();
  }
}

function introduction({ model, standIn, sandbox, url }: StackInfo, tookMs: number): string {
  const who = standIn
    ? "a scripted stand-in answers, which is no language model (set ANTHROPIC_API_KEY, or LEAF_MODEL and its key, for a real one)"
    : `${model} answers, over the network`;
  const jail = sandbox === "bwrap" ? "in a bubblewrap jail" : "without a jail, as --sandbox process asks";
  return `Model: ${who}\nSandbox: commands run ${jail}\nA stack of its own is up at ${url} after ${time(tookMs)}\n`;
}
