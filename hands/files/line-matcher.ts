import { Code } from "@connectrpc/connect";
import { startChild } from "@serverless-harness/kit/child";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { FileMatches, MatchLines } from "./line-query.ts";
import { literalOf, matchLiteral } from "./literal-matcher.ts";
import { matchWithRegExp } from "./regexp-matcher.ts";
import { matchWithRipgrep } from "./ripgrep.ts";

/**
 * Matches lines by a plain text itself, by any other pattern with ripgrep, whose regular expressions take linear time; where it isn't installed, with JavaScript's in a thread that can be
 * stopped, whose syntax is nearly the same.
 */
export class LineMatcher {
  readonly #command: string;
  #chosen: Promise<MatchLines> | undefined;

  /** `command`: ripgrep's name or path. */
  constructor(command: string) {
    this.#command = command;
  }

  async *match(...[files, query, signal]: Parameters<MatchLines>): AsyncGenerator<FileMatches> {
    this.#chosen ??= this.#choose().catch((error: unknown) => {
      // What could not be found out this time may be the next time.
      this.#chosen = undefined;
      throw error;
    });
    const chosen = await this.#chosen;
    const text = literalOf(query);
    yield* text === undefined ? chosen(files, query, signal) : matchLiteral(text, chosen, files, query, signal);
  }

  async #choose(): Promise<MatchLines> {
    return (await isInstalled(this.#command)) ? matchWithRipgrep(this.#command) : matchWithRegExp;
  }
}

function isInstalled(command: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = startChild(command, ["--version"], { stdio: "ignore" });
    probe.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "EACCES") resolve(false);
      else
        reject(
          new HarnessError(Code.Unavailable, "search_unavailable", "the search program could not be started: try again", { cause: error }),
        );
    });
    probe.on("exit", (code) => resolve(code === 0));
  });
}
