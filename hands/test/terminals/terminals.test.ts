import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, createClient } from "@connectrpc/connect";
import { commandLine } from "@serverless-harness/kit/proc";
import { startServer, temporaryDirectory } from "@serverless-harness/kit/testing";
import { type OpenRequestSchema, TerminalService, TerminalServiceAttachRequestSchema } from "@serverless-harness/proto/hands";
import { describe, expect, it, onTestFinished } from "vitest";
import { terminalService } from "../../rpc/terminal.ts";
import { startPty } from "../../terminals/pty.ts";
import { SCROLLBACK_BYTES } from "../../terminals/terminal.ts";
import { Terminals } from "../../terminals/terminals.ts";
import { Workspaces } from "../../workspaces/workspaces.ts";

const WORKSPACE = "acme/s1";
const TARGET = { terminalId: "t1", workspace: WORKSPACE, epoch: 1n };

async function startTerminals() {
  const root = await temporaryDirectory();
  const workspaces = await Workspaces.open({ root: join(root, "workspaces"), state: join(root, "state") });
  await workspaces.create(WORKSPACE, 1n);
  await mkdir(join(workspaces.find(WORKSPACE).path, "sub"));
  const terminals = new Terminals(() => startPty, { perWorkspace: 4, ended: 2 });
  const environment = () => ({ PATH: "/usr/local/bin:/usr/bin:/bin", HOME: root, PS1: "$ ", LANG: "C.UTF-8" });
  const deps = { workspaces, terminals, environment };
  const { client } = await startServer({ routes: (router) => router.service(TerminalService, terminalService(deps)) });
  onTestFinished(() => terminals.closeAll());
  const rpc = createClient(TerminalService, client());
  return { rpc, workspaces, terminals, open: (request: MessageInitShape<typeof OpenRequestSchema>) => rpc.open({ ...TARGET, ...request }) };
}

type Rpc = Client<typeof TerminalService>;
type Say = MessageInitShape<typeof TerminalServiceAttachRequestSchema>["request"];

