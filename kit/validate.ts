import { invalidArgument, type Violation } from "./errors.ts";

/** Names of tenants, sessions and the like: no separator can occur in one, so no two pairs of them collide when joined. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
/** Control characters, line ends, and what turns the direction of writing. */
const STEERING = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;
const ID = /^[A-Za-z0-9._:-]{1,200}$/;

/** A text that is a name: 1 to 128 characters of A-Z a-z 0-9 . _ - not starting with a dot or a dash. */
export function isName(value: string): boolean {
  return NAME.test(value);
}

/** How an entry of a map is named as a field, as `spec.labels[team]`; of a long key its beginning. */
export function entryOf(field: string, key: string): string {
  return `${field}[${JSON.stringify(key.slice(0, 64)).slice(1, -1)}]`;
}

/** Collects every wrong field of a request, so that the client learns of all of them at once. */
export class Validation {
  readonly #violations: Violation[] = [];

  /** Note that `field` is wrong; `description` says what would be right. */
  fail(field: string, description: string): void {
    this.#violations.push({ field, description });
  }

  /** Note `field` as wrong unless `ok`. */
  check(field: string, ok: boolean, description: string): void {
    if (!ok) this.fail(field, description);
  }

  /** A tenant, session or similar name. */
  name(field: string, value: string): void {
    this.check(field, isName(value), "must be 1 to 128 characters of A-Z a-z 0-9 . _ - and not start with a dot or a dash");
  }

  /** A text that stands in a line of a list or a log, as a label or who did something: nothing in it may steer whoever shows it. */
  line(field: string, value: string): void {
    this.check(field, !STEERING.test(value), "must hold no control characters and no line ends");
    this.check(field, value.isWellFormed(), "must be valid Unicode");
  }

  /** An id that a caller chose, as an exec's. */
  id(field: string, value: string): void {
    this.check(field, ID.test(value), "must be 1 to 200 characters of A-Z a-z 0-9 . _ : -");
  }

  /** A workspace, `<tenant>/<session>`. */
  workspace(field: string, value: string): void {
    const parts = value.split("/");
    const ok = parts.length === 2 && parts.every((part) => NAME.test(part));
    this.check(
      field,
      ok,
      "must be <tenant>/<session>, each 1 to 128 characters of A-Z a-z 0-9 . _ - and not starting with a dot or a dash",
    );
  }

  /** A session's epoch; 0 claims nothing. */
  epoch(field: string, value: bigint): void {
    this.check(field, value >= 0n, "must be 0 or more");
  }

  /** What every call carries that an owner makes. */
  owner(request: { readonly workspace: string; readonly epoch: bigint }): void {
    this.workspace("workspace", request.workspace);
    this.epoch("epoch", request.epoch);
  }

  /** A number between two bounds, both allowed. */
  range(field: string, value: number | bigint, min: number, max: number): void {
    this.check(field, value >= min && value <= max, `must be ${min} to ${max}`);
  }

  /** A text's length in bytes of UTF-8. */
  maxBytes(field: string, value: string, max: number): void {
    this.check(field, Buffer.byteLength(value) <= max, `must be at most ${max} bytes`);
  }

  /** A text's length in characters, both bounds allowed. */
  characters(field: string, value: string, min: number, max: number): void {
    const { length } = [...value];
    const bounds = min === 0 ? `at most ${max}` : `${min} to ${max}`;
    this.check(field, length >= min && length <= max, `must be ${bounds} characters`);
  }

  /** Throw the error that lists every wrong field, if there is one. */
  done(): void {
    if (this.#violations.length > 0) throw invalidArgument(this.#violations);
  }
}
