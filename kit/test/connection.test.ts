import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Health } from "@serverless-harness/proto/health";
import { expect, onTestFinished, test } from "vitest";
import { HealthState } from "../health.ts";
import { createLogger } from "../log.ts";
import { serve } from "../serve.ts";
import { temporaryDirectory } from "../testing/index.ts";
import { createTransport } from "../transport.ts";

const log = createLogger("test", "silent");

/** A server whose calls are answered when `answer` is called. */
async function startSlow(path: string) {
  const answer = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const server = await serve({
    address: { kind: "unix", path },
    log,
    routes: (router) =>
      router.service(Health, {
        check: async () => {
          arrived.resolve();
          await answer.promise;
          return { status: 1 };
        },
      }),
  });
  onTestFinished(() => server.close(0));
  return { server, arrived: arrived.promise, answer: answer.resolve };
}

test("a call that is cut by a server which goes away fails instead of waiting for ever", async () => {
  const path = `${await temporaryDirectory()}/s.sock`;
  for (let i = 0; i < 30; i++) {
    const { server, arrived } = await startSlow(path);
    const transport = createTransport({ address: { kind: "unix", path } });
    onTestFinished(() => transport.close());
    const call = createClient(Health, transport).check({});
    const failure = call.then(
      () => "answered",
      (error: unknown) => ConnectError.from(error).code,
    );
    await arrived;
    await server.close(i % 3);
    expect([Code.Unavailable, Code.Internal, Code.Aborted, Code.Canceled]).toContain(await failure);
  }
});

test("a call under way is answered while the server goes away in order", async () => {
  const path = `${await temporaryDirectory()}/s.sock`;
  const { server, arrived, answer } = await startSlow(path);
  const transport = createTransport({ address: { kind: "unix", path } });
  onTestFinished(() => transport.close());
  const call = createClient(Health, transport).check({});
  await arrived;
  const closed = server.close(5000);
  answer();
  expect((await call).status).toBe(1);
  await closed;
});

test("a client finds a server again that was away, without being made anew", async () => {
  const path = `${await temporaryDirectory()}/s.sock`;
  const transport = createTransport({ address: { kind: "unix", path } });
  onTestFinished(() => transport.close());
  const client = createClient(Health, transport);
  await expect(client.check({})).rejects.toMatchObject({ code: Code.Unavailable });
  for (let i = 0; i < 3; i++) {
    const server = await serve({ address: { kind: "unix", path }, log, routes: (router) => new HealthState([]).routes(router) });
    expect((await client.check({})).status).toBe(1);
    await server.close(0);
  }
});
