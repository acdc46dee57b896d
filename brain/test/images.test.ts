import { create } from "@bufbuild/protobuf";
import { gif, jpeg, png } from "@serverless-harness/kit/testing";
import { bash, calls, say, scripted } from "@serverless-harness/pi-fork/testing";
import { FailureReason, ImageSchema, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { machines, resident, Stack } from "./fixtures/stack.ts";

const PNG = png().toString("base64");
const JPEG = jpeg().toString("base64");
const SIZES = { png: Buffer.from(PNG, "base64").length, jpeg: Buffer.from(JPEG, "base64").length };

const picture = (mediaType: string, base64: string) => create(ImageSchema, { mediaType, data: Buffer.from(base64, "base64") });
const read = (path: string) => calls({ name: "read", input: { path } });

const shared = machines();
const house = resident(shared);

describe("pictures", () => {
  test("that come with the prompt reach the model, and are there in the session's next leaf", async () => {
    const { stack } = house;
    const images = [picture("image/png", PNG), picture("image/jpeg", JPEG)];
    const first = await stack.ended(await stack.submit(scripted(say("{{images}}")), { images }));
    expect(first.result?.text).toBe(`image/png ${SIZES.png}, image/jpeg ${SIZES.jpeg}`);
    const second = await stack.submit(scripted(say("{{images}}")), { sessionId: first.spec?.sessionId ?? "" });
    expect((await stack.ended(second)).result?.text).toBe(first.result?.text);
  });

  test("in the workspace are shown to the model by the read tool", async () => {
    const { stack } = house;
    const write = `echo ${PNG} | base64 -d > a.png; echo ${JPEG} | base64 -d > b.jpg`;
    const leaf = await stack.submit(scripted(bash(write), read("a.png"), read("b.jpg"), say("{{images}}")));
    expect((await stack.ended(leaf)).result?.text).toBe(`image/png ${SIZES.png}, image/jpeg ${SIZES.jpeg}`);
  });

  test("in the workspace that are too large, or of a kind that models don't take, are named and not sent", async () => {
    const { stack } = house;
    const write = `(echo ${PNG} | base64 -d; head -c 3000000 /dev/zero) > big.png; printf 'GIF' > c.gif`;
    const leaf = await stack.submit(scripted(bash(write), read("big.png"), say("{{last_tool_result}} {{images}}")));
    const text = (await stack.ended(leaf)).result?.text;
    expect(text).toContain(`Not shown: it has ${3_000_000 + png().length} bytes`);
    expect(text).toContain("(no images)");
  });

  test("in the workspace that are damaged, empty or have too many pixels are named and not sent", async () => {
    const { stack } = house;
    const files = { "cut.png": png(9, 9).subarray(0, -20), "wide.jpg": jpeg(9000, 1), "empty.gif": gif(0, 0) };
    const write = Object.entries(files).map(([name, bytes]) => `echo ${bytes.toString("base64")} | base64 -d > ${name}`);
    const reads = Object.keys(files).map(read);
    const leaf = await stack.submit(scripted(bash(write.join("; ")), ...reads, say("{{images}}")));
    expect((await stack.ended(leaf)).result?.text).toBe("(no images)");
    const told = (await stack.eventsOf(leaf, "toolEnded")).slice(1).map(({ text }) => /Not shown: it is (\w+( \w+)?)/.exec(text)?.[1]);
    expect(told).toEqual(["damaged", "too large", "empty"]);
  });

  test("for a model that takes none fail the leaf at once, with what to do", async () => {
    const stack = await Stack.open(shared);
    stack.brain({ GROQ_API_KEY: "a-key" });
    const leaf = await stack.submit("What is this?", { model: "groq/llama-3.1-8b-instant", images: [picture("image/png", PNG)] });
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.FAILED, failedAttempts: 0, failure: { reason: FailureReason.BAD_INPUTS } });
    expect(ended.failure?.message).toContain("takes no pictures");
  });
});
