import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import { readConfig } from "../config.ts";
import { longestSpan, waitAfter } from "../webhooks/retry-policy.ts";
import { WebhookSettings } from "../webhooks/settings.ts";
import { readSecret, signedHeaders } from "../webhooks/signature.ts";
import { SILENT } from "./support.ts";
import { newSecret } from "./webhook-receiver.ts";
import { ruleOf, type Tenants, webhooksFile } from "./webhooks-setup.ts";

/** Read a file as the dispatcher does, on a rule that allows one host inside. */
async function settings(tenants: unknown): Promise<WebhookSettings> {
  return new WebhookSettings(await webhooksFile(tenants as Tenants), ruleOf("hooks.inside"), SILENT);
}

describe("signatures", () => {
  test("are those of Standard Webhooks' own test vector", () => {
    const secret = readSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    const id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const headers = typeof secret === "string" ? {} : signedHeaders(id, 1_614_265_330_000, '{"test": 2432232314}', [secret]);
    expect(headers).toEqual({
      "webhook-id": id,
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    });
  });

  test.each(["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_dG9vIHNob3J0", "whsec_no/base64!MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])(
    "are made by no secret like %j, which is not quoted",
    (text) => {
      const problem = readSecret(text);
      expect(problem).toContain("must be whsec_ and 24 to 64 random bytes in base64");
      if (text.length > 10) expect(problem).not.toContain(text.slice(6));
    },
  );
});

describe("the waits between attempts", () => {
  test("are trebled up to six hours, and at least half of their ceiling", () => {
    const waits = (random: () => number) => [1, 2, 3, 9, 20].map((attempt) => waitAfter(attempt, { attempts: 20, baseMs: 5000, random }));
    const sixHours = 6 * 3_600_000;
    expect(waits(() => 1)).toEqual([5000, 15_000, 45_000, sixHours, sixHours]);
    expect(waits(() => 0)).toEqual([2500, 7500, 22_500, sixHours / 2, sixHours / 2]);
  });

  test("are as long as a receiver asks for, up to six hours", () => {
    const bounds = { attempts: 2, baseMs: 5000, random: () => 0 };
    expect([waitAfter(1, bounds, 60_000), waitAfter(1, bounds, 1e12)]).toEqual([60_000, 6 * 3_600_000]);
  });

  test("take together no longer than leaves are kept, or the settings are refused", async () => {
    expect(longestSpan({ attempts: 3, baseMs: 1000 })).toBe(4000);
    const env = {
      LEAF_STORE: "sqlite:/x/leaf.db",
      DISPATCHER_LISTEN: "unix:/x",
      DISPATCHER_WEBHOOKS_FILE: await webhooksFile({}),
      DISPATCHER_KEEP_LEAVES_HOURS: "1",
    };
    expect(() => readConfig(env)).toThrow("DISPATCHER_WEBHOOK_ATTEMPTS: 10 attempts take up to");
    expect(readConfig({ ...env, DISPATCHER_WEBHOOK_ATTEMPTS: "5" }).webhooks).toMatchObject({ retry: { attempts: 5, baseMs: 5000 } });
    const { DISPATCHER_WEBHOOKS_FILE: _, ...none } = env;
    expect(readConfig(none).webhooks).toMatchObject({ file: undefined });
  });
});

describe("the file of webhooks", () => {
  test("says what tenants have", async () => {
    const [a, b] = [newSecret(), newSecret()];
    const endpoint = { name: "ops", url: "https://hooks.example/x" };
    const inside = { name: "inside", url: "http://hooks.inside/x", events: ["leaf.ended"] };
    const read = await settings({ acme: { secrets: [a.text, b.text], endpoints: [endpoint, inside] }, bare: { secrets: [a.text] } });
    expect(read.of("acme")?.secrets).toHaveLength(2);
    expect(read.of("acme")?.endpoints).toEqual([
      { ...endpoint, events: new Set(["leaf.gate_opened", "leaf.ended"]) },
      { ...inside, events: new Set(["leaf.ended"]) },
    ]);
    expect(read.of("bare")?.endpoints).toEqual([]);
    expect(read.of("other")).toBeUndefined();
  });

  const secrets = [newSecret().text];
  const at = (endpoint: object) => ({ acme: { secrets, endpoints: [{ name: "ops", url: "https://hooks.example", ...endpoint }] } });
  test.each([
    [{ "bad name": { secrets } }, "tenants.bad name: must be 1 to 128 characters"],
    [{ acme: {} }, "tenants.acme.secrets: must be a list of 1 to 4"],
    [{ acme: { secrets: ["hush-hush"] } }, "tenants.acme.secrets[0]: must be whsec_"],
    [{ acme: { secrets, endpoint: [] } }, "tenants.acme.endpoint: is not known: there are secrets, endpoints"],
    [at({ name: "" }), "tenants.acme.endpoints[0].name: must be 1 to 63 characters"],
    [at({ url: "http://hooks.example" }), "tenants.acme.endpoints[0].url: must be https, unless the operator allows its host"],
    [at({ url: "https://127.0.0.1" }), "tenants.acme.endpoints[0].url: 127.0.0.1 is a loopback address"],
    [at({ events: ["leaf.began"] }), "tenants.acme.endpoints[0].events: may hold leaf.gate_opened and leaf.ended"],
    [at({ event: [] }), "tenants.acme.endpoints[0].event: is not known"],
  ])("is refused with %j, by the place", async (tenants, text) => {
    const read = settings(tenants);
    await expect(read).rejects.toThrow(text);
    await expect(read).rejects.toThrow(/^DISPATCHER_WEBHOOKS_FILE: /);
    await expect(read).rejects.not.toThrow("hush");
  });

  test("is refused if it is no JSON or is not there, without a word of what is in it", async () => {
    const path = join(await temporaryDirectory(), "webhooks.json");
    const open = (): WebhookSettings => new WebhookSettings(path, ruleOf(""), SILENT);
    expect(open).toThrow(`DISPATCHER_WEBHOOKS_FILE: ${path} can't be read (ENOENT)`);
    await writeFile(path, `{"tenants": {"acme": {"secrets": ["whsec_hush"]`);
    expect(open).toThrow(`DISPATCHER_WEBHOOKS_FILE: ${path}: it must be JSON`);
    expect(open).not.toThrow("hush");
  });
});
