import type { ServiceImpl } from "@connectrpc/connect";
import type { ScheduleService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../callers/caller.ts";
import type { Schedules } from "../schedules/schedules.ts";

/** The RPCs of ScheduleService. */
export function scheduleRpcs(schedules: Schedules): ServiceImpl<typeof ScheduleService> {
  return {
    createSchedule: ({ schedule }, context) => schedules.create(callerOf(context), schedule),
    getSchedule: async (request, context) => ({ schedule: await schedules.get(callerOf(context), request) }),
    listSchedules: ({ tenant, pageSize, pageToken }, context) => schedules.list(callerOf(context), tenant, pageSize, pageToken),
    updateSchedule: async ({ schedule }, context) => ({ schedule: await schedules.update(callerOf(context), schedule) }),
    pauseSchedule: async (request, context) => ({ schedule: await schedules.pause(callerOf(context), request, true) }),
    resumeSchedule: async (request, context) => ({ schedule: await schedules.pause(callerOf(context), request, false) }),
    deleteSchedule: async (request, context) => {
      await schedules.delete(callerOf(context), request);
      return {};
    },
    runSchedule: (request, context) => schedules.run(callerOf(context), request, request.runId),
  };
}
