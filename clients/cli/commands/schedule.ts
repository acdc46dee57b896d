import type { Command } from "commander";
import { addCommand, addGroup } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { wholeNumber } from "../parse.ts";
import { addScheduleOptions, type ScheduleOptions } from "../schedule-options.ts";

/** Options of `leaf schedule list`. */
export interface ScheduleListOptions extends CommonOptions {
  readonly limit: number;
  readonly page?: string;
}

/** Options of `leaf schedule run`. */
export interface ScheduleRunOptions extends CommonOptions {
  readonly key?: string;
}

/** `leaf schedule`: what submits leaves by a cron expression. */
export function addSchedule(program: Command): void {
  const group = addGroup(
    program,
    "schedule",
    "submit leaves by a cron expression",
    "Schedules submit a leaf at each time that a cron expression names.",
  );
  addCreate(group);
  addUpdate(group);
  addReaders(group);
  addSwitches(group);
}

function addCreate(group: Command): void {
  addCommand<ScheduleOptions>(group, {
    name: "schedule create",
    usage: "<schedule_id> <cron> <prompt>",
    summary: "make a schedule",
    description:
      'The expression is minute, hour, day of month, month and day of week, as "30 2 * * 1-5". `__FIRE__` in the prompt, session or labels stands for the fire.',
    options: (command) => addScheduleOptions(command),
    run: async (...given) => (await import("../actions/schedule.ts")).runCreate(...given),
  });
}

function addUpdate(group: Command): void {
  addCommand<ScheduleOptions>(group, {
    name: "schedule update",
    usage: "<schedule_id>",
    summary: "change a schedule",
    description: "What is not said stays as it is. Nobody's change in between is overwritten: it ends with 7 then.",
    options: (command) =>
      addScheduleOptions(command.option("--cron <expression>", "another expression").option("--prompt <text>", "another prompt")),
    run: async (...given) => (await import("../actions/schedule.ts")).runUpdate(...given),
  });
}

function addReaders(group: Command): void {
  addCommand<CommonOptions>(group, {
    name: "schedule get",
    usage: "<schedule_id>",
    summary: "show a schedule, its next fires and what became of the last",
    run: async (context, args) => (await import("../actions/schedule.ts")).runGet(context, args),
  });
  addCommand<ScheduleListOptions>(group, {
    name: "schedule list",
    summary: "list schedules",
    options: (command) =>
      command
        .option("--limit <n>", "at most this many", wholeNumber(1, 200), 50)
        .option("--page <token>", "the page behind an earlier one"),
    run: async (...given) => (await import("../actions/schedule.ts")).runList(...given),
  });
}

function addSwitches(group: Command): void {
  addCommand<CommonOptions>(group, {
    name: "schedule pause",
    usage: "<schedule_id>",
    summary: "stop a schedule's fires",
    run: async (context, args) => (await import("../actions/schedule.ts")).runPause(context, args, true),
  });
  addCommand<CommonOptions>(group, {
    name: "schedule resume",
    usage: "<schedule_id>",
    summary: "let them go on",
    run: async (context, args) => (await import("../actions/schedule.ts")).runPause(context, args, false),
  });
  addCommand<ScheduleRunOptions>(group, {
    name: "schedule run",
    usage: "<schedule_id>",
    summary: "submit a schedule's leaf now",
    options: (command) => command.option("--key <name>", "a name for this run: the same name makes no second leaf"),
    run: async (...given) => (await import("../actions/schedule.ts")).runNow(...given),
  });
  addCommand<CommonOptions>(group, {
    name: "schedule delete",
    usage: "<schedule_id>",
    summary: "forget a schedule",
    run: async (context, args) => (await import("../actions/schedule.ts")).runDelete(context, args),
  });
}
