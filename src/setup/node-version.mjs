/**
 * Whether this Node can run uipvs. This file and the programs that import it first are written in words that
 * old versions of Node understand too, so that they can say what is wrong instead of failing to parse.
 */

/** The oldest Node that has everything used here; `engines` in package.json says the same. */
const OLDEST = [20, 19];

/**
 * What is wrong with this version of Node, in one sentence, or `null`.
 * @param {string} version such as `20.19.5`
 */
export function nodeProblem(version) {
  const parts = version.split('.').map(Number);
  if (parts[0] > OLDEST[0] || (parts[0] === OLDEST[0] && parts[1] >= OLDEST[1])) return null;
  return (
    'uipvs needs Node ' +
    OLDEST.join('.') +
    ' or newer, and this is Node ' +
    version +
    '; see https://nodejs.org/en/download.'
  );
}

/**
 * Runs `start` when Node is new enough; otherwise says so and lets the program end with 1.
 * @param {() => Promise<unknown>} start
 */
export function startWithNode(start) {
  const problem = nodeProblem(process.versions.node);
  if (problem === null) {
    start().catch((error) => {
      console.error(error && error.name === 'SetUpError' ? `uipvs set-up: ${error.message}` : error);
      process.exitCode = 1;
    });
    return;
  }
  console.error(problem);
  process.exitCode = 1;
}
