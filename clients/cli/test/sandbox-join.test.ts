import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { EXAMPLES } from "../examples.ts";
import { processesNaming } from "../stack/processes.ts";
import { jsonLines, type Leaf, type LeafJson, type Ran, sharedStack, temporaryLeaf } from "./leaf.ts";

const stack = sharedStack("--sandboxes", "2");

const url = async () => (await stack.leaf.json<{ url: string }>("status")).url;

/** A file with a new token. */
async function tokenFile(name: string, scope = "sandboxes:serve"): Promise<string> {
  const { secret } = await stack.leaf.json<{ secret: string }>("token", "create", name, "--scope", scope);
  const file = join(stack.leaf.dir, `${name}.token`);
  writeFileSync(file, secret, { mode: 0o600 });
  return file;
}

/** The stack's own store of snapshots, as a shared one. */
const sharedStore = () => {
  const [store, key] = ["artifacts", "artifacts.key"].map((name) => join(stack.leaf.dir, "sandbox", "state", name));
  return ["--artifacts", store ?? "", "--artifacts-key-file", key ?? ""];
};

/** A machine that joins, once it has; `leave` presses Ctrl-C. */
async function joined(leaf: Leaf, ...args: readonly string[]): Promise<{ leave: () => void; ended: Promise<Ran> }> {
  const { promise, resolve } = Promise.withResolvers<(signal: NodeJS.Signals) => void>();
  const ended = leaf.run(["sandbox", "join", ...args], {
    onStdout: (sofar, kill) => {
      if (sofar.includes("is a sandbox of")) resolve(kill);
    },
  });
  const kill = await Promise.race([promise, ended.then(({ stderr }) => Promise.reject(new Error(`it ended: ${stderr}`)))]);
  onTestFinished(async () => {
    kill("SIGTERM");
    setTimeout(() => kill("SIGTERM"), 500).unref();
    await ended;
  });
  return { leave: () => kill("SIGINT"), ended };
}

test("a machine that joined runs what asks for its labels; when it leaves, sessions go on elsewhere with their files", async () => {
  const laptop = await temporaryLeaf();
  const { line } = EXAMPLES["sandbox join"][0];
  const typed = line.replace("https://leaf.example:7433", await url()).replace("laptop.token", await tokenFile("laptop"));
  const { leave, ended } = await joined(laptop, ...typed.split(" ").slice(3), "--capacity", "4", ...sharedStore());
  await expect
    .poll(async () => (await stack.leaf.run(["sandbox", "list"])).stdout, { timeout: 20_000 })
    .toMatch(/^laptop +there +0 of 4 +0 +gpu=a100 .*dialled in at http:/m);
  const ran = await stack.leaf.run(["submit", "--json", "--sandbox-label", "gpu=a100", "Run: echo kept > note; hostname"]);
  const { leaf } = JSON.parse(ran.stdout) as LeafJson;
  const watched = await stack.leaf.run(["watch", leaf.leafId]);
  expect(watched).toMatchObject({ code: 0, stdout: expect.stringContaining("placed in sandbox laptop") });
  leave();
  expect(await ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/laptop has left http:\S+\n$/) });
  expect((await stack.leaf.run(["sandbox", "list"])).stdout).not.toContain("laptop");
  const next = await stack.leaf.run(["turn", "--json", "--session", leaf.spec.sessionId, "Run: cat note"]);
  expect(next.stdout).toContain("kept");
  expect(JSON.stringify(jsonLines(next.stdout))).toMatch(/"placed":\{"sandbox":"s[12]"/);
});

test("a second machine of the same name is refused, and so is the same machine twice", async () => {
  const [first, second] = [await temporaryLeaf(), await temporaryLeaf()];
  const args = [await url(), "--token-file", await tokenFile("twin")];
  await joined(first, ...args);
  const refused = await second.run(["sandbox", "join", ...args, "--json"]);
  expect(refused).toMatchObject({ code: 7, stdout: "" });
  expect(JSON.parse(refused.stderr)).toMatchObject({ error: { reason: "name_taken", message: expect.stringContaining("twin") } });
  expect(await first.run(["sandbox", "join", ...args])).toMatchObject({
    code: 7,
    stderr: expect.stringContaining("this machine is the sandbox twin already"),
  });
});

