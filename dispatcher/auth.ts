import { createHash, timingSafeEqual } from "node:crypto";
import { Code, type Interceptor } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { REFLECTION_SERVICES } from "@serverless-harness/kit/reflection";
import { bearerToken } from "@serverless-harness/kit/token";
import { Health } from "@serverless-harness/proto/health";

const OPEN: ReadonlySet<string> = new Set([Health.typeName, ...REFLECTION_SERVICES]);

/** Checks the bearer token of calls and plain requests. */
export class Authenticator {
  readonly #expected: Buffer | undefined;

  /** `token`: what clients must send; `undefined` lets everybody in, for a Unix socket that only its owner can open. */
  constructor(token: string | undefined) {
    this.#expected = token === undefined ? undefined : digest(token);
  }

  /** The `Authorization` header carries the token. Takes the same time for every wrong one: digests of one length are compared. */
  accepts(header: string | null | undefined): boolean {
    if (this.#expected === undefined) return true;
    const token = bearerToken(header);
    return token !== undefined && timingSafeEqual(digest(token), this.#expected);
  }

  /** UNAUTHENTICATED unless {@link accepts}. */
  require(header: string | null | undefined): void {
    if (this.accepts(header)) return;
    throw new HarnessError(Code.Unauthenticated, "unauthorized", "a valid token is needed: send `Authorization: Bearer <token>`");
  }

  /** {@link require} in front of every RPC but health probes, which platforms send without a token, and the public schema. */
  interceptor(): Interceptor {
    return (next) => (request) => {
      if (!OPEN.has(request.service.typeName)) this.require(request.header.get("authorization"));
      return next(request);
    };
  }
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
