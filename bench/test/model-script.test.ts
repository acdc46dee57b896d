import Anthropic from "@anthropic-ai/sdk";
import { describe, expect, test } from "vitest";
import { ask, converse, fenced, script, sharedModel, startModel, textOf } from "./model-process.ts";

describe("a script", () => {
  const model = sharedModel();

  test("answers step by step, and says so when it is over", async () => {
    const { client } = model();
    const call = { tools: [{ name: "bash", input: { command: "ls" } }] };
    const { answers } = await converse(client, script({ text: "one", ...call }, { text: "two {{last_tool_result}}", ...call }));
    expect(answers.map(textOf)).toEqual(["one", "two result of bash", "The script is over: all of its 2 steps were answered."]);
  });

  test("makes parallel calls with ids of their own, or with the ids that it names", async () => {
    const { client } = model();
    const tools = [{ name: "a" }, { name: "b", input: { x: 1 } }, { name: "c", id: "toolu_mine" }];
    const { answers } = await converse(client, script({ tools }, { text: "done" }));
    const calls = answers[0]?.content.filter((block) => block.type === "tool_use") ?? [];
    expect(calls).toMatchObject([
      { name: "a", input: {} },
      { name: "b", input: { x: 1 } },
      { name: "c", id: "toolu_mine" },
    ]);
    expect(new Set(calls.map((call) => call.id)).size).toBe(3);
  });

  test("gives another process the same answer to the same transcript, to the last id", async () => {
    const [first, second] = [await startModel(), await startModel()];
    const prompt = script({ thinking: "t", text: "x", tools: [{ name: "bash" }] }, { text: "y" });
    const { answers } = await converse(first.client, prompt);
    expect((await converse(second.client, prompt)).answers).toEqual(answers);
    expect(await ask(first.client, prompt)).toEqual(answers[0]);
  });

  test("recalls only what the transcript holds, the newest first, and never its own pattern", async () => {
    const { client } = model();
    const recall = script({ recall: "colour is (\\w+)", text: "It is {{recall}}." });
    expect(textOf(await ask(client, recall))).toBe("It is (nothing found).");
    const told = (colour: string) => [
      { role: "user" as const, content: `My colour is ${colour}` },
      { role: "assistant" as const, content: "OK" },
    ];
    const { answers } = await converse(client, recall, [...told("red"), ...told("blue")]);
    expect(answers.map(textOf)).toEqual(["It is blue."]);
    expect(textOf(await ask(client, recall))).toBe("It is (nothing found).");
  });

  test("follows the newest prompt only, and starts there from its first step", async () => {
    const { client } = model();
    const { transcript } = await converse(client, script({ text: "old" }));
    const { answers } = await converse(client, script({ text: "new" }), transcript);
    expect(answers.map(textOf)).toEqual(["new"]);
  });

  test("answers the user's next messages as well where it says so, and no more of them", async () => {
    const { client } = model();
    const prompt = `\`\`\`script\n${JSON.stringify({ prompts: 2, steps: [{ text: "one" }, { text: "two" }, { text: "three" }] })}\n\`\`\``;
    const first = await converse(client, prompt);
    const second = await converse(client, "And now?", first.transcript);
    expect([...first.answers, ...second.answers].map(textOf)).toEqual(["one", "two"]);
    const third = await converse(client, "And now?", second.transcript);
    expect(third.answers.map(textOf)).not.toEqual(["three"]);
  });

  test("a recall that takes for ever is refused, and holds up nobody else", async () => {
    const { client } = model();
    const endless = script({ recall: "psst ((?:a+)+)$", text: "{{recall}}" });
    const asked = ask(client, [
      { role: "user", content: `psst ${"a".repeat(64)}!` },
      { role: "assistant", content: "Yes?" },
      { role: "user", content: endless },
    ]).then(textOf, (error: unknown) => error);
    expect(await Promise.race([asked, ask(client, script({ text: "at once" })).then(textOf)])).toBe("at once");
    expect(await asked).toMatchObject({ status: 400, message: expect.stringContaining("script 0: recall") });
    expect(textOf(await ask(client, script({ recall: "(x)", text: "{{recall}}" })))).toBe("(nothing found)");
  });

  test("repeats a long tool result bounded, and a placeholder that a tool printed as it is", async () => {
    const { client } = model();
    const prompt = script({ tools: [{ name: "bash", id: "t1" }] }, { text: "{{last_tool_result}}" });
    const seen = async (content: string): Promise<string> =>
      textOf(
        await ask(client, [
          { role: "user", content: prompt },
          { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "bash", input: {} }] },
          { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content }] },
        ]),
      );
    expect(await seen("{{recall}}")).toBe("{{recall}}");
    expect(await seen("x".repeat(5000))).toBe(`${"x".repeat(4000)}\n[1000 more characters]`);
  });

  test("fails as often as it says for one transcript, then answers; another transcript has its own count", async () => {
    const { client } = model();
    const failing = (word: string) => `${word} ${script({ text: "fine", fail: { status: 429, retry_after: 0.01, times: 2 } })}`;
    await expect(ask(client, failing("a"))).rejects.toThrow(Anthropic.RateLimitError);
    await expect(ask(client, failing("b"))).rejects.toThrow(Anthropic.RateLimitError);
    await expect(ask(client, failing("a"))).rejects.toThrow(Anthropic.RateLimitError);
    expect(textOf(await ask(client, failing("a")))).toBe("fine");
    await expect(ask(client, failing("b"))).rejects.toThrow(Anthropic.RateLimitError);
  });

  test("is retried by the official client as Retry-After says", async () => {
    const { client } = model();
    const patient = client.withOptions({ maxRetries: 2 });
    expect(textOf(await ask(patient, script({ text: "fine", fail: { status: 529, retry_after: 0.01, times: 2 } })))).toBe("fine");
  });

  test("sends the status, the type and the wait of a failure", async () => {
    const { client } = model();
    const refused = await ask(client, script({ fail: { status: 503, type: "overloaded_error", retry_after: 7 } })).catch((error) => error);
    expect(refused).toMatchObject({
      status: 503,
      type: "overloaded_error",
      error: { type: "error", error: { type: "overloaded_error" } },
    });
    expect(refused.headers.get("retry-after")).toBe("7");
  });

  test("cuts the first attempt only, where it says once, and streams the second to its end", async () => {
    const { client } = model();
    const prompt = script({ text: "abcd", chunk_chars: 1, cut: { after_chunks: 0, times: 1 } });
    await expect(ask(client, prompt)).rejects.toThrow();
    expect(textOf(await ask(client, prompt))).toBe("abcd");
  });

  test("cuts also behind more pieces than the answer has", async () => {
    const { client } = model();
    await expect(ask(client, script({ text: "short", cut: { after_chunks: 99 } }))).rejects.toThrow();
  });

  test("carries the stop reason and the counts that it names", async () => {
    const { client } = model();
    const usage = { input_tokens: 11, output_tokens: 12, cache_read_input_tokens: 13, cache_creation_input_tokens: 14 };
    expect(await ask(client, script({ text: "x", stop_reason: "max_tokens", usage }))).toMatchObject({ stop_reason: "max_tokens", usage });
  });

  test.each([
    ["text that is not JSON", "{steps", "not valid JSON"],
    ["no steps", '{"steps": []}', "at least one step"],
    ["steps that are no list", '{"steps": {}}', "script.steps: must be a list"],
    ["a misspelt key beside them", '{"steps": [{"text": "x"}], "step": 1}', "script: has no step"],
    ["a misspelt key in a step", '{"steps": [{"txt": "x"}]}', "script.steps.0: has no txt"],
    ["a step that says nothing", '{"steps": [{"text": "x"}, {"text": " "}]}', "script.steps.1: needs text"],
    ["a failure that ends with nothing to say", '{"steps": [{"fail": {"status": 500, "times": 1}}]}', "needs text"],
    ["a failure that is none", '{"steps": [{"fail": {"status": 200}}]}', "fail.status"],
    ["a wait below zero", '{"steps": [{"text": "x", "delay_ms": -1}]}', "delay_ms"],
    ["empty pieces", '{"steps": [{"text": "x", "chunk_chars": 0}]}', "chunk_chars"],
    ["a pattern that is none", '{"steps": [{"text": "x", "recall": "("}]}', "not a regular expression"],
    ["a pattern without a group", '{"steps": [{"text": "x", "recall": "a"}]}', "exactly one group"],
    ["a tool without a name", '{"steps": [{"tools": [{"input": {}}]}]}', "script.steps.0.tools.0.name"],
    ["an unknown stop reason", '{"steps": [{"text": "x", "stop_reason": "bored"}]}', "must be one of end_turn"],
  ])("with %s is refused with its problem named", async (_what, source, problem) => {
    const { client } = model();
    const error = await ask(client, fenced(source)).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.message).toContain(problem);
  });

  test("whose fence is never closed is refused", async () => {
    const { client } = model();
    await expect(ask(client, '```script {"steps": [{"text": "x"}]}')).rejects.toThrow("closing");
  });

  test("may stand on one line of a prompt", async () => {
    const { client } = model();
    expect(textOf(await ask(client, 'Go: ```script {"steps": [{"text": "one line"}]} ``` and thanks'))).toBe("one line");
  });
});
