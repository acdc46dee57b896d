import { accountCases, exactAccountCases } from "./account-cases.ts";
import { backlogCases } from "./backlog-cases.ts";
import { cancelCases } from "./cancel-cases.ts";
import { claimCases } from "./claim-cases.ts";
import { closeCases } from "./close-cases.ts";
import { deadlineCases } from "./deadline-cases.ts";
import { decideCases } from "./decide-cases.ts";
import { dutyCases } from "./duty-cases.ts";
import { eventCases, followCases } from "./event-cases.ts";
import { fileCases } from "./file-cases.ts";
import { gateCases } from "./gate-cases.ts";
import { listCases } from "./list-cases.ts";
import { messageCases } from "./message-cases.ts";
import { moveCases } from "./move-cases.ts";
import { noticeCases } from "./notice-cases.ts";
import { attemptCases, outcomeCases } from "./outcome-cases.ts";
import { ownershipCases } from "./ownership-cases.ts";
import { redriveCases } from "./redrive-cases.ts";
import { sandboxCases } from "./sandbox-cases.ts";
import { scheduleCases } from "./schedule-cases.ts";
import { sessionCases } from "./session-cases.ts";
import { submitCases } from "./submit-cases.ts";
import { suspendCases, wakeCases } from "./suspend-cases.ts";
import { sweepCases } from "./sweep-cases.ts";
import { priorityCases, tenantCases } from "./tenant-cases.ts";
import { tokenCases } from "./token-cases.ts";
import type { Case, ConformanceCase, LeafStoreFixture } from "./types.ts";

export {
  assertGapFree,
  claim,
  claimWhenReady,
  delta,
  done,
  follow,
  LONG_LEASE_MS,
  logOf,
  specOf,
  submit,
  usage,
  words,
  workerOf,
} from "./build.ts";
export type { ConformanceCase, LeafStoreFixture } from "./types.ts";

const GROUPS: Readonly<Record<string, readonly Case[]>> = {
  submit: submitCases,
  claim: claimCases,
  ownership: ownershipCases,
  outcome: outcomeCases,
  events: eventCases,
  follow: followCases,
  list: listCases,
  backlog: backlogCases,
  close: closeCases,
  suspend: suspendCases,
  wake: wakeCases,
  gates: gateCases,
  decide: decideCases,
  messages: messageCases,
  cancel: cancelCases,
  deadlines: deadlineCases,
  attempts: attemptCases,
  redrive: redriveCases,
  sweep: sweepCases,
  sessions: sessionCases,
  tenants: tenantCases,
  priority: priorityCases,
  schedules: scheduleCases,
  duties: dutyCases,
  tokens: tokenCases,
  files: fileCases,
  notices: noticeCases,
  accounts: accountCases,
  sandboxes: sandboxCases,
  moves: moveCases,
};

/**
 * What every driver of the leaf store must do, for any test runner. `open` gives each case a fresh, empty store, which the case disposes
 * of. Cases run in real time; one that never ends is a failure, so register them with a time limit. `exact`: limits hold however many submit at once, as they
 * do unless the store is spread over several nodes.
 */
export function leafStoreConformance(open: () => Promise<LeafStoreFixture>, exact = true): readonly ConformanceCase[] {
  const groups = exact ? { ...GROUPS, "accounts at once": exactAccountCases } : GROUPS;
  return Object.entries(groups).flatMap(([group, cases]) =>
    cases.map(([name, check]) => ({
      group,
      name,
      async run() {
        await using fixture = await open();
        await check(fixture);
      },
    })),
  );
}
