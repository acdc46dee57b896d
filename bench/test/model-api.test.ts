import { spawnSync } from "node:child_process";
import { request as httpRequest } from "node:http";
import Anthropic from "@anthropic-ai/sdk";
import { bundleOf } from "@serverless-harness/kit/testing/services";
import { describe, expect, test } from "vitest";
import { ask, script, sharedModel, startModel, textOf } from "./model-process.ts";

const BODY = { model: "some-model", max_tokens: 100, messages: [{ role: "user", content: "hello" }] };

/** POST without the client library, to send what it would not. */
async function post(
  url: string,
  body: string,
  headers: Record<string, string> = { "x-api-key": "sk-secret" },
): Promise<{ status: number; type: string; message: string }> {
  const response = await fetch(`${url}/v1/messages`, { method: "POST", body, headers });
  const { error } = (await response.json()) as { error?: { type: string; message: string } };
  return { status: response.status, type: error?.type ?? "", message: error?.message ?? "" };
}

describe("the scripted model's API", () => {
  const model = sharedModel();

  test("streams a message that the official client assembles, in the order of the API's events", async () => {
    const { client } = model();
    const content = script({ thinking: "Hm, let me see.", text: "a".repeat(100), tools: [{ name: "bash", input: { command: "ls" } }] });
    const stream = client.messages.stream({ ...BODY, messages: [{ role: "user", content }] });
    const types: string[] = [];
    stream.on("streamEvent", (event) => types.push(event.type));
    const message = await stream.finalMessage();
    expect(message.content).toMatchObject([
      { type: "thinking", thinking: "Hm, let me see.", signature: expect.stringMatching(/^sig_/) },
      { type: "text", text: "a".repeat(100) },
      { type: "tool_use", name: "bash", input: { command: "ls" } },
    ]);
    expect(message.stop_reason).toBe("tool_use");
    expect(message.usage.output_tokens).toBeGreaterThan(25);
    const block = (deltas: number) => ["content_block_start", ...Array(deltas).fill("content_block_delta"), "content_block_stop"];
    expect(types).toEqual(["message_start", ...block(2), ...block(3), ...block(1), "message_delta", "message_stop"]);
  });

  test("gives the same message whole to who does not ask for a stream", async () => {
    const { client } = model();
    const messages = [{ role: "user" as const, content: script({ text: "whole", thinking: "why" }) }];
    const whole = await client.messages.create({ ...BODY, messages });
    expect({ ...(await ask(client, messages)), usage: undefined }).toMatchObject({ ...whole, usage: undefined });
    expect(textOf(whole)).toBe("whole");
  });

  test("never cuts a character of two code units in half", async () => {
    const { client } = model();
    const text = `x${"🦭".repeat(30)}`;
    expect(textOf(await ask(client, script({ text, chunk_chars: 2 })))).toBe(text);
  });

  test("refuses a request without a key, or with the bad one, whichever header carries it", async () => {
    const { url } = model();
    const body = JSON.stringify(BODY);
    expect(await post(url, body, {})).toMatchObject({ status: 401, type: "authentication_error" });
    expect(await post(url, body, { "x-api-key": "bad-key" })).toMatchObject({ status: 401, type: "authentication_error" });
    expect(await post(url, body, { authorization: "Bearer bad-key" })).toMatchObject({ status: 401 });
    expect(await post(url, body, { authorization: "Bearer good" })).toMatchObject({ status: 200 });
  });

  test.each([
    ["bad JSON", "{", "not valid JSON"],
    ["no messages", JSON.stringify({ ...BODY, messages: [] }), "messages: at least one"],
    ["no model", JSON.stringify({ ...BODY, model: 7 }), "model: must be a text"],
    ["no limit", JSON.stringify({ ...BODY, max_tokens: 0 }), "max_tokens"],
    ["an unknown role", JSON.stringify({ ...BODY, messages: [{ role: "tool", content: "x" }] }), "messages.0.role"],
    ["a list for a body", "[]", "must be an object"],
    [
      "a tool call that nothing answered",
      JSON.stringify({
        ...BODY,
        messages: [
          { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "bash", input: {} }] },
          { role: "user", content: "and now?" },
        ],
      }),
      "toolu_1",
    ],
  ])("names what is wrong with %s", async (_what, body, message) => {
    const { url } = model();
    expect(await post(url, body)).toMatchObject({
      status: 400,
      type: "invalid_request_error",
      message: expect.stringContaining(message),
    });
  });

  test("has nothing at other addresses", async () => {
    const { url } = model();
    const response = await fetch(`${url}/v1/models`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ type: "error", error: { type: "not_found_error" } });
  });

  test("refuses a body over 32 MB, whether its length is told or not, and serves on", async () => {
    const { url, client } = model();
    const size = 32 * 1024 * 1024 + 1;
    const sizes = [{ "content-length": String(size) }, { "transfer-encoding": "chunked" }];
    for (const headers of sizes) {
      const status = await new Promise((resolve, reject) => {
        const request = httpRequest(`${url}/v1/messages`, { method: "POST", headers: { "x-api-key": "k", ...headers } }, (response) => {
          response.resume().on("end", () => resolve(response.statusCode));
        });
        request.on("error", reject);
        request.end(Buffer.alloc(size, "x"));
      });
      expect(status).toBe(413);
    }
    expect(textOf(await ask(client, script({ text: "still here" })))).toBe("still here");
  });

  test("lists the requests that it saw, without keys, the newest thousand", async () => {
    const { url, requests } = await startModel();
    const before = Date.now();
    await post(url, JSON.stringify(BODY));
    await post(url, "{", { "x-api-key": "sk-secret" });
    const seen = await requests();
    expect(seen).toMatchObject([
      { model: "some-model", messages: 1, stream: false, status: 200, step: "persona", outcome: "complete" },
      { model: "", messages: 0, status: 400, step: "", outcome: "complete" },
    ]);
    expect(seen[0]?.at_ms).toBeGreaterThan(before - 1);
    expect(JSON.stringify(seen)).not.toContain("sk-secret");
    for (let i = 0; i < 1000; i++) await post(url, "{");
    const later = await requests();
    expect(later.length).toBe(1000);
    expect(later.every((request) => request.status === 400)).toBe(true);
  });

  test("breaks the connection behind as many pieces as a script says", async () => {
    const { client, requests } = await startModel();
    const stream = client.messages.stream({
      ...BODY,
      messages: [{ role: "user", content: script({ text: "abcdefgh", chunk_chars: 2, cut: { after_chunks: 3, times: 1 } }) }],
    });
    let got = "";
    stream.on("text", (delta) => {
      got += delta;
    });
    await expect(stream.finalMessage()).rejects.toThrow();
    expect(got).toBe("abcdef");
    expect(await requests()).toMatchObject([{ outcome: "cut", status: 200 }]);
  });

  test("notices a client that goes away while it waits", async () => {
    const { client, requests } = await startModel();
    const leave = new AbortController();
    const messages = [{ role: "user" as const, content: script({ text: "late", delay_ms: 3_600_000 }) }];
    const answer = client.messages.create({ ...BODY, messages }, { signal: leave.signal });
    const outcome = async () => (await requests())[0]?.outcome;
    await expect.poll(outcome).toBe("open");
    leave.abort();
    await expect(answer).rejects.toThrow(Anthropic.APIUserAbortError);
    await expect.poll(outcome).toBe("client_gone");
  });

  test("refuses to start where it can't listen, and names the setting and the fix", async () => {
    const { url } = await startModel();
    const start = (listen: string) => spawnSync(process.execPath, [bundleOf("model")], { env: { MODEL_LISTEN: listen }, encoding: "utf8" });
    for (const [listen, message] of [
      ["unix:/tmp/x.sock", "MODEL_LISTEN is"],
      ["somewhere", "must be http://host:port"],
      [url, "EADDRINUSE"],
    ] as const) {
      const { status, stderr, stdout } = start(listen);
      expect({ status, stdout }).toEqual({ status: 64, stdout: "" });
      expect(stderr).toContain(message);
      expect(stderr.trim().split("\n").length).toBe(1);
    }
  });

  test("ends in order on SIGTERM, also in the middle of an answer", async () => {
    const model = await startModel();
    const answer = ask(model.client, script({ text: "late", delay_ms: 3_600_000 }));
    const refused = expect(answer).rejects.toThrow();
    await expect.poll(async () => (await model.requests()).length).toBe(1);
    expect(await model.stop()).toBe(0);
    await refused;
  });
});
