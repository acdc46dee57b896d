import { runInNewContext } from "node:vm";

/** Longest look at one value, in milliseconds: a process that looks longer does nothing else meanwhile, and is taken for dead. */
const TIMEOUT_MS = 1000;

/**
 * What `look` returns, or `undefined` where it does not come to its end in time. A regular expression can take for ever on a text that
 * was made for it, and nothing else in JavaScript can stop it.
 */
export function inTime<T>(look: () => T): { readonly value: T } | undefined {
  try {
    return runInNewContext("run()", { run: () => ({ value: look() }) }, { timeout: TIMEOUT_MS }) as { readonly value: T };
  } catch (error) {
    // The error is one of the other context, and so no instance of this one's Error.
    if (typeof error === "object" && error !== null && "code" in error && error.code === "ERR_SCRIPT_EXECUTION_TIMEOUT") return undefined;
    throw error;
  }
}
