import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readConfig } from "../../config.ts";
import { askHttp1 } from "../http-client.ts";
import { runDispatcher } from "../process.ts";
import { newStore, TOKEN } from "../support.ts";

/** Settings as the seed's manifests have them, and the token that ours need. */
async function seedEnvironment(more: Readonly<Record<string, string>> = {}) {
  const { directory } = await newStore();
  const file = join(directory, "token");
  await writeFile(file, TOKEN);
  return { LEAF_COMPAT: "seed", REDIS_URL: "redis://redis:6379", PORT: "8080", DISPATCHER_TOKEN_FILE: file, ...more };
}

test("the seed's names stand for ours", async () => {
  const named = { SH_MODEL_PROVIDER: "openai", SH_MODEL: "gpt-5", LEAF_RESULT_TTL_SECONDS: "7200" };
  const config = readConfig(await seedEnvironment(named));
  expect(config).toMatchObject({
    leafStore: "redis://redis:6379",
    listen: { kind: "tcp", host: "0.0.0.0", port: 8080 },
    retention: { leafMs: 7_200_000 },
    seedApi: { compat: true, provider: "openai", model: "gpt-5", saturationMs: 30_000, retryAfterS: 5 },
    brainEnvironment: { LEAF_STORE: "redis://redis:6379", LEAF_MODEL: "openai/gpt-5" },
  });
});

test("our own names win, and the seed's defaults fill the rest", async () => {
  const config = readConfig(await seedEnvironment({ LEAF_STORE: "sqlite:/a/leaf.db", DISPATCHER_LISTEN: "http://127.0.0.1:1" }));
  expect(config).toMatchObject({
    leafStore: "sqlite:/a/leaf.db",
    listen: { port: 1 },
    seedApi: { provider: "anthropic", model: "claude-opus-4-8" },
  });
});

test("a model that only a gateway knows is taken for one that is known", async () => {
  const config = readConfig(await seedEnvironment({ SH_MODEL_CUSTOM: "1", SH_MODEL: "house-model" }));
  expect(config.brainEnvironment).toMatchObject({ ANTHROPIC_CUSTOM_MODELS: expect.stringMatching(/^house-model=claude-/) });
});

test.each([
  ["20", 20],
  ["0", 0],
  ["-1", 30_000],
  ["many", 30_000],
  ["Infinity", 30_000],
  ["", 30_000],
])("a run waits for a sandbox for as long as is said: %j", async (text, ms) => {
  const config = readConfig(await seedEnvironment({ KAGENTI_SYNC_SATURATION_WAIT_MS: text }));
  expect(config.seedApi.saturationMs).toBe(ms);
});

test("without LEAF_COMPAT=seed those names mean nothing, and nonsense in ours is refused", async () => {
  const { LEAF_COMPAT: _, ...rest } = await seedEnvironment();
  expect(() => readConfig(rest)).toThrow("LEAF_STORE");
  const wrong = await seedEnvironment({ LEAF_COMPAT_NETWORKS: "10.0.0.0/8, everywhere" });
  expect(() => readConfig(wrong)).toThrow('LEAF_COMPAT_NETWORKS: "everywhere"');
  expect(() => readConfig({ ...rest, LEAF_COMPAT: "sead" })).toThrow("LEAF_COMPAT");
});

test("a dispatcher with LEAF_COMPAT=seed serves a client that has no token, and says in its log which names are old", async () => {
  const { origin, line } = await runDispatcher(await newStore(), { LEAF_COMPAT: "seed" });
  const body = JSON.stringify({ sessionId: "run/i1", async: true, item: { item_id: "i1", file: "risky.py", pattern: "eval(" } });
  for (let i = 0; i < 2; i++) expect((await askHttp1(origin, "/run-leaf", { method: "POST", body })).status).toBe(202);
  expect((await askHttp1(origin, "/health")).status).toBe(200);
  expect(await line("[deprecation]")).toMatch(/\/run-leaf.*use \/runs/);
});
