import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Cadence, cronProblem, timeZoneProblem } from "../../schedules/cadence.ts";

const at = (text: string): number => Date.parse(text);
const NOW = at("2026-11-30T12:00:00Z");

/** The next times after one, in ISO 8601 without seconds. */
function times(cron: string, zone: string, after: string, count: number): string[] {
  return new Cadence(cron, zone).next(count, at(after)).map((time) => new Date(time).toISOString().slice(0, 16));
}

describe("a fixed time of day", () => {
  test.each([
    // Berlin goes from 02:00 to 03:00 on March 29, 2026.
    ["30 2 * * *", "Europe/Berlin", "2026-03-28T00:00Z", ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]],
    // New York from 02:00 to 03:00 on March 8.
    ["30 2 * * *", "America/New_York", "2026-03-07T12:00Z", ["2026-03-08T07:00", "2026-03-09T06:30"]],
    // Lord Howe by half an hour only, from 02:00 to 02:30 on October 4.
    ["15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00Z", ["2026-10-03T15:30", "2026-10-04T15:15"]],
  ])("that the clocks leave out (%s in %s) comes right after the gap, on the same day", (cron, zone, after, expected) => {
    expect(times(cron, zone, after, expected.length)).toEqual(expected);
  });

  test.each([
    ["30 2 * * *", "Europe/Berlin", "2026-10-24T00:00Z", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]],
    ["30 1 * * *", "America/New_York", "2026-10-31T12:00Z", ["2026-11-01T05:30", "2026-11-02T06:30"]],
    ["45 1 * * *", "Australia/Lord_Howe", "2026-04-03T20:00Z", ["2026-04-04T14:45", "2026-04-05T15:15"]],
  ])("that comes twice (%s in %s) fires at the first", (cron, zone, after, expected) => {
    expect(times(cron, zone, after, expected.length)).toEqual(expected);
  });
});

describe("a repeating time", () => {
  test.each([
    [
      "*/30 * * * *",
      "Europe/Berlin",
      "2026-10-25T00:00Z",
      ["2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T02:00"],
    ],
    ["0 1,2 * * *", "Europe/Berlin", "2026-10-24T22:00Z", ["2026-10-24T23:00", "2026-10-25T00:00", "2026-10-25T01:00", "2026-10-26T00:00"]],
    [
      "*/30 * * * *",
      "America/New_York",
      "2026-11-01T05:15Z",
      ["2026-11-01T05:30", "2026-11-01T06:00", "2026-11-01T06:30", "2026-11-01T07:00"],
    ],
    [
      "*/15 1 * * *",
      "Australia/Lord_Howe",
      "2026-04-04T14:25Z",
      ["2026-04-04T14:30", "2026-04-04T14:45", "2026-04-04T15:00", "2026-04-04T15:15"],
    ],
  ])("that comes twice (%s in %s) fires at both", (cron, zone, after, expected) => {
    expect(times(cron, zone, after, expected.length)).toEqual(expected);
  });

  test.each([
    ["*/30 2,3 * * *", "Europe/Berlin", "2026-03-28T23:00Z", ["2026-03-29T01:00", "2026-03-29T01:30", "2026-03-30T00:00"]],
    ["*/15 2 * * *", "Australia/Lord_Howe", "2026-10-03T15:00Z", ["2026-10-03T15:30", "2026-10-03T15:45", "2026-10-04T15:00"]],
  ])("that the clocks leave out (%s in %s) does not come", (cron, zone, after, expected) => {
    expect(times(cron, zone, after, expected.length)).toEqual(expected);
  });
});

