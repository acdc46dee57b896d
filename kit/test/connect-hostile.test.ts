import { once } from "node:events";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, ConnectError, type ConnectRouter, createClient } from "@connectrpc/connect";
import { ExecService } from "@serverless-harness/proto/hands";
import { describe, expect, it, onTestFinished } from "vitest";
import { envelopeHeader } from "../connect/envelope.ts";
import { Pieces } from "../connect/pieces.ts";
import { startServer } from "../testing/index.ts";
import { createTransport } from "../transport.ts";

const UNARY = { ":status": 200, "content-type": "application/proto" };
const STREAM = { ":status": 200, "content-type": "application/connect+proto" };
/** A GetResponse with an exec in it. */
const ANSWER = Buffer.from([10, 4, 10, 2, 65, 66]);
const MESSAGE = envelopeHeader(0, 0);
const END = Buffer.concat([envelopeHeader(2, 2), Buffer.from("{}")]);

type Answering = (stream: http2.ServerHttp2Stream) => void;

/** A client of a server that answers each request, once it is whole, with what `answer` does. */
async function against(answer: Answering) {
  const server = http2.createServer();
  server.on("session", (session) => session.on("error", () => undefined));
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    stream.resume().once("end", () => answer(stream));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const transport = createTransport({ address: { kind: "tcp", host: "127.0.0.1", port: (server.address() as AddressInfo).port } });
  onTestFinished(() => {
    transport.close();
    server.close();
  });
  return createClient(ExecService, transport);
}

async function messagesOf(stream: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of stream) count++;
  return count;
}

describe("a server's answer that is cut or goes wrong", () => {
  const unary: Record<string, [Answering, Code]> = {
    "a part of what was promised, then a reset without an error": [
      (stream) => {
        stream.respond({ ...UNARY, "content-length": 12 });
        stream.write(ANSWER, () => stream.destroy());
      },
      Code.Unavailable,
    ],
    "a compressed message": [
      (stream) => {
        stream.respond({ ...UNARY, "content-encoding": "gzip" });
        stream.end(ANSWER);
      },
      Code.Internal,
    ],
    "a page of a proxy": [
      (stream) => {
        stream.respond({ ":status": 502, "content-type": "text/html" });
        stream.end("<html>");
      },
      Code.Unavailable,
    ],
    "a reset without an error in front of it": [(stream) => stream.destroy(), Code.Unavailable],
  };
  it.each(Object.entries(unary))("%s, never looks like an answer to a unary call", async (_, [answer, code]) => {
    const exec = await against(answer);
    await expect(exec.get({})).rejects.toMatchObject({ code });
  });

  const streams: Record<string, [Buffer, object, Code]> = {
    "no end": [MESSAGE, {}, Code.Internal],
    "two ends": [Buffer.concat([MESSAGE, END, END]), {}, Code.Internal],
    "a message behind the end": [Buffer.concat([MESSAGE, END, MESSAGE]), {}, Code.Internal],
    "half a message behind the end": [Buffer.concat([MESSAGE, END, Buffer.from([0])]), {}, Code.Internal],
    "compressed messages": [Buffer.concat([MESSAGE, END]), { "connect-content-encoding": "gzip" }, Code.Internal],
  };
  it.each(Object.entries(streams))("%s, never looks like a stream that ended well", async (_, [bytes, headers, code]) => {
    const exec = await against((stream) => {
      stream.respond({ ...STREAM, ...headers });
      stream.end(bytes);
    });
    await expect(messagesOf(exec.run({}))).rejects.toMatchObject({ code });
  });

  it("is told at every byte at which the connection is cut", async () => {
    const whole = Buffer.concat([MESSAGE, END]);
    for (let at = 0; at < whole.length; at++) {
      const exec = await against((stream) => {
        stream.respond(STREAM);
        stream.write(whole.subarray(0, at), () => stream.session?.destroy());
      });
      await expect(messagesOf(exec.run({}))).rejects.toMatchObject({ code: Code.Unavailable });
    }
  });

  it("is given up where its stream stays open behind the end", async () => {
    const closed = Promise.withResolvers<void>();
    const exec = await against((stream) => {
      stream.once("close", () => closed.resolve());
      stream.respond(STREAM);
      stream.write(Buffer.concat([MESSAGE, END]));
    });
    expect(await messagesOf(exec.run({}))).toBe(1);
    await closed.promise;
  });
});

