import { createHash, timingSafeEqual } from "node:crypto";
import { Code, type Interceptor } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { REFLECTION_SERVICES } from "@serverless-harness/kit/reflection";
import { bearerToken } from "@serverless-harness/kit/token";
import { Health } from "@serverless-harness/proto/health";
import { type Caller, callerKey, OPERATOR } from "./caller.ts";

const OPEN: ReadonlySet<string> = new Set([Health.typeName, ...REFLECTION_SERVICES]);

/** Reads who calls from a signed token. */
export interface TokenReader {
  /** UNAUTHENTICATED for a token that is not valid, or was revoked. */
  read(token: string): Promise<Caller>;
}

/** Who is let in, and as whom. */
export interface AuthenticatorOptions {
  readonly operatorToken?: string | undefined;
  readonly takesEverybody?: boolean;
  readonly tokens?: TokenReader | undefined;
}

/** Tells who calls, by the bearer token of calls and plain requests. */
export class Authenticator {
  readonly #operator: Buffer | undefined;
  readonly #tokens: TokenReader | undefined;
  /** Whoever sends no token is the operator. */
  readonly takesEverybody: boolean;

  /**
   * `operatorToken`: whoever sends it is the operator. `takesEverybody`: so is who sends no token, for a Unix socket that only its owner can open.
   * `tokens` reads all other tokens; without it there are none.
   */
  constructor({ operatorToken, takesEverybody = false, tokens }: AuthenticatorOptions) {
    this.#operator = operatorToken === undefined ? undefined : digest(operatorToken);
    this.takesEverybody = takesEverybody;
    this.#tokens = tokens;
  }

  /** Who sent this `Authorization` header. UNAUTHENTICATED without a valid token; digests of one length are compared, so a wrong one takes the same time. */
  async identify(header: string | null | undefined): Promise<Caller> {
    if (header === null || header === undefined) {
      if (this.takesEverybody) return OPERATOR;
      throw unauthorized();
    }
    const token = bearerToken(header);
    if (token === undefined) throw unauthorized();
    if (this.#operator !== undefined && timingSafeEqual(digest(token), this.#operator)) return OPERATOR;
    if (this.#tokens === undefined) throw unauthorized();
    return await this.#tokens.read(token);
  }

  /** UNAUTHENTICATED or PERMISSION_DENIED unless the operator sent this header: what it guards is about every tenant. */
  async requireOperator(header: string | null | undefined): Promise<void> {
    const { tenant } = await this.identify(header);
    if (tenant === undefined) return;
    throw new HarnessError(Code.PermissionDenied, "operator_only", "this is about every tenant: use the operator's token");
  }

  /** {@link identify} in front of every RPC but health probes, which platforms send without a token, and the public schema. */
  interceptor(): Interceptor {
    return (next) => async (request) => {
      if (!OPEN.has(request.service.typeName)) {
        request.contextValues.set(callerKey, await this.identify(request.header.get("authorization")));
      }
      return next(request);
    };
  }
}

function unauthorized(): HarnessError {
  return new HarnessError(Code.Unauthenticated, "unauthorized", "a valid token is needed: send `Authorization: Bearer <token>`");
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
