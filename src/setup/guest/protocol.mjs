/** How the guest tells its results over the serial console: lines with a mark, among whatever else is printed there. */

const MARK = '@@uipvs-guest ';

/**
 * @typedef {{ type: 'step', name: string, outcome: 'passed' | 'failed' | 'skipped', text: string, seconds: number }
 *   | { type: 'begin', name: string }
 *   | { type: 'plan', names: readonly string[] }
 *   | { type: 'end' }} GuestMessage
 */

/** @param {GuestMessage} message */
export function writeMessage(message) {
  return `\n${MARK}${JSON.stringify(message)}\n`;
}

/** @param {string} line @returns {GuestMessage | null} `null`: a line of somebody else, or one that did not come whole */
export function readMessage(line) {
  const at = line.indexOf(MARK);
  if (at < 0) return null;
  try {
    const message = JSON.parse(line.slice(at + MARK.length));
    return typeof message === 'object' && message !== null && typeof message.type === 'string' ? message : null;
  } catch {
    return null;
  }
}