/** A watcher with its own stream. */
function watch(rpc: Rpc, fromOffset = 0n, epoch = 1n) {
  const queue: Say[] = [{ case: "target", value: { ...TARGET, epoch, fromOffset } }];
  let wake: () => void = () => undefined;
  let closed = false;
  async function* requests() {
    while (!closed) {
      const request = queue.shift();
      if (request !== undefined) yield create(TerminalServiceAttachRequestSchema, { request });
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  const stream = rpc.attach(requests())[Symbol.asyncIterator]();
  const seen = { text: "", bytes: 0, gaps: [] as Array<[bigint, bigint]>, sizes: [] as string[], exitCode: -1, signal: "" };
  const next = async (): Promise<boolean> => {
    const message = await stream.next();
    if (message.done) return false;
    const { event } = message.value;
    if (event.case === "output") {
      expect(Number(event.value.offset)).toBe(Number(seen.gaps.at(-1)?.[1] ?? fromOffset) + seen.bytes);
      seen.bytes += event.value.data.length;
      seen.text += Buffer.from(event.value.data).toString("latin1");
    } else if (event.case === "gap") {
      seen.gaps.push([event.value.fromOffset, event.value.toOffset]);
      seen.bytes = 0;
    } else if (event.case === "resized") seen.sizes.push(`${event.value.columns}x${event.value.rows}`);
    else if (event.case === "ended") Object.assign(seen, { exitCode: event.value.exitCode, signal: event.value.signal });
    return true;
  };
  return {
    seen,
    next,
    say: (request: Say) => {
      queue.push(request);
      wake();
    },
    type: (text: string) => {
      queue.push({ case: "input", value: Buffer.from(text) });
      wake();
    },
    until: async (holds: () => boolean) => {
      while (!holds() && (await next()));
    },
    toEnd: async () => {
      while (await next());
      return seen;
    },
    leave: () => {
      closed = true;
      wake();
      void stream.return?.();
    },
  };
}

/** The letter for a process's state, as `Z` if it has ended; `-` if there is none. */
function stateOf(pid: number): string {
  try {
    return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1] ?? "-";
  } catch {
    return "-";
  }
}

it("tells a program's end as it was, whatever signal comes too late for it", async () => {
  const ended = Promise.withResolvers<{ readonly signal: NodeJS.Signals | undefined }>();
  const spec = { argv: ["sleep", "600"], cwd: "/", env: { PATH: "/usr/bin:/bin" }, columns: 80, rows: 24 };
  const pty = startPty(spec, { output: () => undefined, ended: ended.resolve });
  const pid = await pty.pid;
  pty.signal("SIGHUP");
  // Without a turn of this process's loop, which would hear of the end: until it is over, and the guard had its time to end too.
  const spin = (process: number, longestMs: number): void => {
    const end = performance.now() + longestMs;
    while (!"-Z".includes(stateOf(process)) && performance.now() < end);
  };
  spin(pid, 10_000);
  spin(pty.guard, 300);
  pty.signal("SIGCONT");
  expect(await ended.promise).toMatchObject({ signal: "SIGHUP" });
  await pty.gone;
});

describe("a terminal", () => {
  it("runs a shell that what is typed reaches, and that knows its window", async () => {
    const { rpc, open } = await startTerminals();
    const { terminal, existed } = await open({ columns: 100, rows: 30 });
    expect([existed, terminal?.columns, terminal?.rows]).toEqual([false, 100, 30]);
    const watcher = watch(rpc);
    watcher.type("tty; stty size; echo $((40+2))\n");
    await watcher.until(() => /\/dev\/pts\/\d+\r\n30 100\r\n42\r\n/.test(watcher.seen.text));
    watcher.say({ case: "resize", value: { columns: 90, rows: 20 } });
    watcher.type("stty size; exit 3\n");
    expect(await watcher.toEnd()).toMatchObject({ exitCode: 3, signal: "", sizes: ["90x20"] });
    expect(watcher.seen.text).toContain("\r20 90\r\n");
  });

  it("is shared: two watchers see the same bytes, and both can type", async () => {
    const { rpc, open } = await startTerminals();
    await open({});
    const [one, two] = [watch(rpc), watch(rpc)];
    one.type("echo from-$((1))\n");
    await two.until(() => two.seen.text.includes("from-1"));
    two.type("echo from-$((2)); exit\n");
    const [a, b] = await Promise.all([one.toEnd(), two.toEnd()]);
    expect(a.text).toContain("from-2");
    expect(a.text).toBe(b.text);
  });

  it("outlives its watchers, and replays what they missed", async () => {
    const { rpc, open } = await startTerminals();
    await open({});
    const first = watch(rpc);
    first.type("echo one-$((1))\n");
    await first.until(() => first.seen.text.includes("one-1"));
    const offset = BigInt(first.seen.bytes);
    first.leave();
    await rpc.write({ ...TARGET, data: Buffer.from("echo two-$((2)); exit\n") });
    const rest = await watch(rpc, offset).toEnd();
    const all = await watch(rpc).toEnd();
    expect(rest.text).toContain("two-2");
    expect(all.text).toBe(first.seen.text + rest.text);
  });

  it("types an input with an id once", async () => {
    const { rpc, open } = await startTerminals();
    await open({ argv: ["cat"] });
    const input = { ...TARGET, data: Buffer.from("once\n"), inputId: "i1" };
    const replies = [await rpc.write(input), await rpc.write(input), await rpc.write({ ...input, inputId: "", data: Buffer.from("\x04") })];
    expect(replies.map((reply) => reply.replayed)).toEqual([false, true, false]);
    const other = rpc.write({ ...input, data: Buffer.from("twice\n") });
    await expect(other).rejects.toThrow(/the input id i1 stands for another input/);
    expect((await watch(rpc).toEnd()).text).toBe("once\r\nonce\r\n");
  });

  it("delivers the last output of a program that ends right behind it", async () => {
    const { rpc, open } = await startTerminals();
    for (let i = 0; i < 10; i++) {
      const id = `t-${i}`;
      await open({ terminalId: id, argv: ["bash", "-c", "stty -opost; seq 20000; printf end"] });
      const chunks: Uint8Array[] = [];
      const target = { case: "target", value: { ...TARGET, terminalId: id } } as const;
      const stream = rpc.attach(
        (async function* () {
          yield create(TerminalServiceAttachRequestSchema, { request: target });
          await new Promise(() => undefined);
        })(),
      );
      for await (const { event } of stream) {
        if (event.case === "output") chunks.push(event.value.data);
        if (event.case === "ended") break;
      }
      expect(Buffer.concat(chunks).toString()).toMatch(/\n20000\nend$/);
      await rpc.close({ ...TARGET, terminalId: id });
    }
  });

  it("keeps a paste for a program that reads late", async () => {
    const { rpc, open, terminals } = await startTerminals();
    await open({ argv: ["bash", "-c", "stty raw -echo; printf ready; until [ -e go ]; do sleep 0.01; done; head -c 600000 | sha256sum"] });
    const watcher = watch(rpc);
    await watcher.until(() => watcher.seen.text.includes("ready"));
    const paste = Buffer.from("0123456789".repeat(60_000));
    for (let at = 0; at < paste.length; at += 60_000) await rpc.write({ ...TARGET, data: paste.subarray(at, at + 60_000) });
    await writeFile(join(terminals.find(WORKSPACE, "t1").spec.cwd, "go"), "");
    expect((await watcher.toEnd()).text).toContain(createHash("sha256").update(paste).digest("hex"));
  });

  it("skips ahead for a watcher that comes late, and says which bytes are gone", async () => {
    const { rpc, open } = await startTerminals();
    const bytes = 3 * SCROLLBACK_BYTES;
    await open({ argv: ["bash", "-c", `stty -opost; head -c ${bytes} /dev/zero | tr '\\0' x; printf done`] });
    await watch(rpc).toEnd();
    const late = await watch(rpc).toEnd();
    expect(late.gaps).toEqual([[0n, BigInt(bytes + 4 - late.bytes)]]);
    expect(late.bytes).toBeGreaterThanOrEqual(SCROLLBACK_BYTES);
    expect(late.text.endsWith("xdone")).toBe(true);
  });

  it("is not held up by a watcher that does not read", async () => {
    const { rpc, open } = await startTerminals();
    const stuck = watch(rpc);
    await open({ argv: ["bash", "-c", `head -c ${8 * SCROLLBACK_BYTES} /dev/zero; echo done`] });
    stuck.leave();
    const lazy = watch(rpc);
    await lazy.next();
    const { seen } = await (async () => {
      const eager = watch(rpc);
      await eager.toEnd();
      return eager;
    })();
    expect([seen.exitCode, seen.text.endsWith("done\r\n")]).toEqual([0, true]);
    lazy.leave();
  });

  it("shows its window as text, full-screen programs included", async () => {
    const { rpc, open } = await startTerminals();
    await open({ columns: 40, rows: 5, argv: ["bash", "--norc", "-i"] });
    const watcher = watch(rpc);
    watcher.type("for i in 1 2 3 4 5 6; do echo line $i; done; printf '\\033[31mred\\033[0m'; echo -$((7))\n");
    await watcher.until(() => watcher.seen.text.includes("-7\r\n"));
    const plain = await rpc.screen({ ...TARGET, scrollbackLines: 3 });
    expect(plain.lines.join("\n")).toContain("line 4\nline 5\nline 6\nred-7");
    expect(plain.scrollbackLines).toBe(3);
    watcher.type("printf '\\033[?1049h\\033[2J\\033[3;5Hhello'; sleep 300\n");
    await watcher.until(() => watcher.seen.text.includes("Hhello\x1b") || watcher.seen.text.endsWith("Hhello"));
    const full = await rpc.screen(TARGET);
    expect([full.alternateScreen, full.lines[2], full.cursorRow, full.cursorColumn]).toEqual([true, "    hello", 2, 9]);
  });

  it("is ended whole by close: background jobs, double forks and what ignores the hang-up", async () => {
    const { rpc, open } = await startTerminals();
    await open({
      argv: [
        "bash",
        "-c",
        `trap '' HUP TERM; (setsid -f sleep ${SECONDS}; ulimit -q 0; env -i setsid -f sleep ${SECONDS}); sleep ${SECONDS} & echo ready; wait`,
      ],
    });
    const watcher = watch(rpc);
    await watcher.until(() => watcher.seen.text.includes("ready"));
    while (sleepers().length !== 3) await new Promise((resolve) => setTimeout(resolve, 10));
    await rpc.close(TARGET);
    expect(sleepers()).toEqual([]);
    expect((await watcher.toEnd()).signal).toBe("SIGKILL");
    expect((await rpc.list({ workspace: WORKSPACE })).terminals).toEqual([]);
    await rpc.close(TARGET);
  });

  it("tells the signal that ended its program", async () => {
    const { rpc, open } = await startTerminals();
    await open({ argv: ["bash", "-c", "kill -9 $$"] });
    expect(await watch(rpc).toEnd()).toMatchObject({ exitCode: 137, signal: "SIGKILL" });
  });

  it("is found again by its id, and refuses another request under it", async () => {
    const { open } = await startTerminals();
    await open({ argv: ["cat"] });
    expect((await open({ argv: ["cat"] })).existed).toBe(true);
    await expect(open({ argv: ["tail"] })).rejects.toMatchObject({ code: Code.AlreadyExists });
  });

  it("obeys its owner only: an older epoch neither opens, types, resizes nor closes, but may look", async () => {
    const { rpc, open, workspaces } = await startTerminals();
    await open({ argv: ["cat"] });
    await workspaces.resolve(WORKSPACE, 2n);
    const stale = { code: Code.FailedPrecondition };
    await expect(open({ terminalId: "t2" })).rejects.toMatchObject(stale);
    await expect(rpc.write({ ...TARGET, data: Buffer.from("x") })).rejects.toMatchObject(stale);
    await expect(rpc.resize({ ...TARGET, size: { columns: 9, rows: 9 } })).rejects.toMatchObject(stale);
    await expect(rpc.close(TARGET)).rejects.toMatchObject(stale);
    const watcher = watch(rpc, 0n, 0n);
    await rpc.write({ ...TARGET, epoch: 2n, data: Buffer.from("seen\n") });
    await watcher.until(() => watcher.seen.text.includes("seen"));
    watcher.type("not typed\n");
    await expect(watcher.toEnd()).rejects.toMatchObject(stale);
    expect((await rpc.screen(TARGET)).lines.join("")).not.toContain("not typed");
  });

  it("is one of a bounded number", async () => {
    const { open } = await startTerminals();
    for (let i = 0; i < 4; i++) await open({ terminalId: `t${i}`, argv: ["cat"] });
    await expect(open({ terminalId: "t9", argv: ["cat"] })).rejects.toMatchObject({ code: Code.ResourceExhausted });
  });

  it("names every field of a request that can't be used", async () => {
    const { rpc, open } = await startTerminals();
    const bad = { terminalId: "a/b", columns: 1001, rows: -1, cwd: "../other", argv: [""], env: { "A=": "x" } };
    await expect(open(bad)).rejects.toThrow(/terminal_id.*columns.*rows.*argv.*cwd.*env\[A=\]/s);
    await expect(rpc.write({ ...TARGET, data: Buffer.alloc(70_000) })).rejects.toThrow(/data: must be at most 65536 bytes/);
    await expect(rpc.screen({ ...TARGET, scrollbackLines: -1 })).rejects.toThrow(/scrollback_lines/);
    await expect(rpc.screen(TARGET)).rejects.toMatchObject({ code: Code.NotFound });
    await expect(open({ workspace: "acme/none" })).rejects.toMatchObject({ code: Code.NotFound });
    const noTarget = rpc.attach(
      (async function* () {
        yield create(TerminalServiceAttachRequestSchema, {});
      })(),
    );
    await expect(noTarget[Symbol.asyncIterator]().next()).rejects.toThrow(/first message must be `target`/);
  });

  it("says why its program can't run", async () => {
    const { rpc, open } = await startTerminals();
    await open({ argv: ["no-such-program"] });
    expect(await watch(rpc).toEnd()).toMatchObject({ exitCode: 127, text: expect.stringContaining("no-such-program: not found") });
  });
});

/** What no other test sleeps for. */
const SECONDS = `6300.${process.pid}`;

function sleepers(): string[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => commandLine(Number(pid)).at(-1) === SECONDS);
}
