import { describe, expect, test } from "vitest";
import { converse, sharedModel, textOf } from "./model-process.ts";

describe("the stand-in without a script", () => {
  const model = sharedModel();

  test("finds the secret word in the transcript, the newest one, also behind other turns", async () => {
    const { client } = model();
    const first = await converse(client, "Remember the secret word: walrus");
    expect(first.answers.map(textOf)).toEqual(["OK"]);
    const second = await converse(client, "Run: true", first.transcript);
    const third = await converse(client, "What was the secret word?", second.transcript);
    expect(third.answers.map(textOf)).toEqual(["The secret word is walrus."]);
    const fourth = await converse(client, "Remember the secret word: heron", third.transcript);
    const fifth = await converse(client, "And the secret word now?", fourth.transcript);
    expect(fifth.answers.map(textOf)).toEqual(["The secret word is heron."]);
  });

  test("does not know a secret word that another conversation was told", async () => {
    const { client } = model();
    await converse(client, "Remember the secret word: walrus");
    const { answers } = await converse(client, "What is the secret word?");
    expect(answers.map(textOf)).toEqual(["I don't know: nobody told me a secret word in this conversation."]);
  });

  test.each([
    ["Run: ls -la", "ls -la"],
    ["Please do this:\n$ cd /tmp\n$ ls", "cd /tmp\nls"],
  ])("runs the command of %j and answers with its output", async (prompt, command) => {
    const { client } = model();
    const { answers } = await converse(client, prompt);
    expect(answers[0]?.content).toMatchObject([{ type: "tool_use", name: "bash", input: { command } }]);
    expect(answers.slice(1).map(textOf)).toEqual(["The output:\nresult of bash"]);
  });

  test("says that it can run nothing where no tool is offered", async () => {
    const { client } = model();
    const message = await client.messages.create({ model: "m", max_tokens: 10, messages: [{ role: "user", content: "Run: ls" }] });
    expect(textOf(message)).toContain("no tool named bash");
  });

  test("says what it is, how to get a real model, and repeats the start of anything else", async () => {
    const { client } = model();
    const { answers } = await converse(client, `Write a poem. ${"la ".repeat(100)}`);
    const said = answers.map(textOf).join("");
    expect(said).toContain("scripted stand-in");
    expect(said).toContain("ANTHROPIC_API_KEY");
    expect(said).toContain("LEAF_MODEL");
    expect(said).toContain("Write a poem.");
    expect(said.length).toBeLessThan(700);
  });
});
