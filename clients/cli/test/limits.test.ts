import { expect, test } from "vitest";
import { type LeafJson, sharedStack } from "./leaf.ts";

const stack = sharedStack();

test("leaf limits shows what a tenant may have and has", async () => {
  await stack.leaf.json<LeafJson>("submit", "Run: true");
  const { code, stdout } = await stack.leaf.run(["limits"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^tenant default +unfinished +none +\d+$/m);
  expect(stdout).toMatch(/^tenant default +schedules +100$/m);
  const answer = await stack.leaf.json<{ tenant: { used: { bytes: number } } }>("limits");
  expect(answer.tenant.used.bytes).toBeGreaterThan(0);
  expect(await stack.leaf.json("limits", "--tenant", "acme")).toMatchObject({ tenant: { name: "acme", used: { unfinished: 0 } } });
});

test("leaf limits of a tenant that can't be is refused, and of another one for a token of its own", async () => {
  expect(await stack.leaf.run(["limits", "--tenant", "a b"])).toMatchObject({
    code: 2,
    stdout: "",
    stderr: expect.stringContaining("tenant: must be"),
  });
  const { secret } = await stack.leaf.json<{ secret: string }>("token", "create", "ann", "--tenant", "acme", "--scope", "leaves:read");
  const env = { LEAF_URL: (await stack.leaf.json<{ url: string }>("status")).url, LEAF_TOKEN: secret };
  expect((await stack.leaf.run(["limits"], { env })).stdout).toMatch(/^token +unfinished +none +0$/m);
  expect(await stack.leaf.run(["limits", "--tenant", "other"], { env })).toMatchObject({ code: 5 });
});
