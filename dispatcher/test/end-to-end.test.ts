import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { LeafState } from "@serverless-harness/proto/leaf";
import { expect, onTestFinished, test, vi } from "vitest";
import { askHttp1 } from "./http-client.ts";
import { runDispatcher } from "./process.ts";
import { AUTHORIZED, allEvents, newStore } from "./support.ts";

const ROOT = new URL("../../", import.meta.url);

/** Start another service of the system, and wait for the line that says that it is up. */
async function service(path: string, env: Record<string, string>, ready: string): Promise<string> {
  const program = fileURLToPath(new URL(path, ROOT));
  const child = spawn(process.execPath, [program], { env: { PATH: process.env["PATH"], ...env }, stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGTERM"));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk;
  });
  for await (const line of createInterface(child.stdout)) {
    if (line.includes(ready)) {
      child.stdout.resume();
      return line;
    }
    said += `${line}\n`;
  }
  throw new Error(`${path} ended before it was up: ${said}`);
}

/** A dispatcher with everything behind it; brains are its children, or a service that it calls. */
async function system({ brains = "local" as "local" | "knative" } = {}) {
  const opened = await newStore();
  const sandbox = { HANDS_WORKSPACES: join(opened.directory, "workspaces"), HANDS_STATE: join(opened.directory, "state") };
  for (const directory of Object.values(sandbox)) await mkdir(directory);
  const hands = `unix:${join(opened.directory, "hands.sock")}`;
  const { url }: { url: string } = JSON.parse(await service("bench/model/main.ts", {}, '"url"'));
  await service("hands/main.ts", { ...sandbox, HANDS_LISTEN: hands, HANDS_SANDBOX: "process" }, "hands is up");
  const settings = { HANDS_URL: hands, ANTHROPIC_BASE_URL: url, ANTHROPIC_AUTH_TOKEN: "any", BRAIN_GRACE_MS: "0" };
  if (brains === "local") {
    const brain = [process.execPath, fileURLToPath(new URL("brain/main.ts", ROOT))];
    return await runDispatcher(opened, { ...settings, DISPATCHER_BRAIN_COMMAND: JSON.stringify(brain) });
  }
  const listen = { LEAF_STORE: opened.url, BRAIN_LISTEN: "http://127.0.0.1:0" };
  const { address }: { address: { port: number } } = JSON.parse(
    await service("brain/main.ts", { ...settings, ...listen }, "brain listens"),
  );
  return await runDispatcher(opened, {
    DISPATCHER_WAKER: "knative",
    DISPATCHER_KNATIVE_URL: `http://127.0.0.1:${address.port}`,
  });
}

test("a turn on real parts runs its command in the sandbox, and the next turn, in a new brain, remembers it", async () => {
  const { origin, line, health } = await system();
  const turn = (body: object) => askHttp1(origin, "/turn", { method: "POST", headers: AUTHORIZED, body: JSON.stringify(body) });

  const first = await turn({ prompt: "Run: echo pine; echo apple" });
  expect(first).toMatchObject({ status: 200, body: { response: expect.stringMatching(/pine\napple/) } });
  await line('"msg":"brain exited with code 0"');
  const second = await turn({ prompt: "Remember the secret word: pineapple. Reply only with OK.", sessionId: first.body["sessionId"] });
  expect(second).toMatchObject({ status: 200, body: { sessionId: first.body["sessionId"], response: "OK" } });
  const third = await turn({ prompt: "What was the secret word?", sessionId: first.body["sessionId"] });
  expect(third).toMatchObject({ status: 200, body: { response: expect.stringMatching("pineapple") } });
  expect(await health()).toMatchObject({ brainsCrashed: 0 });
});

test("turns run on a brain that is called as a service, and that is called again when it has become idle", async () => {
  const { origin, health } = await system({ brains: "knative" });
  const turn = (body: object) => askHttp1(origin, "/turn", { method: "POST", headers: AUTHORIZED, body: JSON.stringify(body) });
  const answered = (answered: number) =>
    vi.waitFor(async () => expect(await health()).toMatchObject({ wakes: { inFlight: 0, answered, failed: 0 } }), { timeout: 20_000 });
  const first = await turn({ prompt: "Run: echo pine; echo apple" });
  expect(first).toMatchObject({ status: 200, body: { response: expect.stringMatching(/pine\napple/) } });
  await answered(1);
  const second = await turn({ prompt: "Run: echo cherry", sessionId: first.body["sessionId"] });
  expect(second).toMatchObject({ status: 200, body: { response: expect.stringMatching("cherry") } });
  await answered(2);
});

test("a task on real parts goes in with its schema and comes back with its value", async () => {
  const { origin, leaves } = await system();
  const call = async (method: string, body: object) => {
    const answer = await askHttp1(origin, `/harness.leaf.v1.LeafService/${method}`, {
      method: "POST",
      headers: { ...AUTHORIZED, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
    return answer.body as { leaf: { leafId: string; spec: object; result?: object } };
  };
  const value = { count: 3, list: [1.5, null, { deep: true }] };
  const steps = [{ tools: [{ name: "submit_result", input: value }] }];
  const spec = {
    kind: "LEAF_KIND_TASK",
    prompt: `\`\`\`script\n${JSON.stringify({ steps })}\n\`\`\``,
    outputSchema: { type: "object", properties: { count: { type: "integer", minimum: 3 }, list: { type: "array" } }, required: ["count"] },
    input: { items: [1, null, "a"] },
  };
  const { leaf } = await call("Submit", { spec });
  const events = await allEvents(leaves.watch({ leafId: leaf.leafId }));
  expect(events.at(-1)?.event).toMatchObject({ case: "stateChanged", value: { state: LeafState.DONE } });
  const done = await call("Get", { leafId: leaf.leafId });
  expect(done.leaf).toMatchObject({ spec, result: { value } });
});
