import { describe, expect, test } from "vitest";
import { inexactNumber, isDeeper, isUnicode } from "../json-limits.ts";
import { compileSchema, type ObjectSchema, schemaProblems } from "../json-schema/index.ts";

const text = { type: "string" };

function nested(depth: number): ObjectSchema {
  let schema: ObjectSchema = { type: "object" };
  for (let i = 0; i < depth; i++) schema = { type: "object", properties: { a: schema } };
  return schema;
}

describe("a schema that can't be used", () => {
  test.each<readonly [string, ObjectSchema, readonly string[]]>([
    ["is not one of an object", { type: "array" }, ["s.type"]],
    ["has no type", { properties: { a: text } }, ["s.type"]],
    ["may be something else as well", { type: ["object", "null"] }, ["s.type"]],
    ["has a type that there is not", { type: "object", properties: { a: { type: "text" } } }, ["s.properties.a.type"]],
    ["has properties that are no schemas", { type: "object", properties: { a: 5 } }, ["s.properties.a"]],
    ["has properties that are no object", { type: "object", properties: [] }, ["s.properties"]],
    ["requires no list", { type: "object", required: "a" }, ["s.required"]],
    ["has an empty choice", { type: "object", properties: { a: { enum: [] } } }, ["s.properties.a.enum"]],
    ["has a pattern that is none", { type: "object", properties: { a: { pattern: "(" } } }, ["s.properties.a.pattern"]],
    ["has a name pattern that is none", { type: "object", patternProperties: { "[": text } }, ["s.patternProperties.["]],
    ["has a length below 0", { type: "object", properties: { a: { minLength: -1 } } }, ["s.properties.a.minLength"]],
    ["has a bound that is no number", { type: "object", properties: { a: { maximum: "9" } } }, ["s.properties.a.maximum"]],
    ["divides by 0", { type: "object", properties: { a: { multipleOf: 0 } } }, ["s.properties.a.multipleOf"]],
    ["is all of nothing", { type: "object", allOf: [] }, ["s.allOf"]],
    ["is wrong in an item", { type: "object", properties: { a: { items: { type: 1 } } } }, ["s.properties.a.items.type"]],
    ["refers to nothing", { type: "object", properties: { a: { $ref: "#/$defs/x" } } }, ["s.properties.a.$ref"]],
    ["refers to another place", { type: "object", properties: { a: { $ref: "https://example.org/x" } } }, ["s.properties.a.$ref"]],
    ["refers to itself at once", { type: "object", $ref: "#" }, ["s.$ref"]],
    [
      "refers in a circle",
      { type: "object", properties: { a: { $ref: "#/$defs/x" } }, $defs: { x: { $ref: "#/$defs/x" } } },
      ["s.$defs.x.$ref"],
    ],
    ["is too deep", nested(12), ["s"]],
    ["refers too often", { type: "object", anyOf: Array(501).fill({ $ref: "#/$defs/a" }), $defs: { a: {} } }, ["s"]],
    ["is wrong in two places", { type: "object", required: 1, properties: { a: { type: "x" } } }, ["s.required", "s.properties.a.type"]],
  ])("%s", (_what, schema, fields) => {
    expect(schemaProblems(schema, "s").map(({ field }) => field)).toEqual(fields);
  });
});

test.each<readonly [string, ObjectSchema]>([
  ["an object of anything", { type: "object" }],
  ["a schema at the greatest depth", nested(11)],
  ["one that refers to itself below a property", { type: "object", properties: { next: { $ref: "#" } } }],
  ["one with definitions", { type: "object", properties: { a: { $ref: "#/$defs/x~1y" } }, $defs: { "x/y": text } }],
  ["one with words that no validator knows", { type: "object", "x-note": 5, properties: { constructor: text } }],
])("%s can be used", (_what, schema) => {
  expect(schemaProblems(schema, "s")).toEqual([]);
  expect(compileSchema(schema)({})).toEqual([]);
});

test("JSON is looked through for what is too deep, and for what is no Unicode", () => {
  expect([isDeeper([[{}]], 3), isDeeper([[{}]], 2), isDeeper("text", 0)]).toEqual([false, true, false]);
  expect([isUnicode({ a: ["𝄞"] }), isUnicode({ a: ["\ud834"] }), isUnicode({ "\ud834": 1 })]).toEqual([true, false, false]);
});

describe("a value that does not match", () => {
  const schema = {
    type: "object",
    properties: { verdict: { enum: ["FLAGGED", "CLEAR"] }, n: { type: "integer", minimum: 1 }, list: { type: "array", items: text } },
    required: ["verdict", "n"],
    additionalProperties: false,
  };

  test.each<readonly [unknown, readonly string[]]>([
    [{ verdict: "CLEAR", n: 1 }, []],
    [{ verdict: "MAYBE", n: 1 }, ['verdict: must be one of ["FLAGGED","CLEAR"]']],
    [{ n: 0, extra: 1 }, ["the result: must have required properties verdict", "the result: must not have extra", "n: must be >= 1"]],
    [{ verdict: "CLEAR", n: 1, list: ["a", 2] }, ["list.1: must be string"]],
    [null, ["the result: must be object"]],
  ])("%j is told field by field", (value, problems) => {
    expect(compileSchema(schema)(value)).toEqual(problems);
  });

  test.each<readonly [string, ObjectSchema, string, readonly string[]]>([
    ["requires", { required: ["toString"] }, "{}", ["the result: must have required properties toString"]],
    ["requires", { required: ["constructor", "__proto__"] }, '{"constructor": 1, "__proto__": 2}', []],
    ["describes", { properties: { valueOf: text } }, "{}", []],
    ["describes", { properties: { valueOf: text } }, '{"valueOf": 1}', ["valueOf: must be string"]],
    [
      "asks for beside another",
      { dependentRequired: { a: ["hasOwnProperty"] } },
      '{"a": 1}',
      ["the result: must have properties hasOwnProperty when property a is present"],
    ],
    [
      "permits alone",
      { properties: { toString: {} }, additionalProperties: false },
      '{"toString": 1, "valueOf": 2}',
      ["the result: must not have valueOf"],
    ],
  ])("has properties of its own only: those that a schema %s", (_what, keywords, json, problems) => {
    expect(compileSchema({ type: "object", ...keywords })(JSON.parse(json))).toEqual(problems);
  });

  test("in very many places is told in the first few", () => {
    const problems = compileSchema(schema)({ verdict: "CLEAR", n: 1, list: Array.from({ length: 50 }, (_, i) => i) });
    expect(problems.length).toBeGreaterThan(1);
    expect(problems.length).toBeLessThan(20);
  });
});

test("whole numbers that are not kept exactly are found, and other numbers are not", () => {
  expect(inexactNumber({ a: [1, { b: 2 ** 53 }] }, "v")).toEqual({ path: "v.a[1].b", number: 2 ** 53 });
  expect(inexactNumber([-(2 ** 60)], "v")).toEqual({ path: "v[0]", number: -(2 ** 60) });
  expect(inexactNumber({ a: Number.MAX_SAFE_INTEGER, b: 0.1, c: 6.02e23, d: "9007199254740993", e: null }, "v")).toBeUndefined();
});
