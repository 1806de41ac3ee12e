/** Waiting for something that only a look can tell. */

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 100;

/**
 * Looks again and again until `look` answers with something other than undefined.
 *
 * @throws Error that names `what` and, if given, describes the last state, once `deadlineMs` have passed.
 */
export async function eventually<T>(
  what: string,
  deadlineMs: number,
  look: () => T | undefined | Promise<T | undefined>,
  describe: () => string = () => "",
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline)
      throw new Error(`${what}: not within ${deadlineMs} ms\n${describe()}`.trimEnd());
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
