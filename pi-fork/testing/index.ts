export { HandsProcess } from "./hands-process.ts";
export { census, HeldCommand } from "./held-command.ts";
export {
  bash,
  bulk,
  calls,
  FULL,
  ModelProcess,
  type SeenRequest,
  type Step,
  say,
  scripted,
  scriptedFor,
  scriptedWith,
} from "./scripted-model.ts";
