import { SideThread } from "@serverless-harness/kit/side-thread";
import type { CallerChecks } from "./caller-checks-worker.ts";

/** Looks at schemas and patterns of callers. One for the process: it is started with the first that has any. */
export const callerChecks = new SideThread<CallerChecks>(new URL("./caller-checks-worker.ts", import.meta.url));
