/** Runs in the guest: one step after the other, each result told over the console. */
import { openSync, readFileSync, writeSync } from 'node:fs';
import { writeMessage } from './protocol.mjs';
import { STEPS } from './steps.mjs';

const terminal = openSync('/dev/console', 'w');
const tell = (message) => writeSync(terminal, writeMessage(message));
// Some steps are long, and who listens must know that the guest lives.
setInterval(() => writeSync(terminal, '.\n'), 10_000).unref();

/** Those that are run; none is named: all. */
const wanted = JSON.parse(readFileSync('/steps.json', 'utf8'));
const steps = STEPS.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
tell({ type: 'plan', names: steps.map(({ name }) => name) });
for (const { name, run } of steps) {
  tell({ type: 'begin', name });
  const beganMs = performance.now();
  const seconds = () => Math.round((performance.now() - beganMs) / 100) / 10;
  try {
    tell({ type: 'step', name, outcome: 'passed', text: await run(), seconds: seconds() });
  } catch (error) {
    const text = error instanceof Error ? (error.name === 'StepFailed' ? error.message : error.stack) : String(error);
    tell({ type: 'step', name, outcome: 'failed', text: String(text).slice(-6000), seconds: seconds() });
  }
}
tell({ type: 'end' });
