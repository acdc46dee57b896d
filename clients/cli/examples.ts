/** One line that a user can type, and what it does. */
export interface Example {
  readonly line: string;
  readonly does: string;
}

/**
 * What `leaf COMMAND --help` shows, and what the tests run. `LEAF_ID` and `SESSION_ID` stand for the ids that
 * `leaf submit` and `leaf turn` print.
 */
export const EXAMPLES = {
  up: [
    { line: "leaf up", does: "start what is missing, in .leaf/ and on port 7433" },
    { line: "leaf up --port 0", does: "on a free port" },
    { line: "leaf up --model stand-in", does: "with the scripted stand-in, even if a model key is set" },
    { line: "leaf up --restart", does: "after an update: suspend the leaves, stop the running version, start the new one" },
    { line: "leaf up --sandboxes 3", does: "with three sandboxes, in which sessions are placed" },
    { line: "leaf up --network none", does: "commands in the sandbox reach no network" },
  ],
  down: [
    { line: "leaf down", does: "stop everything; running leaves are suspended, and go on after the next `leaf up`" },
    { line: "leaf down --wait", does: "as soon as no leaf and no command runs" },
  ],
  status: [
    { line: "leaf status", does: "what runs, and what waits" },
    { line: "leaf status --json", does: "the same for a script; exit code 3 if something is missing" },
  ],
  turn: [
    { line: 'leaf turn "Remember the secret word: pineapple"', does: "one prompt, on a new session" },
    { line: 'leaf turn --session SESSION_ID "What was the secret word?"', does: "the next one, on the same session" },
    { line: 'leaf turn --fork SESSION_ID "What if it had been another word?"', does: "on a copy of the session, which stays as it is" },
    { line: 'echo "Run: uname" | leaf turn -', does: "the prompt from standard input" },
    { line: 'leaf turn --json "Run: uname"', does: "every event, as JSON lines" },
  ],
  send: [
    { line: 'leaf send LEAF_ID "look at the tests as well"', does: "read before its next request to the model" },
    { line: 'leaf send LEAF_ID --follow-up "and now the docs"', does: "read when it would be done" },
  ],
  submit: [
    { line: 'leaf submit "Run: sleep 1"', does: "queue a leaf, print its id, and don't wait" },
    { line: 'leaf submit --label batch=7 --key nightly-7 "Run: date"', does: "safe to repeat: the same key makes no second leaf" },
    { line: 'leaf submit --near SESSION_ID "Run: date"', does: "in the sandbox where that session is, if there is a pool of them" },
    { line: 'leaf submit --ask bash "Run: date"', does: "no command without your approval" },
    {
      line: 'leaf submit --task --deadline 600 "Is this release safe?"',
      does: "a structured result, here a verdict; it fails after ten minutes",
    },
  ],
  watch: [
    { line: "leaf watch LEAF_ID", does: "its events so far, then live, to its end" },
    { line: "leaf watch LEAF_ID --after 3 --json", does: "those after the third, as JSON lines" },
  ],
  get: [{ line: "leaf get LEAF_ID", does: "its state and its result" }],
  list: [
    { line: "leaf list", does: "the newest leaves" },
    { line: "leaf list --state running --state queued", does: "only those in these states" },
    { line: "leaf list --session SESSION_ID --limit 5 --json", does: "one session's, for a script" },
    { line: "leaf list --label batch=7", does: "only those with this label" },
  ],
  cancel: [{ line: "leaf cancel LEAF_ID", does: "end it, with everything that it runs" }],
  approve: [{ line: "leaf approve LEAF_ID", does: "allow what it asks for" }],
  reject: [{ line: 'leaf reject LEAF_ID --feedback "use the staging database"', does: "refuse it, and say why" }],
  abort: [{ line: "leaf abort LEAF_ID", does: "end it at its question" }],
  redrive: [{ line: "leaf redrive LEAF_ID", does: "queue a failed leaf again" }],
  "schedule create": [
    { line: 'leaf schedule create nightly "30 2 * * *" --zone Europe/Berlin "Run: date"', does: "every night at half past two" },
    {
      line: 'leaf schedule create often "*/5 * * * *" --overlap skip --missed last "Look at the queue of __FIRE__"',
      does: "every five minutes, unless the last one still runs; once for all that was missed",
    },
  ],
  "schedule get": [{ line: "leaf schedule get nightly", does: "its next and its last fires, and what became of them" }],
  "schedule list": [{ line: "leaf schedule list --json", does: "all of them, for a script" }],
  "schedule update": [{ line: 'leaf schedule update nightly --cron "0 3 * * *"', does: "at three instead; the rest stays as it is" }],
  "schedule pause": [{ line: "leaf schedule pause nightly", does: "no fires until it is resumed" }],
  "schedule resume": [{ line: "leaf schedule resume nightly", does: "continue with the next fire" }],
  "schedule run": [{ line: "leaf schedule run nightly", does: "submit its leaf now; its times stay as they are" }],
  "schedule delete": [{ line: "leaf schedule delete often", does: "remove it; its leaves stay" }],
  "cron-dispatch": [
    { line: "leaf cron-dispatch schedule.json", does: "submit every item of the file, from a cron job" },
    { line: "leaf cron-dispatch schedule.json --fire nightly-7", does: "safe to repeat: the same fire makes no second leaf" },
  ],
  "sandbox list": [
    { line: "leaf sandbox list", does: "where sessions may work, and how many do" },
    { line: "leaf sandbox list --watch", does: "the same, live, until Ctrl-C" },
    { line: "leaf sandbox list --json", does: "the same for a script" },
  ],
  "sandbox drain": [{ line: "leaf sandbox drain s2 --wait", does: "no session works in it any more, and what was in it is elsewhere" }],
  "sandbox undrain": [{ line: "leaf sandbox undrain s2", does: "sessions may work in it again" }],
  "sandbox remove": [
    { line: "leaf sandbox remove s2", does: "forget one that is away or drained" },
    { line: "leaf sandbox remove s2 --force", does: "also if sessions are in it, which lose what they changed since their last snapshots" },
  ],
  "sandbox join": [
    {
      line: "leaf sandbox join https://leaf.example:7433 --token-file laptop.token --label gpu=a100",
      does: "sessions that ask for that label work on this machine, until Ctrl-C",
    },
  ],
  "token create": [
    {
      line: "leaf token create ci-bot --tenant acme --scope leaves:submit --scope leaves:read --life 30d",
      does: "a token for another program; use it as LEAF_TOKEN",
    },
  ],
  "token list": [{ line: "leaf token list", does: "who has one, for what, and until when" }],
  "token rotate": [
    { line: "leaf token rotate", does: "sign with a new key; tokens of the old one stay valid for 90 more days" },
    { line: "leaf token rotate --overlap 1h", does: "the same in a hurry" },
  ],
  "token revoke": [{ line: "leaf token revoke TOKEN_ID", does: "no call with it is accepted any more" }],
  "webhook list": [{ line: "leaf webhook list", does: "webhooks that were given up, and why" }],
  "webhook resend": [{ line: "leaf webhook resend LEAF_ID 7", does: "try to deliver one of them again" }],
  limits: [
    { line: "leaf limits", does: "what your tenant and your token may use, and what they use" },
    { line: "leaf limits --tenant acme --json", does: "another tenant's, for the operator" },
  ],
  "audit verify": [
    { line: "leaf audit verify", does: "check that nothing in the stack's audit log was changed, removed or inserted" },
    { line: "leaf audit verify --json", does: "the same for a script; exit code 1 if something was" },
  ],
  ps: [
    { line: "leaf ps", does: "the services of the stack, and its brains" },
    { line: "leaf ps --all", does: "every process, including jails, warm shells and commands" },
  ],
  logs: [
    { line: "leaf logs", does: "the last lines of every log" },
    { line: "leaf logs brain --lines 20", does: "only the brains'" },
    { line: "leaf logs dispatcher -f", does: "and every new line, until Ctrl-C" },
  ],
} as const satisfies Record<string, readonly Example[]>;

export type CommandName = keyof typeof EXAMPLES;
