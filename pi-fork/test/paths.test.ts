import { type AgentHarnessTool, BACKGROUND_CONTEXT as C } from "@earendil-works/pi-agent-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HandsProcess } from "../testing/index.ts";
import { createTools } from "../tools/index.ts";
import { textOf } from "../tools/tool.ts";
import { NO_GATES } from "./fixtures/no-gates.ts";
import { openWorkspace, type TestWorkspace } from "./fixtures/workspace.ts";

let hands: HandsProcess;
beforeAll(async () => {
  hands = await HandsProcess.start();
});
afterAll(() => hands.stop());

const tools = createTools({ started: () => undefined, output: () => undefined }, NO_GATES) as unknown as Array<
  AgentHarnessTool<{ env: never }>
>;
let invocations = 0;

/** Call a tool; what it throws is what the model is told. */
async function call({ env }: TestWorkspace, name: string, args: object): Promise<string> {
  const invocation = {
    invocationId: `call-${++invocations}`,
    operationId: "op",
    turnId: "turn",
    getMemo: async () => undefined,
    setMemo: async () => undefined,
  };
  const tool = tools.find((each) => each.name === name);
  try {
    return textOf((await tool?.execute("toolu", args, () => undefined, { env: env as never }, invocation, C))?.content ?? []);
  } catch (error) {
    return `error: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Names beside those that they would become if somebody tidied them up. */
const NAMES = [
  ["@types/a.d.ts", "types/a.d.ts"],
  ["@f", "f"],
  ["a\u00A0b", "a b"],
  ["a\u202Fb", "a b"],
  ["a\u3000b", "a b"],
  ["caf\u00E9", "cafe\u0301"],
  ["it's", "it\u2019s"],
  [" a ", "a"],
  ["at 5 PM.png", "at 5\u202FPM.png"],
] as const;

describe.each(NAMES)("the path %j is taken as it is, beside %j", (name, other) => {
  test("when a file is written, edited, read, searched", async () => {
    const place = await openWorkspace(hands);
    await call(place, "write", { path: other, content: "other" });
    expect(await call(place, "write", { path: name, content: "own" })).toBe(`Successfully wrote to ${name}`);
    expect(await call(place, "read", { path: name })).toBe("own");
    expect(await call(place, "read", { path: other })).toBe("other");
    expect(await call(place, "edit", { path: name, edits: [{ oldText: "own", newText: "mine" }] })).toContain("Successfully replaced");
    expect(await call(place, "read", { path: name })).toBe("mine");
    expect(await call(place, "read", { path: other })).toBe("other");
    expect(await call(place, "grep", { pattern: "i", path: name })).toContain("mine");
  });

  test("and where it is not there, nothing else is changed for it", async () => {
    const place = await openWorkspace(hands);
    await call(place, "write", { path: other, content: "other" });
    expect(await call(place, "edit", { path: name, edits: [{ oldText: "other", newText: "changed" }] })).toMatch(
      /^error: Could not edit file/,
    );
    expect(await call(place, "read", { path: other })).toBe("other");
  });
});

describe("a path that names nothing", () => {
  test.each([
    ["@types/a.d.ts", "types/a.d.ts"],
    ["a\u00A0b", "a b"],
    ["caf\u00E9", "cafe\u0301"],
    ["cafe\u0301", "caf\u00E9"],
    ["it's", "it\u2019s"],
    ["at 5 PM.png", "at 5\u202FPM.png"],
  ])("is read as what %j may have meant, which is said", async (asked, there) => {
    const place = await openWorkspace(hands);
    await call(place, "write", { path: there, content: "found" });
    expect(await call(place, "read", { path: asked })).toBe(`[There is no ${asked}. This is ${there}]\nfound`);
  });

  test("and means nothing either is not found", async () => {
    expect(await call(await openWorkspace(hands), "read", { path: "@nowhere" })).toMatch(/^error: .*@nowhere/);
  });
});
