import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { runDispatcher } from "./process.ts";
import { newStore } from "./support.ts";

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

/** A dispatcher with everything after it; brains are its children, or a service that it calls. `env`: for dispatcher and brains. */
export async function system({ brains = "local" as "local" | "knative", env = {} as Readonly<Record<string, string>> } = {}) {
  const opened = await newStore();
  const sandbox = { HANDS_WORKSPACES: join(opened.directory, "workspaces"), HANDS_STATE: join(opened.directory, "state") };
  for (const directory of Object.values(sandbox)) await mkdir(directory);
  const hands = `unix:${join(opened.directory, "hands.sock")}`;
  const { url }: { url: string } = JSON.parse(await service("kit/stand-in-model/main.ts", {}, '"url"'));
  await service("hands/main.ts", { ...sandbox, HANDS_LISTEN: hands, HANDS_SANDBOX: "process" }, "hands is up");
  const settings = { HANDS_URL: hands, ANTHROPIC_BASE_URL: url, ANTHROPIC_AUTH_TOKEN: "any", BRAIN_GRACE_MS: "0", ...env };
  if (brains === "local") {
    const brain = [process.execPath, fileURLToPath(new URL("brain/main.ts", ROOT))];
    return await runDispatcher(opened, { ...settings, DISPATCHER_BRAIN_COMMAND: JSON.stringify(brain) });
  }
  const listen = { LEAF_STORE: opened.url, BRAIN_LISTEN: "http://127.0.0.1:0" };
  const { address }: { address: { port: number } } = JSON.parse(
    await service("brain/main.ts", { ...settings, ...listen }, "brain listens"),
  );
  return await runDispatcher(opened, {
    ...env,
    DISPATCHER_WAKER: "knative",
    DISPATCHER_KNATIVE_URL: `http://127.0.0.1:${address.port}`,
  });
}
