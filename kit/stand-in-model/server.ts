import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Address } from "../address.ts";
import { ConfigError } from "../env.ts";
import { ANTHROPIC } from "./anthropic.ts";
import { ApiError } from "./api-error.ts";
import type { Dialect } from "./dialect.ts";
import { OPENAI_CHAT } from "./openai-chat.ts";
import { OPENAI_RESPONSES } from "./openai-responses.ts";
import { RequestLog } from "./request-log.ts";
import { FailureCount, respond } from "./respond.ts";

/** A model server that listens. */
export interface ModelServer {
  /** Where it listens; a port of 0 is replaced by the real one. */
  readonly address: Address;
  /** Cut every connection and stop. */
  close(): Promise<void>;
}

/** The APIs that the server speaks, by path. */
const DIALECTS: Readonly<Record<string, Dialect>> = {
  "/v1/messages": ANTHROPIC,
  "/v1/chat/completions": OPENAI_CHAT,
  "/v1/responses": OPENAI_RESPONSES,
};

/** Start the stand-in model: three APIs of models, `GET /requests`, 404 for the rest. */
export async function startModel(address: Extract<Address, { kind: "tcp" }>): Promise<ModelServer> {
  const requests = new RequestLog();
  const failures = new FailureCount();
  const server = createServer((request, response) => {
    route(request, response, requests, failures).catch((error: unknown) => refuse(response, error));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(new ConfigError(`MODEL_LISTEN: can't listen on ${address.host}:${address.port}: ${error.message}`)),
    );
    server.listen(address.port, address.host, resolve);
  });
  const bound = server.address();
  return {
    address: { ...address, port: typeof bound === "object" && bound !== null ? bound.port : address.port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function route(request: IncomingMessage, response: ServerResponse, requests: RequestLog, failures: FailureCount): Promise<void> {
  const path = (request.url ?? "/").split("?", 1)[0];
  if (request.method === "GET" && path === "/requests") return sendJson(response, 200, requests.list());
  const dialect = DIALECTS[path ?? ""];
  if (request.method === "POST" && dialect !== undefined) return respond(dialect, request, response, requests.add(), failures);
  const paths = Object.keys(DIALECTS).join(", ");
  throw new ApiError(404, `nothing at ${request.method} ${path}: this server has POST ${paths} and GET /requests`);
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const refusal = error instanceof ApiError ? error : new ApiError(500, "the stand-in model failed: this is a defect of it");
  if (!(error instanceof ApiError)) process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  if (refusal.retryAfter !== undefined) response.setHeader("retry-after", String(refusal.retryAfter));
  sendJson(response, refusal.status, refusal.body("req_scripted"));
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    "request-id": "req_scripted",
  });
  response.end(text);
}
