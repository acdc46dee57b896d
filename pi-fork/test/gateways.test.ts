import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { PROVIDER_IDS } from "../models/providers.ts";
import { type ModelEnvironment, ModelRegistry } from "../models/registry.ts";
import { bash, ModelProcess, say, scripted } from "../testing/index.ts";

let model: ModelProcess;
beforeAll(async () => {
  model = await ModelProcess.start();
});
afterAll(() => model.stop());

/** One request for a whole answer. */
async function ask(environment: ModelEnvironment, name: string, prompt: string) {
  const resolved = await new ModelRegistry(environment).resolve(name);
  const messages = [{ role: "user" as const, content: prompt, timestamp: 1 }];
  const tool = { name: "bash", description: "Run", parameters: { type: "object", properties: { command: { type: "string" } } } as never };
  return resolved.models.completeSimple(resolved.model, { systemPrompt: "Be brief.", messages, tools: [tool] }, {});
}

describe("a gateway", () => {
  test.each([
    ["anthropic-messages", "anthropic/claude-sonnet-4-5", "ANTHROPIC", ""],
    ["anthropic-messages", "minimax/MiniMax-M2.7", "MINIMAX", ""],
    ["anthropic-messages", "stand-in/scripted", "STAND_IN", ""],
    ["openai-completions", "groq/llama-3.1-8b-instant", "GROQ", "/v1"],
    ["openai-completions", "openrouter/openai/gpt-3.5-turbo", "OPENROUTER", ""],
    ["openai-responses", "openai/gpt-4", "OPENAI", "/v1"],
    ["openai-responses", "xai/grok-4.3", "XAI", "/v1"],
  ])("for %s is asked instead of the provider of %s", async (api, name, prefix, path) => {
    const environment = { [`${prefix}_API_KEY`]: "a-key", [`${prefix}_BASE_URL`]: `${model.url}${path}/` };
    const prompt = scripted({ text: "Let me see.", tools: (bash("ls") as { tools: unknown })["tools"] });
    const answer = await ask(environment, name, prompt);
    expect(answer).toMatchObject({ api, stopReason: "toolUse" });
    expect(answer.content.filter(({ type }) => type !== "thinking")).toMatchObject([
      { type: "text", text: "Let me see." },
      { type: "toolCall", name: "bash", arguments: { command: "ls" } },
    ]);
    expect(answer.usage.output).toBeGreaterThan(0);
    const refused = await ask({ ...environment, [`${prefix}_API_KEY`]: "bad-key" }, name, prompt);
    expect(refused).toMatchObject({ stopReason: "error", errorMessage: expect.stringContaining("invalid x-api-key") });
  });

  test("that knows several APIs of a provider gets each under the path that it has there", async () => {
    const registry = new ModelRegistry({ OPENCODE_API_KEY: "k", OPENCODE_BASE_URL: "https://gateway.example/team" });
    const urls = (await registry.load("opencode"))?.getModels().map(({ baseUrl }) => baseUrl);
    expect(new Set(urls)).toEqual(new Set(["https://gateway.example/team", "https://gateway.example/team/v1"]));
  });

  test("gets headers of its own, beside the key", async () => {
    const seen: IncomingHttpHeaders[] = [];
    const server = createServer((request, response) => {
      seen.push(request.headers);
      response.writeHead(400, { "content-type": "application/json" }).end(`{"error": {"message": "seen"}}`);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const [prefix, name] of [
      ["ANTHROPIC", "anthropic/claude-sonnet-4-5"],
      ["GROQ", "groq/llama-3.1-8b-instant"],
      ["OPENAI", "openai/gpt-4"],
    ]) {
      const key = prefix === "ANTHROPIC" ? "ANTHROPIC_AUTH_TOKEN" : `${prefix}_API_KEY`;
      const environment = {
        [key]: "a-token",
        [`${prefix}_BASE_URL`]: url,
        [`${prefix}_CUSTOM_HEADERS`]: "X-Team: blue: sky\nX-Cost-Centre: 7\n",
      };
      await ask(environment, name ?? "", "hello");
      expect(seen.pop()).toMatchObject({ "x-team": "blue: sky", "x-cost-centre": "7", authorization: "Bearer a-token" });
    }
  });

  test("may have names of its own for the provider's models", async () => {
    const environment = { ...model.environment(), ANTHROPIC_CUSTOM_MODELS: "team-sonnet=claude-sonnet-4-5, x=nonsense" };
    const answer = await ask(environment, "anthropic/team-sonnet", scripted(say("here")));
    expect(answer).toMatchObject({ model: "team-sonnet", content: [{ type: "text", text: "here" }] });
    expect((await model.requests()).at(-1)?.model).toBe("team-sonnet");
    await expect(ask(environment, "anthropic/x", "hello")).rejects.toMatchObject({ reason: "unknown_model" });
  });

  test.each([
    ["ANTHROPIC_BASE_URL", "gateway.example"],
    ["ANTHROPIC_BASE_URL", "file:///secret"],
    ["ANTHROPIC_CUSTOM_HEADERS", "X-Secret"],
    ["ANTHROPIC_CUSTOM_MODELS", "secret"],
  ])("whose %s is %s is refused by the variable's name", async (name, value) => {
    const asked = ask({ ANTHROPIC_API_KEY: "k", [name]: value }, "anthropic/claude-sonnet-4-5", "hello");
    await expect(asked).rejects.toMatchObject({ reason: "bad_gateway_setting", message: expect.stringContaining(`${name} can't be used`) });
    await expect(asked).rejects.not.toMatchObject({ message: expect.stringContaining(value) });
  });
});

describe("every provider", () => {
  test.each(PROVIDER_IDS.filter((id) => id !== "openai-codex"))("%s resolves its models once its variables are set", async (id) => {
    const first = async (environment: ModelEnvironment) => {
      const registry = new ModelRegistry(environment);
      return registry.resolve(`${id}/${(await registry.load(id))?.getModels()[0]?.id}`);
    };
    const error = await first({}).then(
      () => undefined,
      (refusal: Error) => refusal.message,
    );
    const set = / set (.*) for the brain/.exec(error ?? "")?.[1] ?? "";
    // One of the keys, and all that goes with it.
    const [keys = "", ...rest] = set.split(" and ");
    const variables = [keys.split(" or ")[0] ?? "", ...rest];
    expect((await first(Object.fromEntries(variables.map((name) => [name, "a-value"])))).model.provider).toBe(id);
  });

  test("whose key is set and whose account is not asks for the account only", async () => {
    const asked = new ModelRegistry({ CLOUDFLARE_API_KEY: "k" }).resolve("cloudflare-workers-ai/@cf/meta/llama-3.3-70b-instruct-fp8-fast");
    await expect(asked).rejects.toMatchObject({ message: expect.stringMatching(/set CLOUDFLARE_ACCOUNT_ID for the brain/) });
  });
});
