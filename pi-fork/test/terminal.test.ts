import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type AgentHarnessTool, BACKGROUND_CONTEXT, type Context, type ExecutionEnv } from "@earendil-works/pi-agent-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { calls, HandsProcess, ModelProcess, say, scripted } from "../testing/index.ts";
import { createTools } from "../tools/index.ts";
import { keyBytes } from "../tools/terminal-keys.ts";
import { textOf } from "../tools/tool.ts";
import { NO_GATES } from "./fixtures/no-gates.ts";
import { TestSession, told } from "./fixtures/session.ts";
import { abortable, openWorkspace, type TestWorkspace } from "./fixtures/workspace.ts";

let hands: HandsProcess;
beforeAll(async () => {
  hands = await HandsProcess.start();
});
afterAll(() => hands.stop());

const tools = createTools({ started: () => undefined, output: () => undefined }, NO_GATES) as unknown as Array<
  AgentHarnessTool<{ env: ExecutionEnv }>
>;
const tool = tools.find(({ name }) => name === "terminal");
const memos = new Map<string, unknown>();
let invocations = 0;

/** Call the tool as the harness would, with memos that last; what it throws is what the model is told. */
async function call(
  { env }: TestWorkspace,
  args: object,
  id = `call-${++invocations}`,
  context: Context = BACKGROUND_CONTEXT,
): Promise<string> {
  const invocation = {
    invocationId: id,
    operationId: "op",
    turnId: "turn",
    getMemo: async (name: string) => memos.get(`${id} ${name}`) as never,
    setMemo: async (name: string, value: unknown) => void memos.set(`${id} ${name}`, value),
  };
  try {
    return textOf((await tool?.execute("toolu", args, () => undefined, { env }, invocation, context))?.content ?? []);
  } catch (error) {
    return `error: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Open a terminal; returns its id and a way to use it. */
async function opened(workspace: TestWorkspace, args: object = {}) {
  const first = await call(workspace, { action: "open", quietMs: 150, ...args });
  const terminal = /^\[terminal (\w+),/.exec(first)?.[1] ?? "";
  return { terminal, first, act: (action: string, more: object = {}, id?: string) => call(workspace, { action, terminal, ...more }, id) };
}

const SHELL = { command: "PS1='> ' exec bash --norc --noprofile", waitFor: "> " };

const FULL_SCREEN = fileURLToPath(new URL("fixtures/full-screen.ts", import.meta.url));

/** Programs of the machine, as far as it has them; the fixture stands for those that it has not. */
const PROGRAMS = (
  [
    ["/usr/bin/less", driveLess],
    ["/usr/bin/vi", driveVi],
    ["/bin/bash", driveBash],
  ] as const
).filter(([path]) => existsSync(path));

async function driveLess(): Promise<void> {
  const { act } = await opened(await openWorkspace(hands), { command: "seq 500 | less", rows: 10, waitFor: "\n9\n" });
  expect(await act("type", { keys: ["PageDown"], waitFor: "\n18\n" })).toContain("\n10\n11\n");
  expect(await act("type", { keys: ["Up"], waitFor: "9\n10\n" })).toContain("]\n9\n10\n");
  expect(await act("type", { text: "/250\n", waitFor: "\n258\n" })).toContain("]\n250\n251\n");
  expect(await act("type", { keys: ["q"], waitFor: "never", maxMs: 5000 })).toContain("exit code 0");
}

async function driveVi(): Promise<void> {
  const workspace = await openWorkspace(hands);
  const { act } = await opened(workspace, { command: "exec vi note", waitFor: "note" });
  await act("type", { text: "ihello\nworld", keys: ["Escape"], waitFor: "world" });
  expect(await act("type", { text: "kAX", keys: ["Escape"], waitFor: "helloX" })).toContain("]\nhelloX\nworld\n~");
  expect(await act("type", { text: ":wq\n", waitFor: "never", maxMs: 5000 })).toContain("exit code 0");
  expect(Buffer.from(await workspace.workspace.read("note")).toString()).toBe("helloX\nworld\n");
}

async function driveBash(): Promise<void> {
  const { act } = await opened(await openWorkspace(hands), { command: "read -p 'who? ' name; echo hello $name", waitFor: "who?" });
  expect(await act("type", { text: "Ada\n", waitFor: "never", maxMs: 5000 })).toMatch(/exit code 0.*\nwho\? Ada\nhello Ada\n$/s);
}

describe("the terminal tool", () => {
  test("drives a shell, whose state stays between calls", async () => {
    const { act, first, terminal } = await opened(await openWorkspace(hands), { ...SHELL, columns: 60, rows: 8 });
    expect(first).toBe(`[terminal ${terminal}, 60x8, running; cursor at row 1, column 3]\n>`);
    await act("type", { text: "cd /tmp; a=21\n", waitFor: "> " });
    expect(await act("type", { text: "echo $PWD $((2*a))\n", waitFor: "/tmp 42" })).toContain("\n/tmp 42\n");
    expect(await act("list")).toMatch(new RegExp(`^terminal ${terminal}, 60x8, running: /bin/bash -c`));
    expect(await act("type", { text: "exit 3\n", maxMs: 5000, waitFor: "never" })).toContain("its program ended with exit code 3");
    expect(await act("type", { text: "more\n" })).toContain("nothing was typed: open another terminal");
    expect(await act("close")).toBe(`Terminal ${terminal} is closed.`);
    expect(await act("list")).toBe("No terminal is open.");
  });

  test("drives a REPL that keeps what it was told", async () => {
    const { act } = await opened(await openWorkspace(hands), { command: `exec ${process.execPath} -i`, waitFor: "\n> " });
    await act("type", { text: "const name = 'Ada'\n", waitFor: "undefined" });
    expect(await act("type", { text: "[...name].reverse().join('')\n", waitFor: "'adA'" })).toContain("'adA'");
  });

  test("drives a full-screen program by the keys that it asks for", async () => {
    const { act, first } = await opened(await openWorkspace(hands), {
      command: `exec ${process.execPath} ${FULL_SCREEN}`,
      waitFor: "row 4",
    });
    expect(first).toContain("cursor at row 1, column 1]\n> row 0\n  row 1\n");
    expect(await act("type", { keys: ["Down", "Down", "Up", "Down"], waitFor: "> row 2" })).toContain("cursor at row 3, column 1");
    expect(await act("type", { keys: ["q"], waitFor: "never", maxMs: 5000 })).toMatch(/exit code 0.*\nleft at row 2\n$/s);
  });

  test("types a call once, also where the same keys have become other bytes when it is replayed", async () => {
    const { act } = await opened(await openWorkspace(hands), { command: "exec cat -v" });
    await act("type", { text: "first\n", waitFor: "first\nfirst" }, "typed-once");
    expect(await act("type", { text: "other\n" }, "typed-once")).not.toContain("other");
  });

  test.each(PROGRAMS)("drives %s", async (_name, drive) => {
    await drive();
  });

  test("ends what runs in the foreground with Ctrl-C", async () => {
    const { act } = await opened(await openWorkspace(hands), SHELL);
    await act("type", { text: "sleep 300\n", quietMs: 50 });
    await act("type", { keys: ["Ctrl-C"], waitFor: "^C" });
    expect(await act("type", { text: "echo code $?\n", waitFor: "code 130" })).toContain("code 130");
  });

  test("waits no longer than it is told to, and says so", async () => {
    const { act } = await opened(await openWorkspace(hands), { command: "while :; do echo tick; sleep 0.02; done", maxMs: 100 });
    expect(await act("read", { quietMs: 300, maxMs: 100 })).toContain("still writing after 100 ms");
    expect(await act("read", { waitFor: "tock", maxMs: 100 })).toContain('"tock" did not show within 100 ms');
    expect(await act("read")).not.toContain("100 ms");
  });

  test("lets go of the wait when it is aborted, and of nothing else", async () => {
    const workspace = await openWorkspace(hands);
    const { terminal, act } = await opened(workspace, { command: "cat" });
    const { context, abort } = abortable();
    const waiting = call(workspace, { action: "read", terminal, waitFor: "never", maxMs: 60_000 }, "aborted", context);
    abort();
    expect(await waiting).toContain("aborted");
    expect(await act("type", { text: "alive\n", waitFor: "alive\nalive" })).toContain("alive\nalive");
  });

  test("shows no more than a model should read at once", async () => {
    const wide = { command: "yes '\u{1F600}' | head -c 9000000 | tr -d '\\n'; cat", columns: 300, rows: 100 };
    const { act } = await opened(await openWorkspace(hands), wide);
    const shown = await act("read", { scrollback: 1000, quietMs: 300, waitFor: undefined });
    expect(shown).toContain("cut at 50.0KB");
    expect(Buffer.byteLength(shown)).toBeLessThan(52_000);
  });

  test("says what is wrong with a call", async () => {
    const { act, terminal } = await opened(await openWorkspace(hands), { command: "cat" });
    expect(await act("type")).toBe("error: type needs text or keys");
    expect(await act("type", { keys: ["Hyper-X"] })).toMatch(/There is no key "Hyper-X"/);
    expect(await act("read", { terminal: undefined })).toContain("read needs the terminal's id");
    expect(await act("read", { terminal: "t0" })).toContain("Terminal t0 is gone");
    expect(await act("close", { terminal })).toContain("is closed");
    expect(await act("type", { text: "x" })).toContain(`Terminal ${terminal} is gone`);
  });

  test.each([
    [["Enter", "tab", "ESC", "x", "é"], false, "\r\t\x1bxé"],
    [["Ctrl-C", "C-d", "Ctrl+Z", "ctrl-[", "Ctrl-Space"], false, "\x03\x04\x1a\x1b\0"],
    [["Up", "End"], false, "\x1b[A\x1b[F"],
    [["Up", "End"], true, "\x1bOA\x1bOF"],
    [["Alt-x", "Alt-X", "F5", "F12"], false, "\x1bx\x1bX\x1b[15~\x1b[24~"],
  ])("sends for the keys %j (application form: %j) what xterm sends", (keys, application, bytes) => {
    expect(keyBytes(keys, application)).toBe(bytes);
  });
});

describe("a terminal call that is replayed", () => {
  test("opens, types and closes once", async () => {
    const workspace = await openWorkspace(hands);
    const open = () => call(workspace, { action: "open", command: "echo run >>runs; cat", quietMs: 150 }, "the-open");
    const terminal = /^\[terminal (\w+),/.exec(await open())?.[1];
    await open();
    const type = () => call(workspace, { action: "type", terminal, text: "once\n", waitFor: "once\nonce" }, "the-type");
    const first = await type();
    expect(await type()).toBe(first);
    expect(first.match(/once/g)).toHaveLength(2);
    const close = () => call(workspace, { action: "close", terminal }, "the-close");
    expect(await close()).toBe(await close());
    expect(await open()).toContain("is gone");
    expect(Buffer.from(await workspace.workspace.read("runs")).toString()).toBe("run\n");
  });

  test("tells that its terminal is lost where the sandbox died meanwhile, and neither runs nor types again", async () => {
    const own = await HandsProcess.start();
    try {
      const workspace = await openWorkspace(own);
      const open = () => call(workspace, { action: "open", command: "echo run >>runs; exec cat", quietMs: 150 }, "open-lost");
      const terminal = /^\[terminal (\w+),/.exec(await open())?.[1];
      const waiting = call(workspace, { action: "type", terminal, text: "x\n", waitFor: "never", maxMs: 60_000 }, "type-lost");
      await own.kill();
      own.restart();
      expect(await waiting).toContain(`Terminal ${terminal} is gone`);
      expect(await open()).toContain("lost when its sandbox restarted");
      expect(workspace.lost).toEqual([]);
      expect(Buffer.from(await workspace.workspace.read("runs")).toString()).toBe("run\n");
    } finally {
      await own.stop();
    }
  });
});

test("an agent that is let go of while it waits at a terminal goes on in another one, and has typed once", async () => {
  const model = await ModelProcess.start();
  try {
    const session = await TestSession.open(hands, model);
    const open = calls({ name: "terminal", input: { action: "open", command: "cat", quietMs: 150 } });
    const first = await session.agent();
    await first.agent.run("open", scripted(open, say("opened")));
    const terminal = /^\[terminal (\w+),/.exec(told(first.events, "tool_ended")[0]?.text ?? "")?.[1];
    const type = { action: "type", terminal, text: "once\n", waitFor: "go on", maxMs: 60_000 };
    const prompt = scripted(calls({ name: "terminal", input: type }), say("done"));
    const run = first.agent.run("type", prompt);
    const { workspace } = await openWorkspace(hands, session.workspaceName, session.epoch);
    const typed = Promise.withResolvers<void>();
    let seen = "";
    const watcher = workspace.attachTerminal(terminal ?? "", (update) => {
      if (update.kind === "output") seen += Buffer.from(update.data).toString();
      if (seen.includes("once\r\nonce\r\n")) typed.resolve();
    });
    await typed.promise;
    await first.agent.close();
    expect(await run).toEqual({ kind: "suspended" });
    const second = await session.agent();
    const resumed = second.agent.run("type", prompt);
    watcher.write(Buffer.from("go on\n"));
    expect(await resumed).toEqual({ kind: "completed", text: "done" });
    expect(told(second.events, "tool_ended")[0]?.text).toMatch(/\]\nonce\nonce\ngo on\n/);
    expect(seen.match(/once/g)).toHaveLength(2);
    watcher.detach();
  } finally {
    await model.stop();
  }
});
