/**
 * A reporter for vitest: lists skipped tests with their reasons and leaves what became of each file in the file that
 * UIPVS_TEST_RESULTS names, since vitest's own summary is made for eyes.
 */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/** What a failure says is cut here: enough to know which expectation it was. */
const MESSAGE_LENGTH = 1200;

export default class TestReporter {
  /** @param {readonly import('vitest/node').TestModule[]} modules */
  onTestRunEnd(modules, unhandledErrors) {
    /** @type {import('./test-results.mjs').TestResults} */
    const results = { files: {}, errors: unhandledErrors.map(wordsOf) };
    /** @type {Map<string, string[]>} reason -> tests */
    const skipped = new Map();
    for (const module of modules) {
      const path = relative(process.cwd(), module.moduleId);
      const file = { passed: 0, skipped: 0, failures: [] };
      results.files[path] = file;
      for (const error of module.errors()) file.failures.push({ name: 'the file itself', message: wordsOf(error) });
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') file.passed += 1;
        else if (result.state === 'failed') {
          file.failures.push({ name: test.fullName, message: result.errors.map(wordsOf).join('\n') });
        } else {
          file.skipped += 1;
          const reason = result.note ?? 'no reason given';
          skipped.set(reason, [...(skipped.get(reason) ?? []), `${path}: ${test.fullName}`]);
        }
      }
      // A suite that cannot be set up leaves its tests skipped: it is the suite that failed.
      for (const suite of module.children.allSuites()) {
        for (const error of suite.errors()) file.failures.push({ name: suite.fullName, message: wordsOf(error) });
      }
    }
    for (const [reason, names] of skipped) {
      process.stdout.write(`\nSkipped: ${reason}\n${names.map((name) => `  ${name}\n`).join('')}`);
    }
    if (process.env.UIPVS_TEST_RESULTS) writeFileSync(process.env.UIPVS_TEST_RESULTS, JSON.stringify(results));
  }
}

/** @param {{ readonly message?: string, readonly diff?: string }} error what it says, and what differs */
function wordsOf({ message, diff }) {
  const words = stripVTControlCharacters([message ?? 'no message', diff ?? ''].join('\n')).trim();
  return words.length > MESSAGE_LENGTH ? `${words.slice(0, MESSAGE_LENGTH)} ...` : words;
}
