import { builtinProviders } from "@earendil-works/pi-ai/providers/all";
import { describe, expect, test } from "vitest";
import { loadProvider, PROVIDER_IDS } from "../models/providers.ts";
import { ModelRegistry, nearNames } from "../models/registry.ts";

const SONNET = "anthropic/claude-sonnet-4-5";

describe("the providers", () => {
  test("are all that pi-ai has and the stand-in, each under its own id", async () => {
    expect(PROVIDER_IDS).toEqual([...builtinProviders().map((provider) => provider.id), "stand-in"].sort());
    const loaded = await Promise.all(PROVIDER_IDS.map(loadProvider));
    expect(loaded.map((provider) => provider?.id)).toEqual(PROVIDER_IDS);
  });

  test("can all be registered, and say which variables they miss", async () => {
    const registry = new ModelRegistry({});
    const messages = await Promise.all(
      PROVIDER_IDS.map(async (id) => {
        const model = (await registry.load(id))?.getModels()[0]?.id ?? "any";
        return registry.resolve(`${id}/${model}`).then(
          () => "resolved",
          (error: Error & { reason: string }) => `${error.reason}: ${error.message}`,
        );
      }),
    );
    expect(messages.filter((message) => !/^missing_api_key: no key .* set [A-Z_]*(KEY|TOKEN)/.test(message))).toEqual([
      expect.stringMatching(/^missing_api_key: .*openai-codex: .*interactive login/),
    ]);
  });
});

describe("a model's name", () => {
  const registry = new ModelRegistry({ ANTHROPIC_API_KEY: "k", OPENROUTER_API_KEY: "k" });

  test("finds the model, with slashes in its id as well", async () => {
    expect((await registry.resolve(SONNET)).model).toMatchObject({ provider: "anthropic", id: "claude-sonnet-4-5" });
    const id = (await registry.load("openrouter"))?.getModels().find((model) => model.id.includes("/"))?.id;
    expect((await registry.resolve(`openrouter/${id}`)).model).toMatchObject({ provider: "openrouter", id });
  });

  test.each([
    ["anthropc/claude-sonnet-4-5", "unknown_provider", /"anthropc".*Did you mean anthropic,/],
    ["claude-sonnet-4-5", "unknown_provider", /named provider\/model/],
    ["", "unknown_provider", /named provider\/model/],
    ["constructor/x", "unknown_provider", /unknown model provider "constructor"/],
    ["anthropic/claude-sonet-4-5", "unknown_model", /no model "claude-sonet-4-5".*Did you mean claude-sonnet-4-5,/],
    ["anthropic/", "unknown_model", /no model ""/],
    ["openai/gpt-5", "missing_api_key", /set OPENAI_API_KEY/],
  ])("%j is refused: %s", async (name, reason, message) => {
    await expect(registry.resolve(name)).rejects.toMatchObject({ reason, message: expect.stringMatching(message) });
  });

  test("a variable that holds only blanks is not set", async () => {
    await expect(new ModelRegistry({ ANTHROPIC_API_KEY: "  " }).resolve(SONNET)).rejects.toMatchObject({ reason: "missing_api_key" });
  });

  test("each of Anthropic's variables will do", async () => {
    for (const variable of ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_OAUTH_TOKEN"]) {
      expect((await new ModelRegistry({ [variable]: "k" }).resolve(SONNET)).model.provider).toBe("anthropic");
    }
  });

  test("no key is in an error's message", async () => {
    const secret = new ModelRegistry({ ANTHROPIC_API_KEY: "sk-secret" });
    await expect(secret.resolve("anthropic/nope")).rejects.not.toMatchObject({ message: expect.stringContaining("sk-secret") });
  });
});

test("another address of Anthropic's API is the address of every model, however it is looked up", async () => {
  const baseUrl = "http://127.0.0.1:9";
  const { model, models } = await new ModelRegistry({ ANTHROPIC_BASE_URL: baseUrl, ANTHROPIC_AUTH_TOKEN: "k" }).resolve(SONNET);
  expect(model.baseUrl).toBe(baseUrl);
  expect(models.getModel("anthropic", "claude-sonnet-4-5")?.baseUrl).toBe(baseUrl);
  expect(models.getModels("anthropic").every((each) => each.baseUrl === baseUrl)).toBe(true);
  const usual = await new ModelRegistry({ ANTHROPIC_AUTH_TOKEN: "k" }).resolve(SONNET);
  expect(usual.model.baseUrl).toBe("https://api.anthropic.com");
});

test("names that may have been meant come nearest first", () => {
  expect(nearNames("gpt-5", ["claude", "gpt-5.1", "gpt-4", "GPT-5"], 3)).toEqual(["GPT-5", "gpt-4", "gpt-5.1"]);
  expect(nearNames("x", [])).toEqual([]);
});
