import { schemaProblems } from "@serverless-harness/kit/json-schema";
import { serveTasks } from "@serverless-harness/kit/side-thread";
import { patternProblem } from "./gate-pattern.ts";

/** What is looked at in a side thread, since a caller wrote it. */
const tasks = { schemaProblems, patternProblem };
export type CallerChecks = typeof tasks;

serveTasks(tasks);
