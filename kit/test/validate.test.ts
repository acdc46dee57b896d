import { describe, expect, it } from "vitest";
import { HarnessError } from "../errors.ts";
import { Validation } from "../validate.ts";

function violationsOf(check: (validation: Validation) => void): string[] {
  const validation = new Validation();
  check(validation);
  try {
    validation.done();
    return [];
  } catch (error) {
    return error instanceof HarnessError ? error.violations.map((v) => v.field) : [String(error)];
  }
}

describe("validation", () => {
  it("reports every wrong field at once", () => {
    const fields = violationsOf((v) => {
      v.name("tenant", "a/b");
      v.id("exec_id", "");
      v.range("page_size", 1001, 1, 1000);
      v.maxBytes("prompt", "żółć", 7);
      v.characters("wake_key", "", 1, 128);
      v.characters("requested_by", "ż".repeat(257), 0, 256);
      v.name("session_id", "fine");
    });
    expect(fields).toEqual(["tenant", "exec_id", "page_size", "prompt", "wake_key", "requested_by"]);
  });

  it.each(["", ".", "..", ".a", "-a", "a/b", "a b", "a\0", "a\n", "ż", "x".repeat(129)])("refuses the name %j", (name) => {
    expect(violationsOf((v) => v.name("n", name))).toEqual(["n"]);
  });

  it.each(["a", "A9", "_x", "a.b-c_d", "x".repeat(128)])("takes the name %j", (name) => {
    expect(violationsOf((v) => v.name("n", name))).toEqual([]);
  });

  it.each(["a", "a/", "/a", "a/b/c", "../b", "a/..", "a//b"])("refuses the workspace %j", (name) => {
    expect(violationsOf((v) => v.workspace("w", name))).toEqual(["w"]);
  });
});
