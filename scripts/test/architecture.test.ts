import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { PAGE, withDrawing } from "../architecture.ts";
import { type Rooms, readImports, readRooms } from "../rooms.ts";
import { ROOT } from "../run.ts";

describe("docs/architecture.md", () => {
  const page = readFileSync(PAGE, "utf8");

  test("draws the rooms as they are, with the imports that the code has (npm run generate)", () => {
    expect(page).toBe(withDrawing(page, readRooms(), readImports()));
  });

  test("names folders and files that exist, and what is in one of them", () => {
    const table = page.slice(page.indexOf("## Where is what"), page.indexOf("## The rooms"));
    const wrong = table.split("\n").flatMap((row) => {
      const named = [...row.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
      const paths = named.filter((name) => name.includes("/"));
      const missing = paths.filter((path) => !existsSync(join(ROOT, path)));
      const files = paths.filter((path) => /\.\w+$/.test(path) && !missing.includes(path));
      const texts = files.map((path) => readFileSync(join(ROOT, path), "utf8"));
      const unknown = named.filter((name) => !name.includes("/") && !texts.some((text) => text.includes(name)));
      return [...missing, ...unknown];
    });
    expect(wrong).toEqual([]);
  });
});

describe("the drawing", () => {
  const empty = "<!-- drawn by scripts/architecture.ts -->\n<!-- end of the drawing -->\n";
  const table: Rooms = {
    rooms: { kit: [], hands: ["kit"], brain: ["hands/client", "kit"] },
    layers: { hands: [["main.ts"], [".", "fs"]] },
  };

  test("has an arrow for each room that another imports, with the part if not all of it may be imported", () => {
    const drawn = withDrawing(empty, table, [
      { from: "brain/main.ts", to: "hands/client" },
      { from: "brain/main.ts", to: "hands/client/exec.ts" },
      { from: "hands/a.ts", to: "kit/log" },
      { from: "hands/a.ts", to: "hands/b.ts" },
    ]);
    expect(drawn.match(/(?<=^ {2}\w+ )-->.+$/gm)).toEqual(["-->|client| hands", "--> kit"]);
    expect(drawn).toContain("1. `main.ts`\n2. its own files, `fs`\n");
  });

  test("is not made if the page has no place for it", () => {
    expect(() => withDrawing("# Architecture", table, [])).toThrow(/lost the two comments/);
  });
});
