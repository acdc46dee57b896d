import { createHash, timingSafeEqual } from "node:crypto";
import { Code, type Interceptor } from "@connectrpc/connect";
import { bearerToken } from "@serverless-harness/kit/bearer";
import { HarnessError } from "@serverless-harness/kit/errors";
import { REFLECTION_SERVICES } from "@serverless-harness/kit/reflection";
import { SandboxAccessService } from "@serverless-harness/proto/brain";
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
  readonly brainToken?: string | undefined;
}

/** Tells who calls, by the bearer token of calls and plain requests. */
export class Authenticator {
  readonly #operator: Buffer | undefined;
  readonly #ofBrains: Buffer | undefined;
  readonly #tokens: TokenReader | undefined;
  /** Whoever sends no token is the operator. */
  readonly takesEverybody: boolean;

  /**
   * `operatorToken`: whoever sends it is the operator. `takesEverybody`: so is who sends no token, for a Unix socket that only its owner can open.
   * `tokens` reads all other tokens; without it there are none. `brainToken`: what brains must send for what is for them alone, which no other token opens and
   * which opens nothing else; without one, nobody gets in there.
   */
  constructor({ operatorToken, takesEverybody = false, tokens, brainToken }: AuthenticatorOptions) {
    this.#operator = operatorToken === undefined ? undefined : digest(operatorToken);
    this.takesEverybody = takesEverybody;
    this.#tokens = tokens;
    this.#ofBrains = brainToken === undefined ? undefined : digest(brainToken);
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

  /** UNAUTHENTICATED unless the header carries the token of brains. */
  requireBrain(header: string | null | undefined): void {
    const token = bearerToken(header);
    if (this.#ofBrains !== undefined && token !== undefined && timingSafeEqual(digest(token), this.#ofBrains)) return;
    const text = "this is for brains, which send the word of BRAIN_TOKEN_FILE: the same file is needed here and where they start";
    throw new HarnessError(Code.Unauthenticated, "unauthorized", text);
  }

  /**
   * {@link identify} in front of every RPC but health probes, which platforms send without a token, and the public schema; {@link requireBrain} in front
   * of what is for brains.
   */
  interceptor(): Interceptor {
    return (next) => async (request) => {
      const { typeName } = request.service;
      const header = request.header.get("authorization");
      if (typeName === SandboxAccessService.typeName) this.requireBrain(header);
      else if (!OPEN.has(typeName)) request.contextValues.set(callerKey, await this.identify(header));
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