describe("times", () => {
  test("go on strictly after the one that is given, to the millisecond", () => {
    const cadence = new Cadence("0 12 * * *", "UTC");
    const noon = at("2026-01-01T12:00:00Z");
    expect([cadence.after(noon - 1), cadence.after(noon)]).toEqual([noon, noon + 86_400_000]);
    expect([cadence.before(noon, 0, 1), cadence.before(noon + 1, 0, 1)]).toEqual([[noon - 86_400_000], [noon]]);
  });

  test("keep to the bounds: from the first, before the last", () => {
    const [startMs, endMs] = [at("2026-01-02T12:00Z"), at("2026-01-05T12:00Z")];
    const cadence = new Cadence("0 12 * * *", "UTC", { startMs, endMs });
    const all = [2, 3, 4].map((day) => at(`2026-01-0${day}T12:00Z`));
    expect(cadence.next(9, 0)).toEqual(all);
    expect(cadence.before(at("2027-01-01T00:00Z"), 0, 9)).toEqual(all);
    expect(cadence.before(at("2027-01-01T00:00Z"), all[1] ?? 0, 9)).toEqual(all.slice(1));
    expect(cadence.after(endMs)).toBeUndefined();
  });

  test("seen from behind are those seen from before, through every change of the clocks", () => {
    const zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago", "Africa/Casablanca"];
    const crons = ["*/30 * * * *", "30 2 * * *", "15 1,2 * * *", "0 0 * * *", "*/7 1-3 * * *", "30 1 * * SUN", "0 3 L * *", "30 0 15W * *"];
    const spring = fc.integer({ min: at("2026-03-01T00:00Z"), max: at("2026-11-10T00:00Z") });
    fc.assert(
      fc.property(fc.constantFrom(...zones), fc.constantFrom(...crons), spring, (zone, cron, from) => {
        const cadence = new Cadence(cron, zone);
        const forwards = cadence.next(12, from);
        expect(cadence.before((forwards.at(-1) ?? 0) + 1, from + 1, 20)).toEqual(forwards);
      }),
      { numRuns: 200 },
    );
  });
});

describe("an expression", () => {
  test.each([
    ["* * * * *"],
    ["30 2 * * 1-5"],
    ["*/10 * * * * *"],
    ["@daily"],
    ["0 0 L * *"],
    ["0 0 * * MON#2"],
    ["0 0 29 2 *"],
    ["0 0 1 JAN +MON"],
  ])("as %s is taken", (cron) => {
    expect(cronProblem(cron, NOW)).toBeUndefined();
  });

  test.each([
    ["* * * *", "it has five fields, or six with seconds in front"],
    ["* * * * * * *", "it has five fields, or six with seconds in front"],
    ["61 * * * *", "61 is no minute"],
    ["* 24 * * *", "24 is no hour"],
    ["0 0 0 * *", "0 is no day"],
    ["0 0 32 * *", "32 is no day"],
    ["0 0 * 13 *", "13 is no month"],
    ["0 0 * * 8", "8 is no dayOfWeek"],
    ["5-1 * * * *", "larger than"],
    ["*/0 * * * *", "stepping"],
    ["1.5 * * * *", "illegal characters"],
    ["@never", "it has five fields"],
    ["@reboot", "@reboot names no time"],
    ["2026-12-01T00:00:00", "not a date: for one time, submit a leaf then"],
    ["0 0 30 2 *", "no date ever matches"],
    ["0 0 31 4,6,9,11 *", "no date ever matches"],
    ["0 0 31W 2 *", "no date ever matches"],
    ["0 0 30 2 +MON", "no date ever matches"],
  ])("as %s is refused, with what is wrong with it", (cron, problem) => {
    expect(cronProblem(cron, NOW)).toContain(problem);
    expect(cronProblem(cron, NOW)).not.toMatch(/CronPattern|undefined/);
  });
});

describe("a time zone", () => {
  test.each(["", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])("as %j is taken", (zone) => {
    expect(timeZoneProblem(zone)).toBeUndefined();
  });

  test.each(["Berlin", "+02:00", "local", "Europe/Berlin ", "../etc", "UTC\n"])("as %j is refused", (zone) => {
    expect(timeZoneProblem(zone)).toBe("must be an IANA time zone, as Europe/Berlin or UTC");
  });
});
