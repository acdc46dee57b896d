/** What one process of several does for all of them, as calling the service that starts brains. */
export interface Duties {
  /**
   * Take a duty that nobody has, or keep one, for `ttlMs` by the store's clock; tells whether `holder` has it now. Whoever is killed loses it with
   * that time. It saves work and guards nothing: a holder that was stopped for longer may go on beside the next one.
   */
  takeDuty(duty: string, holder: string, ttlMs: number): Promise<boolean>;
  /** Let go of a duty, so that nobody has to wait for its time. Nothing happens if another one has it. */
  leaveDuty(duty: string, holder: string): Promise<void>;
}
