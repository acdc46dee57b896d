import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createServer2 } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { sharedStack } from "./leaf.ts";

const stack = sharedStack();
const COMMANDS = [["turn", "hello"], ["submit", "hello"], ["get", "leaf_1"], ["list"], ["watch", "leaf_1"], ["status"]];

async function listen(server: Server): Promise<string> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A server that notes every byte that it gets, answers nothing and hangs up. */
async function eavesdropper(): Promise<{ url: string; heard: () => string }> {
  let heard = "";
  const server = createTcpServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      heard += data.toString("latin1");
      socket.destroy();
    });
  });
  return { url: await listen(server), heard: () => heard };
}

/** A server that notes the headers of its requests, of either protocol, and answers as it is told. */
async function http(version: 1 | 2, answer: (response: ServerResponse) => void): Promise<{ url: string; tokens: unknown[] }> {
  const tokens: unknown[] = [];
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    tokens.push(request.headers.authorization);
    answer(response);
  };
  const server = version === 1 ? createServer(handle) : createServer2((request, response) => handle(request as never, response as never));
  return { url: await listen(server as Server), tokens };
}

const token = (): string => readFileSync(join(stack.leaf.dir, "token"), "utf8").trim();

describe("the token of a stack", () => {
  test.each([1, 2] as const)("does not go to another address that LEAF_URL names (HTTP/%i)", async (version) => {
    const other = await http(version, (response) => response.writeHead(404).end("not here"));
    for (const args of COMMANDS) expect((await stack.leaf.run(args, { env: { LEAF_URL: other.url } })).code).not.toBe(0);
    expect(other.tokens.filter((each) => each !== undefined)).toEqual([]);
    expect(other.tokens.length).toBeGreaterThan(0);
  });

  test("is in no byte that such an address gets", async () => {
    const other = await eavesdropper();
    for (const args of [["turn", "hello"], ["status"]]) await stack.leaf.run(args, { env: { LEAF_URL: other.url } });
    expect(other.heard()).not.toBe("");
    expect(other.heard()).not.toContain(token());
  });

  test("goes to the stack itself, by whichever way it is found", async () => {
    const { url } = await stack.leaf.json<{ url: string }>("status");
    for (const form of [url, `${url}/`, url.slice("http://".length)])
      expect(await stack.leaf.run(["list"], { env: { LEAF_URL: form } })).toMatchObject({ code: 0 });
  });

  test("does not go where a dispatcher's address sends its callers", async () => {
    const target = await http(1, (response) => response.writeHead(200).end("{}"));
    for (const version of [1, 2] as const) {
      const first = await http(version, (response) => response.writeHead(307, { location: `${target.url}/health` }).end());
      const env = { LEAF_URL: first.url, LEAF_TOKEN: "of-the-first" };
      for (const args of COMMANDS) expect((await stack.leaf.run(args, { env })).code).not.toBe(0);
    }
    expect(target.tokens).toEqual([]);
  });

  test("is asked for where it is missing", async () => {
    const { url } = await stack.leaf.json<{ url: string }>("status");
    const { code, stderr } = await stack.leaf.run(["list"], { env: { LEAF_DIR: "/nonexistent", LEAF_URL: url } });
    expect({ code, stderr }).toEqual({ code: 5, stderr: expect.stringContaining("set LEAF_TOKEN") });
  });
});

describe("an address that is no dispatcher's", () => {
  const html = (response: ServerResponse) => response.writeHead(200, { "content-type": "text/html" }).end("<h1>It works!</h1>");
  const json = (response: ServerResponse) => response.writeHead(200, { "content-type": "application/json" }).end('{"status":{}}');
  const none = (response: ServerResponse) => response.writeHead(404).end();

  test.each([
    ["a web server", 1, html],
    ["a web server without such a page", 1, none],
    ["another API", 1, json],
    ["a web server of HTTP/2 alone", 2, none],
  ] as const)("as %s, is told as that in one line with 3", async (_, version, answer) => {
    const { url } = await http(version, answer);
    for (const args of COMMANDS) {
      const { code, stdout, stderr } = await stack.leaf.run(args, { env: { LEAF_URL: url, LEAF_TOKEN: "t" } });
      expect({ args, code, stdout }).toEqual({ args, code: 3, stdout: "" });
      expect(stderr).toContain(`${url} is no dispatcher`);
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
  });

  test("as a server of another protocol, is told as that", async () => {
    const server = createTcpServer((socket) => socket.on("error", () => undefined).end("SSH-2.0-OpenSSH_9.2p1\r\n"));
    const url = await listen(server);
    for (const args of COMMANDS) {
      const { code, stderr } = await stack.leaf.run(args, { env: { LEAF_URL: url, LEAF_TOKEN: "t" } });
      expect({ args, code, stderr }).toEqual({ args, code: 3, stderr: expect.stringContaining(`${url} is no dispatcher`) });
    }
  });
});

test("a log whose lines steer the terminal or can't be read is shown, clean", async () => {
  const lines = [
    '{"level":30,"time":1e300,"msg":"far"}',
    '{"level":30,"time":1,"msg":"a\\u001b]52;c;aGk=\\u0007\\nforged"}',
    "\u001b[2Jraw",
  ];
  const { dir } = stack.leaf;
  const path = join(dir, "log", "model.log");
  const before = readFileSync(path);
  onTestFinished(() => writeFileSync(path, before));
  writeFileSync(path, `${lines.join("\n")}\n`);
  const { code, stdout } = await stack.leaf.run(["logs", "model"]);
  expect(code).toBe(0);
  expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  for (const text of ['"msg":"far"', "a␛]52;c;aGk=␇␊forged", "␛[2Jraw"]) expect(stdout).toContain(text);
  expect(stdout.trim().split("\n")).toHaveLength(3);
});
