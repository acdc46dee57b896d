import { readdir, readFile } from "node:fs/promises";
import { SandboxAccessService } from "@serverless-harness/proto/brain";
import { FailureReasonSchema, LeafService, SandboxService, ScheduleService, WebhookService } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";

const read = (path: string): Promise<string> => readFile(new URL(path, import.meta.url), "utf8");

test("the README names every RPC and every setting, with no setting too many", async () => {
  const readme = await read("../README.md");
  const services = [LeafService, SandboxService, ScheduleService, WebhookService, SandboxAccessService];
  for (const method of services.flatMap(({ methods }) => methods)) expect(readme).toMatch(new RegExp(`^\\| \`${method.name}\` +\\|`, "m"));
  const variables = (text: string): string[] =>
    [...new Set(text.match(/\b(?:(?:DISPATCHER|HANDS|BRAIN_TOKEN)_[A-Z_]+|LEAF_STORE|LOG_LEVEL)\b/g))].sort();
  const configs = (await readdir(new URL("..", import.meta.url), { recursive: true })).filter((file) => /(?:^|\/)config\.ts$/.test(file));
  expect(configs).toContain("sandbox/config.ts");
  const sources = await Promise.all([...configs, "dispatcher.ts"].map((file) => read(`../${file}`)));
  const code = sources.join("\n").replaceAll("LOG_LEVELS", "");
  expect(variables(readme)).toEqual(variables(code));
});

test("the README's HTTP errors are those that the code sends", async () => {
  const readme = await read("../README.md");
  const sources = await Promise.all(
    ["http/router", "http/body", "http/reply", "http/event-formats", "plain-http/turn", "plain-http/outcome"].map((name) =>
      read(`../${name}.ts`),
    ),
  );
  const sent = sources.join("\n").matchAll(/(?:errorBody\(|Code\.\w+, )"([a-z_]+)"/g);
  const known = new Set([...sent].map((match) => match[1]));
  known.delete("client_gone");
  expect(known.size).toBeGreaterThan(5);
  for (const code of known) expect(readme).toContain(`\`${code}\``);
});

test("every failure reason has a name that HTTP clients get", () => {
  const names = FailureReasonSchema.values.map((value) => value.localName.toLowerCase());
  for (const name of names) expect(name).toMatch(/^[a-z_]+$/);
});
