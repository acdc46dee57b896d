import { stripVTControlCharacters } from "node:util";
import type { WorkspaceClient } from "@serverless-harness/hands/client";

/** When to look at a terminal. */
export interface WaitWish {
  /** Wait until nothing was written for this many milliseconds; if `waitFor` is given, for that alone. */
  readonly quietMs: number;
  /** Wait no longer than this many milliseconds. */
  readonly maxMs: number;
  readonly waitFor: string | undefined;
}

/** Where the wait begins. */
export interface WaitStart {
  /** First byte of output that counts as new. */
  readonly offset: number;
  /** What the window showed, which `waitFor` is not to be found in. Empty: everything counts. */
  readonly shown: string;
}

/** How a wait ended. */
export type WaitEnd = "settled" | "limit";

/** Newest output that is searched. */
const SEARCHED_BYTES = 64 * 1024;
/** A full-screen program paints in pieces: its window is looked at when it pauses for this long, in milliseconds. */
const PAINTED_MS = 50;

/**
 * Wait until a terminal has answered: it is quiet, shows the text that is waited for, or its program has ended. Rejects with what watching rejects
 * with, and if `signal` aborts; the terminal goes on in any case.
 */
export async function waitForTerminal(
  hands: WorkspaceClient,
  terminalId: string,
  start: WaitStart,
  wish: WaitWish,
  signal: AbortSignal | undefined,
): Promise<WaitEnd> {
  const over = Promise.withResolvers<WaitEnd>();
  const limit = setTimeout(() => over.resolve("limit"), wish.maxMs);
  const look = (): void => {
    if (wish.waitFor === undefined) over.resolve("settled");
    else void isShown(hands, terminalId, wish.waitFor, start.shown).then((shown) => shown && over.resolve("settled"), over.reject);
  };
  const pauseMs = wish.waitFor === undefined ? wish.quietMs : PAINTED_MS;
  const pause = setTimeout(look, pauseMs);
  let newest = Buffer.alloc(0);
  const handle = hands.attachTerminal(
    terminalId,
    (update) => {
      if (update.kind !== "output") return;
      pause.refresh();
      if (wish.waitFor === undefined) return;
      newest = Buffer.concat([newest, update.data]).subarray(-SEARCHED_BYTES);
      if (stripVTControlCharacters(newest.toString()).includes(wish.waitFor)) over.resolve("settled");
    },
    start.offset,
  );
  handle.ended.then(() => over.resolve("settled"), over.reject);
  const abort = (): void => over.reject(new Error("aborted"));
  signal?.addEventListener("abort", abort);
  if (signal?.aborted === true) abort();
  try {
    return await over.promise;
  } finally {
    clearTimeout(limit);
    clearTimeout(pause);
    signal?.removeEventListener("abort", abort);
    handle.detach();
  }
}

async function isShown(hands: WorkspaceClient, terminalId: string, text: string, before: string): Promise<boolean> {
  if (before.includes(text)) return false;
  const { lines } = await hands.terminalScreen(terminalId);
  return lines.join("\n").includes(text);
}
