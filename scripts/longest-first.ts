import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { ROOT } from "./run.ts";

/** Files that take a minute or more, the longest first: begun last, one of them would keep a single core busy when all others are over. */
const LONG = [
  "brain/test/every-step-redis.test.ts",
  "brain/test/every-step.test.ts",
  "session/test/claim-protocol/drivers.test.ts",
  "brain/test/every-step-restore.test.ts",
  "brain/test/every-step-words.test.ts",
  "brain/test/sandbox-lost.test.ts",
  "clients/cli/test/stack.test.ts",
  "clients/cli/test/lifecycle.test.ts",
  "session/test/claim-protocol/claim-protocol.test.ts",
  "session/test/history/history.test.ts",
  "bench/test/soak.test.ts",
  "hands/test/network/public-network.test.ts",
];

/** Vitest's own order goes by the sizes of files until it knows how long they take, and long tests are short to write. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const gone = LONG.filter((file) => !existsSync(join(ROOT, file)));
    if (gone.length > 0) throw new Error(`scripts/longest-first.ts names files that are not there: ${gone.join(", ")}`);
    const rank = ({ moduleId }: TestSpecification): number => {
      const index = LONG.indexOf(relative(ROOT, moduleId));
      return index === -1 ? LONG.length : index;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}
