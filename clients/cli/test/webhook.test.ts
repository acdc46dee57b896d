import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { type LeafJson, temporaryLeaf } from "./leaf.ts";

interface LettersJson {
  readonly deadLetters: ReadonlyArray<{ readonly leafId: string; readonly seq: string }>;
}

test("leaf webhook lists what was given up and why, and sends it again", async () => {
  let status = 500;
  const received: string[] = [];
  const receiver = createServer((request, response) => {
    received.push(`${request.headers["webhook-id"]} ${status}`);
    request.resume();
    response.writeHead(status).end();
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  onTestFinished(() => void receiver.close());
  const file = join(await temporaryDirectory(), "webhooks.json");
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
  const endpoints = [{ name: "ops", url, events: ["leaf.ended"] }];
  const secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];
  await writeFile(file, JSON.stringify({ tenants: { default: { secrets, endpoints } } }));
  const leaf = await temporaryLeaf();
  const settings = { DISPATCHER_WEBHOOKS_FILE: file, DISPATCHER_WEBHOOK_ALLOWED_HOSTS: "127.0.0.1", DISPATCHER_WEBHOOK_ATTEMPTS: "1" };
  expect(await leaf.run(["up"], { env: settings })).toMatchObject({ code: 0 });

  expect((await leaf.run(["webhook", "list"])).stderr).toBe("no dead letters\n");
  const { leafId } = (await leaf.json<LeafJson>("submit", "Run: true")).leaf;
  await leaf.run(["watch", leafId]);
  let letters = (await leaf.json<LettersJson>("webhook", "list")).deadLetters;
  while (letters.length === 0) letters = (await leaf.json<LettersJson>("webhook", "list")).deadLetters;
  const seq = letters[0]?.seq ?? "";
  expect((await leaf.run(["webhook", "list"])).stdout).toMatch(new RegExp(`^${leafId} +${seq} +endpoint:ops +1 +\\S+`, "m"));

  status = 204;
  expect(await leaf.run(["webhook", "resend", leafId, seq])).toMatchObject({ code: 0, stdout: `sent again: ${leafId} ${seq}\n` });
  while (!received.some((line) => line.endsWith(" 204"))) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await leaf.run(["audit", "verify"])).toMatchObject({ code: 0 });
  expect(await leaf.run(["webhook", "resend", leafId, "999"])).toMatchObject({
    code: 4,
    stderr: expect.stringContaining("no dead letter"),
  });
  expect(await leaf.run(["webhook", "resend", leafId, "last"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("must be a number"),
  });
});
