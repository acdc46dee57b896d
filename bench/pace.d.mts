/** Call `count` times, with a pause of `gapMs` between an end and the next begin (0: back to back). Returns each call's milliseconds. */
export declare function paced(count: number, gapMs: number, call: () => Promise<unknown>): Promise<number[]>;

/** Milliseconds that a call takes. */
export declare function timed(call: () => Promise<unknown>): Promise<number>;
