import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { askHttp1 } from "./http-client.ts";
import { runDispatcher } from "./process.ts";
import { AUTHORIZED, newStore } from "./support.ts";

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

test("a turn on real parts runs its command in the sandbox, and the next turn, in a new brain, remembers it", async () => {
  const opened = await newStore();
  const sandbox = { HANDS_WORKSPACES: join(opened.directory, "workspaces"), HANDS_STATE: join(opened.directory, "state") };
  for (const directory of Object.values(sandbox)) await mkdir(directory);
  const hands = `unix:${join(opened.directory, "hands.sock")}`;
  const { url }: { url: string } = JSON.parse(await service("bench/model/main.ts", {}, '"url"'));
  await service("hands/main.ts", { ...sandbox, HANDS_LISTEN: hands, HANDS_SANDBOX: "process" }, "hands is up");
  const brain = [process.execPath, fileURLToPath(new URL("brain/main.ts", ROOT))];
  const { origin, line, health } = await runDispatcher(opened, {
    DISPATCHER_BRAIN_COMMAND: JSON.stringify(brain),
    HANDS_URL: hands,
    ANTHROPIC_BASE_URL: url,
    ANTHROPIC_AUTH_TOKEN: "any",
    BRAIN_GRACE_MS: "0",
  });
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
