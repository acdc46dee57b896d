import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { onLines } from "../../process/keeper/fork-server.ts";

/** Lines of a stream that brings these pieces and ends. */
async function linesOf(pieces: readonly string[]): Promise<string[]> {
  const lines: string[] = [];
  const stream = new PassThrough();
  onLines(stream, (line) => lines.push(line));
  for (const piece of pieces) stream.write(piece);
  stream.end();
  await new Promise((resolve) => stream.once("end", resolve));
  return lines;
}

test("lines come whole, however they are cut, and the last one needs no end", async () => {
  expect(await linesOf(["one\ntw", "o\n", "\nthr", "ee"])).toEqual(["one", "two", "three"]);
});

test("a line without an end is handed on in parts, so that it never fills the memory", async () => {
  const lines = await linesOf(Array.from({ length: 100 }, () => "x".repeat(1000)));
  expect(lines.join("")).toBe("x".repeat(100_000));
  expect(Math.max(...lines.map((line) => line.length))).toBe(4096);
});
