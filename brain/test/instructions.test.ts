import { bash, HeldCommand, type Step, say, scripted } from "@serverless-harness/pi-fork/testing";
import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { machines, resident, Stack } from "./fixtures/stack.ts";

const shared = machines();
const house = resident(shared);

/** What the model finds in its instructions. Commands write `%s` where it stands, so that it is nowhere else. */
const rule = (more: Step = {}): Step => ({ recall: "the rule is (\\w+)", text: "{{recall}}", ...more });
const NONE = "(nothing found)";
const write = (file: string, word: string): string => `printf 'the %s is ${word}' rule > ${file}`;

/** The answer of a leaf in a workspace that commands of an earlier leaf prepared. */
async function answerIn(preparation: string, ...steps: Step[]): Promise<string | undefined> {
  const { stack } = house;
  const before = await stack.ended(await stack.submit(scripted(bash(preparation), say("{{last_tool_result}}"))));
  const leaf = await stack.submit(scripted(...steps), { sessionId: before.spec?.sessionId ?? "" });
  const ended = await stack.ended(leaf);
  expect(ended).toMatchObject({ state: LeafState.DONE, failedAttempts: 0 });
  return ended.result?.text;
}

describe("a workspace's AGENTS.md", () => {
  test("is told to the model, and CLAUDE.md where there is none", async () => {
    expect(await answerIn(write("AGENTS.md", "kiwi"), rule())).toBe("kiwi");
    expect(await answerIn(write("CLAUDE.md", "fig"), rule())).toBe("fig");
    expect(await answerIn(`${write("CLAUDE.md", "fig")}; ${write("AGENTS.md", "kiwi")}`, rule())).toBe("kiwi");
    expect(await answerIn("true", rule())).toBe(NONE);
  });

  test("comes behind the leaf's own instructions", async () => {
    const { stack } = house;
    const before = await stack.ended(await stack.submit(scripted(bash(write("AGENTS.md", "kiwi")), say("done"))));
    const leaf = await stack.submit(scripted({ recall: "(leaf's own[\\s\\S]*AGENTS.md>[\\s\\S]*AGENTS.md>)$", text: "{{recall}}" }), {
      sessionId: before.spec?.sessionId ?? "",
      systemPrompt: "The leaf's own words.",
    });
    expect((await stack.ended(leaf)).result?.text).toMatch(
      /^leaf's own words\.\n\nYou are [\s\S]*<AGENTS\.md>\nthe rule is kiwi\n<\/AGENTS\.md>$/,
    );
  });

  test("that is long is cut, which is said", async () => {
    const long = `${write("AGENTS.md", "kiwi")}; head -c 70000 /dev/zero | tr '\\0' y >> AGENTS.md`;
    expect(await answerIn(long, rule({ recall: "the rule is (kiwi)y{65520}\\n\\[AGENTS.md goes on: only its first 64 KiB" }))).toBe("kiwi");
  });

  test.each([
    ["a pipe", "mkfifo AGENTS.md"],
    ["a directory", "mkdir AGENTS.md"],
    ["a link that leads out", "ln -s /etc/passwd AGENTS.md"],
    ["a link to itself", "ln -s AGENTS.md AGENTS.md"],
    ["nobody's to read", `${write("AGENTS.md", "kiwi")}; ln -sf /proc/kmsg AGENTS.md`],
    ["empty", ": > AGENTS.md"],
  ])("that is %s counts as not there, and CLAUDE.md is asked", async (_what, preparation) => {
    expect(await answerIn(`${preparation}; ${write("CLAUDE.md", "fig")}`, rule())).toBe("fig");
  });

  test("that is no text does no harm", async () => {
    expect(await answerIn("head -c 5000 /dev/urandom > AGENTS.md", say("fine"))).toBe("fine");
  });

  test("is the same from an operation's begin to its end, and the next one has the new one", async () => {
    const { stack } = house;
    const before = await stack.ended(await stack.submit(scripted(bash(write("AGENTS.md", "kiwi")), say("done"))));
    const sessionId = before.spec?.sessionId ?? "";
    const changing = await stack.submit(scripted(bash(write("AGENTS.md", "fig")), rule()), { sessionId });
    expect((await stack.ended(changing)).result?.text).toBe("kiwi");
    const next = await stack.submit(scripted(rule()), { sessionId });
    expect((await stack.ended(next)).result?.text).toBe("fig");
  });

  test("is the same for a brain that takes over", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const ended = async (leaf: Leaf): Promise<string | undefined> => (await stack.ended(leaf)).result?.text;
    const first = stack.brain({ BRAIN_GRACE_MS: "60000" });
    const before = await stack.submit(scripted(bash(write("AGENTS.md", "kiwi")), say("done")));
    await ended(before);
    const leaf = await stack.submit(scripted(bash(`${write("AGENTS.md", "fig")}; ${held.command}`), rule()), {
      sessionId: before.spec?.sessionId ?? "",
    });
    await held.begun();
    await stack.crash(first);
    stack.brain();
    await held.open();
    expect(await ended(leaf)).toBe("kiwi");
  });
});

describe("a workspace's skills", () => {
  const skill = (directory: string, name: string, word: string): string =>
    `mkdir -p ${directory}/${name}; printf -- '---\\nname: ${name}\\ndescription: the %s is ${word}\\n---\\nDo it.' rule > ${directory}/${name}/SKILL.md`;

  test.each([".agents/skills", ".pi/skills"])("in %s are told to the model, with where they are", async (directory) => {
    const where = { recall: "the rule is (kiwi</description>\\s*<location>\\S*)</location>" };
    expect(await answerIn(skill(directory, "press", "kiwi"), rule(where))).toMatch(new RegExp(`/${directory}/press/SKILL.md$`));
  });

  test("that are broken, pipes, or lead out are left out; the others are there", async () => {
    const broken = [
      "mkdir -p .agents/skills/a .agents/skills/b .agents/skills/c",
      "mkfifo .agents/skills/a/SKILL.md",
      "printf -- '---\\n: [\\n---\\n' > .agents/skills/b/SKILL.md",
      "ln -s /etc/passwd .agents/skills/c/SKILL.md",
      "ln -s /etc .agents/skills/d",
      "ln -s . .agents/skills/e",
    ].join("; ");
    expect(await answerIn(`${broken}; ${skill(".agents/skills", "press", "kiwi")}`, rule())).toBe("kiwi");
  });

  test("that are too many are not all told, nor looked for without end", async () => {
    const many = `for i in $(seq 300); do mkdir -p .pi/skills/s$i; printf -- "---\\nname: s$i\\ndescription: the %s is kiwi\\n---\\n" rule > .pi/skills/s$i/SKILL.md; done`;
    expect(await answerIn(many, rule())).toBe("kiwi");
  });
});
