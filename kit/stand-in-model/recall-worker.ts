import { serveTasks } from "../side-thread.ts";

const tasks = {
  firstGroup(pattern: string, texts: readonly string[]): string | undefined {
    const expression = new RegExp(pattern);
    return texts.map((text) => expression.exec(text)?.[1]).find((group) => group !== undefined);
  },
};
export type RecallTasks = typeof tasks;

serveTasks(tasks);
