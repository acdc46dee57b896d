import { describe, expect, test } from "vitest";
import { ask, converse, fenced, script, sharedModel, textOf } from "./model-process.ts";

/** The only kind of file that fits on a line: one red pixel. */
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

describe("a request for a summary", () => {
  const model = sharedModel();
  const steps = [{ tools: [{ name: "bash" }] }, { text: "two", tools: [{ name: "bash" }] }, { text: "three" }];

  /** As Pi writes a conversation down. */
  const conversation = (...parts: string[]): string => `<conversation>\n${parts.join("\n\n")}\n</conversation>\n\n`;

  test("is answered with the script, which goes on behind the summary where it was", async () => {
    const { client } = model();
    const said = [`[User]: ${script(...steps)}`, "[Assistant tool calls]: bash()", "[Tool result]: result of bash"];
    const first = textOf(await ask(client, `${conversation(...said)}Sum it up.`));
    const again = ["[Assistant]: two", "[Assistant tool calls]: bash()", "[Tool result]: result of bash"];
    const earlier = `<previous-summary>\n${first}\n</previous-summary>\n\n`;
    const second = textOf(await ask(client, `${conversation(...again)}${earlier}Sum it up.`));
    expect((await converse(client, first)).answers.map(textOf)).toEqual(["two", "three"]);
    expect((await converse(client, second)).answers.map(textOf)).toEqual(["three"]);
  });

  test("is answered as the script says, and is refused like any other where it does not fit", async () => {
    const { client } = model();
    const failing = JSON.stringify({ steps, summary: { fail: { status: 400, message: "no summaries here" } } });
    await expect(ask(client, `${conversation(`[User]: ${fenced(failing)}`)}Sum it up.`)).rejects.toThrow("no summaries here");
    const narrow = JSON.stringify({ steps, window: 50 });
    await expect(ask(client, `${conversation(`[User]: ${fenced(narrow)}`)}Sum it up.`)).rejects.toThrow("prompt is too long");
    await expect(ask(client, fenced(narrow))).rejects.toThrow(/prompt is too long: \d+ tokens > 50 maximum/);
  });
});

describe("pictures", () => {
  const model = sharedModel();
  const image = (media_type: string) => ({
    type: "image" as const,
    source: { type: "base64" as const, media_type: media_type as "image/png", data: PNG },
  });

  test("are counted where the script asks for it, those in tool results as well", async () => {
    const { client } = model();
    const prompt = { type: "text" as const, text: script({ text: "{{images}}" }) };
    const answer = await ask(client, [{ role: "user", content: [image("image/png"), prompt] }]);
    expect(textOf(answer)).toBe(`image/png ${Buffer.from(PNG, "base64").length}`);
    expect(textOf(await ask(client, script({ text: "{{images}}" })))).toBe("(no images)");
  });

  test("are refused where they are not what they are said to be", async () => {
    const { client } = model();
    await expect(ask(client, [{ role: "user", content: [image("image/jpeg")] }])).rejects.toThrow("is no image/jpeg");
    await expect(ask(client, [{ role: "user", content: [image("image/tiff")] }])).rejects.toThrow("must be one of image/png");
  });
});
