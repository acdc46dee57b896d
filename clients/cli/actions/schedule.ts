import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { LeafSpecSchema, type Schedule, ScheduleSchema } from "@serverless-harness/proto/leaf";
import type { ScheduleListOptions, ScheduleRunOptions } from "../commands/schedule.ts";
import type { Context } from "../context.ts";
import { withSchedules } from "../dispatcher.ts";
import { ExitCode } from "../exit-codes.ts";
import { readText } from "../parse.ts";
import { leafFields, type ScheduleOptions, timeFields } from "../schedule-options.ts";
import { firstLine } from "../view/format.ts";
import { emptyLeaf, leafJson } from "../view/leaf-text.ts";
import { nextFire, scheduleText } from "../view/schedule-text.ts";
import { table } from "../view/table.ts";

/** Does `leaf schedule create`. */
export async function runCreate(
  context: Context,
  [scheduleId = "", cron = "", argument = ""]: readonly string[],
  options: ScheduleOptions,
): Promise<ExitCode> {
  const prompt = await readText("prompt", argument);
  const spec = create(LeafSpecSchema, { ...(await leafFields(options)), prompt });
  const schedule = { scheduleId, spec, ...timeFields({ ...options, cron }) };
  const made = await withSchedules(context, (schedules) => schedules.createSchedule({ schedule }));
  if (context.out.json) context.out.document({ schedule: scheduleJson(made.schedule), created: made.created });
  else context.out.line(scheduleText(present(made.schedule), context.out.color));
  if (!made.created) context.out.note("this schedule was there already, as it is");
  return ExitCode.ok;
}

/** Does `leaf schedule update`: what is changed is what is there, under the revision that was read. */
export async function runUpdate(context: Context, [scheduleId = ""]: readonly string[], options: ScheduleOptions): Promise<ExitCode> {
  const prompt = options.prompt === undefined ? undefined : await readText("prompt", options.prompt);
  const leaf = await leafFields(options);
  const { schedule } = await withSchedules(context, async (schedules) => {
    const read = present((await schedules.getSchedule({ scheduleId })).schedule);
    const spec = create(LeafSpecSchema, { ...(read.spec ?? create(LeafSpecSchema)), ...leaf, ...(prompt === undefined ? {} : { prompt }) });
    return await schedules.updateSchedule({ schedule: { ...read, ...timeFields(options), spec } });
  });
  return show(context, schedule);
}

/** Does `leaf schedule get`. */
export async function runGet(context: Context, [scheduleId = ""]: readonly string[]): Promise<ExitCode> {
  return show(context, (await withSchedules(context, (schedules) => schedules.getSchedule({ scheduleId }))).schedule);
}

/** Does `leaf schedule list`. */
export async function runList(context: Context, _args: readonly string[], options: ScheduleListOptions): Promise<ExitCode> {
  const { out } = context;
  const { schedules, nextPageToken } = await withSchedules(context, (service) =>
    service.listSchedules({ pageSize: options.limit, pageToken: options.page ?? "" }),
  );
  if (out.json) {
    out.document({ schedules: schedules.map(scheduleJson), ...(nextPageToken === "" ? {} : { nextPageToken }) });
    return ExitCode.ok;
  }
  if (schedules.length === 0) out.note("no schedules");
  const rows = schedules.map((schedule) => [
    schedule.scheduleId,
    schedule.cron,
    schedule.timeZone,
    nextFire(schedule, out.color),
    String(schedule.fires),
    firstLine(schedule.spec?.prompt ?? "", 40),
  ]);
  for (const line of table(["SCHEDULE", "CRON", "ZONE", "NEXT", "FIRES", "PROMPT"], rows, out.color)) out.line(line);
  if (nextPageToken !== "") out.note(`more: --page ${nextPageToken}`);
  return ExitCode.ok;
}

/** Does `leaf schedule pause` and `leaf schedule resume`. */
export async function runPause(context: Context, [scheduleId = ""]: readonly string[], pause: boolean): Promise<ExitCode> {
  const { schedule } = await withSchedules<{ schedule?: Schedule | undefined }>(context, (schedules) =>
    pause ? schedules.pauseSchedule({ scheduleId }) : schedules.resumeSchedule({ scheduleId }),
  );
  return show(context, schedule);
}

/** Does `leaf schedule run`. */
export async function runNow(context: Context, [scheduleId = ""]: readonly string[], options: ScheduleRunOptions): Promise<ExitCode> {
  const run = { scheduleId, runId: options.key ?? "" };
  const { leaf, created, fireId } = await withSchedules(context, (schedules) => schedules.runSchedule(run));
  const { out } = context;
  if (out.json) out.document({ leaf: leafJson(emptyLeaf(leaf)), created, fireId });
  else {
    out.line(emptyLeaf(leaf).leafId);
    out.note(created ? `fire ${fireId}` : "this run was made before: its leaf is shown, none was made");
  }
  return ExitCode.ok;
}

/** Does `leaf schedule delete`. */
export async function runDelete(context: Context, [scheduleId = ""]: readonly string[]): Promise<ExitCode> {
  await withSchedules(context, (schedules) => schedules.deleteSchedule({ scheduleId }));
  if (context.out.json) context.out.document({ deleted: scheduleId });
  else context.out.line(`deleted ${scheduleId}; its leaves stay`);
  return ExitCode.ok;
}

function show({ out }: Context, found: Schedule | undefined): ExitCode {
  if (out.json) out.document({ schedule: scheduleJson(found) });
  else out.line(scheduleText(present(found), out.color));
  return ExitCode.ok;
}

function scheduleJson(schedule: Schedule | undefined): JsonValue {
  return toJson(ScheduleSchema, present(schedule));
}

/** A schedule that an answer must hold; an empty one in place of none. */
function present(schedule: Schedule | undefined): Schedule {
  return schedule ?? create(ScheduleSchema);
}
