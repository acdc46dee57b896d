import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Code } from "@connectrpc/connect";
import { fromConnectError, type HarnessError } from "@serverless-harness/kit/errors";
import { expect, onTestFinished, test } from "vitest";
import { NoticeAddresses } from "../../exec/end-notices.ts";
import { EPOCH, run, type Sandbox, spec, startSandbox, takeAll, WORKSPACE } from "../fixtures/sandbox.ts";

interface Door {
  readonly url: string;
  /** The next post: what came, and with which answer it was let go. */
  next(): Promise<{ body: string; request: IncomingMessage }>;
}

/** An address that is posted to, and answers with these statuses, the last one again and again. */
async function door(...statuses: number[]): Promise<Door> {
  const posts: Array<{ body: string; request: IncomingMessage }> = [];
  const waiting: Array<() => void> = [];
  const server = createServer(async (request, response) => {
    posts.push({ body: await text(request), request });
    response.writeHead((statuses.length > 1 ? statuses.shift() : statuses[0]) ?? 200).end();
    waiting.shift()?.();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const next = async (): Promise<{ body: string; request: IncomingMessage }> => {
    if (posts.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    return posts.shift() ?? next();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/wake`, next };
}

function notify({ client }: Sandbox, execId: string, url: string, body = "{}") {
  return client.notifyEnd({ workspace: WORKSPACE, execId, epoch: EPOCH, url, body });
}

async function refused(call: Promise<unknown>): Promise<HarnessError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => fromConnectError(thrown),
  );
  if (error === undefined) throw new Error("it was not refused");
  return error;
}

test("the text is posted once the command has ended, and not before", async () => {
  const sandbox = await startSandbox();
  const { url, next } = await door(202);
  const ended = takeAll(sandbox.client.run({ spec: spec("sleep 60", { execId: "waits" }) }));
  await until(sandbox, "waits");
  await notify(sandbox, "waits", url, '{"key":"k"}');
  const early = next().then(() => "posted");
  expect(await Promise.race([early, sandbox.client.get({ workspace: WORKSPACE, execId: "waits" }).then(() => "running")])).toBe("running");
  await sandbox.client.signal({ workspace: WORKSPACE, execId: "waits", epoch: EPOCH, cancel: true });
  await ended;
  expect(await early).toBe("posted");
});

test("of a command that has ended it is posted at once, as JSON and with nothing else", async () => {
  const sandbox = await startSandbox();
  const { url, next } = await door(200);
  await run(sandbox, "echo secret", { execId: "over" });
  await notify(sandbox, "over", url, '{"leafId":"l"}');
  const { body, request } = await next();
  expect({ body, method: request.method, type: request.headers["content-type"] }).toEqual({
    body: '{"leafId":"l"}',
    method: "POST",
    type: "application/json",
  });
  expect(request.headers.authorization).toBeUndefined();
});

test("a door that fails is tried again, one that refuses is not", async () => {
  const sandbox = await startSandbox();
  const failing = await door(503, 200);
  await run(sandbox, "true", { execId: "over" });
  await notify(sandbox, "over", failing.url, "1");
  expect([(await failing.next()).body, (await failing.next()).body]).toEqual(["1", "1"]);
});

test.each([
  "http://127.0.0.1:%PORT%/",
  "http://127.0.0.1:%PORT%/wake/",
  "http://127.0.0.1:%PORT%/wake?to=elsewhere",
  "http://localhost:%PORT%/wake",
  "http://me@127.0.0.1:%PORT%/wake",
  "https://127.0.0.1:%PORT%/wake",
  "http://169.254.169.254/wake",
])("no address but the dispatcher's is posted to: %s", async (address) => {
  const sandbox = await startSandbox();
  const { url } = await door(200);
  await run(sandbox, "true", { execId: "over" });
  const elsewhere = notify(sandbox, "over", address.replace("%PORT%", new URL(url).port));
  expect(await refused(elsewhere)).toMatchObject({ code: Code.PermissionDenied, reason: "address_refused" });
  expect((await refused(elsewhere)).message).toContain("HANDS_NOTIFY_URL");
});

test("the dispatcher's addresses are taken as they are written, and what is none is named", () => {
  const addresses = NoticeAddresses.parse("http://dispatcher:7433/wake, https://harness.example/wake http://[::1]:*/wake");
  for (const url of [
    "http://dispatcher:7433/wake",
    "https://harness.example/wake",
    "https://HARNESS.example:443/wake",
    "http://[::1]:9/wake",
  ])
    addresses.check(new URL(url));
  for (const url of ["http://dispatcher/wake", "http://dispatcher:7434/wake", "https://harness.example:444/wake", "http://[::2]:9/wake"])
    expect(() => addresses.check(new URL(url)), url).toThrow("HANDS_NOTIFY_URL");
  expect(() => NoticeAddresses.parse("").check(new URL("http://dispatcher/wake"))).toThrow("HANDS_NOTIFY_URL");
  for (const text of ["dispatcher:7433/wake", "ftp://dispatcher/wake", "http://me@dispatcher/wake", "http://dispatcher", "http://d/wake?x"])
    expect(() => NoticeAddresses.parse(text), text).toThrow(JSON.stringify(text));
});

test("every wrong field is named", async () => {
  const sandbox = await startSandbox();
  const { code, violations } = await refused(
    sandbox.client.notifyEnd({ workspace: "w", execId: "", epoch: -1n, url: "file:///etc/passwd", body: "b".repeat(5000) }),
  );
  expect(code).toBe(Code.InvalidArgument);
  expect(violations.map(({ field }) => field).sort()).toEqual(["body", "epoch", "exec_id", "url", "workspace"]);
});

test("an unknown exec and a stale owner are refused", async () => {
  const sandbox = await startSandbox();
  const { url } = await door(200);
  expect(await refused(notify(sandbox, "nobody", url))).toMatchObject({ code: Code.NotFound, reason: "unknown_exec" });
  await run(sandbox, "true", { execId: "over" });
  const stale = sandbox.client.notifyEnd({ workspace: WORKSPACE, execId: "over", epoch: EPOCH - 1n, url, body: "" });
  expect(await refused(stale)).toMatchObject({ reason: "stale_epoch" });
});

test("too many who want to hear of one end are refused", async () => {
  const sandbox = await startSandbox();
  const { url } = await door(200);
  const ended = takeAll(sandbox.client.run({ spec: spec("sleep 60", { execId: "long" }) }));
  await until(sandbox, "long");
  for (let i = 0; i < 16; i++) await notify(sandbox, "long", url);
  expect(await refused(notify(sandbox, "long", url))).toMatchObject({ code: Code.ResourceExhausted, reason: "limit_reached" });
  await sandbox.client.signal({ workspace: WORKSPACE, execId: "long", epoch: EPOCH, cancel: true });
  await ended;
});

/** The exec is known: its run was sent beside this. */
async function until(sandbox: Sandbox, execId: string): Promise<void> {
  for (;;) {
    const known = await sandbox.client.list({ workspace: WORKSPACE, runningOnly: true });
    if (known.execs.some((exec) => exec.execId === execId)) return;
  }
}