test("a lost dispatcher is dialled until it is back, and a machine ends with the process that joined it", async () => {
  const laptop = await temporaryLeaf();
  const own = await temporaryLeaf();
  await own.json("up", "--sandboxes", "2");
  const { secret } = await own.json<{ secret: string }>("token", "create", "away", "--scope", "sandboxes:serve");
  const file = join(own.dir, "away.token");
  writeFileSync(file, secret, { mode: 0o600 });
  const { url: address } = await own.json<{ url: string }>("status");
  const said: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  let killed = false;
  const ended = laptop.run(["sandbox", "join", address, "--token-file", file, "--json"], {
    onStdout: (sofar, kill) => {
      const states = jsonLines(sofar).map(({ state }) => String(state));
      const changes = states.filter((state, i) => state !== states[i - 1]);
      said.splice(0, said.length, ...changes);
      const dispatcher = own.processes("dispatcher").find(({ main }) => main);
      if (!killed && dispatcher !== undefined) process.kill(dispatcher.pid, "SIGKILL");
      killed = true;
      if (changes.length < 3) return;
      kill("SIGKILL");
      resolve();
    },
  });
  await promise;
  await ended;
  expect(said).toEqual(["connected", "lost", "connected"]);
  await expect.poll(() => processesNaming(laptop.dir), { timeout: 20_000 }).toEqual([]);
});

test.each([
  [["http://198.51.100.7:7433"], 2, "is no https address"],
  [["nonsense"], 2, "is no dispatcher's address"],
  [["http://127.0.0.1:9"], 3, "can't reach the dispatcher"],
  [["URL", "--name", "other"], 2, "the token is for the sandbox able: leave --name out"],
  [["URL", "--artifacts", "/tmp"], 2, "--artifacts and --artifacts-key-file go together"],
  [["URL", "--artifacts", "/tmp", "--artifacts-key-file", "/none"], 2, "there is no file /none"],
  [["URL", "--network", "none"], 2, "Allowed choices are public, host"],
  [["URL", "--ca-file", "/none"], 2, "--ca-file: /none can't be read"],
] as const)("joining %j is refused in one line", async (args, code, message) => {
  const given = args.map((arg) => (arg as string).replace("URL", "") || undefined);
  const file = await tokenFile("able");
  const address = given[0] ?? (await url());
  const rest = given.slice(1).filter((arg) => arg !== undefined);
  const laptop = await temporaryLeaf();
  const refused = await laptop.run(["sandbox", "join", address, ...rest, "--token-file", file]);
  expect({ ...refused, stderr: refused.stderr.trim().split("\n").length }).toEqual({ code, stdout: "", stderr: 1 });
  expect(refused.stderr).toContain(message);
});

test("a token that is for nothing of the kind is refused with what to make", async () => {
  const laptop = await temporaryLeaf();
  const join = async (file: string, ...more: string[]) => laptop.run(["sandbox", "join", await url(), "--token-file", file, ...more]);
  expect(await join(await tokenFile("reader", "leaves:read"))).toMatchObject({
    code: 5,
    stderr: expect.stringContaining("use one with the scope sandboxes:serve"),
  });
  const word = `${stack.leaf.dir}/word`;
  writeFileSync(word, "no-token");
  expect(await join(word)).toMatchObject({ code: 2, stderr: expect.stringContaining("leaf token create NAME --scope sandboxes:serve") });
  expect(await join(word, "--name", "x")).toMatchObject({ code: 5, stdout: "" });
  expect(await join("/nowhere")).toMatchObject({ code: 2, stderr: expect.stringContaining("--token-file: /nowhere can't be read") });
});

test("a server that is no dispatcher is told as that", async () => {
  const server = createServer((_request, response) => void response.writeHead(404).end("<h1>It works!</h1>")).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const refused = await (await temporaryLeaf()).run(["sandbox", "join", address, "--token-file", await tokenFile("able")]);
  expect(refused).toMatchObject({ code: 3, stdout: "", stderr: expect.stringContaining(`${address} takes no sandboxes`) });
});