describe("a stream that is aborted", () => {
  it("hands out nothing more, though more has come", async () => {
    const exec = await against((stream) => {
      stream.respond(STREAM);
      stream.end(Buffer.concat([MESSAGE, MESSAGE, MESSAGE, END]));
    });
    const leaving = new AbortController();
    let got = 0;
    const reading = (async () => {
      for await (const _ of exec.run({}, { signal: leaving.signal })) {
        got++;
        leaving.abort();
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: Code.Canceled });
    expect(got).toBe(1);
  });
});

describe("a caller whose own messages throw", () => {
  it("learns what they threw, though no answer has come", async () => {
    const exec = await against(() => undefined);
    const requests = async function* () {
      yield* [];
      throw new ConnectError("no more of it", Code.DataLoss);
    };
    await expect(messagesOf(exec.channel(requests()))).rejects.toMatchObject({ code: Code.DataLoss, rawMessage: "no more of it" });
  });
});

describe("a connection", () => {
  const routes = (router: ConnectRouter): void =>
    void router.service(ExecService, { get: ({ execId }) => ({ exec: { execId: execId.slice(0, 1) } }) });
  const large = { execId: "x".repeat(4_000_000) };

  it("carries many large requests at once", async () => {
    const exec = createClient(ExecService, (await startServer({ routes })).client());
    const answers = await Promise.all(Array.from({ length: 10 }, () => exec.get(large)));
    expect(answers.map((answer) => answer.exec?.execId)).toEqual(Array.from({ length: 10 }, () => "x"));
  });

  it("is replaced once it refuses streams for the memory that it counts", async () => {
    // Its sender counts what a stream that was given up had not sent, for good.
    const exec = createClient(ExecService, (await startServer({ routes })).client());
    await exec.get({});
    for (let round = 0; round < 80; round++) {
      const leaving = new AbortController();
      const calling = exec.get(large, { signal: leaving.signal });
      setImmediate(() => leaving.abort());
      await calling.catch(() => undefined);
    }
    await exec.get({}).catch(() => undefined);
    expect((await exec.get(large)).exec?.execId).toBe("x");
  });
});

describe("a call that can't be answered", () => {
  it("fails, where a handler sets a header that HTTP/2 doesn't allow", async () => {
    const routes = (router: ConnectRouter): void =>
      void router.service(ExecService, {
        get: (_, context) => {
          context.responseHeader.set("connection", "close");
          return {};
        },
      });
    const exec = createClient(ExecService, (await startServer({ routes })).client());
    await expect(exec.get({})).rejects.toMatchObject({ code: Code.Unavailable });
  });

  it("for an error of another service, keeps its own content type", async () => {
    const metadata = { "content-type": "application/json", "content-length": "3", "x-kept": "1" };
    const routes = (router: ConnectRouter): void =>
      void router.service(ExecService, {
        get: () => {
          throw new ConnectError("from there", Code.Aborted, metadata);
        },
      });
    const exec = createClient(ExecService, (await startServer({ routes })).client());
    const failure = await exec.get({}).catch((error: unknown) => ConnectError.from(error));
    expect(failure).toMatchObject({ code: Code.Aborted, rawMessage: "from there" });
    expect((failure as ConnectError).metadata.get("x-kept")).toBe("1");
  });
});

describe("pieces", () => {
  it("are few, however small the chunks are that came", () => {
    const pieces = new Pieces();
    for (let i = 0; i < 100_000; i++) pieces.push(Uint8Array.of(i % 251));
    expect(pieces.size).toBe(100_000);
    expect(pieces.count).toBeLessThan(1000);
    expect(pieces.joined()).toEqual(Uint8Array.from({ length: 100_000 }, (_, i) => i % 251));
  });
});
