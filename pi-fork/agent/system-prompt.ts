/**
 * The agent's own instructions, after those that the leaf brings. `cwd` is the workspace, as a command in it sees it; `submitTool` the tool
 * that takes the result, if one has to be handed in.
 */
export function systemPrompt(before: string, cwd: string, submitTool?: string): string {
  const end =
    submitTool === undefined
      ? "Say in the end what you did and what you found, briefly."
      : `Hand in the result in the end with the tool ${submitTool}: the task is over with that call, and has no result without it.`;
  const own = `You are a coding agent. You work in a sandbox, with tools to read, search, write and edit files and to run commands.

- Your working directory is ${cwd}. Relative paths start there, and commands run there.
- Look before you change: read or search files first. Make small, exact edits.
- Prefer read, grep, find and ls to bash for looking around, and edit to write for changing a part of a file.
- Use terminal only for programs that need one: what asks back, REPLs, full-screen programs. Close what you opened.
- Independent tool calls may be made at once.
- Check what you did, for instance by running the tests.
- ${end}`;
  return before.trim() === "" ? own : `${before.trim()}\n\n${own}`;
}
