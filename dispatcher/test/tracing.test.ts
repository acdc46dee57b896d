import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { bundleOf } from "@serverless-harness/kit/testing/services";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { askHttp1 } from "./http-client.ts";
import { receiveSpans } from "./otlp-receiver.ts";
import { AUTHORIZED } from "./support.ts";
import { system } from "./system.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN = "b7ad6b7169203331";
const HEADER = { traceparent: `00-${TRACE}-${CLIENT_SPAN}-01` };
/** Words that may be in no span. */
const WORDS = "pineapple";

const turn = (origin: string, prompt: string, headers: Readonly<Record<string, string>> = HEADER) =>
  askHttp1(origin, "/turn", { method: "POST", headers: { ...AUTHORIZED, ...headers }, body: JSON.stringify({ prompt }) });

const told = (body: Record<string, unknown>): string | undefined =>
  /00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}/.exec(String(body["response"]))?.[0];

describe("one trace", () => {
  test("goes from the client's header over dispatcher, brain and model to the environment of a command", async () => {
    const collector = await receiveSpans();
    const { origin } = await system({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: "50" } });
    const { status, body } = await turn(origin, `Run: echo $TRACEPARENT ${WORDS}`);
    expect(status).toBe(200);
    const names = () => collector.spans.map(({ service, name }) => `${service}: ${name}`);
    await vi.waitFor(() => expect(names()).toEqual(expect.arrayContaining(["leaf-dispatcher: submit leaf", "leaf-brain: run leaf"])), {
      timeout: 20_000,
    });

    const [submit, run, tool] = ["submit leaf", "run leaf", "execute_tool bash"].map((name) =>
      collector.spans.find((span) => span.name === name),
    );
    const calls = collector.spans.filter(({ name }) => name.startsWith("chat "));
    expect(new Set(collector.spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
    expect(submit).toMatchObject({
      parentSpanId: CLIENT_SPAN,
      attributes: { "leaf.id": body["leafId"], "leaf.tenant": "default", "leaf.created": true },
    });
    expect(run).toMatchObject({
      parentSpanId: submit?.spanId,
      attributes: { "leaf.id": body["leafId"], "leaf.end": "completed", "gen_ai.conversation.id": body["sessionId"] },
    });
    expect(tool).toMatchObject({
      parentSpanId: run?.spanId,
      attributes: { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "bash" },
    });
    expect(calls.length).toBe(2);
    for (const call of calls) {
      expect(call).toMatchObject({
        parentSpanId: run?.spanId,
        status: 0,
        attributes: { "gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5" },
      });
      for (const name of ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"]) expect(call.attributes[name]).toBeGreaterThan(0);
    }
    expect(told(body)).toBe(`00-${TRACE}-${tool?.spanId}-01`);
    expect(collector.raw()).not.toContain(WORDS);
    expect(collector.raw()).not.toContain(AUTHORIZED.authorization.slice("Bearer ".length));
  });

  test("is passed on without a collector too, and a command without one has none", async () => {
    const { origin } = await system();
    expect(told((await turn(origin, "Run: echo $TRACEPARENT")).body)).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
    for (const headers of [{}, { traceparent: "00-zz" }]) {
      const { status, body } = await turn(origin, "Run: echo [$TRACEPARENT]", headers);
      expect([status, body["response"]]).toEqual([200, expect.stringContaining("[]")]);
    }
  });

  test("is the same for the brain that finds a command running, which runs once", async () => {
    const { origin, leaves } = await system();
    const submit = async (parent: string) => {
      const headers = { ...AUTHORIZED, "content-type": "application/json", traceparent: `00-${TRACE}-${parent}-01` };
      const body = JSON.stringify({ spec: { prompt: "Run: sleep 2; echo $TRACEPARENT" }, idempotencyKey: "k" });
      return (await askHttp1(origin, "/harness.leaf.v1.LeafService/Submit", { method: "POST", headers, body })).body;
    };
    const first = await submit(CLIENT_SPAN);
    const again = await submit("00f067aa0ba902b7");
    const { leafId } = first["leaf"] as { leafId: string };
    expect([again["leaf"], again["created"]]).toMatchObject([{ leafId, spec: { traceParent: HEADER.traceparent } }, undefined]);
    const texts: string[] = [];
    let killed = 0;
    for await (const { event } of leaves.watch({ leafId })) {
      if (event?.event.case === "toolEnded") texts.push(event.event.value.text);
      if (event?.event.case !== "toolStarted" || killed > 0) continue;
      killed = Number((await leaves.get({ leafId })).leaf?.worker?.pid);
      process.kill(killed, "SIGKILL");
    }
    expect(killed).toBeGreaterThan(0);
    expect(texts).toEqual([expect.stringMatching(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01`))]);
  });

  test("is taken from the header alone", async () => {
    const { origin } = await system();
    const spec = { prompt: "p", traceParent: HEADER.traceparent };
    const headers = { ...AUTHORIZED, "content-type": "application/json" };
    const answer = await askHttp1(origin, "/harness.leaf.v1.LeafService/Submit", {
      method: "POST",
      headers,
      body: JSON.stringify({ spec }),
    });
    expect(answer).toMatchObject({ status: 400, body: { message: expect.stringContaining("spec.trace_parent: must be empty") } });
  });

  test("is sent only if the sampler takes it, and what belongs to it is told so", async () => {
    const collector = await receiveSpans();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0" };
    const { origin, line, child, exited } = await system({ env });
    expect(told((await turn(origin, "Run: echo $TRACEPARENT")).body)).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    await line('"msg":"brain exited with code 0"');
    child.kill("SIGTERM");
    expect((await exited).code).toBe(0);
    expect(collector.spans).toEqual([]);
  });

  test("is harmed by no collector that is away", async () => {
    const { origin, line } = await system({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9", OTEL_BSP_SCHEDULE_DELAY: "50" } });
    expect(await turn(origin, "Run: echo $TRACEPARENT")).toMatchObject({ status: 200 });
    await line('"msg":"brain exited with code 0"');
    expect(await line("spans could not be sent")).toContain('"level":40');
  });

  test("is harmed by no collector that never answers", async () => {
    const silent = createServer(() => undefined).listen(0, "127.0.0.1");
    await once(silent, "listening");
    onTestFinished(() => {
      silent.closeAllConnections();
      silent.close();
    });
    const bound = silent.address();
    const url = `http://127.0.0.1:${typeof bound === "object" ? bound?.port : 0}`;
    const { origin, line, child, exited } = await system({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_BSP_SCHEDULE_DELAY: "50" } });
    expect(await turn(origin, "Run: echo $TRACEPARENT")).toMatchObject({ status: 200 });
    await line('"msg":"brain exited with code 0"');
    child.kill("SIGTERM");
    expect((await exited).code).toBe(0);
  });
});

test.each(["brain", "dispatcher"] as const)("the bundle of %s loads OpenTelemetry only if it is asked for", async (service) => {
  const directory = dirname(bundleOf(service));
  const files = (await readdir(directory)).filter((name) => name.endsWith(".mjs"));
  const texts = new Map(await Promise.all(files.map(async (name) => [name, await readFile(join(directory, name), "utf8")] as const)));
  const entry = files.find((name) => name.startsWith("otlp-")) ?? expect.fail("no file of its own");
  const reached = new Set<string>();
  const reach = (name: string): void => {
    const text = texts.get(name);
    if (text === undefined || name === entry || reached.has(name)) return;
    reached.add(name);
    for (const [, file = ""] of text.matchAll(/["']\.\/([\w-]+\.mjs)["']/g)) reach(file);
  };
  reach("main.mjs");
  expect(files.filter((name) => texts.get(name)?.includes("OTLPExporter"))).toEqual([entry]);
  expect(reached.size).toBeGreaterThan(5);
  expect([...reached].filter((name) => texts.get(name)?.includes("OTLPExporter"))).toEqual([]);
});
