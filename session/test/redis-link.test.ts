import { expect, test } from "vitest";
import { linked } from "../redis/link.ts";
import { programs } from "../redis/programs.ts";

const LIBRARY = `-- What scripts share.
local base = KEYS[1]

-- Used by another one.
local function low()
  return 1
end

local function high() return low() + 1 end

local function never()
  return high()
end
`;

test("a script takes along what it uses of its library, and what that uses, in its order", () => {
  expect(linked(LIBRARY, "return high()")).toBe(
    "local base = KEYS[1]\nlocal function low()\n  return 1\nend\nlocal function high() return low() + 1 end\nreturn high()",
  );
  expect(linked(LIBRARY, "return base")).toBe("local base = KEYS[1]\nreturn base");
});

test("a library with a function that does not end is refused", () => {
  expect(() => linked("local function open()\n  return 1\n", "return open()")).toThrow("function open");
});

test("no script names a function of its library that it did not take along", () => {
  for (const together of [true, false]) {
    for (const [name, { lua }] of Object.entries(programs(together))) {
      const defined = new Set([...lua.matchAll(/local function (\w+)/g)].map((match) => match[1]));
      for (const called of ["tell", "pick", "close", "ready", "settle", "follow", "record", "owned", "bytes", "plan", "shown"]) {
        const calls = new RegExp(`(?<![.:\\w]|function )${called}\\(`).test(lua);
        expect([name, called, calls && !defined.has(called)]).toEqual([name, called, false]);
      }
    }
  }
});
