import { compileSchema, type ObjectSchema } from "@serverless-harness/kit/json-schema";
import { serveTasks } from "@serverless-harness/kit/side-thread";

/** What is looked at in a side thread, since a caller wrote it. */
const tasks = {
  /** What is wrong with a value by a schema. */
  valueProblems: (schema: ObjectSchema, value: unknown): string[] => compileSchema(schema)(value),
  /** One of the texts matches. A person takes the beginning of a line for a beginning; one who means the whole text is not to lose calls by that. */
  matches(pattern: string, texts: readonly string[]): boolean {
    const patterns = ["u", "um"].map((flags) => new RegExp(pattern, flags));
    return texts.some((text) => patterns.some((each) => each.test(text)));
  },
};
export type CallerChecks = typeof tasks;

serveTasks(tasks);
