import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { LeafSpecSchema, type Schedule, ScheduleSchema } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { addCommand, type Definition, defineGroup } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { type Dispatcher, withDispatcher } from "../dispatcher/call.ts";
import { placementFields } from "../options/placement.ts";
import { addScheduleOptions, leafFields, type ScheduleOptions, timeFields } from "../options/schedule.ts";
import { addPageOptions, type PageOptions, readText } from "../options/values.ts";
import { firstLine, showPage } from "../view/format.ts";
import { emptyLeaf, leafJson } from "../view/leaf-text.ts";
import { nextFire, scheduleText } from "../view/schedule-text.ts";

interface RunOptions extends CommonOptions {
  readonly key?: string;
}

/** `leaf schedule`: what submits leaves by a cron expression. */
export function add(group: Command): void {
  defineGroup(group, "Schedules submit a leaf at each time that a cron expression names.");
  addCommand<ScheduleOptions>(group, "create <schedule_id> <cron> <prompt>", "make a schedule", {
    description:
      'The expression is minute, hour, day of month, month and day of week, as "30 2 * * 1-5". `__FIRE__` in the prompt, session or labels stands for the fire.',
    options: addScheduleOptions,
    run: createSchedule,
  });
  addCommand<ScheduleOptions>(group, "update <schedule_id>", "change a schedule", {
    description: "What is not said stays as it is. If somebody else changes it meanwhile, nothing is changed and the exit code is 7.",
    options: (command) =>
      addScheduleOptions(command.option("--cron <expression>", "another expression").option("--prompt <text>", "another prompt")),
    run: updateSchedule,
  });
  addCommand(group, "get <schedule_id>", "show a schedule, its next fires and what became of the last", showing("getSchedule"));
  addCommand<PageOptions>(group, "list", "list schedules", {
    options: (command) => addPageOptions(command, 200, 50),
    run: listSchedules,
  });
  addCommand(group, "pause <schedule_id>", "stop a schedule's fires", showing("pauseSchedule"));
  addCommand(group, "resume <schedule_id>", "let a paused schedule fire again", showing("resumeSchedule"));
  addCommand<RunOptions>(group, "run <schedule_id>", "submit a schedule's leaf now", {
    options: (command) => command.option("--key <name>", "a name for this run: the same name makes no second leaf"),
    run: runNow,
  });
  addCommand(group, "delete <schedule_id>", "remove a schedule", {
    run: async (context, [scheduleId = ""]) => {
      await withDispatcher(context, ({ schedules }) => schedules.deleteSchedule({ scheduleId }));
      context.out.answer({ deleted: scheduleId }, `deleted ${scheduleId}; its leaves stay`);
    },
  });
}

/** A command that makes one call about a schedule, and shows the schedule in the answer. */
function showing(call: "getSchedule" | "pauseSchedule" | "resumeSchedule"): Definition<CommonOptions> {
  return {
    run: async (context, [scheduleId = ""]) => {
      const work = ({ schedules }: Dispatcher): Promise<{ schedule?: Schedule | undefined }> => schedules[call]({ scheduleId });
      show(context, (await withDispatcher(context, work)).schedule);
    },
  };
}

async function createSchedule(context: Context, args: readonly string[], options: ScheduleOptions): Promise<void> {
  const [scheduleId = "", cron = "", argument = ""] = args;
  const prompt = await readText("prompt", argument);
  const spec = create(LeafSpecSchema, { ...(await leafFields(options)), ...placementFields(options), prompt });
  const schedule = { scheduleId, spec, ...timeFields({ ...options, cron }) };
  const made = await withDispatcher(context, ({ schedules }) => schedules.createSchedule({ schedule }));
  show(context, made.schedule, { created: made.created });
  if (!made.created) context.out.note("this schedule was there already, as it is");
}

/** Changes what was read, under the revision that was read. */
async function updateSchedule(context: Context, [scheduleId = ""]: readonly string[], options: ScheduleOptions): Promise<void> {
  const prompt = options.prompt === undefined ? undefined : await readText("prompt", options.prompt);
  const leaf = await leafFields(options);
  const { schedule } = await withDispatcher(context, async ({ schedules }) => {
    const read = present((await schedules.getSchedule({ scheduleId })).schedule);
    const before = read.spec ?? create(LeafSpecSchema);
    const sandbox = placementFields(options, before.sandbox);
    const spec = create(LeafSpecSchema, { ...before, ...leaf, ...sandbox, ...(prompt === undefined ? {} : { prompt }) });
    return await schedules.updateSchedule({ schedule: { ...read, ...timeFields(options), spec } });
  });
  show(context, schedule);
}

async function listSchedules(context: Context, _args: readonly string[], options: PageOptions): Promise<void> {
  const { out } = context;
  const { schedules, nextPageToken } = await withDispatcher(context, (dispatcher) =>
    dispatcher.schedules.listSchedules({ pageSize: options.limit, pageToken: options.page ?? "" }),
  );
  const rows = schedules.map((schedule) => [
    schedule.scheduleId,
    schedule.cron,
    schedule.timeZone,
    nextFire(schedule, out.color),
    String(schedule.fires),
    firstLine(schedule.spec?.prompt ?? "", 40),
  ]);
  const things = { key: "schedules", name: "schedules", documents: schedules.map(scheduleJson) };
  showPage(out, things, nextPageToken, ["SCHEDULE", "CRON", "ZONE", "NEXT", "FIRES", "PROMPT"], rows);
}

async function runNow(context: Context, [scheduleId = ""]: readonly string[], { key: runId = "" }: RunOptions): Promise<void> {
  const { leaf, created, fireId } = await withDispatcher(context, ({ schedules }) => schedules.runSchedule({ scheduleId, runId }));
  const made = emptyLeaf(leaf);
  context.out.answer({ leaf: leafJson(made), created, fireId }, made.leafId);
  context.out.note(created ? `fire ${fireId}` : "this run was made before: this is its leaf, no new one was made");
}

function show({ out }: Context, found: Schedule | undefined, more: object = {}): void {
  out.answer({ schedule: scheduleJson(found), ...more }, scheduleText(present(found), out.color));
}

function scheduleJson(schedule: Schedule | undefined): JsonValue {
  return toJson(ScheduleSchema, present(schedule));
}

/** The schedule that an answer has to hold; an empty one if it holds none. */
function present(schedule: Schedule | undefined): Schedule {
  return schedule ?? create(ScheduleSchema);
}
